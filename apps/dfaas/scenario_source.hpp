// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Scenarios by what people call them: a family's name, or a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"
#include "sim/compare/comparison.hpp"

namespace dfaas {

/// What a file that a scenario names may have.
inline constexpr std::size_t scenario_data_bytes_max = 1024U << 20U;

/// Errors: invalid_input for a name that is neither a family's nor ends in .toml. Those of the file come with
/// make().
Result<ScenarioSource> source_of(const std::string& name);

/// The scenario, with what is random in it drawn from the seed.
Result<Scenario> scenario_of_name(const std::string& name, std::uint64_t seed);

}  // namespace dfaas
