// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// `dfaas demo`: three nodes on this machine, one overloaded, first alone, then helped.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <tuple>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/demo_federation.hpp"
#include "apps/dfaas/demo_report.hpp"
#include "apps/dfaas/programs.hpp"
#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/loadgen/load_generator.hpp"
#include "live/net/task_group.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

extern const std::string_view ocr_picture;

namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// Of the federation's slots: enough to need every node, little enough to fit.
constexpr double load_ratio = 0.8;
constexpr std::array<const char*, 2> strategies_shown{"all_local", "grant_and_spill"};
constexpr int interrupted_status = 130;

struct DemoOptions {
  int seconds = 30;
  int port = 8081;
  std::uint64_t seed = 1;
  std::string arrivals = "constant";
  std::string directory;
  std::string json_file;
  std::string report_file = "dfaas-demo.html";
  bool keep = false;

  [[nodiscard]] std::string command() const {
    return fmt::format("dfaas demo --seconds {} --arrivals {} --seed {}", seconds, arrivals, seed);
  }
};

/// A demo under way. Everything happens on the thread that runs `context`.
struct Demo {
  explicit Demo(DemoOptions chosen) : options(std::move(chosen)), tasks(context.get_executor()) {}

  asio::io_context context{1};
  DemoOptions options;
  SteadyClock::time_point started = SteadyClock::now();
  std::filesystem::path directory;
  std::unique_ptr<DemoFederation> federation;
  std::unique_ptr<LoadGenerator> generator;
  DemoLoad load;
  std::vector<DemoRun> runs;
  std::vector<DemoCheck> checks;
  bool is_stopping = false;
  bool was_interrupted = false;
  Result<void> result;
  TaskGroup tasks;

  void say(const std::string& text) const {
    fmt::print("{:5.1f} s  {}\n", to_seconds(SteadyClock::now() - started), text);
    std::fflush(stdout);
  }

  /// The nodes first; the loop ends when they are gone.
  void stop() {
    if (std::exchange(is_stopping, true)) return;
    if (generator) generator->cancel();
    if (!federation) return context.stop();
    say("stopping the nodes");
    federation->stop([this] { context.stop(); });
  }
};

/// What to ask of each real function, and how its answer begins.
struct Sample {
  std::size_t node;
  std::string function;
  std::string body;
  std::string said_of_it;
};

std::string first_line(std::string_view text) {
  return std::string(trim(split(trim(text), '\n').front()));
}

asio::awaitable<Result<void>> show_functions(Demo* demo) {
  const std::vector<Sample> samples{
      {.node = 0, .function = "figlet", .body = "Hello DFaaS!", .said_of_it = "writes large"},
      {.node = 1, .function = "shasum", .body = "Hello DFaaS!", .said_of_it = "sums up"},
      {.node = 2,
       .function = "ocr",
       .body = std::string(ocr_picture),
       .said_of_it = fmt::format("reads from a picture of {} kB", ocr_picture.size() / 1000)}};
  for (const Sample& sample : samples) {
    auto answer = co_await demo->federation->call(sample.node, sample.function, sample.body);
    if (!answer) co_return pass_on(std::move(answer));
    const bool is_large = sample.function == "figlet";
    demo->say(fmt::format("{} on {} {} in {:.0f} ms: {}", sample.function, answer->served_by,
                          sample.said_of_it, to_millis(answer->took),
                          is_large ? "" : in_quotes(first_line(answer->text), 40)));
    if (is_large) fmt::print("{}", answer->text);
  }
  co_return Result<void>{};
}

std::string line_of_second(const DemoLoad& load, const LoadSecond& second) {
  std::string by_peer;
  for (std::size_t node = 1; node < load.nodes.size(); ++node) {
    const auto found = second.counts.served_by_peer.find(load.nodes[node]);
    const std::uint64_t served = found == second.counts.served_by_peer.end() ? 0 : found->second;
    by_peer += fmt::format("{:>8}", served);
  }
  return fmt::format("{:>8} {:>8} {:>8}{} {:>8} {:>6} {:>8.0f} {:>8.0f}", second.second + 1,
                     second.counts.offered, second.counts.served_local, by_peer,
                     second.counts.refused, second.counts.failed + second.counts.transport_errors,
                     to_millis(second.latency.p50), to_millis(second.latency.p99));
}

std::string heading_of_seconds(const DemoLoad& load) {
  std::string names;
  for (std::size_t node = 1; node < load.nodes.size(); ++node) {
    names += fmt::format("{:>8}", load.nodes[node]);
  }
  return fmt::format("{:>8} {:>8} {:>8}{} {:>8} {:>6} {:>8} {:>8}", "second", "offered",
                     load.nodes.front(), names, "refused", "lost", "p50 ms", "p99 ms");
}

