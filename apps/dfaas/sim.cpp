// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas sim: how a federation would behave, before anything is deployed.
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/progress.hpp"
#include "apps/dfaas/scenario_source.hpp"
#include "apps/dfaas/sim_import.hpp"
#include "apps/dfaas/sim_replay.hpp"
#include "apps/dfaas/sim_report.hpp"
#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/scenario/families.hpp"
#include "core/scenario/model_trace.hpp"
#include "core/scenario/scenario_file.hpp"
#include "core/scenario/trace.hpp"
#include "core/strategy/external_model.hpp"
#include "live/files/files.hpp"
#include "sim/compare/comparison.hpp"
#include "sim/oracle/input_json.hpp"
#include "sim/world/recorded_model.hpp"

namespace dfaas {
namespace {

constexpr mode_t readable_by_all = 0644;

struct SimOptions {
  std::vector<std::string> scenarios;
  std::vector<std::string> strategies;
  std::string seeds = "1";
  std::string period;
  std::string heartbeat;  ///< Empty: 500ms, or what was recorded.
  std::vector<std::string> trace_files;
  std::string model_trace_file;
  std::string log_file;
  std::string input_file;
  std::string json_file;
  std::string csv_file;
  std::string html_file;
  std::string output = "table";
  bool as_published = false;
  bool without_oracle = false;
  int jobs = 1;
  std::string command;  ///< As typed, for reports.
};

Result<Contender> contender_of(const std::string& name, bool as_published) {
  if (name == omni_name) return Contender{.strategy = {}, .is_omni = true};
  auto strategy = find_strategy(name);
  if (!strategy) {
    return fail(ErrorCode::invalid_input,
                strategy.error().message + "; so is omni, the reference that knows everything");
  }
  return Contender{.strategy = *strategy,
                   .as_published = as_published && strategy->plan_as_published != nullptr};
}

/// "1-3,7": 1, 2, 3, 7.
Result<std::vector<std::uint64_t>> parse_seeds(const std::string& text) {
  constexpr std::size_t seeds_max = 10'000;
  std::vector<std::uint64_t> seeds;
  const auto wrong = [&text] {
    return fail(ErrorCode::invalid_input,
                fmt::format("--seeds {} is not a list such as 1,2 or 1-5", in_quotes(text)));
  };
  for (const std::string_view part : split(text, ',')) {
    const auto dash = part.find('-');
    const auto first = parse_unsigned(part.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_unsigned(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last - *first >= seeds_max) return wrong();
    for (std::uint64_t seed = *first; seed <= *last; ++seed) seeds.push_back(seed);
  }
  if (seeds.empty() || seeds.size() > seeds_max) return wrong();
  return seeds;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const Family& family : families()) {
    if (family.in_comparison) names.emplace_back(family.name);
  }
  return names;
}

/// Every strategy that needs nothing from outside, and omni.
std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const Strategy& strategy : strategies()) {
    if (strategy.name != external_model_name) names.emplace_back(strategy.name);
  }
  names.emplace_back(omni_name);
  return names;
}

