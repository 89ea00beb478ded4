// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas load: offers a load to one gateway or several, and reports what became of it.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/workload/arrivals.hpp"
#include "core/workload/plan_file.hpp"
#include "live/files/files.hpp"
#include "live/loadgen/load_generator.hpp"

namespace dfaas {
namespace {

constexpr int exit_rate_not_kept = 3;

struct LoadOptions {
  std::string url;
  std::string plan_file;
  std::string rate = "100";
  std::string duration = "30s";
  std::string arrivals = "constant";
  std::string timeout = "30s";
  std::string method;
  std::string data;
  std::vector<std::string> headers;
  std::uint64_t seed = 1;
  std::size_t outstanding_max = LoadPlan{}.outstanding_max;
  std::string output = "table";
  std::string json_file;
  bool has_data = false;
};

Result<std::string> read_data(const std::filesystem::path& file) {
  return read_file(file, load_limits::body_bytes_max);
}

Result<Headers> parse_headers(const std::vector<std::string>& texts) {
  Headers headers;
  for (const std::string& text : texts) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("-H {} is not \"Name: value\"", in_quotes(text)));
    }
    headers.add(text.substr(0, colon), std::string(trim(text.substr(colon + 1))));
  }
  return headers;
}

/// A plan of one phase, of the options.
Result<LoadPlan> plan_of_options(const LoadOptions& options) {
  auto target = parse_load_target(options.url);
  if (!target) return pass_on(std::move(target));
  const auto rate = parse_number(options.rate);
  if (!rate) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--rate {} is not a number of requests/s", in_quotes(options.rate)));
  }
  auto duration = parse_duration(options.duration);
  if (!duration) return tl::unexpected(std::move(duration).error().within("--duration"));
  auto timeout = parse_duration(options.timeout);
  if (!timeout) return tl::unexpected(std::move(timeout).error().within("--timeout"));
  auto headers = parse_headers(options.headers);
  if (!headers) return pass_on(std::move(headers));
  LoadPhase phase{.name = "load",
                  .duration = *duration,
                  .rate = {*rate},
                  .arrivals = options.arrivals,
                  .target = std::move(*target),
                  .method = options.has_data ? "POST" : "GET",
                  .headers = std::move(*headers),
                  .body = options.data};
  if (!options.method.empty()) phase.method = options.method;
  if (options.data.starts_with('@')) {
    auto data = read_data(options.data.substr(1));
    if (!data) return tl::unexpected(std::move(data).error().within("--data"));
    phase.body = std::move(*data);
  }
  LoadPlan plan{.phases = {},
                .seed = options.seed,
                .timeout = *timeout,
                .outstanding_max = options.outstanding_max};
  plan.phases.push_back(std::move(phase));
  return plan;
}

Result<LoadPlan> plan_of_file(const std::string& file) {
  const auto text = read_file(file, 1U << 20U);
  if (!text) return fail(text.error().code, text.error().message);
  const auto directory = std::filesystem::path(file).parent_path();
  auto plan = parse_plan_file(
      *text, [&directory](const std::string& named) { return read_data(directory / named); });
  if (!plan) return tl::unexpected(std::move(plan).error().within(file));
  return plan;
}

Result<LoadPlan> choose_plan(const LoadOptions& options) {
  if (options.url.empty() == options.plan_file.empty()) {
    return fail(ErrorCode::invalid_input,
                "give what to load: either a URL or --plan FILE, as in dfaas load "
                "http://127.0.0.1:8081/function/figlet");
  }
  return options.plan_file.empty() ? plan_of_options(options) : plan_of_file(options.plan_file);
}

std::string peers_text(const std::map<std::string, std::uint64_t>& served_by_peer) {
  std::string text;
  for (const auto& [name, count] : served_by_peer) {
    fmt::format_to(std::back_inserter(text), "{}{} {}", text.empty() ? "" : ", ", name, count);
  }
  return text;
}

void print_second_header() {
  fmt::print("{:>6} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9}\n", "second", "offered", "here",
             "by peers", "refused", "failed", "errors", "p50 ms", "p99 ms");
}

void print_second(const LoadSecond& second) {
  const LoadCounts& counts = second.counts;
  fmt::print("{:>6} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9.1f} {:>9.1f}\n", second.second,
             counts.offered, counts.served_local, counts.served_by_peers(), counts.refused,
             counts.failed, counts.transport_errors, to_millis(second.latency.p50),
             to_millis(second.latency.p99));
  std::fflush(stdout);
}

void print_summary(const std::string& name, const LoadSummary& summary) {
  const LoadCounts& counts = summary.counts;
  fmt::print("{:16} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>8.2f}% {:>8.1f} {:>8.1f} {:>8.1f}", name,
             counts.offered, counts.served_local, counts.served_by_peers(), counts.refused,
             counts.failed, counts.transport_errors, 100 * counts.success_ratio(),
             to_millis(summary.latency.p50), to_millis(summary.latency.p95),
             to_millis(summary.latency.p99));
  const std::string peers = peers_text(counts.served_by_peer);
  fmt::print("{}{}\n", peers.empty() ? "" : "  ", peers);
}

