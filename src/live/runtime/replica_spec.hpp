// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// From a deployment to the sandbox it gets, or the sentence why this node cannot give it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/watchdog.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

/// For functions that ask for nothing themselves.
struct ReplicaDefaults {
  std::uint64_t memory_bytes = 0;
  std::uint32_t processes_per_slot = 64;
  std::uint64_t tmp_bytes = 64U << 20U;
  bool host_network_allowed = false;
};

/// Half of this machine's memory.
std::uint64_t half_of_memory();

/// Can functions have files of their own in this tier? Errors: invalid_input.
Result<void> check_image_tier(SandboxTier tier);

/// `program` is what the function starts, `root` its image or empty, `slots` its calls at once. Errors: invalid_input naming the field,
/// for limits and networks that make no sense or that this node, as `report` has it, cannot enforce, and for
/// programs that no sandbox shows.
Result<ReplicaSpec> plan_replica(const FunctionDeployment& deployment,
                                 const WatchdogSettings& watchdog, std::string_view program,
                                 std::string root, int slots, const ReplicaDefaults& defaults,
                                 const SandboxSettings& settings, const SandboxReport& report);

}  // namespace dfaas
