// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One replica: a process in its own sandbox that becomes the keeper.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "core/base/result.hpp"
#include "live/sandbox/cgroups.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

struct ReplicaPlan {
  std::uint64_t id = 0;  ///< Among those of this launcher.
  SandboxTier tier = SandboxTier::namespaces;
  bool use_user_namespace = false;  ///< For launchers that are not root.
  SandboxSettings settings;
  ReplicaSpec spec;
  std::string temporary;  ///< Host directory of the replica in the tier landlock; else empty.
};

/// Starts it; `socket` is the keeper's end. The process says `ready` or `refused` on it and, when ready, is
/// the keeper until the other end closes. Errors: unavailable, when there is no process at all.
Result<pid_t> start_replica(const ReplicaPlan& plan, const Cgroups& cgroups, int socket);

/// A process that waits to become a replica. It has its namespaces and has joined its control groups, which with
/// version 1 takes tens of milliseconds that no first call should wait for.
struct Spare {
  pid_t pid = -1;
  ReplicaPlan plan;  ///< Without a spec.
  int socket = -1;   ///< Ours; it ends when this is closed.
};
Result<Spare> start_spare(ReplicaPlan plan, const Cgroups& cgroups);

/// Makes it the replica of `plan.spec`; then as after start_replica(). Errors: unavailable when it is no more.
/// Closes `spare.socket`.
Result<void> use_spare(const Spare& spare, const Cgroups& cgroups, int socket);

}  // namespace dfaas
