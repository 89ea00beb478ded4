// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Strategies side by side: every strategy on every scenario and seed, in pairs of equal calls.
///
/// Use         Describe the runs, call compare(); rows come out in the order families, seeds, strategies.
/// Guarantees  Same runs, same rows, however many jobs. The oracle is asked once per scenario and seed, with
///             the calls that really arrived.
/// Errors      Those of run_scenario() and score_oracle(), with the run they belong to: nothing is scored
///             half.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"
#include "sim/oracle/score.hpp"
#include "sim/report/figures.hpp"
#include "sim/world/run.hpp"

namespace dfaas {

/// A scenario for each seed: a family, or a file whose draws depend on the seed.
struct ScenarioSource {
  std::string name;
  std::function<Result<Scenario>(std::uint64_t seed)> make;
};

/// How a strategy is run.
struct Contender {
  Strategy strategy;
  bool is_omni = false;
  bool as_published = false;

  [[nodiscard]] std::string name() const;
};

struct ComparisonPlan {
  std::vector<ScenarioSource> scenarios;
  std::vector<std::uint64_t> seeds;
  std::vector<Contender> contenders;
  std::optional<Millis> period;  ///< Of control; unset: each strategy's own.
  Millis heartbeat{500};
  DispatcherSettings dispatcher;
  bool with_oracle = true;
  int jobs = 1;
};

/// A run with what a report draws of it.
struct ComparedRun {
  RunFigures figures;
  std::vector<double> node_success;    ///< Of its own users, by node; NaN where nobody asked.
  std::vector<double> second_success;  ///< By second of arrival.
};

/// How a run of the plan is done.
RunOptions options_of(const ComparisonPlan& plan, const Contender& contender, std::uint64_t seed);

/// One run of the tally's scenario, with its score. `oracle` is what was reckoned for the same calls
/// before; without, and with `with_oracle`, it is reckoned and put there.
Result<RunFigures> run_scored(const RunOptions& options, RunTally& tally,
                              std::optional<OracleScore>& oracle, bool with_oracle);

/// Told after every run, from one thread at a time.
using OnRun = std::function<void(const RunFigures& figures, std::size_t done, std::size_t all)>;

Result<std::vector<ComparedRun>> compare(const ComparisonPlan& plan, const OnRun& on_run);

/// One strategy over all scenarios and seeds.
struct StrategyMeans {
  std::string strategy;
  std::size_t runs = 0;
  double served_over_oracle_ratio = 0;
  double worst_family_ratio = 0;
  std::string worst_family;
  double success_ratio = 0;
  double stress_success_ratio = 0;
  double work_served_over_oracle_ratio = 0;
  double forwarded_ratio = 0;
  double tries_ratio = 0;
  double wasted_tries_ratio = 0;
  double latency_ms_p50 = 0;
  double latency_ms_p99 = 0;
  double latency_ms_p999 = 0;
  double messages_per_node_per_second = 0;
  double fairness_ratio = 0;
  double worst_node_success_ratio = 0;
  double power_watts = 0;
  /// Difference of served/oracle to omni in pairs of equal calls, and half the width of its 95 %
  /// confidence interval (Student); unset without omni or with fewer than two pairs.
  std::optional<double> behind_omni;
  std::optional<double> behind_omni_error;
  /// Of nodes, how much worse the own users of the worst one are off than with all_local (<= 0), and how
  /// many are worse off by more than 0.5 %; unset without all_local.
  std::optional<double> own_users_change_worst;
  std::optional<std::size_t> nodes_worse_off;
  std::size_t nodes = 0;
};

/// In the order of the contenders. `runs` as compare() gives them.
std::vector<StrategyMeans> means_of(const ComparisonPlan& plan,
                                    const std::vector<ComparedRun>& runs);

nlohmann::ordered_json json_of(const StrategyMeans& means);

}  // namespace dfaas
