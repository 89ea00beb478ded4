// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/demo_report.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/report/numbers.hpp"

namespace dfaas {
namespace {

constexpr double success_ratio_min = 0.999;
constexpr double refused_ratio_tolerance = 0.05;

double refused_ratio(const LoadCounts& counts) {
  return counts.offered == 0
             ? 0
             : static_cast<double>(counts.refused) / static_cast<double>(counts.offered);
}

std::uint64_t served_by(const LoadCounts& counts, const DemoLoad& load, std::size_t node) {
  if (node == 0) return counts.served_local;
  const auto found = counts.served_by_peer.find(load.nodes.at(node));
  return found == counts.served_by_peer.end() ? 0 : found->second;
}

/// Requests that the first node could not have served itself, however it tried.
double overflow(const DemoLoad& load, const DemoRun& run) {
  const double could = load.local_capacity().per_second * to_seconds(run.report.elapsed);
  return std::max(0.0, static_cast<double>(run.report.total.counts.offered) - could);
}

std::vector<DemoCheck> checks_of_all_local(const DemoLoad& load, const DemoRun& run) {
  const double expected = std::max(0.0, 1 - load.local_capacity() / load.rate);
  const double seen = refused_ratio(run.report.total.counts);
  return {{fmt::format("{} refuses what {} alone cannot hold: {:.1f} % expected, {:.1f} % seen",
                       run.strategy, load.nodes.front(), 100 * expected, 100 * seen),
           std::abs(seen - expected) <= refused_ratio_tolerance},
          {fmt::format("{} sends nothing to a neighbour", run.strategy),
           run.report.total.counts.served_by_peers() == 0}};
}

std::vector<DemoCheck> checks_of_spilling(const DemoLoad& load, const DemoRun& run) {
  const LoadCounts& counts = run.report.total.counts;
  return {
      {fmt::format("{} serves at least {:.1f} %: {:.2f} % seen", run.strategy,
                   100 * success_ratio_min, 100 * counts.success_ratio()),
       counts.success_ratio() >= success_ratio_min},
      {fmt::format("no request was lost on the way: {} transport errors", counts.transport_errors),
       counts.transport_errors == 0},
      {fmt::format("the neighbours served the overflow: at least {:.0f} expected, {} seen",
                   std::ceil(overflow(load, run)), counts.served_by_peers()),
       static_cast<double>(counts.served_by_peers()) >= overflow(load, run)}};
}

std::string ms(Micros time) { return fmt::format("{:.0f}", to_millis(time)); }

/// The rows that table, page and terminal share: what it is, its unit, and how to get it.
struct Measure {
  std::string name;
  std::string unit;
  std::vector<double> values;  ///< By run.
  NumberFormat format = NumberFormat::plain;
};

std::vector<Measure> measures(const DemoLoad& load, const std::vector<DemoRun>& runs) {
  std::vector<Measure> rows;
  const auto add = [&rows, &runs](std::string name, std::string unit, NumberFormat format,
                                  auto value_of) {
    Measure row{.name = std::move(name), .unit = std::move(unit), .values = {}, .format = format};
    for (const DemoRun& run : runs) row.values.push_back(value_of(run.report.total));
    rows.push_back(std::move(row));
  };
  const auto plain = NumberFormat::plain;
  add("offered", "requests", plain,
      [](const LoadSummary& total) { return static_cast<double>(total.counts.offered); });
  for (std::size_t node = 0; node < load.nodes.size(); ++node) {
    const char* where = node == 0 ? " (local)" : "";
    add("served by " + load.nodes[node] + where, "requests", plain,
        [&load, node](const LoadSummary& total) {
          return static_cast<double>(served_by(total.counts, load, node));
        });
  }
  add("refused", "requests", plain,
      [](const LoadSummary& total) { return static_cast<double>(total.counts.refused); });
  add("failed or lost", "requests", plain, [](const LoadSummary& total) {
    return static_cast<double>(total.counts.failed + total.counts.transport_errors);
  });
  add("success", "", NumberFormat::share,
      [](const LoadSummary& total) { return total.counts.success_ratio(); });
  add("latency p50", "ms", plain,
      [](const LoadSummary& total) { return to_millis(total.latency.p50); });
  add("latency p95", "ms", plain,
      [](const LoadSummary& total) { return to_millis(total.latency.p95); });
  add("latency p99", "ms", plain,
      [](const LoadSummary& total) { return to_millis(total.latency.p99); });
  return rows;
}

std::vector<double> by_second(const DemoRun& run, auto value_of) {
  std::vector<double> values;
  values.reserve(run.seconds.size());
  for (const LoadSecond& second : run.seconds) values.push_back(value_of(second));
  return values;
}

double millis_or_gap(Micros time) { return time.count() > 0 ? to_millis(time) : no_value; }

Chart chart_of(const DemoRun& run) {
  return {.title = run.strategy, .x = by_second(run, [](const LoadSecond& second) {
                                   return static_cast<double>(second.second);
                                 })};
}

Figure served_figure(const DemoLoad& load, const std::vector<DemoRun>& runs) {
  Figure figure{
      .title = "Served per second, by the node that served",
      .note = "The dashed line is what was offered, all of it to " + load.nodes.front() + ".",
      .kind = FigureKind::stacked_bars,
      .x_axis = {.label = "time", .unit = "s"},
      .y_axis = {.label = "requests", .unit = "1/s"}};
  for (const DemoRun& run : runs) {
    Chart chart = chart_of(run);
    for (std::size_t node = 0; node < load.nodes.size(); ++node) {
      chart.series.push_back({.name = load.nodes[node],
                              .values = by_second(run, [&](const LoadSecond& second) {
                                return static_cast<double>(served_by(second.counts, load, node));
                              })});
    }
    chart.references.push_back(
        {.name = "offered", .values = by_second(run, [](const LoadSecond& second) {
                              return static_cast<double>(second.counts.offered);
                            })});
    figure.charts.push_back(std::move(chart));
  }
  return figure;
}

Figure refused_figure(const std::vector<DemoRun>& runs) {
  Figure figure{.title = "Refused per second",
                .note = "Answers 503 with Retry-After: no slot was free anywhere that was asked.",
                .kind = FigureKind::stacked_bars,
                .x_axis = {.label = "time", .unit = "s"},
                .y_axis = {.label = "requests", .unit = "1/s"}};
  for (const DemoRun& run : runs) {
    Chart chart = chart_of(run);
    chart.series.push_back({.name = "refused",
                            .values = by_second(run,
                                                [](const LoadSecond& second) {
                                                  return static_cast<double>(second.counts.refused);
                                                }),
                            .colour = SeriesColour::bad});
    figure.charts.push_back(std::move(chart));
  }
  return figure;
}

Figure latency_figure(const DemoLoad& load, const std::vector<DemoRun>& runs) {
  Figure figure{.title = "Latency of served requests",
                .note = fmt::format("From the intended send time to the last byte; one run of the "
                                    "function takes {:.0f} ms.",
                                    to_millis(load.run_time)),
                .kind = FigureKind::lines,
                .x_axis = {.label = "time", .unit = "s"},
                .y_axis = {.label = "latency", .unit = "ms"}};
  const auto add = [](Chart& chart, const DemoRun& run, const char* name,
                      Micros LatencyMarks::* mark) {
    chart.series.push_back(
        {.name = name,
         .values = by_second(
             run, [mark](const LoadSecond& second) { return millis_or_gap(second.latency.*mark); }),
         .colour = SeriesColour::ordered});
  };
  for (const DemoRun& run : runs) {
    Chart chart = chart_of(run);
    add(chart, run, "p50", &LatencyMarks::p50);
    add(chart, run, "p95", &LatencyMarks::p95);
    add(chart, run, "p99", &LatencyMarks::p99);
    figure.charts.push_back(std::move(chart));
  }
  return figure;
}

Table measures_table(const DemoLoad& load, const std::vector<DemoRun>& runs) {
  Table table{.title = "The whole run",
              .columns = {{.heading = "", .unit = "", .alignment = Alignment::left}}};
  for (const DemoRun& run : runs) table.columns.push_back({.heading = run.strategy, .unit = ""});
  for (const Measure& measure : measures(load, runs)) {
    TableRow row;
    const std::string unit = measure.unit.empty() ? "" : " (" + measure.unit + ")";
    row.cells.push_back({.value = measure.name + unit});
    for (const double value : measure.values) {
      TableCell& cell = row.cells.emplace_back();
      cell.value = value;
      cell.format = measure.format;
    }
    row.highlighted = measure.name == "success";
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table checks_table(const std::vector<DemoCheck>& checks) {
  Table table{.title = "What the figures must show",
              .columns = {{.heading = "check", .unit = "", .alignment = Alignment::left},
                          {.heading = "verdict", .unit = "", .alignment = Alignment::left}}};
  for (const DemoCheck& check : checks) {
    TableRow row;
    row.cells.push_back({.value = check.sentence});
    row.cells.push_back({.value = check.holds ? std::string("holds") : std::string("does not hold"),
                         .mark = check.holds ? Mark::good : Mark::bad});
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

Rate DemoLoad::local_capacity() const { return {slots.front() / to_seconds(run_time)}; }

Rate DemoLoad::federation_capacity() const {
  return {std::accumulate(slots.begin(), slots.end(), 0) / to_seconds(run_time)};
}

std::vector<DemoCheck> demo_checks(const DemoLoad& load, const std::vector<DemoRun>& runs) {
  std::vector<DemoCheck> checks;
  for (std::size_t at = 0; at < runs.size(); ++at) {
    const DemoRun& run = runs[at];
    for (DemoCheck& check :
         at == 0 ? checks_of_all_local(load, run) : checks_of_spilling(load, run)) {
      checks.push_back(std::move(check));
    }
    checks.push_back({fmt::format("the load generator kept its rate under {}: {} ms late at p99",
                                  run.strategy, ms(run.report.total.generator_late_p99)),
                      run.report.kept_rate()});
  }
  return checks;
}

std::string demo_table(const DemoLoad& load, const std::vector<DemoRun>& runs) {
  std::string text = fmt::format("{:28}", "");
  const auto out = std::back_inserter(text);
  for (const DemoRun& run : runs) fmt::format_to(out, "{:>18}", run.strategy);
  text += '\n';
  for (const Measure& measure : measures(load, runs)) {
    const bool is_share = measure.format == NumberFormat::share;
    const std::string unit = is_share ? "%" : measure.unit == "ms" ? "ms" : "";
    fmt::format_to(out, "  {:26}", measure.name);
    for (const double value : measure.values) {
      fmt::format_to(out, "{:>15.{}f} {:2}", is_share ? 100 * value : value, is_share ? 2 : 0,
                     unit);
    }
    text += '\n';
  }
  return text;
}

std::string demo_json(const DemoLoad& load, const std::vector<DemoRun>& runs,
                      const std::vector<DemoCheck>& checks) {
  nlohmann::ordered_json strategies = nlohmann::ordered_json::object();
  for (const DemoRun& run : runs) {
    nlohmann::ordered_json summary = json_of(run.report.total);
    nlohmann::ordered_json seconds = nlohmann::ordered_json::array();
    for (const LoadSecond& second : run.seconds) seconds.push_back(json_of(second));
    summary["seconds"] = std::move(seconds);
    strategies[run.strategy] = std::move(summary);
  }
  nlohmann::ordered_json verdicts = nlohmann::ordered_json::array();
  for (const DemoCheck& check : checks) {
    verdicts.push_back({{"check", check.sentence}, {"holds", check.holds}});
  }
  const nlohmann::ordered_json page{{"strategies", strategies},
                                    {"checks", verdicts},
                                    {"load",
                                     {{"target", load.nodes.front()},
                                      {"rate", load.rate.per_second},
                                      {"arrivals", load.arrivals},
                                      {"duration_ms", to_millis(load.duration)},
                                      {"run_ms", to_millis(load.run_time)},
                                      {"slots", load.slots}}},
                                    {"seed", load.seed},
                                    {"version", DFAAS_VERSION},
                                    {"command", load.command}};
  return page.dump(2) + "\n";
}

Report demo_report(const DemoLoad& load, const std::vector<DemoRun>& runs,
                   const std::vector<DemoCheck>& checks, std::string date) {
  const bool all_hold = std::ranges::all_of(checks, &DemoCheck::holds);
  Report report{.title = "Three nodes, one overloaded", .lead = {}};
  for (const DemoRun& run : runs) {
    const double success = run.report.total.counts.success_ratio();
    const bool is_baseline = &run == &runs.front();
    const Mark verdict = success >= success_ratio_min ? Mark::good : Mark::bad;
    report.key_figures.push_back(
        {.value = format_share(success),
         .label = run.strategy,
         .note = is_baseline ? "of the requests served: the baseline" : "of the requests served",
         .mark = is_baseline ? Mark::none : verdict});
  }
  const auto share = [](const DemoRun& run) {
    return fmt::format("{} served {} of {} requests", run.strategy,
                       format_share(run.report.total.counts.success_ratio()),
                       format_number(static_cast<double>(run.report.total.counts.offered)));
  };
  report.lead = share(runs.back()) + "; " + share(runs.front());
  report.lead += all_hold ? "." : "; not every check below holds.";
  report.lead_mark = all_hold ? Mark::good : Mark::bad;

  std::string nodes;
  for (std::size_t node = 0; node < load.nodes.size(); ++node) {
    nodes +=
        fmt::format("{}{} ({} slots)", node == 0 ? "" : ", ", load.nodes[node], load.slots[node]);
  }
  report.sections.push_back(
      {.heading = "The same load, two strategies",
       .paragraph = fmt::format(
           "Nodes {}: together {} requests/s of a function that takes {} ms. {} requests/s ({} "
           "arrivals) go to {}, which alone holds {}.",
           nodes, format_number(load.federation_capacity().per_second),
           format_number(to_millis(load.run_time)), format_number(load.rate.per_second),
           load.arrivals, load.nodes.front(), format_number(load.local_capacity().per_second)),
       .items = {served_figure(load, runs), refused_figure(runs), latency_figure(load, runs)}});
  report.sections.push_back({.heading = "Figures",
                             .paragraph = "",
                             .items = {measures_table(load, runs), checks_table(checks)}});
  report.generated_by = {.version = DFAAS_VERSION,
                         .command = load.command,
                         .seed = load.seed,
                         .date = std::move(date)};
  return report;
}

}  // namespace dfaas
