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

}  // namespace dfaas
