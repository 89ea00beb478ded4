// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A classic function: one process per call, the body on its stdin, the answer from its stdout.
///
/// The answer's head is held back until the process ends or wrote 64 KiB, so that a failure still shows
/// as 500; beyond that, a failure cuts the answer off, which every HTTP client notices.
///
/// Limits  While a function leaves unread more of a body than the buffers on the way hold (some 200 kB),
///         HAProxy does not read on, so it does not see its user leave: only the time limit ends the run.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "core/base/text.hpp"
#include "core/openfaas/classic_environment.hpp"
#include "live/gateway/local_run.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t piece_bytes = 32 * 1024;
constexpr std::size_t held_back_bytes_max = 64 * 1024;
constexpr std::size_t error_text_bytes_max = 4096;

/// A run in progress; lives in the frame of run_classic().
struct Run {
  GatewayCore* core;
  CallPtr call;
  RunningProcess process;
  std::string first_piece;  ///< Read from a guest before the process was started.
  Instant since;            ///< When the slot was taken.
  Instant started = now();
  bool output_done = false;
  std::string error_text;
  LineSplitter error_lines;
  std::shared_ptr<asio::steady_timer> read_timer;  ///< Of read_timeout; gone with the run.
  bool errors_done = false;
  asio::steady_timer errors_told;  ///< Cancelled with errors_done.
  std::optional<Error> not_started;
};

void log_lines(const Run* run, std::vector<std::string> lines) {
  for (std::string& line : lines) {
    run->core->logs.write(
        run->call->function,
        {.time = wall_now(), .instance = run->core->settings.name.text(), .text = std::move(line)});
  }
}

/// The connection stays open for the answer that says so.
void limit_reading(Run* run, Millis patience) {
  run->read_timer->expires_after(patience);
  run->read_timer->async_wait([run, weak = std::weak_ptr<asio::steady_timer>(run->read_timer)](
                                  const boost::system::error_code& error) {
    if (error || weak.expired() || run->call->connection->body_done()) return;
    run->call->too_slow = true;
    run->process.kill();
    run->call->connection->stop_reading();
  });
}

asio::awaitable<void> feed_input(Run* run) {
  const CallPtr call = run->call;
  auto& input = run->process.input();
  if (!run->process.takes_input()) co_return;
  bool wanted = true;
  for (const std::string* text : {&call->body, &run->first_piece}) {
    if (text->empty() || !wanted) continue;
    const auto [error, bytes] = co_await asio::async_write(input, asio::buffer(*text), as_result);
    wanted = !error;  // A function may end without reading its input.
  }
  if (!call->body_complete) {
    std::array<char, piece_bytes> piece{};  // On the coroutine's frame: bounded, one per call.
    while (!run->output_done && !call->connection->body_done()) {
      const GatewaySettings* const settings = &run->core->settings;
      const auto filled = co_await read_upload(settings, call, piece);
      if (run->output_done) break;
      if (!filled) {
        call->upload_failed();
        run->process.kill();
        break;
      }
      if (*filled == 0) break;
      if (!wanted) continue;
      const auto [error, bytes] =
          co_await asio::async_write(input, asio::buffer(piece.data(), *filled), as_result);
      wanted = !error;
    }
    if (call->connection->body_done() && !run->output_done) {
      call->connection->watch_hangup([weak = std::weak_ptr<Call>(call)] {
        if (const CallPtr waiting = weak.lock()) {
          waiting->gone = true;
          waiting->interrupt();
        }
      });
    }
  }
  boost::system::error_code ignored;  // Closed is what we want.
  input.close(ignored);
}

/// What the function wrote next; 0 at the end. When its main process has ended, that is what the pipe holds
/// now: whoever else keeps it open is not waited for.
asio::awaitable<std::size_t> read_piece(const RunningProcess* process, asio::readable_pipe* pipe,
                                        std::span<char> into) {
  while (!process->has_ended()) {
    const auto [error, bytes] =
        co_await pipe->async_read_some(asio::buffer(into.data(), into.size()), as_result);
    if (!error) co_return bytes;
    if (error != asio::error::operation_aborted || !process->has_ended()) co_return std::size_t{0};
  }
  ::fcntl(pipe->native_handle(), F_SETFL, O_NONBLOCK);
  const ssize_t size = ::read(pipe->native_handle(), into.data(), into.size());
  co_return size > 0 ? static_cast<std::size_t>(size) : std::size_t{0};
}

asio::awaitable<void> gather_errors(Run* run) {
  std::array<char, 1024> piece{};
  for (;;) {
    const std::size_t bytes =
        co_await read_piece(&run->process, &run->process.errors(), std::span(piece));
    log_lines(run, bytes == 0 ? run->error_lines.finish()
                              : run->error_lines.add(std::string_view(piece.data(), bytes)));
    if (bytes == 0) break;
    const std::size_t room = error_text_bytes_max - run->error_text.size();
    run->error_text.append(piece.data(), std::min(room, bytes));
  }
  run->errors_done = true;
  run->errors_told.cancel();
}

ResponseHead answer_head(const Run& run, int status) {
  ResponseHead head{.status = status};
  const auto& annotations = run.core->functions;
  const auto found = annotations.find(run.call->function);
  std::string type = "text/plain";
  if (found != annotations.end()) {
    const auto& environment = found->second.deployment.env;
    if (const auto set = environment.find("content_type"); set != environment.end()) {
      type = set->second;
    }
  }
  head.headers.add("Content-Type", std::move(type));
  add_local_headers(*run.core, *run.call, run.since, head);
  return head;
}

