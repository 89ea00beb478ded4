// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/local_run.hpp"

#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "live/gateway/platform.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr std::size_t piece_bytes = 32 * 1024;

/// Calls of a function of this node that hold a slot, and how many there are.
std::pair<int, int> load_of(const GatewayCore& core, const FunctionName& function) {
  for (const FunctionObservation& seen : core.dispatcher.observe(now()).functions) {
    if (seen.function == function) return {seen.in_flight, seen.slots};
  }
  return {0, 0};
}

}  // namespace

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
  if (call->body_complete) watch_hangup(call);
  co_return first;
}

void add_local_headers(const GatewayCore& core, const Call& call, Instant since,
                       ResponseHead& head) {
  add_server_headers(head.headers, core.settings.self, core.settings.name.text());
  head.headers.set("X-Call-Id", call.call_id);
  head.headers.set("X-Start-Time", std::string(call.head.headers.get("X-Start-Time")));
  if (!call.from.empty()) {
    head.headers.add("DFaaS-Room", std::to_string(core.dispatcher.room(call.function, now())));
  } else if (call.explain) {
    auto steps = call.steps;
    steps.push_back({"here", "served", now() - since});
    head.headers.add("DFaaS-Decision", steps_text(steps));
  }
}

asio::awaitable<CallEnd> answer_not_started(GatewayCore* core, CallPtr call, Error error) {
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

CallEnd end_of(int status, bool delivered, Micros took) {
  constexpr int client_closed_request = 499;
  if (status == client_closed_request || !delivered) {
    return {.end = GatewayMetrics::End::failed, .by = "user_left", .status = client_closed_request};
  }
  if (status == 413) {
    return {.end = GatewayMetrics::End::failed, .by = "too_large", .status = status};
  }
  if (status == 408) {
    return {.end = GatewayMetrics::End::failed, .by = "body_too_slow", .status = status};
  }
  if (status == 504) {
    return {
        .end = GatewayMetrics::End::failed, .by = "late", .status = status, .service_time = took};
  }
  // A function's own failure is its answer: it was served, whatever the status.
  return {.end = GatewayMetrics::End::served_here,
          .by = "here",
          .status = status,
          .service_time = took};
}

asio::awaitable<CallEnd> run_here(GatewayCore* core, CallPtr call) {
  if (core->platform) co_return co_await run_external(core, call);
  const Instant taken = now();
  std::string first_piece;
  if (!call->from.empty()) {
    auto confirmed = co_await confirm_admission(call);
    if (!confirmed) {
      call->gone = true;
      co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "user_left", .status = 499};
    }
    first_piece = std::move(*confirmed);
  }
  auto lease = co_await core->runner->lease(call->function, time_left(call));
  if (!lease) co_return co_await answer_not_started(core, call, std::move(lease).error());
  if ((*lease)->plan().watchdog.mode == FunctionMode::http) {
    co_return co_await run_http(core, call, std::move(*lease), std::move(first_piece), taken);
  }
  co_return co_await run_classic(core, call, std::move(*lease), std::move(first_piece), taken);
}

bool is_watchdog_path(std::string_view path) { return path == "/_/health" || path == "/_/ready"; }

asio::awaitable<void> respond_watchdog(GatewayCore* core, ServerConnection* connection,
                                       FunctionName function, std::string path) {
  const ReplicaCounts counts = core->runner->counts(function);
  const auto [in_flight, slots] = load_of(*core, function);
  // Asleep is well: the next call wakes it.
  const bool is_well = counts.available > 0 || counts.wanted == 0;
  if (!is_well || (path == "/_/ready" && core->draining)) {
    co_await respond_text(connection, 503, "no replica can take calls now\n");
  } else if (path == "/_/ready" && in_flight >= slots) {
    co_await respond_text(connection, 429, "every slot is taken\n");
  } else {
    co_await respond_text(connection, 200, "OK\n");
  }
}

}  // namespace dfaas
