// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas node record: what a running node sees, as a trace that `dfaas sim run --trace` replays.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/progress.hpp"
#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/scenario/recorder.hpp"
#include "core/scenario/replay.hpp"
#include "core/scenario/scenario_file.hpp"
#include "live/files/files.hpp"
#include "live/net/http.hpp"
#include "live/net/task_group.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

constexpr Millis connect_patience{3'000};
constexpr Millis read_patience{5'000};  ///< The gateway tells something five times a second.
constexpr Micros neighbours_period{10'000'000};  ///< Round trips change slowly.
constexpr Micros end_patience{10'000'000};       ///< For calls that are under way at the end.
constexpr std::size_t answer_bytes_max = 64U << 20U;
constexpr std::size_t trace_bytes_max = 1024U << 20U;
constexpr std::size_t line_bytes_max = 1U << 20U;
constexpr mode_t readable_by_all = 0644;

struct RecordOptions {
  std::string directory = ".";
  std::string file;
  std::string scenario_file;
  std::string duration;
};

/// A file that is written as the recording goes on.
class OutputFile {
 public:
  static Result<OutputFile> open(const std::string& name) {
    OutputFile file(name);
    file.file_.reset(std::fopen(name.c_str(), "we"));
    if (!file.file_) return file.failure("cannot be written");
    return file;
  }

  Result<void> write(std::string_view text) {
    const bool is_done = std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size() &&
                         std::fflush(file_.get()) == 0;
    if (!is_done) return failure("cannot be written");
    return {};
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }  // NOLINT: owned by unique_ptr.
  };

  explicit OutputFile(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] tl::unexpected<Error> failure(std::string_view what) const {
    return fail(ErrorCode::unavailable,
                fmt::format("{} {}: {}", name_, what,
                            std::error_code(errno, std::generic_category()).message()));
  }

  std::string name_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// What the agent tells of its node and neighbours.
struct AgentView {
  std::string strategy;
  std::string organisation;
  Millis period{0};
  Millis heartbeat{0};
  std::map<NodeId, RecordedNeighbour> neighbours;
  std::vector<RecordedRtt> rtts;
};

Result<AgentView> agent_view(const std::string& text, const NodeName& self) {
  AgentView view;
  auto read = parse_json_object(text, answer_bytes_max, [&](const Fields& fields) {
    constexpr std::size_t length_max = 200;
    constexpr std::int64_t day_ms = 86'400'000;
    view.strategy = fields.text_or("strategy", length_max, "");
    view.organisation = fields.text_or("organisation", length_max, "");
    view.period = Millis{fields.integer_or("period_ms", 0, day_ms, 0)};
    view.heartbeat = Millis{fields.integer_or("heartbeat_ms", 0, day_ms, 0)};
    for (const Fields& peer : fields.objects("peers", recording_limits::neighbours_max)) {
      if (peer.text("name", length_max).empty()) continue;  // It has not said anything yet.
      RecordedNeighbour neighbour{
          .node = peer.accept("name", NodeName::parse(peer.text("name", length_max))),
          .id = peer.accept("id", NodeId::parse(peer.text("id", length_max))),
          .organisation = peer.text_or("organisation", length_max, "")};
      for (const Fields& offer : peer.objects("functions", recording_limits::functions_max)) {
        const auto slots = static_cast<int>(offer.integer("slots", 0, scenario_limits::slots_max));
        if (slots < 1) continue;
        neighbour.functions.push_back(
            {.function = offer.accept("name", FunctionName::parse(offer.text("name", length_max))),
             .slots = slots});
      }
      const double rtt_ms = peer.number_or("rtt_ms", 0, to_millis(scenario_limits::rtt_max), 0);
      if (rtt_ms > 0) {
        view.rtts.push_back(
            {.from = self, .to = neighbour.node, .rtt = from_seconds(rtt_ms / 1e3)});
      }
      view.neighbours.insert_or_assign(neighbour.id, std::move(neighbour));
    }
  });
  if (!read) return tl::unexpected(std::move(read).error().within("the agent's neighbours"));
  return view;
}

/// A recording under way. Everything happens on the thread that runs `context`.
struct RecordRun {
  explicit RecordRun(RecordOptions chosen)
      : options(std::move(chosen)),
        node(std::filesystem::absolute(options.directory)),
        tasks(context.get_executor()) {}

  asio::io_context context{1};
  RecordOptions options;
  NodeDirectory node;
  std::optional<Micros> duration;
  std::optional<OutputFile> file;
  std::optional<CallRecorder> calls;
  Recording recording;
  std::map<NodeId, RecordedNeighbour> told;  ///< Neighbours as they stand in the file.
  std::string unread;                        ///< The beginning of a line.
  std::string other_strategy;                ///< Than at the beginning; empty: none was seen.
  Micros next_neighbours = neighbours_period;
  int interrupts = 0;
  ProgressLine progress;
  Result<void> result;
  TaskGroup tasks;

  [[nodiscard]] bool has_waited_enough(Micros stopped_at) const {
    return interrupts > 1 || calls->is_past(stopped_at + end_patience);
  }
};

Error not_running(const RecordRun& run, const Error& error) {
  return {error.code,
          fmt::format("no running node in {} ({}): start it with dfaas node run --dir {}",
                      run.options.directory, error.message, run.options.directory)};
}

asio::awaitable<Result<AgentView>> ask_agent(RecordRun* run) {
  RequestHead head{.method = "GET", .target = "/v1/peers"};
  head.headers.add("Host", "local");
  Endpoint agent = Endpoint::unix_socket(run->node.agent_socket().string());
  auto reply =
      co_await fetch(std::move(agent), std::move(head), "", connect_patience, answer_bytes_max);
  if (!reply) co_return tl::unexpected(not_running(*run, reply.error()));
  co_return agent_view(reply->body, run->recording.node);
}

/// Neighbours that are new or changed, and every round trip.
Result<void> write_neighbours(RecordRun& run, const AgentView& view) {
  std::string text;
  for (const auto& [id, neighbour] : view.neighbours) {
    const auto known = run.told.find(id);
    if (known != run.told.end() && known->second == neighbour) continue;
    text += trace_line(neighbour);
    run.told.insert_or_assign(id, neighbour);
  }
  for (const RecordedRtt& rtt : view.rtts) text += trace_line(rtt);
  return run.file->write(text);
}

/// The next line of the gateway, without its end; waits for it.
asio::awaitable<Result<std::string>> next_line(RecordRun* run, ClientConnection* connection) {
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    const std::size_t end = run->unread.find('\n');
    if (end != std::string::npos) {
      std::string line = run->unread.substr(0, end);
      run->unread.erase(0, end + 1);
      co_return line;
    }
    const auto filled = co_await connection->read_body(piece, read_patience);
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return fail(ErrorCode::unavailable, "it said no more");
    run->unread.append(piece.data(), *filled);
    if (run->unread.size() > line_bytes_max + piece.size() &&
        run->unread.find('\n') == std::string::npos) {
      co_return fail(ErrorCode::overloaded, "a line is too long");
    }
  }
}

asio::awaitable<Result<ClientConnection>> ask_gateway(RecordRun* run) {
  Endpoint gateway = Endpoint::unix_socket(run->node.gateway_control_socket().string());
  auto connection = co_await ClientConnection::connect(std::move(gateway), connect_patience);
  if (!connection) co_return tl::unexpected(not_running(*run, connection.error()));
  RequestHead head{.method = "GET", .target = "/v1/recording"};
  head.headers.add("Host", "local");
  if (auto sent = co_await connection->write_request(std::move(head), "", connect_patience);
      !sent) {
    co_return pass_on(std::move(sent));
  }
  auto answer = co_await connection->read_head(connect_patience);
  if (!answer) co_return tl::unexpected(std::move(answer).error().within("gateway"));
  if (answer->status != 200) {
    std::string why(4096, '\0');
    const auto filled = co_await connection->read_body(why, connect_patience);
    why.resize(filled ? *filled : 0);
    co_return fail(ErrorCode::unavailable,
                   fmt::format("the gateway of {} does not let itself be "
                               "recorded: {}",
                               run->options.directory, why.substr(0, why.find('\n'))));
  }
  co_return std::move(*connection);
}

/// Head and neighbours.
asio::awaitable<Result<void>> begin(RecordRun* run, ClientConnection* connection) {
  auto first = co_await next_line(run, connection);
  auto head = first ? parse_trace(*first) : Result<Trace>(pass_on(std::move(first)));
  if (!head) co_return tl::unexpected(std::move(head).error().within("the gateway's recording"));
  if (!head->recording) {
    co_return fail(ErrorCode::unavailable,
                   "the gateway did not say of which node its recording is");
  }
  run->recording = std::move(*head->recording);
  auto view = co_await ask_agent(run);
  if (!view) co_return pass_on(std::move(view));
  run->recording.strategy = view->strategy;
  run->recording.organisation = view->organisation;
  run->recording.period = view->period;
  run->recording.heartbeat = view->heartbeat;
  run->calls.emplace(run->recording.node);
  if (run->duration) run->calls->end_at(*run->duration);
  auto file = OutputFile::open(run->options.file);
  if (!file) co_return pass_on(std::move(file));
  run->file.emplace(std::move(*file));
  if (auto written = run->file->write(trace_line(run->recording)); !written) co_return written;
  co_return write_neighbours(*run, *view);
}

/// Round trips now and then; an agent that is being started again is asked the next time.
asio::awaitable<Result<void>> look_at_neighbours(RecordRun* run) {
  run->next_neighbours = run->calls->now() + neighbours_period;
  const auto view = co_await ask_agent(run);
  if (!view) co_return Result<void>{};
  if (view->strategy != run->recording.strategy) run->other_strategy = view->strategy;
  co_return write_neighbours(*run, *view);
}

asio::awaitable<Result<void>> follow(RecordRun* run, ClientConnection* connection) {
  CallRecorder& calls = *run->calls;
  std::optional<Micros> stopped_at = run->duration;
  int heard = 0;
  while (!calls.is_complete()) {
    auto line = co_await next_line(run, connection);
    if (!line) {
      co_return fail(
          ErrorCode::unavailable,
          fmt::format("the recording of {} ended after {:.1f} s, because its gateway "
                      "stopped or this command did not keep up: {} holds what was seen",
                      run->recording.node.text(), to_seconds(calls.now()), run->options.file));
    }
    if (auto fed = calls.feed(*line); !fed) co_return fed;
    if (run->interrupts != heard) {
      heard = run->interrupts;
      if (!stopped_at || *stopped_at > calls.now()) stopped_at = calls.now();
      calls.end_at(*stopped_at);
    }
    if (stopped_at && run->has_waited_enough(*stopped_at)) break;
    if (run->unread.find('\n') != std::string::npos) continue;  // More is there already.
    if (auto written = run->file->write(calls.take()); !written) co_return written;
    run->progress.show(fmt::format("{:.0f} s, {} calls, {} under way", to_seconds(calls.now()),
                                   calls.calls(), calls.under_way()));
    if (calls.now() >= run->next_neighbours) {
      if (auto looked = co_await look_at_neighbours(run); !looked) co_return looked;
    }
  }
  co_return co_await look_at_neighbours(run);
}

asio::awaitable<Result<void>> record_calls(RecordRun* run) {
  auto connection = co_await ask_gateway(run);
  if (!connection) co_return pass_on(std::move(connection));
  if (auto begun = co_await begin(run, &*connection); !begun) co_return begun;
  Result<void> followed = co_await follow(run, &*connection);
  run->progress.clear();
  connection->close();
  auto written = run->file->write(run->calls->finish());
  co_return followed ? written : followed;
}

asio::awaitable<void> record_and_stop(RecordRun* run) {
  run->result = co_await record_calls(run);
  run->context.stop();
}

Result<void> write_scenario(const RecordOptions& options) {
  auto text = read_file(options.file, trace_bytes_max);
  if (!text) return pass_on(std::move(text));
  auto trace = parse_trace(*text);
  if (!trace) return tl::unexpected(std::move(trace).error().within(options.file));
  std::vector<TraceFile> files;
  files.push_back({.name = options.file, .trace = std::move(*trace)});
  auto joined = join_traces(std::move(files));
  if (!joined) return pass_on(std::move(joined));
  auto scenario = scenario_of(*joined);
  if (!scenario) return tl::unexpected(std::move(scenario).error().within(options.file));
  return write_file(options.scenario_file, scenario_to_toml(*scenario), readable_by_all);
}

Result<void> record(const RecordOptions& options) {
  RecordRun run(options);
  if (!options.duration.empty()) {
    auto duration = parse_duration(options.duration);
    if (!duration) return tl::unexpected(std::move(duration).error().within("--duration"));
    if (*duration <= Micros{0} || *duration > recording_limits::duration_max) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("--duration {} is not above 0s, up to 24h", options.duration));
    }
    run.duration = *duration;
  }
  asio::signal_set signals(run.context, SIGINT, SIGTERM);
  std::function<void(const boost::system::error_code&, int)> on_signal =
      [&](const boost::system::error_code& error, int) {
        if (error) return;
        ++run.interrupts;
        signals.async_wait(on_signal);
      };
  signals.async_wait(on_signal);
  run.tasks.spawn(record_and_stop(&run));
  run.context.run();
  if (!run.result) return run.result;
  fmt::print("{}: {:.1f} s of {}, {} calls of its users\n", options.file,
             to_seconds(std::min(run.calls->now(), run.calls->end())), run.recording.node.text(),
             run.calls->calls());
  if (!run.other_strategy.empty()) {
    fmt::print(stderr,
               "dfaas: note: the strategy changed from {} to {} meanwhile: a replay has one, {}\n",
               run.recording.strategy, run.other_strategy, run.recording.strategy);
  }
  return options.scenario_file.empty() ? Result<void>{} : write_scenario(options);
}

}  // namespace

void add_node_record_command(CLI::App& node, ExitStatus& status) {
  CLI::App* command =
      node.add_subcommand("record", "Write what a running node sees, for dfaas sim run --trace");
  auto options = std::make_shared<RecordOptions>();
  command->add_option("--dir", options->directory, "Directory of the node")->capture_default_str();
  command->add_option("--output", options->file, "File to write, such as light.jsonl")->required();
  command->add_option("--duration", options->duration,
                      "Such as 60s (default: until Ctrl-C; a second one does not wait for calls "
                      "under way)");
  command->add_option("--scenario", options->scenario_file,
                      "Write the federation as this node sees it to this file, such as light.toml");
  command->footer("Example: dfaas node record --dir light --output light.jsonl --duration 60s");
  command->callback([options, &status] {
    if (auto done = record(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