LoadPlan plan_of(const Demo& demo) {
  const DemoNode& target = demo.federation->nodes().front();
  LoadPhase phase{.name = "overload",
                  .duration = demo.load.duration,
                  .rate = demo.load.rate,
                  .arrivals = demo.load.arrivals,
                  .target = {.host = target.user.host,
                             .port = target.user.port,
                             .path = "/function/" + std::string(demo_loaded_function)},
                  .method = "POST",
                  .expected_node = target.id};
  return {.phases = {std::move(phase)}, .seed = demo.load.seed};
}

asio::awaitable<Result<void>> load_under(Demo* demo, std::string strategy) {
  if (auto used = co_await demo->federation->use_strategy(strategy); !used) co_return used;
  auto generator = LoadGenerator::make(demo->context.get_executor(), plan_of(*demo));
  if (!generator) co_return pass_on(std::move(generator));
  demo->generator = std::move(*generator);
  demo->say("load under strategy " + strategy);
  fmt::print("{}\n", heading_of_seconds(demo->load));
  DemoRun run{.strategy = strategy, .seconds = {}, .report = {}};
  Result<LoadReport> report = fail(ErrorCode::unavailable, "the load did not end");
  asio::steady_timer ended(demo->context, asio::steady_timer::time_point::max());
  demo->generator->start(
      [demo, &run](const LoadSecond& second) {
        fmt::print("{}\n", line_of_second(demo->load, second));
        std::fflush(stdout);
        run.seconds.push_back(second);
      },
      [&report, &ended](Result<LoadReport> done) {
        report = std::move(done);
        ended.cancel();
      });
  std::ignore = co_await ended.async_wait(as_result);
  demo->generator.reset();
  if (!report) co_return pass_on(std::move(report));
  run.report = std::move(*report);
  demo->runs.push_back(std::move(run));
  co_return Result<void>{};
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::time(nullptr)));
}

Result<void> conclude(Demo& demo) {
  demo.checks = demo_checks(demo.load, demo.runs);
  fmt::print("\n{}\n", demo_table(demo.load, demo.runs));
  for (const DemoCheck& check : demo.checks) {
    fmt::print("  {}  {}\n", check.holds ? "ok  " : "FAIL", check.sentence);
  }
  const DemoOptions& options = demo.options;
  if (!options.json_file.empty()) {
    const std::string text = demo_json(demo.load, demo.runs, demo.checks);
    if (auto done = write_file(options.json_file, text, 0644); !done) return done;
  }
  if (!options.report_file.empty()) {
    const std::string page = to_html(demo_report(demo.load, demo.runs, demo.checks, now_text()));
    if (auto done = write_file(options.report_file, page, 0644); !done) return done;
    fmt::print("\nreport: {}\n", std::filesystem::absolute(options.report_file).string());
  }
  std::fflush(stdout);
  if (std::ranges::all_of(demo.checks, &DemoCheck::holds)) return {};
  return fail(ErrorCode::unavailable, "the figures do not show that the federation worked");
}

void show_commands(const Demo& demo) {
  const DemoNode& light = demo.federation->nodes().front();
  const std::string light_directory = light.directory.root().string();
  const std::string url = fmt::format("http://localhost:{}", light.user.port);
  fmt::print(
      "\nThe nodes stay up until Ctrl-C. Try:\n\n"
      "  curl {0}/function/figlet -d 'Hello DFaaS world!'\n"
      "  curl {0}/function/figlet -d 'Hello DFaaS world!' -H 'Dfaas-Node-Id: malicious-id'\n"
      "  {1} list -g {0} --dir {2}\n"
      "  {1} peers --dir {2}\n"
      "  {1} status --dir {2}\n"
      "  {1} why --dir {2}\n\n",
      url, own_binary(), light_directory);
  std::fflush(stdout);
}

Result<void> prepare_load(Demo& demo) {
  DemoLoad& load = demo.load;
  for (const DemoNode& node : demo.federation->nodes()) {
    load.nodes.push_back(node.name);
    load.slots.push_back(node.slots);
  }
  load.run_time = demo_run_time;
  load.rate = load.federation_capacity() * load_ratio;
  load.duration = std::chrono::seconds(demo.options.seconds);
  load.arrivals = demo.options.arrivals;
  load.seed = demo.options.seed;
  load.command = demo.options.command();
  return validate(plan_of(demo));
}

Result<void> make_federation(Demo& demo) {
  demo.say("making keys and certificates in " + demo.directory.string());
  auto federation = DemoFederation::make(
      demo.context.get_executor(), {.directory = demo.directory, .user_port = demo.options.port});
  if (!federation) return pass_on(std::move(federation));
  demo.federation = std::move(*federation);
  return prepare_load(demo);
}