Result<ComparisonPlan> plan_of(const SimOptions& options) {
  ComparisonPlan plan{.with_oracle = !options.without_oracle, .jobs = options.jobs};
  for (const std::string& name : options.scenarios) {
    auto source = source_of(name);
    if (!source) return pass_on(std::move(source));
    plan.scenarios.push_back(std::move(*source));
  }
  for (const std::string& name : options.strategies) {
    auto contender = contender_of(name, options.as_published);
    if (!contender) return pass_on(std::move(contender));
    plan.contenders.push_back(*contender);
  }
  const bool has_published = std::ranges::any_of(plan.contenders, &Contender::as_published);
  if (options.as_published && !has_published) {
    return fail(ErrorCode::invalid_input,
                "--as-published: none of the strategies has a published form: recalc and "
                "node_margin have");
  }
  auto seeds = parse_seeds(options.seeds);
  if (!seeds) return pass_on(std::move(seeds));
  plan.seeds = std::move(*seeds);
  if (!options.period.empty()) {
    auto period = parse_duration(options.period);
    if (!period) return tl::unexpected(std::move(period).error().within("--period"));
    plan.period = std::chrono::duration_cast<Millis>(*period);
    if (*plan.period < Millis{100} || *plan.period > Millis{600'000}) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("--period {} is not 100ms to 10m", options.period));
    }
  }
  auto heartbeat = parse_duration(options.heartbeat.empty() ? "500ms" : options.heartbeat);
  if (!heartbeat) return tl::unexpected(std::move(heartbeat).error().within("--heartbeat"));
  plan.heartbeat = std::chrono::duration_cast<Millis>(*heartbeat);
  if (plan.heartbeat < Millis{10} || plan.heartbeat > Millis{60'000}) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--heartbeat {} is not 10ms to 1m", options.heartbeat));
  }
  return plan;
}

// --- results

Result<void> write_if_asked(const std::string& file, const std::string& text) {
  if (file.empty()) return {};
  return write_file(file, text, readable_by_all);
}

nlohmann::ordered_json head_of(const SimOptions& options) {
  return {{"version", DFAAS_VERSION}, {"command", options.command}, {"seeds", options.seeds}};
}

std::string ratio_or_dash(const std::optional<double>& ratio) {
  return ratio ? fmt::format("{:.4f}", *ratio) : "-";
}

void print_figures(const RunFigures& f) {
  const auto line = [](std::string_view name, const std::string& value, std::string_view what) {
    fmt::print("{:34} {:>12}  {}\n", name, value, what);
  };
  const auto number = [](double value) { return fmt::format("{:.4f}", value); };
  line("served / oracle", ratio_or_dash(f.served_over_oracle_ratio),
       "in time, over the most that anybody could have served");
  line("success", number(f.success_ratio),
       fmt::format("{} of {} calls", f.counts.served(), f.counts.offered));
  line("success in the stress period", number(f.stress_success_ratio), "");
  line("refused", std::to_string(f.counts.refused), "calls");
  line("late, lost", fmt::format("{}, {}", f.counts.late, f.counts.lost), "calls");
  line("served by neighbours", number(f.forwarded_ratio), "of all calls");
  line("tries that failed", number(f.wasted_tries_ratio),
       fmt::format("of {:.3f} tries per call", f.tries_ratio));
  line("latency p50 / p99 / p99.9",
       fmt::format("{:.0f}/{:.0f}/{:.0f}", to_millis(f.latency_p50), to_millis(f.latency_p99),
                   to_millis(f.latency_p999)),
       "ms");
  line("worst node", number(f.worst_node_success_ratio), "success, " + f.worst_node);
  line("fairness", number(f.fairness_ratio), "Jain's index over the nodes");
  line("messages", fmt::format("{:.2f}", f.messages_per_node_per_second), "per node and second");
  line("power", fmt::format("{:.3f}", f.power_watts),
       fmt::format("W per node, {:.0f} mJ per served call", f.millijoules_per_served_call));
  if (f.recovery_seconds) {
    line("recovered after", fmt::format("{:.0f}", *f.recovery_seconds),
         "s from the end of the stress");
  }
}

std::string log_line(const Scenario& scenario, const CallRecord& call) {
  constexpr std::array<std::string_view, 4> ends{"served_here", "served_by_peer", "refused",
                                                 "lost"};
  return fmt::format(
      "{},{},{},{},{},{},{},{},{}\n", call.arrival.count(), call.end.count(),
      scenario.nodes[call.node].name.text(), scenario.functions[call.function].name.name(),
      scenario.nodes[call.server].name.text(), call.tries,
      ends.at(static_cast<std::size_t>(call.how)), call.is_late ? 1 : 0, call.service_time.count());
}

// --- dfaas sim run

Result<std::shared_ptr<const JoinedTrace>> traces_of(const SimOptions& options) {
  if (options.trace_files.empty() && options.scenarios.empty()) {
    return fail(ErrorCode::invalid_input,
                "name a scenario: one of dfaas sim families or a file.toml; or give a recording of "
                "dfaas node record with --trace");
  }
  if (options.trace_files.empty()) return nullptr;
  auto joined = read_traces(options.trace_files);
  if (!joined) return joined;
  for (const std::string& note : (*joined)->notes) fmt::print(stderr, "dfaas: note: {}\n", note);
  return joined;
}

/// With the recorded calls in place of the load, and the recorded federation where none is named.
void replay(ComparisonPlan& plan, const SimOptions& options,
            const std::shared_ptr<const JoinedTrace>& joined) {
  std::optional<ScenarioSource> source;
  if (!plan.scenarios.empty()) source = std::move(plan.scenarios.front());
  plan.scenarios.assign(1, replaying(std::move(source), joined));
  take_recorded_settings(plan, *joined, options.heartbeat.empty());
}

bool asks_model(const Contender& contender) {
  return !contender.is_omni && contender.strategy.name == external_model_name;
}

void note_missing_model() {
  fmt::print(
      stderr,
      "dfaas: note: external_model has no model to ask here, so that every call stays at its "
      "node: dfaas sim run --model-trace FILE replays what one said\n");
}

/// What answers the nodes, if the contender asks anybody.
Result<ExternalModel> recorded_model(const SimOptions& options, const Contender& contender,
                                     const Scenario& scenario) {
  const std::string& file = options.model_trace_file;
  if (!asks_model(contender)) {
    if (file.empty()) return nullptr;
    return fail(ErrorCode::invalid_input,
                fmt::format("--model-trace: {} asks no model: give --strategy external_model",
                            contender.name()));
  }
  if (file.empty()) {
    note_missing_model();
    return nullptr;
  }
  const auto text = read_file(file, scenario_data_bytes_max);
  if (!text) return fail(text.error().code, text.error().message);
  auto trace = parse_model_trace(*text, scenario);
  if (!trace) return tl::unexpected(std::move(trace).error().within(file));
  return model_of(std::move(*trace), scenario);
}

Result<void> sim_run(SimOptions options) {
  auto joined = traces_of(options);
  if (!joined) return pass_on(std::move(joined));
  if (options.strategies.empty()) {
    const std::string recorded = *joined ? recorded_strategy(**joined) : "";
    options.strategies.push_back(recorded.empty() ? "grant_and_spill" : recorded);
  }
  auto plan = plan_of(options);
  if (!plan) return pass_on(std::move(plan));
  if (*joined) replay(*plan, options, *joined);
  if (plan->seeds.size() != 1) {
    return fail(ErrorCode::invalid_input, "sim run takes one seed; sim compare takes several");
  }
  const std::uint64_t seed = plan->seeds.front();
  auto scenario = plan->scenarios.front().make(seed);
  if (!scenario) return pass_on(std::move(scenario));
  if (auto valid = validate(*scenario); !valid) return valid;
  const Contender& contender = plan->contenders.front();
  RunOptions run_options = options_of(*plan, contender, seed);
  auto model = recorded_model(options, contender, *scenario);
  if (!model) return pass_on(std::move(model));
  run_options.external = std::move(*model);
  RunTally tally(*scenario);
  std::string log;
  if (!options.log_file.empty()) {
    log = "arrival_us,end_us,node,function,server,tries,how,is_late,service_us\n";
    tally.each_call = [&](const CallRecord& call) { log += log_line(*scenario, call); };
  }
  const ProgressLine progress;
  tally.progress = [&progress](Micros at, Micros duration) {
    progress.show(
        fmt::format("simulated {:.0f} s of {:.0f} s", to_seconds(at), to_seconds(duration)));
  };
  std::optional<OracleScore> oracle;
  auto run = run_scored(run_options, tally, oracle, plan->with_oracle);
  progress.clear();
  if (!run) return pass_on(std::move(run));
  RunFigures& figures = *run;
  figures.scenario = plan->scenarios.front().name;
  nlohmann::ordered_json json = head_of(options);
  json.update(json_of(figures));
  const RecordedFigures recorded =
      *joined ? recorded_figures((*joined)->trace, scenario->warm_up, scenario->duration)
              : RecordedFigures{};
  if (*joined) json["recorded"] = recorded_json(recorded);
  if (options.output == "json") {
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{} by {}, seed {}: {} nodes, {:.0f} s\n", figures.scenario, contender.name(), seed,
               scenario->nodes.size(), to_seconds(scenario->duration));
    print_figures(figures);
    fmt::print("{}", recorded_lines(recorded, figures));
  }
  const auto html = [&] { return sim_run_html(tally, figures, options.command); };
  if (auto done = write_if_asked(options.json_file, json.dump(2) + "\n"); !done) return done;
  if (auto done = write_if_asked(options.csv_file, csv_of({figures})); !done) return done;
  if (auto done = write_if_asked(options.log_file, log); !done) return done;
  if (!options.input_file.empty()) {
    if (auto done = write_if_asked(options.input_file, oracle_input_json(*scenario)); !done) {
      return done;
    }
  }
  return options.html_file.empty() ? Result<void>{} : write_if_asked(options.html_file, html());
}

// --- dfaas sim compare

void print_means(const std::vector<StrategyMeans>& means) {
  fmt::print("\n{:24} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7} {:>8} {:>7} {:>17}\n", "MEAN",
             "/ORACLE", "WORST", "SUCCESS", "FORWARD", "WASTED", "P50 MS", "P99 MS", "MSG/S",
             "WORSE", "BEHIND OMNI");
  for (const StrategyMeans& m : means) {
    fmt::print(
        "{:24} {:8.4f} {:8.4f} {:8.4f} {:7.3f} {:7.3f} {:7.1f} {:7.1f} {:8.2f} {:>7} {:>17}\n",
        m.strategy, m.served_over_oracle_ratio, m.worst_family_ratio, m.success_ratio,
        m.forwarded_ratio, m.wasted_tries_ratio, m.latency_ms_p50, m.latency_ms_p99,
        m.messages_per_node_per_second,
        m.nodes_worse_off ? fmt::format("{}/{}", *m.nodes_worse_off, m.nodes) : "-",
        m.behind_omni ? fmt::format("{:+.4f} +-{:.4f}", *m.behind_omni, *m.behind_omni_error)
                      : "-");
  }
}

/// Families down, strategies across: served / oracle, or success where nobody asked the oracle.
void print_matrix(const ComparisonPlan& plan, const std::vector<ComparedRun>& runs) {
  fmt::print("{:18}", plan.with_oracle ? "SERVED / ORACLE" : "SUCCESS");
  for (const Contender& contender : plan.contenders) fmt::print(" {:>15.15}", contender.name());
  fmt::print("\n");
  const std::size_t contenders = plan.contenders.size();
  for (std::size_t family = 0; family < plan.scenarios.size(); ++family) {
    fmt::print("{:18}", plan.scenarios[family].name);
    for (std::size_t which = 0; which < contenders; ++which) {
      double sum = 0;
      for (std::size_t seed = 0; seed < plan.seeds.size(); ++seed) {
        const RunFigures& f =
            runs[(family * plan.seeds.size() + seed) * contenders + which].figures;
        sum += f.served_over_oracle_ratio.value_or(f.success_ratio);
      }
      fmt::print(" {:15.4f}", sum / static_cast<double>(plan.seeds.size()));
    }
    fmt::print("\n");
  }
}

Result<void> sim_compare(SimOptions options) {
  if (options.scenarios.empty()) options.scenarios = family_names();
  if (options.strategies.empty()) options.strategies = strategy_names();
  auto plan = plan_of(options);
  if (!plan) return pass_on(std::move(plan));
  if (std::ranges::any_of(plan->contenders, asks_model)) note_missing_model();
  const ProgressLine progress;
  auto runs = compare(*plan, [&progress](const RunFigures& f, std::size_t done, std::size_t all) {
    progress.show(fmt::format("{}/{} runs, last {} by {}, seed {}", done, all, f.scenario,
                              f.strategy, f.seed));
  });
  progress.clear();
  if (!runs) return pass_on(std::move(runs));
  const std::vector<StrategyMeans> means = means_of(*plan, *runs);
  nlohmann::ordered_json json = head_of(options);
  json["rows"] = nlohmann::ordered_json::array();
  std::vector<RunFigures> rows;
  for (const ComparedRun& run : *runs) {
    json["rows"].push_back(json_of(run.figures));
    rows.push_back(run.figures);
  }
  json["means"] = nlohmann::ordered_json::array();
  for (const StrategyMeans& m : means) json["means"].push_back(json_of(m));
  if (options.output == "json") {
    fmt::print("{}\n", json.dump());
  } else {
    print_matrix(*plan, *runs);
    print_means(means);
  }
  if (auto done = write_if_asked(options.json_file, json.dump(2) + "\n"); !done) return done;
  if (auto done = write_if_asked(options.csv_file, csv_of(rows)); !done) return done;
  if (options.html_file.empty()) return {};
  return write_if_asked(options.html_file, sim_compare_html(*plan, *runs, means, options.command));
}

// --- dfaas sim families, dfaas sim export

double offered_by(const Scenario& scenario) {
  double sum = 0;
  for (const ScenarioLoad& load : scenario.loads) {
    for (const Rate rate : load.rates) sum += rate.per_second * to_seconds(load.step);
    sum += static_cast<double>(load.calls.size());
  }
  return sum;
}

void sim_families(const std::string& output) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (output != "json") {
    fmt::print("{:18} {:>6} {:>6} {:>7} {:>8}  {}\n", "FAMILY", "NODES", "LINKS", "SECONDS",
               "CALLS", "WHAT");
  }
  for (const Family& family : families()) {
    const Scenario scenario = family.make(1);
    if (output == "json") {
      list.push_back({{"name", family.name},
                      {"summary", family.summary},
                      {"in_comparison", family.in_comparison},
                      {"nodes", scenario.nodes.size()},
                      {"links", scenario.links.size()},
                      {"seconds", to_seconds(scenario.duration)},
                      {"calls_expected", offered_by(scenario)}});
    } else {
      fmt::print("{:18} {:>6} {:>6} {:>7.0f} {:>8.0f}  {}\n", family.name, scenario.nodes.size(),
                 scenario.links.size(), to_seconds(scenario.duration), offered_by(scenario),
                 family.summary);
    }
  }
  if (output == "json") fmt::print("{}\n", list.dump());
}