void print_report(const LoadReport& report) {
  fmt::print("\n{:16} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>8} {:>8} {:>8}  {}\n", "PHASE",
             "OFFERED", "HERE", "BY PEERS", "REFUSED", "FAILED", "ERRORS", "SUCCESS", "P50 MS",
             "P95 MS", "P99 MS", "PEERS");
  for (const auto& [name, summary] : report.phases) print_summary(name, summary);
  if (report.phases.size() > 1) print_summary("total", report.total);
}

void print_remarks(const LoadReport& report) {
  for (const std::string& note : report.notes) fmt::print(stderr, "note: {}\n", note);
  for (const auto& [reason, count] : report.errors) {
    fmt::print(stderr, "{} without an answer: {}\n", count, reason);
  }
  if (report.retried > 0) {
    fmt::print(stderr, "{} sent again: the server had closed a kept connection\n", report.retried);
  }
  if (report.was_cancelled) {
    fmt::print(stderr,
               "interrupted after {:.1f} s: {} requests that were still open are in no count\n",
               to_seconds(report.elapsed), report.unfinished);
  }
}

/// Runs the plan until its end or Ctrl-C.
Result<LoadReport> run_plan(LoadPlan plan, const std::string& output) {
  boost::asio::io_context context(1);
  auto generator = LoadGenerator::make(context.get_executor(), std::move(plan));
  if (!generator) return pass_on(std::move(generator));
  boost::asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&generator](const boost::system::error_code& error, int) {
    if (!error) (*generator)->cancel();
  });
  std::optional<Result<LoadReport>> result;
  const bool is_table = output == "table";
  if (is_table) print_second_header();
  (*generator)
      ->start(
          [is_table](const LoadSecond& second) {
            if (is_table) return print_second(second);
            fmt::print("{}\n", json_of(second).dump());
            std::fflush(stdout);
          },
          [&](Result<LoadReport> report) {
            result = std::move(report);
            signals.cancel();
          });
  context.run();
  return std::move(*result);
}

Result<void> load(const LoadOptions& options, ExitStatus& status) {
  auto plan = choose_plan(options);
  if (!plan) return pass_on(std::move(plan));
  raise_descriptor_limit();
  const auto report = run_plan(std::move(*plan), options.output);
  if (!report) return fail(report.error().code, report.error().message);
  const auto json = json_of(*report, DFAAS_VERSION);
  if (options.output == "json") {
    fmt::print("{}\n", json.dump());
  } else {
    print_report(*report);
  }
  print_remarks(*report);
  if (!options.json_file.empty()) {
    constexpr mode_t readable_by_all = 0644;
    auto written = write_file(options.json_file, json.dump(2) + "\n", readable_by_all);
    if (!written) return written;
  }
  if (report->was_cancelled) status.code = 1;
  if (!report->kept_rate()) {
    fmt::print(stderr,
               "dfaas: the generator did not keep its rate (99 % of requests were up to {:.1f} ms "
               "late, {} were not sent): lower the rate, or give it a processor of its own\n",
               to_millis(report->total.generator_late_p99), report->over_limit);
    status.code = exit_rate_not_kept;
  }
  return {};
}

}  // namespace

void add_load_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand(
      "load", "Offer a load and report what became of it; latency counts from the intended time");
  auto options = std::make_shared<LoadOptions>();
  command->add_option("url", options->url, "http://HOST:PORT/PATH");
  command->add_option("--plan", options->plan_file,
                      "Several phases and targets, from a TOML file; it says what the options from "
                      "--rate to --outstanding-max say otherwise");
  std::vector<CLI::Option*> of_url;
  const auto add = [&](const char* names, auto& value, const char* text) {
    of_url.push_back(command->add_option(names, value, text));
    return of_url.back();
  };
  add("-r,--rate", options->rate, "Requests/s")->capture_default_str();
  add("--duration", options->duration, "How long, such as 500ms, 30s, 5m")->capture_default_str();
  add("--arrivals", options->arrivals, arrival_process_names().c_str())->capture_default_str();
  add("--seed", options->seed, "Fixes the random arrivals")->capture_default_str();
  add("-X,--method", options->method, "HTTP method (default: GET, with -d POST)");
  add("-H,--header", options->headers, "\"Name: value\"; may be repeated")
      ->allow_extra_args(false);  // Else a URL behind it would be taken for another header.
  auto* data = add("-d,--data", options->data, "Request body, or @FILE");
  add("--timeout", options->timeout, "For one request, from its intended time")
      ->capture_default_str();
  add("--outstanding-max", options->outstanding_max, "Open requests; more are not sent")
      ->capture_default_str();
  add_output_option(*command, options->output);
  command->add_option("--json", options->json_file, "Write the results to this file");
  command->footer(
      "Exit status: 0 done, 1 failed or interrupted, 2 misused, 3 the generator did not keep its\n"
      "rate (99 % of requests later than 10 ms, or more open than --outstanding-max).\n"
      "Example: dfaas load http://127.0.0.1:8081/function/figlet -d hello --rate 50 --duration "
      "10s");
  command->callback([options, data, of_url, &status] {
    options->has_data = data->count() > 0;
    for (const CLI::Option* option : of_url) {
      if (options->plan_file.empty() || option->count() == 0) continue;
      return report_failure(status, {.code = ErrorCode::invalid_input,
                                     .message = option->get_name() +
                                                " cannot be given with --plan: the file says it"});
    }
    if (auto done = load(*options, status); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
