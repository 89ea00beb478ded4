// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// `dfaas emulate`: the scenario of a simulation with real nodes, on one machine.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/emulate_federation.hpp"
#include "apps/dfaas/emulate_shell.hpp"
#include "apps/dfaas/emulate_users.hpp"
#include "apps/dfaas/programs.hpp"
#include "apps/dfaas/scenario_source.hpp"
#include "apps/dfaas/sim_report.hpp"
#include "core/scenario/scenario_words.hpp"
#include "core/strategy/external_model.hpp"
#include "live/files/files.hpp"
#include "live/loadgen/load_generator.hpp"
#include "live/net/task_group.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr int interrupted_status = 130;
constexpr int rate_not_kept_status = 3;  ///< As of dfaas load.
constexpr mode_t readable_by_all = 0644;

struct EmulateOptions {
  std::string scenario;
  std::string strategy = "grant_and_spill";
  std::uint64_t seed = 1;
  std::string directory;
  std::string json_file;
  std::string html_file;
  std::string output = "table";
  std::string command;  ///< As typed, for reports.
  bool with_shell = false;
  bool with_simulation = false;
  bool keep = false;
};

/// A fault begins or ends.
struct FaultMoment {
  Micros at{0};
  ScenarioFault fault;
  bool is_begin = true;
  std::size_t number = 0;  ///< Of one time, in the order of the file.
};

/// An emulation under way. Everything happens on the thread that runs `context`, but for the users.
struct Emulation {
  Emulation(EmulateOptions chosen, Scenario known, Strategy used)
      : options(std::move(chosen)),
        scenario(std::move(known)),
        strategy(used),
        tally(scenario),
        ended(context),
        tasks(context.get_executor()) {}

  asio::io_context context{1};
  EmulateOptions options;
  Scenario scenario;
  Strategy strategy;
  std::unique_ptr<Janitor> janitor;
  fs::path directory;
  SteadyClock::time_point started = SteadyClock::now();
  RunTally tally;
  CallCounts second;  ///< Of the calls that ended in it.
  asio::steady_timer ended;
  std::unique_ptr<EmulatedFederation> federation;
  std::unique_ptr<EmulatedLoad> load;
  std::unique_ptr<EmulationShell> shell;
  bool is_concluded = false;
  bool was_interrupted = false;
  int failed_commands = 0;
  Result<void> result;
  TaskGroup tasks;

  [[nodiscard]] bool is_table() const { return options.output == "table"; }
  [[nodiscard]] double now() const { return to_seconds(SteadyClock::now() - started); }
  /// Talk: beside a result for programs it would be in the way.
  void say(const std::string& text) const {
    fmt::print(is_table() ? stdout : stderr, "{:6.1f} s  {}\n", now(), text);
    std::fflush(is_table() ? stdout : stderr);
  }
};

// --- the scenario, played

std::vector<FaultMoment> moments_of(const Scenario& scenario) {
  std::vector<FaultMoment> moments;
  const auto add = [&moments](const ScenarioFault& fault) {
    moments.push_back({.at = fault.at, .fault = fault, .number = moments.size()});
    if (!fault.until) return;
    moments.push_back(
        {.at = *fault.until, .fault = fault, .is_begin = false, .number = moments.size()});
  };
  for (NodeIndex node = 0; node < scenario.nodes.size(); ++node) {
    const Micros joins_at = scenario.nodes[node].joins_at;
    if (joins_at.count() == 0) continue;
    add({.kind = FaultKind::node_crash, .until = joins_at, .nodes = {node}});
  }
  for (const ScenarioFault& fault : scenario.faults) add(fault);
  std::ranges::sort(moments, [](const FaultMoment& a, const FaultMoment& b) {
    return std::tie(a.at, a.number) < std::tie(b.at, b.number);
  });
  return moments;
}

std::string text_of(const FaultMoment& moment, const Scenario& scenario) {
  std::string nodes;
  for (const NodeIndex node : moment.fault.nodes) {
    nodes += (nodes.empty() ? "" : ", ") + scenario.nodes[node].name.text();
  }
  const auto kind = static_cast<std::size_t>(moment.fault.kind);
  return fmt::format("{} {}: {}", scenario_words::fault_kinds.at(kind),
                     moment.is_begin ? "begins" : "ends", nodes);
}

