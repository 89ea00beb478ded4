// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Scenarios as TOML files: one file says everything, or names the few data files it needs.
///
/// Input   docs/reference/scenario.md has every key; scenarios/ has examples. The words are those of load
///         plans (core/workload/plan_file.hpp) where they mean the same.
/// Errors  invalid_input in one sentence with the line where there is one and what is allowed:
///         "line 12: [[link]]: between: node \"hevy\" does not exist: light, mid, heavy do".
/// Guarantees  Same file and seed, same scenario. Each load draws its bursts from a generator named after
///             its node and function, so that loads do not shift each other.
/// Limits  Those of scenario_limits, and rates_max rates and trace_calls_max calls in one file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

inline constexpr std::size_t scenario_file_rates_max = 20'000'000;  ///< Guessed: 160 MB.

/// Reads a file that a scenario names, from beside it. May be empty where there are none.
using ReadScenarioData = std::function<Result<std::string>(const std::string& file)>;

/// The scenario, validated.
Result<Scenario> parse_scenario_file(std::string_view text, std::uint64_t seed,
                                     const ReadScenarioData& read_file);

/// A file that reads back as the same scenario, if that is valid, deploys each of its functions and has
/// no two pools of one name in one node. Drawn rates are written out, links one by one.
std::string scenario_to_toml(const Scenario& scenario);

}  // namespace dfaas
