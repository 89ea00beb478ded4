// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A classic function: one process per call, the body on its stdin, the answer from its stdout.
///
/// The answer's head is held back until the process ends or wrote 64 KiB, so that a failure still shows
/// as 500; beyond that, a failure cuts the answer off, which every HTTP client notices.
///
/// Limits  While a function leaves unread more of a body than the buffers on the way hold (some 200 kB),
///         HAProxy does not read on, so it does not see its user leave: only the time limit ends the run.
#include <array>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "core/base/text.hpp"
#include "core/openfaas/classic_environment.hpp"
#include "live/gateway/gateway_core.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t piece_bytes = 32 * 1024;
constexpr std::size_t held_back_bytes_max = 64 * 1024;
constexpr std::size_t error_text_bytes_max = 4096;
constexpr Millis errors_patience{1000};

/// A run in progress; lives in the frame of run_here().
struct Run {
  GatewayCore* core;
  CallPtr call;
  RunningProcess process;
  std::string first_piece;  ///< Read from a guest before the process was started.
  Instant since;            ///< When the slot was taken.
  bool output_done = false;
  std::string error_text;
  bool errors_done = false;
  asio::steady_timer errors_closed;  ///< Cancelled when all that it said on standard error is here.
  LineSplitter error_lines;
};

void log_lines(const Run* run, std::vector<std::string> lines) {
  for (std::string& line : lines) {
    run->core->logs.write(
        run->call->function,
        {.time = wall_now(), .instance = run->core->settings.name.text(), .text = std::move(line)});
  }
}

