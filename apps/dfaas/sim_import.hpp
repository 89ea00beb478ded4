// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas sim import: what others recorded or generated, as scenario files for dfaas sim run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "apps/dfaas/commands.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

/// The scenario that a family's name or a file.toml stands for.
using ScenarioOfName = std::function<Result<Scenario>(const std::string& name, std::uint64_t seed)>;

void add_sim_import_command(CLI::App& sim, ExitStatus& status,
                            const ScenarioOfName& scenario_of_name);

}  // namespace dfaas