asio::awaitable<void> follow_faults(Emulation* emulation) {
  asio::steady_timer timer(emulation->context);
  for (const FaultMoment& moment : moments_of(emulation->scenario)) {
    if (moment.at >= emulation->scenario.duration) break;
    timer.expires_at(emulation->load->begin() + moment.at);
    const auto [error] = co_await timer.async_wait(as_result);
    if (error) co_return;
    emulation->say(text_of(moment, emulation->scenario));
    if (moment.is_begin) {
      emulation->federation->begin(moment.fault);
    } else if (auto done = emulation->federation->end(moment.fault); !done) {
      emulation->say(done.error().message);
    }
  }
}

asio::awaitable<void> show_seconds(Emulation* emulation) {
  asio::steady_timer timer(emulation->context);
  if (!emulation->is_table()) co_return;
  fmt::print("{:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}\n", "second", "ended", "here", "by peers",
             "refused", "late", "lost");
  for (int second = 1; !emulation->load->has_ended(); ++second) {
    timer.expires_at(emulation->load->begin() + std::chrono::seconds{second});
    const auto [error] = co_await timer.async_wait(as_result);
    if (error) co_return;
    const CallCounts counts = std::exchange(emulation->second, {});
    fmt::print("{:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}\n", second, counts.offered,
               counts.served_here, counts.served_by_peers, counts.refused, counts.late,
               counts.lost);
    std::fflush(stdout);
  }
}

asio::awaitable<Result<void>> play(Emulation* emulation) {
  emulation->ended.expires_at(asio::steady_timer::time_point::max());
  emulation->load = std::make_unique<EmulatedLoad>(
      emulation->context.get_executor(), *emulation->federation, emulation->scenario,
      emulation->options.seed,
      [emulation](const CallRecord& call) {
        emulation->tally.on_end(call);
        emulation->second.count(call);
      },
      [emulation] { emulation->ended.cancel(); });
  emulation->tasks.spawn(follow_faults(emulation));
  emulation->tasks.spawn(show_seconds(emulation));
  if (emulation->load
          ->has_ended()) {  // Nobody has users: the scenario takes its time all the same.
    emulation->ended.expires_at(emulation->load->begin() + emulation->scenario.duration);
  }
  std::ignore = co_await emulation->ended.async_wait(as_result);
  if (const auto& error = emulation->load->error()) co_return tl::unexpected(*error);
  co_return Result<void>{};
}

// --- what it showed

RunOptions run_options_of(const Emulation& emulation) {
  return {.strategy = emulation.strategy, .seed = emulation.options.seed};
}

RunFigures figures_of(const Emulation& emulation) {
  RunTotals totals;
  totals.nodes.resize(emulation.scenario.nodes.size());
  RunFigures figures = figures_of(emulation.tally, totals, run_options_of(emulation));
  figures.scenario = emulation.scenario.name;
  return figures;
}

/// What both worlds tell: the others of RunFigures only the simulator knows.
nlohmann::ordered_json json_of_both(const RunFigures& figures) {
  const nlohmann::ordered_json all = json_of(figures);
  nlohmann::ordered_json json;
  for (const char* key : {"offered", "served", "served_here", "served_by_peers", "late", "refused",
                          "lost", "success_ratio", "stress_success_ratio", "work_success_ratio",
                          "forwarded_ratio", "latency_ms", "fairness_ratio", "worst_node",
                          "worst_node_success_ratio", "recovery_seconds"}) {
    json[key] = all[key];
  }
  return json;
}

struct FigureLine {
  std::string_view name;
  std::string_view what;
  std::string (*text)(const RunFigures& figures);
};

std::string ratio_text(double value) { return fmt::format("{:.4f}", value); }