void add_duration(ResponseHead& head, Micros took) {
  head.headers.add("X-Duration-Seconds", fmt::format("{:.6f}", to_seconds(took)));
}

/// The sentence for a run that brought no good answer, and its status.
std::pair<int, std::string> failure_of(const Run& run, const ProcessExit& exit) {
  if (run.call->too_large) return {413, too_large_text(run.core->settings)};
  if (run.call->too_slow) return {408, std::string(too_slow_text)};
  if (run.call->late) return {504, "the function did not end in time\n"};
  return {500, fmt::format("the function ended with status {}\n{}", exit.status, run.error_text)};
}

/// Reads the output to its end and answers, unless there never was a process. Returns the status told, and whether all was delivered.
asio::awaitable<std::pair<int, bool>> relay_output(Run* run) {
  const CallPtr call = run->call;
  ServerConnection& connection = *call->connection;
  std::string held;
  std::array<char, piece_bytes> piece{};
  bool delivered = true;
  for (;;) {
    const std::size_t bytes =
        co_await read_piece(&run->process, &run->process.output(), std::span(piece));
    if (bytes == 0) break;
    if (!call->answer_begun && held.size() + bytes <= held_back_bytes_max) {
      held.append(piece.data(), bytes);
      continue;
    }
    if (!call->answer_begun) {
      ResponseHead head = answer_head(*run, 200);
      head.body = {.length = std::nullopt, .chunked = true};
      call->answer_begun = true;
      connection.write_head(std::move(head));
      delivered = (co_await connection.write_body(held, time_left(call))).has_value();
      held = {};
    }
    if (delivered) {
      delivered = (co_await connection.write_body(std::span(piece).first(bytes), time_left(call)))
                      .has_value();
    }
    if (!delivered) {  // The reader is gone: the work has no purpose left.
      call->gone = true;
      run->process.kill();
    }
  }
  ProcessExit exit = co_await run->process.wait();
  run->output_done = true;
  while (!run->errors_done) {
    run->errors_told.expires_at(asio::steady_timer::time_point::max());
    std::ignore = co_await run->errors_told.async_wait(as_result);
  }
  int status = 200;
  if (call->gone) {
    status = 499;
  } else if (exit.not_started) {
    run->not_started = std::move(exit.not_started);
  } else if (call->answer_begun) {
    const bool is_good = exit.status == 0 && !call->late && !call->too_large && !call->too_slow;
    if (is_good) {
      delivered = (co_await connection.finish_body()).has_value();
    } else {
      delivered = false;
      connection.close();
    }
  } else {
    const bool is_good = exit.status == 0 && !call->late && !call->too_large && !call->too_slow;
    std::string text = std::move(held);
    if (!is_good) std::tie(status, text) = failure_of(*run, exit);
    ResponseHead head = answer_head(*run, status);
    if (!is_good) head.headers.set("Content-Type", "text/plain");
    if (!is_good && status != 500) head.headers.add("X-OpenFaaS-Internal", "proxy");
    add_duration(head, now() - run->started);
    call->answer_begun = true;
    delivered = (co_await connection.respond(std::move(head), std::move(text))).has_value();
  }
  // Unblocks feed_input() when the function did not want the rest of its input.
  if (!connection.body_done()) connection.stop_reading();
  co_return std::pair{status, delivered};
}

}  // namespace

asio::awaitable<CallEnd> run_classic(GatewayCore* core, CallPtr call, FunctionHost::Lease lease,
                                     std::string first_piece, Instant taken) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  const RunPlan& plan = lease->plan();
  // Named: GCC 12 destroys braced temporaries of an awaited call twice.
  ProcessCommand command{.arguments = plan.command,
                         .environment = plan.environment,
                         .directory = plan.directory,
                         .combine_output = plan.watchdog.combine_output};
  if (call->body_complete &&
      call->body.size() + first_piece.size() <= ProcessCommand::input_bytes_max) {
    command.input = call->body + first_piece;
  }
  if (plan.watchdog.cgi_headers) {
    command.environment =
        with_request(std::move(command.environment), call->head, call->path, call->query);
  }
  auto spawned = co_await lease->spawn(std::move(command));
  if (!spawned) co_return co_await answer_not_started(core, call, std::move(spawned).error());

  Run run{.core = core,
          .call = call,
          .process = std::move(*spawned),
          .first_piece = first_piece,
          .since = taken,
          .read_timer = std::make_shared<asio::steady_timer>(core->executor),
          .errors_told = asio::steady_timer(core->executor)};
  call->abort = [&run] { run.process.kill(); };
  if (call->over()) run.process.kill();
  run.process.on_end([&run] {
    boost::system::error_code ignored;  // No read under way is fine, too.
    run.process.output().cancel(ignored);
    run.process.errors().cancel(ignored);
  });
  if (plan.watchdog.read_timeout && !call->body_complete) {
    limit_reading(&run, *plan.watchdog.read_timeout);
  }
  const Instant since = now();
  const auto [status, delivered] =
      co_await (relay_output(&run) && feed_input(&run) && gather_errors(&run));
  call->abort = nullptr;
  if (run.not_started) {
    co_return co_await answer_not_started(core, call, std::move(*run.not_started));
  }
  if (!run.error_text.empty()) {
    log_event(LogLevel::info, "function_stderr",
              {{"function", call->label}, {"call_id", call->call_id}, {"text", run.error_text}});
  }
  co_return end_of(status, delivered, now() - since);
}

}  // namespace dfaas