Result<void> sim_export(const SimOptions& options) {
  auto seeds = parse_seeds(options.seeds);
  if (!seeds) return pass_on(std::move(seeds));
  if (!options.trace_files.empty() && !options.scenarios.empty()) {
    return fail(ErrorCode::invalid_input,
                "name a family, or recordings with --trace, but not both");
  }
  auto joined = traces_of(options);
  if (!joined) return pass_on(std::move(joined));
  auto source = *joined ? ScenarioSource{"recorded",
                                         [&joined](std::uint64_t) { return scenario_of(**joined); }}
                        : source_of(options.scenarios.front());
  if (!source) return pass_on(std::move(source));
  auto scenario = source->make(seeds->front());
  if (!scenario) return pass_on(std::move(scenario));
  fmt::print("{}", scenario_to_toml(*scenario));
  return {};
}

void add_common_options(CLI::App& command, SimOptions& options) {
  command.add_option("--period", options.period,
                     "Of control, such as 2s (default: what each strategy is made for)");
  command.add_option("--heartbeat", options.heartbeat,
                     "Between messages of two agents (default: 500ms, or as recorded)");
  command.add_flag("--as-published", options.as_published,
                   "recalc and node_margin as their authors published them, errors included");
  command.add_flag("--no-oracle", options.without_oracle,
                   "Do not compute the best possible result");
  command.add_option("--json", options.json_file, "Write the results to this file");
  command.add_option("--csv", options.csv_file, "Write one line a run to this file");
  command.add_option("--html", options.html_file, "Write a report with charts to this file");
  add_output_option(command, options.output);
}

}  // namespace

