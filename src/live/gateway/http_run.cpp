// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A function of mode http: the request goes to a process that stays, the answer comes back as it is written.
///
/// Guarantees Server-sent events and other slow answers reach the user piece by piece. A process that dies
///            before its answer gives 502, one that stalls 504; an answer cut off is cut off for the user too.
/// Limits     A request that went out on a connection which the process closed at that moment is sent again
///            only if it may run twice: GET, HEAD, or dfaas.retry=safe.
#include <array>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/gateway/local_run.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr std::size_t piece_bytes = 32 * 1024;
constexpr int tries_max = 5;
constexpr Millis pause_time{10};  ///< Until the end of a process is known here.

/// A request in progress; lives in the frame of run_http().
struct Exchange {
  GatewayCore* core;
  CallPtr call;
  ClientConnection connection;
  std::string first_piece;
  Instant since;
  bool upload_wanted = true;
  int status = 0;
  bool delivered = true;
  bool is_silent = false;  ///< The process said nothing at all.
};

RequestHead request_for(const Call& call) {
  RequestHead head{.method = call.head.method,
                   .target = call.path.empty() ? "/" : call.path,
                   .headers = call.head.headers,
                   .body = call.head.body};
  if (!call.query.empty()) head.target += "?" + call.query;
  if (head.headers.find("X-Forwarded-Host") == nullptr) {
    head.headers.add("X-Forwarded-Host", std::string(head.headers.get("Host")));
  }
  return head;
}

void user_left(Exchange* exchange) {
  exchange->call->gone = true;
  exchange->connection.close();
}

asio::awaitable<void> upload(Exchange* exchange) {
  const CallPtr call = exchange->call;
  ClientConnection& to = exchange->connection;
  for (const std::string* text : {&call->body, &exchange->first_piece}) {
    if (text->empty()) continue;
    if (!co_await to.write_body(*text, time_left(call))) co_return;
  }
  std::array<char, piece_bytes> piece{};
  while (!call->body_complete && exchange->upload_wanted && !call->connection->body_done()) {
    const GatewaySettings* const settings = &exchange->core->settings;
    const auto filled = co_await read_upload(settings, call, piece);
    if (!exchange->upload_wanted) co_return;
    if (!filled) {
      call->upload_failed();
      to.close();
      co_return;
    }
    if (*filled == 0) break;
    if (!co_await to.write_body(std::span(piece).first(*filled), time_left(call))) co_return;
  }
  if (!exchange->upload_wanted) co_return;
  std::ignore = co_await to.finish_body(time_left(call));
  if (!call->body_complete && call->connection->body_done()) {
    call->connection->watch_hangup([weak = std::weak_ptr<Call>(call)] {
      if (const CallPtr waiting = weak.lock()) {
        waiting->gone = true;
        waiting->interrupt();
      }
    });
  }
}

/// Passes the answer on as it comes.
asio::awaitable<void> deliver(Exchange* exchange, ResponseHead head) {
  const CallPtr call = exchange->call;
  ServerConnection& user = *call->connection;
  exchange->status = head.status;
  head.headers.remove_prefixed("DFaaS-");
  head.headers.set("X-Duration-Seconds",
                   fmt::format("{:.6f}", to_seconds(now() - exchange->since)));
  add_local_headers(*exchange->core, *call, exchange->since, head);
  head.keep_alive = true;
  if (!head.body.length && !head.body.chunked) head.body.chunked = true;
  call->answer_begun = true;
  user.write_head(std::move(head));
  if (!exchange->connection.body_at_hand() && !co_await user.flush_head()) {
    user_left(exchange);
    co_return;
  }
  std::array<char, piece_bytes> piece{};
  for (;;) {
    const auto filled = co_await exchange->connection.read_body(piece, time_left(call));
    if (!filled) {
      exchange->delivered = false;
      user.close();
      co_return;
    }
    if (*filled == 0) break;
    if (!co_await user.write_body(std::span(piece).first(*filled), time_left(call))) {
      user_left(exchange);
      co_return;
    }
  }
  exchange->delivered = (co_await user.finish_body()).has_value();
}