constexpr std::array<FigureLine, 10> lines{{
    {"success", "of all calls, in time",
     [](const RunFigures& f) { return ratio_text(f.success_ratio); }},
    {"success in the stress period", "",
     [](const RunFigures& f) { return ratio_text(f.stress_success_ratio); }},
    {"offered", "calls", [](const RunFigures& f) { return std::to_string(f.counts.offered); }},
    {"served here", "calls",
     [](const RunFigures& f) { return std::to_string(f.counts.served_here); }},
    {"served by neighbours", "calls",
     [](const RunFigures& f) { return std::to_string(f.counts.served_by_peers); }},
    {"refused", "calls", [](const RunFigures& f) { return std::to_string(f.counts.refused); }},
    {"late, lost", "calls",
     [](const RunFigures& f) { return fmt::format("{}, {}", f.counts.late, f.counts.lost); }},
    {"latency p50 / p95 / p99", "ms",
     [](const RunFigures& f) {
       return fmt::format("{:.0f}/{:.0f}/{:.0f}", to_millis(f.latency_p50),
                          to_millis(f.latency_p95), to_millis(f.latency_p99));
     }},
    {"worst node", "success",
     [](const RunFigures& f) { return ratio_text(f.worst_node_success_ratio); }},
    {"fairness", "Jain's index over the nodes",
     [](const RunFigures& f) { return ratio_text(f.fairness_ratio); }},
}};

void print_figures(const Emulation& emulation, const RunFigures& figures,
                   const std::optional<RunFigures>& simulated) {
  fmt::print("\n{} by {}, seed {}: {} nodes, {:.0f} s\n", emulation.scenario.name, figures.strategy,
             figures.seed, emulation.scenario.nodes.size(),
             to_seconds(emulation.scenario.duration));
  fmt::print("{:30} {:>16}{}\n", "", "emulated",
             simulated ? fmt::format(" {:>16}", "simulated") : std::string());
  for (const FigureLine& line : lines) {
    fmt::print("{:30} {:>16}{}  {}\n", line.name, line.text(figures),
               simulated ? fmt::format(" {:>16}", line.text(*simulated)) : std::string(),
               line.what);
  }
  fmt::print("\n{:16} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>9}\n", "NODE", "OFFERED", "HERE",
             "BY PEERS", "REFUSED", "LATE", "LOST", "SUCCESS");
  for (NodeIndex node = 0; node < emulation.scenario.nodes.size(); ++node) {
    const CallCounts& counts = emulation.tally.nodes()[node];
    fmt::print("{:16} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>9}\n",
               emulation.scenario.nodes[node].name.text(), counts.offered, counts.served_here,
               counts.served_by_peers, counts.refused, counts.late, counts.lost,
               counts.offered > 0 ? ratio_text(counts.success_ratio()) : "-");
  }
  if (simulated) {
    fmt::print("\nsuccess differs by {:.2f} points\n",
               100 * std::abs(figures.success_ratio - simulated->success_ratio));
  }
  std::fflush(stdout);
}

nlohmann::ordered_json json_of_run(const Emulation& emulation, const RunFigures& figures,
                                   const std::optional<RunFigures>& simulated) {
  nlohmann::ordered_json json{{"version", DFAAS_VERSION},
                              {"command", emulation.options.command},
                              {"scenario", emulation.scenario.name},
                              {"strategy", figures.strategy},
                              {"seed", figures.seed},
                              {"kept_rate", emulation.load->kept_rate()},
                              {"generator_late_ms_p99", to_millis(emulation.load->late_p99())},
                              {"emulated", json_of_both(figures)}};
  if (simulated) json["simulated"] = json_of_both(*simulated);
  for (NodeIndex node = 0; node < emulation.scenario.nodes.size(); ++node) {
    const CallCounts& counts = emulation.tally.nodes()[node];
    json["nodes"].push_back({{"name", emulation.scenario.nodes[node].name.text()},
                             {"offered", counts.offered},
                             {"served_here", counts.served_here},
                             {"served_by_peers", counts.served_by_peers},
                             {"refused", counts.refused},
                             {"late", counts.late},
                             {"lost", counts.lost}});
  }
  return json;
}

