// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/http_exchange.hpp"

#include <array>
#include <span>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "live/gateway/local_run.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr std::size_t piece_bytes = 32 * 1024;

void user_left(HttpExchange* exchange) {
  exchange->call->gone = true;
  exchange->connection.close();
}

/// Passes the answer on as it comes.
asio::awaitable<void> deliver(HttpExchange* exchange, ResponseHead head) {
  const CallPtr call = exchange->call;
  ServerConnection& user = *call->connection;
  exchange->status = head.status;
  head.headers.remove_prefixed("DFaaS-");
  exchange->is_platform_error = head.headers.find("X-OpenFaaS-Internal") != nullptr;
  head.headers.remove("X-Server");  // Of a platform that is a node, too.
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

asio::awaitable<void> await_answer(HttpExchange* exchange) {
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
  stop_pump(&exchange->pump);
}

}  // namespace

HttpExchange::HttpExchange(GatewayCore* core_, CallPtr call_, ClientConnection connection_,
                           std::string first_piece, Instant since_)
    : core(core_),
      call(std::move(call_)),
      connection(std::move(connection_)),
      pump{.core = core_, .call = call, .to = &connection, .first_piece = std::move(first_piece)},
      since(since_) {}

asio::awaitable<void> exchange_http(HttpExchange* exchange, RequestHead request) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  const CallPtr call = exchange->call;
  call->abort = [exchange] { exchange->connection.close(); };
  if (call->over()) exchange->connection.close();
  if (call->body_complete) {
    // The whole body is here: head and body in one write, and nothing to send beside the answer.
    const std::string body = call->body + exchange->pump.first_piece;
    request.body = {.length = body.size()};
    if (co_await exchange->connection.write_request(std::move(request), body, time_left(call))) {
      co_await await_answer(exchange);
    } else {
      exchange->is_silent = true;
    }
  } else if (co_await exchange->connection.write_head(std::move(request), time_left(call))) {
    co_await (await_answer(exchange) && pump_body(&exchange->pump));
  } else {
    exchange->is_silent = true;
  }
  call->abort = nullptr;
}

CallEnd end_of_answer(const HttpExchange& exchange) {
  const Micros took = now() - exchange.since;
  if (exchange.call->gone) return end_of(499, false, took);
  if (!exchange.delivered) {
    return {.end = GatewayMetrics::End::failed, .by = "cut_off", .status = exchange.status};
  }
  return {.end = GatewayMetrics::End::served_here,
          .by = "here",
          .status = exchange.status,
          .service_time = took};
}

asio::awaitable<CallEnd> answer_failure(HttpExchange* exchange, std::string_view who) {
  const CallPtr call = exchange->call;
  if (call->gone) {
    co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "user_left", .status = 499};
  }
  int status = 502;
  std::string text = fmt::format("{} ended or broke off before it answered\n", who);
  if (call->too_large) {
    status = 413;
    text = too_large_text(exchange->core->settings);
  } else if (call->too_slow) {
    status = 408;
    text = std::string(too_slow_text);
  } else if (call->late || now() >= call->deadline) {
    status = 504;
    text = fmt::format("{} did not end in time\n", who);
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

bool may_send_again(const HttpExchange& exchange) {
  const Call& call = *exchange.call;
  const bool may_run_twice = call.head.method == "GET" || call.head.method == "HEAD" ||
                             exchange.core->dispatcher.traits(call.function).retry_safe;
  return exchange.is_silent && call.body_complete && !call.over() && may_run_twice;
}

}  // namespace dfaas