asio::awaitable<void> await_answer(Exchange* exchange) {
  const CallPtr call = exchange->call;
  ClientConnection& from = exchange->connection;
  auto head = co_await from.read_head(time_left(call));
  while (head && head->status < 200) head = co_await from.read_head(time_left(call));
  if (head) {
    co_await deliver(exchange, std::move(*head));
  } else {
    exchange->is_silent = !from.answer_begun();
    from.close();
  }
  exchange->upload_wanted = false;
  if (!call->connection->body_done()) call->connection->stop_reading();
}

/// Nothing of an answer came: whose fault was it?
asio::awaitable<CallEnd> answer_failure(Exchange* exchange) {
  const CallPtr call = exchange->call;
  if (call->gone) {
    co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "user_left", .status = 499};
  }
  int status = 502;
  std::string text = "the function ended or broke off before it answered\n";
  if (call->too_large) {
    status = 413;
    text = too_large_text(exchange->core->settings);
  } else if (call->too_slow) {
    status = 408;
    text = std::string(too_slow_text);
  } else if (call->late || now() >= call->deadline) {
    status = 504;
    text = "the function did not end in time\n";
  }
  ResponseHead head{.status = status};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-OpenFaaS-Internal", "proxy");
  add_local_headers(*exchange->core, *call, exchange->since, head);
  call->answer_begun = true;
  std::ignore = co_await call->connection->respond(std::move(head), std::move(text));
  if (status == 502) {
    co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "function_lost", .status = status};
  }
  co_return end_of(status, true, now() - exchange->since);
}

bool may_run_twice(const GatewayCore& core, const Call& call) {
  return call.head.method == "GET" || call.head.method == "HEAD" ||
         core.dispatcher.traits(call.function).retry_safe;
}

}  // namespace

asio::awaitable<CallEnd> run_http(GatewayCore* core, CallPtr call, FunctionHost::Lease lease,
                                  std::string first_piece, Instant taken) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  std::optional<FunctionHost::Lease> place(std::move(lease));
  bool was_sent = false;
  for (int tries = 1;; ++tries) {
    auto connected = co_await (*place)->connect();
    if (!connected && tries < tries_max && !call->over()) {
      // Its process died, and nothing was sent to it: another one will do.
      place.reset();
      asio::steady_timer pause(core->executor, pause_time);
      std::ignore = co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
      auto other = co_await core->runner->lease(call->function, time_left(call));
      if (!other) co_return co_await answer_not_started(core, call, std::move(other).error());
      place.emplace(std::move(*other));
      continue;
    }
    if (!connected) {
      Error error = std::move(connected).error().within("the function does not listen any more");
      co_return co_await answer_not_started(core, call, std::move(error));
    }
    const bool is_fresh = connected->is_fresh;
    Exchange exchange{.core = core,
                      .call = call,
                      .connection = std::move(connected->connection),
                      .first_piece = first_piece,
                      .since = taken};
    call->abort = [&exchange] { exchange.connection.close(); };
    if (call->over()) exchange.connection.close();
    RequestHead request = request_for(*call);
    if (call->body_complete) {
      // The whole body is here: head and body in one write, and nothing to send beside the answer.
      const std::string body = call->body + first_piece;
      request.body = {.length = body.size()};
      if (co_await exchange.connection.write_request(std::move(request), body, time_left(call))) {
        co_await await_answer(&exchange);
      } else {
        exchange.is_silent = true;
      }
    } else if (co_await exchange.connection.write_head(std::move(request), time_left(call))) {
      co_await (await_answer(&exchange) && upload(&exchange));
    } else {
      exchange.is_silent = true;
    }
    call->abort = nullptr;
    if (exchange.connection.reusable()) (*place)->give_back(std::move(exchange.connection));
    if (exchange.status == 0) {
      const bool retry = !is_fresh && !was_sent && exchange.is_silent && call->body_complete &&
                         !call->over() && may_run_twice(*core, *call);
      if (retry) {
        was_sent = true;
        continue;
      }
      co_return co_await answer_failure(&exchange);
    }
    const Micros took = now() - taken;
    if (call->gone) co_return end_of(499, false, took);
    if (!exchange.delivered) {
      co_return CallEnd{
          .end = GatewayMetrics::End::failed, .by = "cut_off", .status = exchange.status};
    }
    co_return CallEnd{.end = GatewayMetrics::End::served_here,
                      .by = "here",
                      .status = exchange.status,
                      .service_time = took};
  }
}

}  // namespace dfaas