asio::awaitable<Result<void>> tell(Demo* demo) {
  if (auto made = make_federation(*demo); !made) co_return made;
  auto up = co_await demo->federation->start([demo](const DemoNode& node) {
    demo->say(fmt::format("{:6} is up: {} slots, users at http://localhost:{}", node.name,
                          node.slots, node.user.port));
  });
  if (!up) co_return up;
  demo->say("every node has proved the other two by their certificates");
  if (auto deployed = co_await demo->federation->deploy(); !deployed) co_return deployed;
  demo->say("functions figlet, shasum, ocr and pause are deployed on all three");
  if (auto shown = co_await show_functions(demo); !shown) co_return shown;
  const DemoLoad& load = demo->load;
  demo->say(fmt::format(
      "offered from now on: {:.0f} requests/s of {} ms each, all to {}; {} alone "
      "holds {:.0f}/s, all three {:.0f}/s",
      load.rate.per_second, demo_run_time.count(), load.nodes.front(), load.nodes.front(),
      load.local_capacity().per_second, load.federation_capacity().per_second));
  for (const char* strategy : strategies_shown) {
    if (auto done = co_await load_under(demo, strategy); !done) co_return done;
    if (demo->is_stopping) co_return Result<void>{};
  }
  co_return conclude(*demo);
}

asio::awaitable<void> tell_and_stop(Demo* demo) {
  Result<void> told = co_await tell(demo);
  if (demo->is_stopping) co_return;  // Interrupted: what failed because of that is no failure.
  demo->result = std::move(told);
  const bool was_concluded = !demo->checks.empty();
  if (demo->options.keep && was_concluded) {
    show_commands(*demo);
  } else {
    demo->stop();
  }
}

/// A fresh directory, or the one that was named.
Result<std::filesystem::path> choose_directory(const DemoOptions& options) {
  if (!options.directory.empty()) {
    auto path = std::filesystem::absolute(options.directory).lexically_normal();
    std::error_code error;
    if (std::filesystem::exists(path, error) && !std::filesystem::is_empty(path, error)) {
      return fail(ErrorCode::conflict,
                  fmt::format("--dir {} is not empty: name another one", path.string()));
    }
    if (auto made = make_directory(path, 0700); !made) return pass_on(std::move(made));
    return path;
  }
  std::error_code ignored;  // Falls back to /tmp.
  std::string pattern =
      (std::filesystem::temp_directory_path(ignored) / "dfaas-demo-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail(ErrorCode::unavailable, fmt::format("no directory {} could be made", pattern));
  }
  return std::filesystem::path(pattern);
}

int run_demo(const DemoOptions& options, ExitStatus& status) {
  Demo demo(options);
  log_setup("demo", "", LogLevel::error, LogFormat::text);
  auto directory = choose_directory(options);
  if (!directory) {
    report_failure(status, directory.error());
    return status.code;
  }
  demo.directory = std::move(*directory);
  fmt::print(
      "dfaas demo: three nodes on this machine, each with its own HAProxy, gateway and agent\n");
  raise_descriptor_limit();
  demo.tasks.spawn(tell_and_stop(&demo));
  run_until_stopped(demo.context, [&demo] {
    demo.was_interrupted = demo.checks.empty();
    demo.stop();
  });
  if (!demo.result) {
    if (demo.federation && demo.checks.empty()) {
      fmt::print(stderr, "{}", demo.federation->last_log_lines());
    }
    report_failure(status, demo.result.error());
  }
  std::error_code ignored;  // A file that stays behind does no harm.
  if (options.directory.empty()) std::filesystem::remove_all(demo.directory, ignored);
  if (demo.was_interrupted && status.code == 0) status.code = interrupted_status;
  return status.code;
}

}  // namespace

void add_demo_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command =
      root.add_subcommand("demo", "Run three nodes here, overload one, and show what happens");
  auto options = std::make_shared<DemoOptions>();
  command->add_option("--seconds", options->seconds, "Length of the load under each strategy")
      ->check(CLI::Range(3, 600))
      ->capture_default_str();
  command->add_option("--arrivals", options->arrivals, "How requests are spaced: see dfaas load")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of everything random in the load")
      ->capture_default_str();
  command->add_option("--json", options->json_file, "Write the figures to this file");
  command->add_option("--report", options->report_file, "Write the page here; \"\" for none")
      ->capture_default_str();
  command
      ->add_option("--port", options->port,
                   "User port of the first node; the others follow, peers at +100, admin at +200; "
                   "0 for any that are free")
      ->check(CLI::Range(0, 65000))
      ->capture_default_str();
  command->add_option("--dir", options->directory,
                      "Directory to make and leave (default: one that is removed at the end)");
  command->add_flag("--keep", options->keep, "Leave the nodes up until Ctrl-C");
  command->footer(
      "Exits with 0 only if the figures show that the federation worked.\n"
      "Example: dfaas demo --keep --json demo.json");
  command->callback([options, &status] { status.code = run_demo(*options, status); });
}

}  // namespace dfaas
