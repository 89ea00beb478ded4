// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/report/figures.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dfaas {
namespace {

constexpr double recovered_ratio = 0.99;
constexpr std::size_t recovered_seconds = 10;

double mean_of(const std::vector<double>& values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double variance_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// Linear between the two nearest ranks, as NumPy does by default.
double percentile_of(std::vector<double> values, double ratio) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const double place = ratio * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
}

/// Mean power of each node: what it takes idle, and the rest in proportion to its busy slots.
std::vector<double> node_powers(const RunTally& tally, const RunTotals& totals) {
  const Scenario& scenario = tally.scenario();
  const double seconds = to_seconds(std::max(totals.ended, scenario.duration));
  std::vector<double> powers;
  for (std::size_t at = 0; at < scenario.nodes.size(); ++at) {
    const ScenarioNode& node = scenario.nodes[at];
    double slots = 0;
    for (const ScenarioPool& pool : node.pools) slots += pool.slots;
    const double busy = slots > 0 ? totals.nodes[at].busy_seconds / (slots * seconds) : 0;
    powers.push_back(node.power_idle_watts +
                     (node.power_max_watts - node.power_idle_watts) * std::min(1.0, busy));
  }
  return powers;
}

/// The success in percent and the rejected calls of each function and window.
struct Cells {
  std::vector<double> success;
  std::vector<double> rejected;
};

Cells cells_of(const RunTally& tally, Micros from, Micros until) {
  const Scenario& scenario = tally.scenario();
  Cells cells;
  for (std::size_t window = 0; window < tally.windows().size(); ++window) {
    const Micros start = scenario.warm_up + static_cast<Micros::rep>(window) * scenario.window;
    if (start < from || start >= until) continue;
    for (const CallCounts& counts : tally.windows()[window]) {
      cells.success.push_back(100 * counts.success_ratio());
      cells.rejected.push_back(static_cast<double>(counts.offered - counts.served()));
    }
  }
  return cells;
}

OriginalIndexes original_indexes(const RunTally& tally, const RunTotals& totals) {
  const Scenario& scenario = tally.scenario();
  const Cells all = cells_of(tally, Micros{0}, Micros::max());
  const Cells stress = cells_of(tally, scenario.stress_from.value_or(Micros{0}),
                                scenario.stress_until.value_or(Micros::max()));
  const std::vector<double> powers = node_powers(tally, totals);
  return {.mean_success_percent = mean_of(all.success),
          .success_variance = variance_of(all.success),
          .median_success_percent = percentile_of(all.success, 0.5),
          .percentile_90_success_percent = percentile_of(all.success, 0.9),
          .stress_mean_success_percent = mean_of(stress.success),
          .stress_success_variance = variance_of(stress.success),
          .stress_median_success_percent = percentile_of(stress.success, 0.5),
          .stress_percentile_90_success_percent = percentile_of(stress.success, 0.9),
          .total_rejected = std::accumulate(all.rejected.begin(), all.rejected.end(), 0.0),
          .rejected_variance = variance_of(all.rejected),
          .median_rejected = percentile_of(all.rejected, 0.5),
          .percentile_90_rejected = percentile_of(all.rejected, 0.9),
          .mean_node_power_watts = mean_of(powers),
          .max_node_power_watts = powers.empty() ? 0 : *std::ranges::max_element(powers)};
}

/// Seconds from the end of the stress until users are served again.
std::optional<double> recovery_of(const RunTally& tally) {
  const auto& until = tally.scenario().stress_until;
  if (!until) return std::nullopt;
  const auto first = static_cast<std::size_t>(to_seconds(*until));
  std::size_t good = 0;
  for (std::size_t second = first; second < tally.seconds().size(); ++second) {
    good = tally.seconds()[second].success_ratio() >= recovered_ratio ? good + 1 : 0;
    if (good == recovered_seconds) return static_cast<double>(second + 1 - good - first);
  }
  return std::nullopt;
}

void add_node_figures(RunFigures& figures, const RunTally& tally) {
  double sum = 0;
  double squares = 0;
  double nodes = 0;
  figures.worst_node_success_ratio = 1;
  for (std::size_t at = 0; at < tally.nodes().size(); ++at) {
    const CallCounts& counts = tally.nodes()[at];
    if (counts.offered == 0) continue;
    const double success = counts.success_ratio();
    sum += success;
    squares += success * success;
    ++nodes;
    if (success < figures.worst_node_success_ratio) {
      figures.worst_node_success_ratio = success;
      figures.worst_node = tally.scenario().nodes[at].name.text();
    }
  }
  figures.fairness_ratio = squares > 0 ? sum * sum / (nodes * squares) : 1;
}

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

nlohmann::ordered_json json_of(const OriginalIndexes& indexes) {
  return {{"mean_success_percent", indexes.mean_success_percent},
          {"success_variance", indexes.success_variance},
          {"median_success_percent", indexes.median_success_percent},
          {"percentile_90_success_percent", indexes.percentile_90_success_percent},
          {"stress_mean_success_percent", indexes.stress_mean_success_percent},
          {"stress_success_variance", indexes.stress_success_variance},
          {"stress_median_success_percent", indexes.stress_median_success_percent},
          {"stress_percentile_90_success_percent", indexes.stress_percentile_90_success_percent},
          {"total_rejected", indexes.total_rejected},
          {"rejected_variance", indexes.rejected_variance},
          {"median_rejected", indexes.median_rejected},
          {"percentile_90_rejected", indexes.percentile_90_rejected},
          {"mean_node_power_watts", indexes.mean_node_power_watts},
          {"max_node_power_watts", indexes.max_node_power_watts}};
}

nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

std::string ratio_text(double value) { return fmt::format("{:.4f}", value); }

std::string ratio_text(const std::optional<double>& value) {
  return value ? ratio_text(*value) : std::string();
}

std::string millis_text(Micros value) { return fmt::format("{:.1f}", to_millis(value)); }

}  // namespace

