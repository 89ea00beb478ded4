// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How well functions are kept apart from this node, for people and programs that ask.
#pragma once

#include <string>

#include "live/sandbox/spec.hpp"

namespace dfaas {

/// {"tier": "namespaces", "limits": "cgroup v2", "memory": "per function", "cpu": true, "notes": [...]}
std::string sandbox_json(const SandboxReport& report);

}  // namespace dfaas