Result<std::optional<RunFigures>> simulate(const Emulation& emulation) {
  if (!emulation.options.with_simulation) return std::optional<RunFigures>{};
  RunTally tally(emulation.scenario);
  std::optional<OracleScore> oracle;
  auto figures = run_scored(run_options_of(emulation), tally, oracle, false);
  if (!figures) return pass_on(std::move(figures));
  return std::optional<RunFigures>(std::move(*figures));
}

Result<void> conclude(Emulation& emulation) {
  const RunFigures figures = figures_of(emulation);
  auto simulated = simulate(emulation);
  if (!simulated) return pass_on(std::move(simulated));
  const nlohmann::ordered_json json = json_of_run(emulation, figures, *simulated);
  if (emulation.is_table()) {
    print_figures(emulation, figures, *simulated);
  } else {
    fmt::print("{}\n", json.dump());
    std::fflush(stdout);
  }
  const EmulateOptions& options = emulation.options;
  if (!options.json_file.empty()) {
    auto done = write_file(options.json_file, json.dump(2) + "\n", readable_by_all);
    if (!done) return done;
  }
  if (!options.html_file.empty()) {
    const std::string page = sim_run_html(emulation.tally, figures, options.command);
    if (auto done = write_file(options.html_file, page, readable_by_all); !done) return done;
  }
  emulation.is_concluded = true;
  return {};
}

// --- one run

void show_nodes(const Emulation& emulation) {
  if (!emulation.is_table()) return;
  for (const EmulatedNode& node : emulation.federation->nodes()) {
    fmt::print("          {:16} {:12} nsenter -t {} -a, dfaas status --dir {}\n", node.name,
               node.address, node.machine->pid(), node.directory.root().string());
  }
  std::fflush(stdout);
}

asio::awaitable<Result<void>> tell(Emulation* emulation) {
  emulation->say("making keys, networks and directories in " + emulation->directory.string());
  auto made = EmulatedFederation::make(emulation->context.get_executor(), emulation->scenario,
                                       {.directory = emulation->directory,
                                        .strategy = emulation->options.strategy,
                                        .period = emulation->strategy.period,
                                        .seed = emulation->options.seed},
                                       *emulation->janitor);
  if (!made) co_return pass_on(std::move(made));
  emulation->federation = std::move(*made);
  emulation->federation->on_lost = [emulation](NodeIndex node) {
    emulation->say(fmt::format("node {} ended by itself: its log says why",
                               emulation->scenario.nodes[node].name.text()));
  };
  emulation->say(fmt::format("starting {} nodes", emulation->scenario.nodes.size()));
  if (auto up = co_await emulation->federation->start(); !up) co_return up;
  emulation->say("every node has proved those it is linked to by their certificates");
  if (auto deployed = co_await emulation->federation->deploy(); !deployed) co_return deployed;
  emulation->say("functions are deployed, and known to neighbours");
  show_nodes(*emulation);
  if (emulation->options.with_shell) {
    emulation->shell =
        std::make_unique<EmulationShell>(emulation->context.get_executor(), *emulation->federation,
                                         emulation->scenario, emulation->options.seed);
    emulation->failed_commands = co_await emulation->shell->run();
    emulation->is_concluded = true;
    co_return Result<void>{};
  }
  if (auto played = co_await play(emulation); !played) co_return played;
  co_return conclude(*emulation);
}

asio::awaitable<void> tell_and_stop(Emulation* emulation) {
  emulation->result = co_await tell(emulation);
  if (emulation->result && emulation->options.keep && !emulation->options.with_shell) {
    emulation->say("the nodes stay up until Ctrl-C");
    co_return;
  }
  emulation->context.stop();
}

/// A fresh directory that the janitor removes, or the one that was named.
Result<fs::path> choose_directory(const EmulateOptions& options, Janitor& janitor) {
  if (!options.directory.empty()) {
    auto path = fs::absolute(options.directory).lexically_normal();
    std::error_code error;
    if (fs::exists(path, error) && !fs::is_empty(path, error)) {
      return fail(ErrorCode::conflict,
                  fmt::format("--dir {} is not empty: name another one", path.string()));
    }
    if (auto made = make_directory(path, 0700); !made) return pass_on(std::move(made));
    return path;
  }
  std::error_code ignored;  // Falls back to /tmp.
  std::string pattern = (fs::temp_directory_path(ignored) / "dfaas-emulate-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail(ErrorCode::unavailable, fmt::format("no directory {} could be made", pattern));
  }
  janitor.add_directory(pattern);
  return fs::path(pattern);
}