RunFigures figures_of(const RunTally& tally, const RunTotals& totals, const RunOptions& options) {
  const Scenario& scenario = tally.scenario();
  const CallCounts& counts = tally.total();
  const auto offered = static_cast<double>(counts.offered);
  const auto nodes = static_cast<double>(scenario.nodes.size());
  const double seconds = to_seconds(scenario.duration);
  RunFigures figures{.scenario = scenario.name,
                     .strategy = std::string(options.name()),
                     .as_published = options.as_published,
                     .seed = options.seed,
                     .period = options.effective_period(),
                     .counts = counts,
                     .success_ratio = counts.success_ratio(),
                     .stress_success_ratio = tally.stress().success_ratio(),
                     .forwarded_ratio = ratio(static_cast<double>(counts.served_by_peers), offered),
                     .tries_ratio = ratio(static_cast<double>(tally.tries()), offered),
                     .work_success_ratio = ratio(counts.work_served, counts.work_offered),
                     .latency_p50 = tally.latency().percentile(50),
                     .latency_p95 = tally.latency().percentile(95),
                     .latency_p99 = tally.latency().percentile(99),
                     .latency_p999 = tally.latency().percentile(99.9),
                     .recovery_seconds = recovery_of(tally),
                     .original = original_indexes(tally, totals),
                     .events = totals.events,
                     .simulated_seconds = seconds};
  double forwards = 0;
  double wasted = 0;
  double messages = 0;
  for (const NodeTotals& node : totals.nodes) {
    forwards += static_cast<double>(node.forwards);
    wasted += static_cast<double>(node.forwards_refused + node.forwards_lost);
    messages += static_cast<double>(node.messages);
    figures.handling_ratio = std::max(figures.handling_ratio, node.handling_seconds / seconds);
  }
  figures.wasted_tries_ratio = ratio(wasted, forwards);
  figures.messages_per_node_per_second = messages / nodes / seconds;
  figures.plans_per_node_per_second = static_cast<double>(totals.plans) / nodes / seconds;
  figures.power_watts = figures.original.mean_node_power_watts;
  std::uint64_t served = 0;
  for (const CallCounts& second : tally.seconds()) served += second.served();
  figures.millijoules_per_served_call =
      ratio(1000 * figures.power_watts * nodes * seconds, static_cast<double>(served));
  add_node_figures(figures, tally);
  return figures;
}

