// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/sim_report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/report/numbers.hpp"
#include "core/report/report.hpp"

namespace dfaas {
namespace {

Mark mark_of(double success) {
  if (success >= 0.99) return Mark::good;
  return success >= 0.9 ? Mark::warning : Mark::bad;
}

TableCell number(double value) { return {.value = value}; }
TableCell share(double value) { return {.value = value, .format = NumberFormat::share}; }
TableCell share(const std::optional<double>& value) { return share(value.value_or(no_value)); }

Figure over_time(std::string title, std::string note, FigureKind kind, std::string y_label,
                 std::string y_unit) {
  return {.title = std::move(title),
          .note = std::move(note),
          .kind = kind,
          .x_axis = {.label = "time", .unit = "s"},
          .y_axis = {.label = std::move(y_label), .unit = std::move(y_unit)}};
}

Figure calls_figure(const RunTally& tally) {
  Chart chart;
  Series here{.name = "served here"};
  Series peers{.name = "served by neighbours"};
  Series refused{.name = "refused, late or lost", .colour = SeriesColour::bad};
  for (std::size_t second = 0; second < tally.seconds().size(); ++second) {
    const CallCounts& counts = tally.seconds()[second];
    chart.x.push_back(static_cast<double>(second));
    here.values.push_back(static_cast<double>(counts.served_here));
    peers.values.push_back(static_cast<double>(counts.served_by_peers));
    refused.values.push_back(static_cast<double>(counts.offered - counts.served()));
  }
  chart.series = {here, peers, refused};
  Figure figure = over_time("What became of the calls", "By second of arrival.",
                            FigureKind::stacked_areas, "calls", "1/s");
  figure.charts.push_back(std::move(chart));
  return figure;
}

Figure weights_figure(const RunTally& tally) {
  const Scenario& scenario = tally.scenario();
  Chart chart;
  for (const NodeIndex neighbour : tally.watched_neighbours()) {
    chart.series.push_back({.name = scenario.nodes[neighbour].name.text()});
  }
  for (const WeightSample& sample : tally.weights()) {
    chart.x.push_back(to_seconds(sample.at));
    for (std::size_t at = 0; at < sample.shares.size(); ++at) {
      chart.series[at].values.push_back(sample.shares[at]);
    }
  }
  Figure figure = over_time(
      fmt::format("Where {} would send", scenario.nodes[tally.watched()].name.text()),
      "The node asked for most: the weight of each neighbour in its plans, as a part of all.",
      FigureKind::stacked_areas, "weight", "");
  figure.charts.push_back(std::move(chart));
  return figure;
}

double slots_of(const ScenarioNode& node) {
  double slots = 0;
  for (const ScenarioPool& pool : node.pools) slots += pool.slots;
  return slots;
}

std::uint64_t forwarded(const RunTally& tally, NodeIndex from, NodeIndex to) {
  const std::vector<ForwardCount>& counts = tally.forwards()[from];
  const auto place = std::ranges::lower_bound(counts, to, {}, &ForwardCount::to);
  return place != counts.end() && place->to == to ? place->calls : 0;
}

/// What somebody sees who points at a node.
std::string note_of(const RunTally& tally, NodeIndex at) {
  const CallCounts& counts = tally.nodes()[at];
  std::uint64_t guests = 0;
  for (NodeIndex other = 0; other < tally.nodes().size(); ++other) {
    guests += forwarded(tally, other, at);
  }
  std::string note = fmt::format("{} slots, ", slots_of(tally.scenario().nodes[at]));
  if (counts.offered == 0) {
    note += "no calls of its own users";
  } else {
    note += fmt::format("{} of {} calls of its users answered in time, {} of them by neighbours",
                        format_share(counts.success_ratio()),
                        format_number(static_cast<double>(counts.offered)),
                        format_number(static_cast<double>(counts.served_by_peers)));
  }
  return note +
         fmt::format("; served {} for neighbours", format_number(static_cast<double>(guests)));
}

Graph topology_graph(const RunTally& tally) {
  const Scenario& scenario = tally.scenario();
  Graph graph{.title = "Who helped whom",
              .note =
                  "Each circle is a node; what is cut out of it are calls of its users that were "
                  "not answered in time. Point at one for its numbers.",
              .size_label = "slots",
              .link_label = "calls",
              .good_label = "99 % or more of its users' calls answered in time",
              .warning_label = "90 % or more",
              .bad_label = "less"};
  for (NodeIndex at = 0; at < scenario.nodes.size(); ++at) {
    const CallCounts& counts = tally.nodes()[at];
    graph.nodes.push_back({.name = scenario.nodes[at].name.text(),
                           .size = slots_of(scenario.nodes[at]),
                           .share = counts.offered > 0 ? counts.success_ratio() : no_value,
                           .mark = mark_of(counts.success_ratio()),
                           .note = note_of(tally, at)});
  }
  for (const ScenarioLink& link : scenario.links) {
    graph.links.push_back({.a = link.a,
                           .b = link.b,
                           .from_a = static_cast<double>(forwarded(tally, link.a, link.b)),
                           .from_b = static_cast<double>(forwarded(tally, link.b, link.a))});
  }
  return graph;
}

Table nodes_table(const RunTally& tally) {
  Table table{.title = "Nodes",
              .columns = {{.heading = "node", .alignment = Alignment::left},
                          {.heading = "links"},
                          {.heading = "slots"},
                          {.heading = "calls"},
                          {.heading = "success"},
                          {.heading = "by neighbours"}}};
  const Scenario& scenario = tally.scenario();
  std::vector<double> links(scenario.nodes.size());
  for (const ScenarioLink& link : scenario.links) {
    ++links[link.a];
    ++links[link.b];
  }
  for (std::size_t at = 0; at < scenario.nodes.size(); ++at) {
    const CallCounts& counts = tally.nodes()[at];
    const auto offered = static_cast<double>(counts.offered);
    table.rows.push_back(
        {.cells = {{.value = scenario.nodes[at].name.text()},
                   number(links[at]),
                   number(slots_of(scenario.nodes[at])),
                   number(offered),
                   share(offered > 0 ? counts.success_ratio() : no_value),
                   share(offered > 0 ? static_cast<double>(counts.served_by_peers) / offered
                                     : no_value)}});
  }
  return table;
}

std::vector<double> smoothed(const std::vector<double>& values) {
  // Ten seconds: single ones of a few calls jump too much to compare lines.
  constexpr std::size_t width = 10;
  std::vector<double> result;
  for (std::size_t at = 0; at < values.size(); ++at) {
    const std::size_t from = at + 1 < width ? 0 : at + 1 - width;
    double sum = 0;
    for (std::size_t other = from; other <= at; ++other) sum += values[other];
    result.push_back(sum / static_cast<double>(at + 1 - from));
  }
  return result;
}

}  // namespace

std::string sim_run_html(const RunTally& tally, const RunFigures& f, const std::string& command) {
  Report report{
      .title = fmt::format("{} by {}", f.scenario, f.strategy),
      .lead = fmt::format("{} of {} calls were answered in time.", format_share(f.success_ratio),
                          f.counts.offered),
      .lead_mark = mark_of(f.success_ratio),
      .key_figures = {{.value = f.served_over_oracle_ratio
                                    ? format_share(*f.served_over_oracle_ratio)
                                    : std::string("-"),
                       .label = "of what was possible",
                       .note = "served over the oracle's best"},
                      {.value = format_share(f.forwarded_ratio), .label = "served by neighbours"},
                      {.value = fmt::format("{:.0f} ms", to_millis(f.latency_p99)),
                       .label = "latency p99",
                       .note = fmt::format("p50 {:.0f} ms", to_millis(f.latency_p50))},
                      {.value = format_share(f.worst_node_success_ratio),
                       .label = "success of the worst node",
                       .note = f.worst_node}},
      .generated_by = {.version = DFAAS_VERSION, .command = command, .seed = f.seed}};
  Section section{.heading = "Over time", .paragraph = tally.scenario().summary};
  section.items.emplace_back(calls_figure(tally));
  if (!tally.weights().empty() && !tally.watched_neighbours().empty()) {
    section.items.emplace_back(weights_figure(tally));
  }
  report.sections.push_back(std::move(section));
  Section nodes{.heading = "Nodes"};
  if (tally.scenario().nodes.size() > 1) nodes.items.emplace_back(topology_graph(tally));
  nodes.items.emplace_back(nodes_table(tally));
  report.sections.push_back(std::move(nodes));
  return to_html(report);
}

std::string sim_compare_html(const ComparisonPlan& plan, const std::vector<ComparedRun>& runs,
                             const std::vector<StrategyMeans>& means, const std::string& command) {
  const auto best = std::ranges::max_element(means, {}, &StrategyMeans::served_over_oracle_ratio);
  Report report{.title = "Strategies compared",
                .lead = fmt::format("{} comes closest to what was possible: {}.", best->strategy,
                                    format_share(best->served_over_oracle_ratio)),
                .generated_by = {.version = DFAAS_VERSION, .command = command}};
  Section summary{.heading = "All scenarios"};
  Table table{.title = "Means",
              .columns = {{.heading = "strategy", .alignment = Alignment::left},
                          {.heading = "served / oracle"},
                          {.heading = "worst scenario"},
                          {.heading = "success"},
                          {.heading = "by neighbours"},
                          {.heading = "wasted tries"},
                          {.heading = "p50", .unit = "ms"},
                          {.heading = "p99", .unit = "ms"},
                          {.heading = "messages", .unit = "1/s"}}};
  for (const StrategyMeans& m : means) {
    table.rows.push_back({.cells = {{.value = m.strategy},
                                    share(m.served_over_oracle_ratio),
                                    share(m.worst_family_ratio),
                                    share(m.success_ratio),
                                    share(m.forwarded_ratio),
                                    share(m.wasted_tries_ratio),
                                    number(m.latency_ms_p50),
                                    number(m.latency_ms_p99),
                                    number(m.messages_per_node_per_second)},
                          .highlighted = &m == &*best});
  }
  summary.items.emplace_back(std::move(table));
  report.sections.push_back(std::move(summary));
  const std::size_t contenders = plan.contenders.size();
  const std::size_t per_scenario = plan.seeds.size() * contenders;
  for (std::size_t scenario = 0; scenario < plan.scenarios.size(); ++scenario) {
    const std::size_t first = scenario * per_scenario;
    Section section{
        .heading = plan.scenarios[scenario].name,
        .paragraph = fmt::format("Seed {}; the mean of ten seconds.", plan.seeds.front())};
    Figure figure = over_time("Success over time", "", FigureKind::lines, "success", "");
    Chart chart;
    Table scores{.title = "Results",
                 .columns = {{.heading = "strategy", .alignment = Alignment::left},
                             {.heading = "served / oracle"},
                             {.heading = "success"},
                             {.heading = "in the stress"},
                             {.heading = "by neighbours"},
                             {.heading = "worst node"}}};
    for (std::size_t which = 0; which < contenders; ++which) {
      const ComparedRun& run = runs[first + which];
      const RunFigures& f = run.figures;
      chart.series.push_back(
          {.name = plan.contenders[which].name(), .values = smoothed(run.second_success)});
      scores.rows.push_back({.cells = {{.value = plan.contenders[which].name()},
                                       share(f.served_over_oracle_ratio),
                                       share(f.success_ratio),
                                       share(f.stress_success_ratio),
                                       share(f.forwarded_ratio),
                                       share(f.worst_node_success_ratio)}});
    }
    for (std::size_t second = 0; second < runs[first].second_success.size(); ++second) {
      chart.x.push_back(static_cast<double>(second));
    }
    figure.charts.push_back(std::move(chart));
    section.items.emplace_back(std::move(figure));
    section.items.emplace_back(std::move(scores));
    report.sections.push_back(std::move(section));
  }
  return to_html(report);
}

}  // namespace dfaas