Result<Strategy> strategy_named(const std::string& name) {
  auto strategy = find_strategy(name);
  if (!strategy) return fail(ErrorCode::invalid_input, strategy.error().message);
  if (name == external_model_name) {
    return fail(ErrorCode::invalid_input,
                "external_model asks a model outside of the emulated networks, which cannot be "
                "reached from there: choose another strategy");
  }
  return strategy;
}

Result<void> emulate(const EmulateOptions& options, ExitStatus& status) {
  auto strategy = strategy_named(options.strategy);
  if (!strategy) return pass_on(std::move(strategy));
  auto scenario = scenario_of_name(options.scenario, options.seed);
  if (!scenario) return pass_on(std::move(scenario));
  if (auto valid = validate(*scenario); !valid) return valid;
  if (auto possible = check_emulation(*scenario); !possible) return possible;
  if (scenario->name.empty()) scenario->name = options.scenario;
  auto janitor = Janitor::start();
  if (!janitor) return pass_on(std::move(janitor));
  if (auto possible = check_networks(); !possible) return possible;
  for (const std::string& note : emulation_notes(*scenario)) {
    fmt::print(stderr, "dfaas: note: {}\n", note);
  }
  log_setup("emulate", "", LogLevel::error, LogFormat::text);
  Emulation emulation(options, std::move(*scenario), *strategy);
  emulation.janitor = std::move(*janitor);
  auto directory = choose_directory(options, *emulation.janitor);
  if (!directory) return pass_on(std::move(directory));
  emulation.directory = std::move(*directory);
  raise_descriptor_limit();
  emulation.tasks.spawn(tell_and_stop(&emulation));
  run_until_stopped(emulation.context, [&emulation] {
    emulation.was_interrupted = !emulation.is_concluded;
    emulation.context.stop();
  });
  if (emulation.was_interrupted) {
    status.code = interrupted_status;
    return {};
  }
  if (!emulation.result) {
    if (emulation.federation) fmt::print(stderr, "{}", emulation.federation->last_log_lines());
    return emulation.result;
  }
  if (emulation.failed_commands > 0) status.code = 1;
  if (emulation.load && !emulation.load->kept_rate()) {
    fmt::print(stderr,
               "dfaas: the generator did not keep its rate (99 % of requests were up to {:.1f} ms "
               "late): lower the load, or give it more processors\n",
               to_millis(emulation.load->late_p99()));
    status.code = rate_not_kept_status;
  }
  return {};
}

}  // namespace

void add_emulate_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand(
      "emulate", "Run a scenario with real nodes, each in a network of its own, on this machine");
  auto options = std::make_shared<EmulateOptions>();
  command->add_option("scenario", options->scenario, "A file.toml, or a family's name")->required();
  command->add_option("--strategy", options->strategy, "See dfaas strategy list")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Fixes every draw, as in dfaas sim run")
      ->capture_default_str();
  command->add_flag("--compare", options->with_simulation,
                    "Simulate the same calls, too, and show both");
  command->add_flag("--shell", options->with_shell,
                    "Read commands in place of playing load and faults: help lists them");
  command->add_flag("--keep", options->keep, "Leave the nodes up until Ctrl-C");
  command->add_option("--dir", options->directory,
                      "Directory to make and leave (default: one that is removed at the end)");
  command->add_option("--json", options->json_file, "Write the results to this file");
  command->add_option("--html", options->html_file, "Write a report with charts to this file");
  add_output_option(*command, options->output);
  command->footer(
      "Needs root, and /dev/net/tun. Exit status: 0 done, 1 failed, 2 misused, 3 the load could "
      "not\n"
      "be offered at its rate, 130 interrupted.\n"
      "Example: sudo dfaas emulate scenarios/three-nodes.toml --compare");
  command->callback([command, options, &status] {
    options->command = replay_command("dfaas emulate", *command);
    if (auto done = emulate(*options, status); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