asio::awaitable<void> feed_input(Run* run) {
  const CallPtr call = run->call;
  auto& input = run->process.input();
  bool wanted = true;
  for (const std::string* text : {&call->body, &run->first_piece}) {
    if (text->empty() || !wanted) continue;
    const auto [error, bytes] = co_await asio::async_write(input, asio::buffer(*text), as_result);
    wanted = !error;  // A function may end without reading its input.
  }
  if (!call->body_complete) {
    std::array<char, piece_bytes> piece{};  // On the coroutine's frame: bounded, one per call.
    while (!run->output_done && !call->connection->body_done()) {
      const auto filled = co_await call->connection->read_body(piece, time_left(call));
      if (!filled) {
        if (run->output_done) break;
        call->gone = true;
        run->process.kill();
        break;
      }
      if (*filled == 0) break;
      call->body_bytes += *filled;
      if (call->body_bytes > run->core->settings.request_bytes_max) {
        call->too_large = true;
        run->process.kill();
        break;
      }
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

asio::awaitable<void> gather_errors(Run* run) {
  std::array<char, 1024> piece{};
  for (;;) {
    const auto [error, bytes] =
        co_await run->process.errors().async_read_some(asio::buffer(piece), as_result);
    log_lines(run, error ? run->error_lines.finish()
                         : run->error_lines.add(std::string_view(piece.data(), bytes)));
    if (error) break;
    const std::size_t room = error_text_bytes_max - run->error_text.size();
    run->error_text.append(piece.data(), std::min(room, bytes));
  }
  run->errors_done = true;
  run->errors_closed.cancel();
}

void add_common_headers(const Run& run, ResponseHead& head) {
  const Call& call = *run.call;
  add_server_headers(head.headers, run.core->settings.self, run.core->settings.name.text());
  head.headers.add("X-Call-Id", call.call_id);
  if (!call.from.empty()) {
    head.headers.add("DFaaS-Room", std::to_string(run.core->dispatcher.room(call.function, now())));
  } else if (call.explain) {
    auto steps = call.steps;
    steps.push_back({"here", "served", now() - run.since});
    head.headers.add("DFaaS-Decision", steps_text(steps));
  }
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
  add_common_headers(run, head);
  return head;
}

void add_duration(ResponseHead& head, Micros took) {
  head.headers.add("X-Duration-Seconds", fmt::format("{:.6f}", to_seconds(took)));
}

/// The sentence for a run that brought no good answer, and its status.
std::pair<int, std::string> failure_of(const Run& run, const ProcessExit& exit) {
  if (run.call->too_large) return {413, too_large_text(run.core->settings)};
  if (run.call->late) return {504, "the function did not end in time\n"};
  return {500, fmt::format("the function ended with status {}\n{}", exit.status, run.error_text)};
}

/// Reads the output to its end and answers. Returns the status told, and whether all was delivered.
asio::awaitable<std::pair<int, bool>> relay_output(Run* run) {
  const CallPtr call = run->call;
  ServerConnection& connection = *call->connection;
  std::string held;
  std::array<char, piece_bytes> piece{};
  bool delivered = true;
  for (;;) {
    const auto [error, bytes] =
        co_await run->process.output().async_read_some(asio::buffer(piece), as_result);
    if (error) break;
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
  const ProcessExit exit = co_await run->process.wait();
  run->output_done = true;
  int status = 200;
  if (call->gone) {
    status = 499;
  } else if (call->answer_begun) {
    const bool is_good = exit.status == 0 && !call->late && !call->too_large;
    if (is_good) {
      delivered = (co_await connection.finish_body()).has_value();
    } else {
      delivered = false;
      connection.close();
    }
  } else {
    const bool is_good = exit.status == 0 && !call->late && !call->too_large;
    std::string text = std::move(held);
    if (!is_good && !run->errors_done) {
      // Its output may end before we have read why; its group is dead, so this takes moments.
      run->errors_closed.expires_after(errors_patience);
      std::ignore = co_await run->errors_closed.async_wait(as_result);
    }
    if (!is_good) std::tie(status, text) = failure_of(*run, exit);
    ResponseHead head = answer_head(*run, status);
    if (!is_good) head.headers.set("Content-Type", "text/plain");
    if (!is_good && status != 500) head.headers.add("X-OpenFaaS-Internal", "proxy");
    add_duration(head, exit.wall);
    call->answer_begun = true;
    delivered = (co_await connection.respond(std::move(head), std::move(text))).has_value();
  }
  // Unblocks feed_input() when the function did not want the rest of its input.
  if (!connection.body_done()) connection.stop_reading();
  co_return std::pair{status, delivered};
}

asio::awaitable<CallEnd> answer_spawn_failure(GatewayCore* core, CallPtr call, Error error) {
  log_event(LogLevel::error, "function_not_started",
            {{"function", call->label}, {"error", error.message}});
  ResponseHead head{.status = 500};
  head.headers.add("Content-Type", "text/plain");
  add_server_headers(head.headers, core->settings.self, core->settings.name.text());
  head.headers.add("X-Call-Id", call->call_id);
  head.headers.add("X-OpenFaaS-Internal", "proxy");
  call->answer_begun = true;
  std::ignore = co_await call->connection->respond(std::move(head), error.message + "\n");
  co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "not_started", .status = 500};
}

/// Tells a neighbour that its call has a slot: as the "100 Continue" it waits for, whose body then
/// proves that it heard; or, where the body came with the head, as an interim answer.
asio::awaitable<Result<std::string>> confirm_admission(CallPtr call) {
  if (!call->head.expects_continue) {
    if (auto told = co_await call->connection->write_processing(); !told) {
      co_return pass_on(std::move(told));
    }
    if (call->head.body.empty()) {
      call->body_complete = true;
      co_return std::string();
    }
  }
  std::string first(piece_bytes, '\0');
  const auto filled = co_await call->connection->read_body(first, time_left(call));
  if (!filled) co_return fail(filled.error().code, filled.error().message);
  first.resize(*filled);
  call->body_bytes += *filled;
  call->body_complete = call->connection->body_done();
  if (call->body_complete) {
    call->connection->watch_hangup([weak = std::weak_ptr<Call>(call)] {
      if (const CallPtr waiting = weak.lock()) {
        waiting->gone = true;
        waiting->interrupt();
      }
    });
  }
  co_return first;
}

}  // namespace

asio::awaitable<CallEnd> run_here(GatewayCore* core, CallPtr call) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  const Instant taken = now();
  const auto found = core->functions.find(call->function);
  if (found == core->functions.end()) {
    const Error removed{ErrorCode::not_found, "the function was removed meanwhile"};
    co_return co_await answer_spawn_failure(core, call, removed);
  }
  std::string first_piece;
  if (!call->from.empty()) {
    auto confirmed = co_await confirm_admission(call);
    if (!confirmed) {
      call->gone = true;
      co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "user_left", .status = 499};
    }
    first_piece = std::move(*confirmed);
  }
  const DeployedFunction& function = found->second;
  // Named: GCC 12 destroys braced temporaries of an awaited call twice.
  ProcessCommand command{
      .arguments = function.command,
      .environment = classic_environment(function.deployment, call->head, call->path, call->query),
      .directory = "/"};
  if (!function.secrets.empty() && !function.deployment.env.contains("secret_mount_path")) {
    command.environment.push_back("secret_mount_path=" + function.secrets.string());
  }
  auto spawned = co_await core->runner->spawn(command);
  if (!spawned) co_return co_await answer_spawn_failure(core, call, std::move(spawned).error());

  Run run{.core = core,
          .call = call,
          .process = std::move(*spawned),
          .first_piece = first_piece,
          .since = taken,
          .errors_closed = asio::steady_timer(core->executor)};
  call->abort = [&run] { run.process.kill(); };
  if (call->over()) run.process.kill();
  const Instant since = now();
  const auto [status, delivered] =
      co_await (relay_output(&run) && feed_input(&run) && gather_errors(&run));
  call->abort = nullptr;
  if (!run.error_text.empty()) {
    log_event(LogLevel::info, "function_stderr",
              {{"function", call->label}, {"call_id", call->call_id}, {"text", run.error_text}});
  }
  const Micros took = now() - since;
  if (status == 499 || !delivered) {
    co_return CallEnd{.end = GatewayMetrics::End::failed,
                      .by = "user_left",
                      .status = 499,
                      .service_time = std::nullopt};
  }
  if (status == 413) {
    co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "too_large", .status = 413};
  }
  if (status == 504) {
    co_return CallEnd{
        .end = GatewayMetrics::End::failed, .by = "late", .status = 504, .service_time = took};
  }
  // A function's own failure is its answer: it was served, with status 500.
  co_return CallEnd{.end = GatewayMetrics::End::served_here,
                    .by = "here",
                    .status = status,
                    .service_time = took};
}

}  // namespace dfaas