void add_sim_command(CLI::App& root, ExitStatus& status) {
  CLI::App* sim =
      root.add_subcommand("sim", "Simulate a federation with the code that decides in production");
  sim->require_subcommand(1);
  sim->footer("Example: dfaas sim run flash --strategy grant_and_spill");

  CLI::App* run = sim->add_subcommand("run", "One scenario, one strategy, one seed");
  auto run_options = std::make_shared<SimOptions>();
  run->add_option("scenario", run_options->scenarios,
                  "A family's name, or a file.toml (default: the federation of the recordings)")
      ->expected(1);
  run->add_option("--strategy", run_options->strategies,
                  "A strategy's name, or omni (default: grant_and_spill, or as recorded)")
      ->expected(1);
  run->add_option("--seed", run_options->seeds, "Fixes every draw")->capture_default_str();
  run->add_option("--trace", run_options->trace_files,
                  "Replay the calls of this recording in place of the load; once for each node")
      ->allow_extra_args(false);
  run->add_option("--model-trace", run_options->model_trace_file,
                  "With external_model: what the model said, from this file of JSON lines");
  run->add_option("--log", run_options->log_file, "Write every call to this CSV file");
  run->add_option("--oracle-input", run_options->input_file,
                  "Write what tools/check-score needs beside the log to this file");
  add_common_options(*run, *run_options);
  run->footer("Example: dfaas sim run scenarios/three-nodes.toml --html report.html");
  run->callback([run, run_options, &status] {
    run_options->command = replay_command("dfaas sim run", *run);
    if (auto done = sim_run(*run_options); !done) report_failure(status, done.error());
  });

  CLI::App* comparison = sim->add_subcommand("compare", "Several strategies on several scenarios");
  auto options = std::make_shared<SimOptions>();
  options->seeds = "1,2";
  comparison
      ->add_option("--families", options->scenarios,
                   "Names or files.toml (default: the 18 families of the comparison)")
      ->delimiter(',');
  comparison
      ->add_option("--strategies", options->strategies,
                   "Names (default: all that need no model, and omni)")
      ->delimiter(',');
  comparison->add_option("--seeds", options->seeds, "Such as 1,2 or 1-5")->capture_default_str();
  comparison->add_option("--jobs", options->jobs, "Runs at one time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  add_common_options(*comparison, *options);
  comparison->footer(
      "Example: dfaas sim compare --families flash,mmpp --strategies all_local,grant_and_spill "
      "--jobs 2");
  comparison->callback([comparison, options, &status] {
    options->command = replay_command("dfaas sim compare", *comparison);
    if (auto done = sim_compare(*options); !done) report_failure(status, done.error());
  });

  CLI::App* list = sim->add_subcommand("families", "List the scenarios that exist by name");
  auto list_output = std::make_shared<std::string>("table");
  add_output_option(*list, *list_output);
  list->footer("Example: dfaas sim families");
  list->callback([list_output] { sim_families(*list_output); });

  CLI::App* exporting = sim->add_subcommand(
      "export", "Print a scenario file, to change it: a family, or what was recorded");
  auto export_options = std::make_shared<SimOptions>();
  exporting->add_option("family", export_options->scenarios, "A family's name")->expected(1);
  exporting
      ->add_option("--trace", export_options->trace_files,
                   "A recording, in place of a family; once for each node")
      ->allow_extra_args(false);
  exporting->add_option("--seed", export_options->seeds, "Fixes every draw")->capture_default_str();
  exporting->footer("Example: dfaas sim export test1 > mine.toml");
  exporting->callback([export_options, &status] {
    if (auto done = sim_export(*export_options); !done) report_failure(status, done.error());
  });

  add_sim_import_command(*sim, status, scenario_of_name);
}

}  // namespace dfaas
