// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Confines a process without privilege, by Landlock: which files it may reach, and whom it may signal.
///
/// Limits  Linux 5.13 knows files, 6.7 TCP ports, 6.12 signals and abstract sockets. What the kernel lacks
///         is left out, and told by landlock_notes().
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

/// Version of the interface; 0 where there is none.
int landlock_version();

/// What this kernel cannot confine, for people.
std::vector<std::string> landlock_notes(int version);

/// Confines the calling process for good: files of the system and of `settings`, `temporary` to write
/// to, and of TCP only the port of `spec`.
Result<void> confine_by_landlock(const SandboxSettings& settings, const ReplicaSpec& spec,
                                 const std::string& temporary);

}  // namespace dfaas
