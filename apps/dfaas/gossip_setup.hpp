// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// serf beside a node: what must be right before it starts, and how it is started.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "apps/dfaas/programs.hpp"
#include "core/base/result.hpp"
#include "live/membership/serf_membership.hpp"
#include "live/node/supervisor.hpp"

namespace dfaas {

bool uses_serf(const Settings& settings);
/// The serf to run; `chosen` is the setting serf.program. Errors: not_found.
Result<std::string> find_serf(const std::string& chosen);

/// Errors: one sentence naming the setting or file that is wrong.
Result<SupervisedProgram> serf_program(const NodeIdentity& identity);

/// What the agent needs to follow it; nothing where the list alone is used.
std::optional<SerfSettings> serf_settings(const NodeIdentity& identity);

/// Settings for a node that joins by this one; "gossip.join" begins with ':' where the host is the one that it
/// asked.
std::map<std::string, std::string> gossip_settings_for_others(const Settings& settings);

}  // namespace dfaas