const std::vector<FigureColumn>& figure_columns() {
  using Figures = const RunFigures&;
  static const std::vector<FigureColumn> columns{
      {"family", "", [](Figures f) { return f.scenario; }},
      {"strategy", "", [](Figures f) { return f.strategy + (f.as_published ? "*" : ""); }},
      {"seed", "", [](Figures f) { return std::to_string(f.seed); }},
      {"served_over_oracle_ratio", "",
       [](Figures f) { return ratio_text(f.served_over_oracle_ratio); }},
      {"success_ratio", "", [](Figures f) { return ratio_text(f.success_ratio); }},
      {"stress_success_ratio", "", [](Figures f) { return ratio_text(f.stress_success_ratio); }},
      {"refused", "calls", [](Figures f) { return std::to_string(f.counts.refused); }},
      {"late", "calls", [](Figures f) { return std::to_string(f.counts.late); }},
      {"lost", "calls", [](Figures f) { return std::to_string(f.counts.lost); }},
      {"forwarded_ratio", "", [](Figures f) { return ratio_text(f.forwarded_ratio); }},
      {"wasted_tries_ratio", "", [](Figures f) { return ratio_text(f.wasted_tries_ratio); }},
      {"latency_ms_p50", "ms", [](Figures f) { return millis_text(f.latency_p50); }},
      {"latency_ms_p95", "ms", [](Figures f) { return millis_text(f.latency_p95); }},
      {"latency_ms_p99", "ms", [](Figures f) { return millis_text(f.latency_p99); }},
      {"latency_ms_p999", "ms", [](Figures f) { return millis_text(f.latency_p999); }},
      {"messages_per_node_per_second", "1/s",
       [](Figures f) { return fmt::format("{:.2f}", f.messages_per_node_per_second); }},
      {"fairness_ratio", "", [](Figures f) { return ratio_text(f.fairness_ratio); }},
      {"worst_node_success_ratio", "",
       [](Figures f) { return ratio_text(f.worst_node_success_ratio); }},
      {"work_success_ratio", "", [](Figures f) { return ratio_text(f.work_success_ratio); }},
      {"power_watts", "W", [](Figures f) { return fmt::format("{:.3f}", f.power_watts); }},
      {"recovery_seconds", "s",
       [](Figures f) {
         return f.recovery_seconds ? fmt::format("{:.0f}", *f.recovery_seconds) : std::string();
       }},
  };
  return columns;
}

nlohmann::ordered_json json_of(const RunFigures& f) {
  return {{"family", f.scenario},
          {"strategy", f.strategy},
          {"as_published", f.as_published},
          {"seed", f.seed},
          {"period_ms", f.period.count()},
          {"served_over_oracle_ratio", or_null(f.served_over_oracle_ratio)},
          {"work_served_over_oracle_ratio", or_null(f.work_served_over_oracle_ratio)},
          {"oracle_served", or_null(f.oracle_served)},
          {"oracle_forwarded_ratio", or_null(f.oracle_forwarded_ratio)},
          {"offered", f.counts.offered},
          {"served", f.counts.served()},
          {"served_here", f.counts.served_here},
          {"served_by_peers", f.counts.served_by_peers},
          {"late", f.counts.late},
          {"refused", f.counts.refused},
          {"lost", f.counts.lost},
          {"success_ratio", f.success_ratio},
          {"stress_success_ratio", f.stress_success_ratio},
          {"work_success_ratio", f.work_success_ratio},
          {"forwarded_ratio", f.forwarded_ratio},
          {"tries_ratio", f.tries_ratio},
          {"wasted_tries_ratio", f.wasted_tries_ratio},
          {"latency_ms",
           {{"p50", to_millis(f.latency_p50)},
            {"p95", to_millis(f.latency_p95)},
            {"p99", to_millis(f.latency_p99)},
            {"p999", to_millis(f.latency_p999)}}},
          {"messages_per_node_per_second", f.messages_per_node_per_second},
          {"plans_per_node_per_second", f.plans_per_node_per_second},
          {"fairness_ratio", f.fairness_ratio},
          {"worst_node", f.worst_node},
          {"worst_node_success_ratio", f.worst_node_success_ratio},
          {"power_watts", f.power_watts},
          {"millijoules_per_served_call", f.millijoules_per_served_call},
          {"handling_ratio", f.handling_ratio},
          {"recovery_seconds", or_null(f.recovery_seconds)},
          {"original_indexes", json_of(f.original)},
          {"simulated_seconds", f.simulated_seconds},
          {"events", f.events}};
}

std::string csv_of(const std::vector<RunFigures>& rows) {
  std::string text;
  for (const FigureColumn& column : figure_columns()) {
    text += (text.empty() ? "" : ",") + std::string(column.name);
  }
  text += '\n';
  for (const RunFigures& row : rows) {
    std::string line;
    for (const FigureColumn& column : figure_columns()) {
      if (&column != &figure_columns().front()) line += ',';
      line += column.text(row);
    }
    text += line + '\n';
  }
  return text;
}

}  // namespace dfaas
