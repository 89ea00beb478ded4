// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Recordings as scenarios: what `dfaas sim run --trace` and `dfaas sim export --trace` share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/result.hpp"
#include "core/scenario/replay.hpp"
#include "sim/compare/comparison.hpp"

namespace dfaas {

/// Files of `--trace`, joined. Errors: one sentence with the file.
Result<std::shared_ptr<const JoinedTrace>> read_traces(const std::vector<std::string>& files);

/// `source` with the recorded calls in place of its load; without a source, the recorded federation.
ScenarioSource replaying(std::optional<ScenarioSource> source,
                         std::shared_ptr<const JoinedTrace> joined);

/// The strategy that was in force; empty where nothing tells.
std::string recorded_strategy(const JoinedTrace& joined);

/// Rules and periods of the recorded nodes, where the plan does not say otherwise.
void take_recorded_settings(ComparisonPlan& plan, const JoinedTrace& joined, bool takes_heartbeat);

/// How the recorded calls ended, beside how the simulated ones did: for people, and as JSON. Nothing, and
/// null, where the recordings do not tell.
std::string recorded_lines(const RecordedFigures& recorded, const RunFigures& simulated);
nlohmann::ordered_json recorded_json(const RecordedFigures& recorded);

}  // namespace dfaas
