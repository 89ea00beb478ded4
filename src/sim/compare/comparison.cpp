// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/compare/comparison.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/oracle/arrival_counts.hpp"
#include "sim/oracle/score.hpp"

namespace dfaas {
namespace {

constexpr double worse_off = 0.005;

/// Student's t for a two-sided 95 % interval. Source: any table of the distribution.
double student_95(std::size_t degrees) {
  constexpr std::array<double, 30> table{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                                         2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                                         2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                                         2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
  return degrees <= table.size() ? table.at(degrees - 1) : 1.96;
}

/// Puts what the oracle reached beside what the run did.
void apply(const OracleScore& oracle, RunFigures& figures) {
  figures.oracle_served = oracle.total.served_max;
  const auto served = static_cast<double>(figures.counts.served());
  if (oracle.total.served_max > 0) {
    figures.served_over_oracle_ratio = served / oracle.total.served_max;
    figures.oracle_forwarded_ratio = oracle.total.forwarded_min / oracle.total.served_max;
  }
  if (oracle.total.work_max > 0) {
    figures.work_served_over_oracle_ratio = figures.counts.work_served / oracle.total.work_max;
  }
}

/// The runs of one scenario and seed.
class Group {
 public:
  Group(const ComparisonPlan& plan, const ScenarioSource& source, std::uint64_t seed)
      : plan_(plan), source_(source), seed_(seed) {}

  /// All contenders, in order. `on_run` is told of each.
  Result<std::vector<ComparedRun>> run(const std::function<void(const RunFigures&)>& on_run) {
    auto made = source_.make(seed_);
    if (!made) return within(std::move(made).error());
    const Scenario scenario = std::move(*made);
    std::vector<ComparedRun> runs;
    std::optional<OracleScore> oracle;
    for (const Contender& contender : plan_.contenders) {
      auto done = run_one(scenario, contender, oracle);
      if (!done) return within(std::move(done).error().within(contender.name()));
      on_run(done->figures);
      runs.push_back(std::move(*done));
    }
    return runs;
  }

 private:
  tl::unexpected<Error> within(Error error) const {
    return tl::unexpected(std::move(error).within(fmt::format("{} seed {}", source_.name, seed_)));
  }

  Result<ComparedRun> run_one(const Scenario& scenario, const Contender& contender,
                              std::optional<OracleScore>& oracle) const {
    RunTally tally(scenario);
    auto figures =
        run_scored(options_of(plan_, contender, seed_), tally, oracle, plan_.with_oracle);
    if (!figures) return pass_on(std::move(figures));
    ComparedRun run{.figures = std::move(*figures)};
    run.figures.scenario = source_.name;
    for (const CallCounts& node : tally.nodes()) {
      run.node_success.push_back(node.offered > 0 ? node.success_ratio()
                                                  : std::numeric_limits<double>::quiet_NaN());
    }
    for (const CallCounts& second : tally.seconds()) {
      run.second_success.push_back(second.success_ratio());
    }
    return run;
  }

  const ComparisonPlan& plan_;
  const ScenarioSource& source_;
  std::uint64_t seed_;
};

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace

RunOptions options_of(const ComparisonPlan& plan, const Contender& contender, std::uint64_t seed) {
  return {.strategy = contender.strategy,
          .is_omni = contender.is_omni,
          .as_published = contender.as_published,
          .seed = seed,
          .period = plan.period,
          .heartbeat = plan.heartbeat,
          .dispatcher = plan.dispatcher};
}

Result<RunFigures> run_scored(const RunOptions& options, RunTally& tally,
                              std::optional<OracleScore>& oracle, bool with_oracle) {
  const Scenario& scenario = tally.scenario();
  auto arrivals = ArrivalCounts::of(scenario);
  if (!arrivals) return pass_on(std::move(arrivals));
  const bool asks_oracle = with_oracle && !oracle;
  if (asks_oracle) {
    tally.each_call = [&arrivals, told = tally.each_call](const CallRecord& call) {
      arrivals->add(call.arrival, call.node, call.function);
      if (told) told(call);
    };
  }
  auto totals = run_scenario(scenario, options, tally);
  tally.each_call = {};
  if (!totals) return pass_on(std::move(totals));
  if (asks_oracle) {
    auto score = score_oracle(scenario, *arrivals);
    if (!score) return pass_on(std::move(score));
    oracle = std::move(*score);
  }
  RunFigures figures = figures_of(tally, *totals, options);
  if (oracle) apply(*oracle, figures);
  return figures;
}

std::string Contender::name() const {
  if (is_omni) return std::string(omni_name);
  return std::string(strategy.name) + (as_published ? " as published" : "");
}

Result<std::vector<ComparedRun>> compare(const ComparisonPlan& plan, const OnRun& on_run) {
  struct Unit {
    const ScenarioSource* source;
    std::uint64_t seed;
    Result<std::vector<ComparedRun>> runs;
  };
  std::vector<Unit> units;
  for (const ScenarioSource& source : plan.scenarios) {
    for (const std::uint64_t seed : plan.seeds) units.push_back({&source, seed, {}});
  }
  const std::size_t all = units.size() * plan.contenders.size();
  std::atomic<std::size_t> next{0};
  std::atomic<bool> has_failed{false};
  std::mutex mutex;
  std::size_t done = 0;
  const auto work = [&] {
    for (std::size_t at = next++; at < units.size() && !has_failed; at = next++) {
      Unit& unit = units[at];
      unit.runs = Group(plan, *unit.source, unit.seed).run([&](const RunFigures& figures) {
        const std::lock_guard lock(mutex);
        ++done;
        if (on_run) on_run(figures, done, all);
      });
      if (!unit.runs) has_failed = true;
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int job = 1; job < plan.jobs; ++job) workers.emplace_back(work);
    work();
  }
  std::vector<ComparedRun> runs;
  for (Unit& unit : units) {
    if (!unit.runs) return pass_on(std::move(unit.runs));
    for (ComparedRun& run : *unit.runs) runs.push_back(std::move(run));
  }
  return runs;
}

std::vector<StrategyMeans> means_of(const ComparisonPlan& plan,
                                    const std::vector<ComparedRun>& runs) {
  const std::size_t contenders = plan.contenders.size();
  const auto find = [&](const auto& is_wanted) -> std::optional<std::size_t> {
    const auto found = std::ranges::find_if(plan.contenders, is_wanted);
    if (found == plan.contenders.end()) return std::nullopt;
    return static_cast<std::size_t>(found - plan.contenders.begin());
  };
  const auto omni = find([](const Contender& c) { return c.is_omni; });
  const auto alone =
      find([](const Contender& c) { return !c.is_omni && c.strategy.name == "all_local"; });
  std::vector<StrategyMeans> result;
  for (std::size_t which = 0; which < contenders; ++which) {
    StrategyMeans means{.strategy = plan.contenders[which].name()};
    std::map<std::string, std::vector<double>> by_family;
    std::vector<double> behind;
    double change_worst = 0;
    std::size_t worse = 0;
    for (std::size_t first = 0; first + contenders <= runs.size(); first += contenders) {
      const ComparedRun& run = runs[first + which];
      const RunFigures& f = run.figures;
      ++means.runs;
      const double score = f.served_over_oracle_ratio.value_or(0);
      by_family[f.scenario].push_back(score);
      means.served_over_oracle_ratio += score;
      means.success_ratio += f.success_ratio;
      means.stress_success_ratio += f.stress_success_ratio;
      means.work_served_over_oracle_ratio += f.work_served_over_oracle_ratio.value_or(0);
      means.forwarded_ratio += f.forwarded_ratio;
      means.tries_ratio += f.tries_ratio;
      means.wasted_tries_ratio += f.wasted_tries_ratio;
      means.latency_ms_p50 += to_millis(f.latency_p50);
      means.latency_ms_p99 += to_millis(f.latency_p99);
      means.latency_ms_p999 += to_millis(f.latency_p999);
      means.messages_per_node_per_second += f.messages_per_node_per_second;
      means.fairness_ratio += f.fairness_ratio;
      means.worst_node_success_ratio += f.worst_node_success_ratio;
      means.power_watts += f.power_watts;
      if (omni && f.served_over_oracle_ratio) {
        behind.push_back(score -
                         runs[first + *omni].figures.served_over_oracle_ratio.value_or(score));
      }
      if (!alone) continue;
      const std::vector<double>& before = runs[first + *alone].node_success;
      for (std::size_t node = 0; node < run.node_success.size(); ++node) {
        const double change = run.node_success[node] - before[node];
        if (std::isnan(change)) continue;
        ++means.nodes;
        change_worst = std::min(change_worst, change);
        worse += change < -worse_off ? 1 : 0;
      }
    }
    const double count = std::max<double>(1, static_cast<double>(means.runs));
    for (double StrategyMeans::* field :
         {&StrategyMeans::served_over_oracle_ratio, &StrategyMeans::success_ratio,
          &StrategyMeans::stress_success_ratio, &StrategyMeans::work_served_over_oracle_ratio,
          &StrategyMeans::forwarded_ratio, &StrategyMeans::tries_ratio,
          &StrategyMeans::wasted_tries_ratio, &StrategyMeans::latency_ms_p50,
          &StrategyMeans::latency_ms_p99, &StrategyMeans::latency_ms_p999,
          &StrategyMeans::messages_per_node_per_second, &StrategyMeans::fairness_ratio,
          &StrategyMeans::worst_node_success_ratio, &StrategyMeans::power_watts}) {
      means.*field /= count;
    }
    means.worst_family_ratio = std::numeric_limits<double>::infinity();
    for (const auto& [family, scores] : by_family) {
      if (mean_of(scores) >= means.worst_family_ratio) continue;
      means.worst_family_ratio = mean_of(scores);
      means.worst_family = family;
    }
    if (behind.size() >= 2) {
      const double mean = mean_of(behind);
      double squares = 0;
      for (const double value : behind) squares += (value - mean) * (value - mean);
      const auto pairs = static_cast<double>(behind.size());
      means.behind_omni = mean;
      means.behind_omni_error =
          student_95(behind.size() - 1) * std::sqrt(squares / (pairs - 1) / pairs);
    }
    if (alone) {
      means.own_users_change_worst = change_worst;
      means.nodes_worse_off = worse;
    }
    result.push_back(std::move(means));
  }
  return result;
}

nlohmann::ordered_json json_of(const StrategyMeans& m) {
  nlohmann::ordered_json json{
      {"strategy", m.strategy},
      {"runs", m.runs},
      {"served_over_oracle_ratio", m.served_over_oracle_ratio},
      {"worst_family", m.worst_family},
      {"worst_family_ratio", m.worst_family_ratio},
      {"success_ratio", m.success_ratio},
      {"stress_success_ratio", m.stress_success_ratio},
      {"work_served_over_oracle_ratio", m.work_served_over_oracle_ratio},
      {"forwarded_ratio", m.forwarded_ratio},
      {"tries_ratio", m.tries_ratio},
      {"wasted_tries_ratio", m.wasted_tries_ratio},
      {"latency_ms",
       {{"p50", m.latency_ms_p50}, {"p99", m.latency_ms_p99}, {"p999", m.latency_ms_p999}}},
      {"messages_per_node_per_second", m.messages_per_node_per_second},
      {"fairness_ratio", m.fairness_ratio},
      {"worst_node_success_ratio", m.worst_node_success_ratio},
      {"power_watts", m.power_watts}};
  if (m.behind_omni) {
    json["behind_omni"] = *m.behind_omni;
    json["behind_omni_error_95"] = *m.behind_omni_error;
  }
  if (m.own_users_change_worst) {
    json["own_users_change_worst"] = *m.own_users_change_worst;
    json["nodes_worse_off"] = *m.nodes_worse_off;
    json["nodes"] = m.nodes;
  }
  return json;
}

}  // namespace dfaas
