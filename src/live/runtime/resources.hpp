// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Reads what a replica has used, where the kernel shows it.
///
/// Input   The files of its control group, where it has one; else those of its processes below /proc, whose memory
///         is then counted for each, shared pages too.
/// Limits  A /proc that hides other users' processes hides those of functions.
/// Cost    Some tens of microseconds for a group, as much for each process without.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/instant.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

struct ResourcesUsed {
  Micros cpu{0};  ///< Since the replica was made.
  std::uint64_t memory_bytes = 0;
};

/// Nothing where processor time or memory is not shown.
std::optional<ResourcesUsed> read_resources(const UsagePlaces& places);

}  // namespace dfaas
