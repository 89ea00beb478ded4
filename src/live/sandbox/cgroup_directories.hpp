// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Where the kernel shows the control groups of this process.
#pragma once

#include <map>
#include <string>

namespace dfaas {

/// The directory of the group that this process is in, by controller (memory, cpu, pids); "" for version 2.
std::map<std::string, std::string> cgroup_directories();

}  // namespace dfaas
