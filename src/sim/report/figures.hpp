// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The figures of a run: what the score counts, what users feel, what it cost.
///
/// Output      One row a run, with the same keys in tables, JSON and CSV. Ratios lie in [0, 1], latencies
///             are those of answers in time.
/// Source      Fairness: R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness", DEC-TR-301,
///             1984, over the success ratios of nodes. Indexes of the original: docs/reference/results.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/instant.hpp"
#include "sim/report/run_tally.hpp"

namespace dfaas {

/// The original simulators' own indexes, over functions and windows, under their names.
struct OriginalIndexes {
  double mean_success_percent = 0;
  double success_variance = 0;
  double median_success_percent = 0;
  double percentile_90_success_percent = 0;
  double stress_mean_success_percent = 0;
  double stress_success_variance = 0;
  double stress_median_success_percent = 0;
  double stress_percentile_90_success_percent = 0;
  double total_rejected = 0;
  double rejected_variance = 0;
  double median_rejected = 0;
  double percentile_90_rejected = 0;
  double mean_node_power_watts = 0;
  double max_node_power_watts = 0;
};

struct RunFigures {
  std::string scenario;  ///< Name of the family, or of the scenario.
  std::string strategy;
  bool as_published = false;
  std::uint64_t seed = 0;
  Millis period{0};
  CallCounts counts;
  double success_ratio = 0;
  double stress_success_ratio = 0;
  double forwarded_ratio = 0;     ///< Of calls: served by neighbours.
  double tries_ratio = 0;         ///< Tries at neighbours per call.
  double wasted_tries_ratio = 0;  ///< Of tries: refused or lost.
  double work_success_ratio = 0;  ///< Success weighted with the work of each call.
  Micros latency_p50{0};
  Micros latency_p95{0};
  Micros latency_p99{0};
  Micros latency_p999{0};
  double messages_per_node_per_second = 0;
  double plans_per_node_per_second = 0;
  double fairness_ratio = 0;  ///< Jain's index of the nodes' success ratios.
  double worst_node_success_ratio = 0;
  std::string worst_node;
  double power_watts = 0;  ///< Mean of a node: idle, and more in proportion to busy slots.
  double millijoules_per_served_call = 0;
  double handling_ratio = 0;  ///< Of the busiest processor, beside running functions.
  /// From the end of the stress until ten seconds in a row are served to 99 %; unset where there is no
  /// such moment.
  std::optional<double> recovery_seconds;
  OriginalIndexes original;
  std::optional<double> oracle_served;
  std::optional<double> oracle_forwarded_ratio;
  std::optional<double> served_over_oracle_ratio;
  std::optional<double> work_served_over_oracle_ratio;
  std::uint64_t events = 0;
  double simulated_seconds = 0;
};

RunFigures figures_of(const RunTally& tally, const RunTotals& totals, const RunOptions& options);

/// One of the columns that tables and CSV files show.
struct FigureColumn {
  std::string_view name;
  std::string_view unit;
  std::string (*text)(const RunFigures& figures);
};
const std::vector<FigureColumn>& figure_columns();

nlohmann::ordered_json json_of(const RunFigures& figures);
std::string csv_of(const std::vector<RunFigures>& rows);

}  // namespace dfaas
