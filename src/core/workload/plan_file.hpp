// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Load plans as TOML files.
///
/// Input   seed, timeout and outstanding_max, each optional, then [[phase]] tables with name, url, rate
///         and duration, and optionally start (default: when the phase before it ends), arrivals,
///         method (default: GET, with a body POST), headers (a table), data or data_file, and
///         expected_node. Durations are texts such as "30s". docs/guides/load.md has an example.
/// Errors  invalid_input naming the line, the key, its value and what would be right; an unknown key is an error.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.hpp"
#include "core/workload/plan.hpp"

namespace dfaas {

/// Reads the file that a plan names in data_file.
using ReadPlanData = std::function<Result<std::string>(const std::string& file)>;

/// The plan, validated.
Result<LoadPlan> parse_plan_file(std::string_view text, const ReadPlanData& read_data);

}  // namespace dfaas
