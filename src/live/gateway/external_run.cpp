// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A call that a platform runs for this node: it goes to the platform's /function/NAME on a pooled connection.
///
/// Guarantees A platform that takes no connection has started nothing, so the call may go to a neighbour; a
///            neighbour's call is told so before it was admitted. Every answer of the platform is delivered as it
///            is, its own 429 and 5xx too: from the outside nobody knows whether something ran.
/// Limits     A request that went out on a connection which the platform closed at that moment is sent again only
///            if it may run twice: GET, HEAD, or dfaas.retry=safe.
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "live/gateway/http_exchange.hpp"
#include "live/gateway/local_run.hpp"
#include "live/gateway/platform.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr std::string_view default_space = "openfaas-fn";

RequestHead request_for(const GatewayCore& core, const Call& call) {
  const FunctionName& function = call.function;
  std::string target = "/function/" + function.name();
  if (function.space() != default_space) target += "." + function.space();
  target += call.path;
  if (!call.query.empty()) target += "?" + call.query;
  RequestHead head{
      .method = call.head.method, .headers = call.head.headers, .body = call.head.body};
  if (head.headers.find("X-Forwarded-Host") == nullptr) {
    head.headers.add("X-Forwarded-Host", std::string(head.headers.get("Host")));
  }
  return platform_request(core, std::move(head), target);
}

asio::awaitable<CallEnd> answer_loop(GatewayCore* core, CallPtr call) {
  ResponseHead head{.status = loop_status};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-OpenFaaS-Internal", "proxy");
  add_server_headers(head.headers, core->settings.self, core->settings.name.text());
  call->answer_begun = true;
  std::string text(loop_text);
  std::ignore = co_await call->connection->respond(std::move(head), std::move(text));
  co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "not_started", .status = loop_status};
}

/// What the platform said of itself makes the list old: a function that it does not have, or one that woke.
void look_again(GatewayCore* core, const CallPtr& call, const HttpExchange& exchange) {
  const auto known = core->functions.find(call->function);
  const bool was_asleep = known != core->functions.end() && known->second.ready == 0;
  const bool is_unknown = exchange.status == 404 && exchange.is_platform_error;
  if (is_unknown || (was_asleep && exchange.status != 0)) core->platform->wake.cancel();
}

}  // namespace

asio::awaitable<CallEnd> run_external(GatewayCore* core, CallPtr call) {
  const Instant since = now();
  Platform& platform = *core->platform;
  if (call->from.empty() && is_loop(*core, call->head.headers))
    co_return co_await answer_loop(core, call);
  std::string first_piece;
  for (bool was_sent = false;; was_sent = true) {
    const Millis patience = std::min(platform.settings.timeout, time_left(call));
    auto taken = co_await platform.connections.take(patience);
    if (!taken && was_sent) {
      co_return co_await answer_not_started(core, call, std::move(taken).error());
    }
    if (!taken) {
      // A call that had little time left says nothing of the platform.
      const bool is_certain =
          taken.error().code != ErrorCode::timed_out || patience == platform.settings.timeout;
      if (is_certain && !call->over()) platform_refused(core, taken.error());
      co_return CallEnd{.by = "not_started", .not_run = true};
    }
    // Only now: a neighbour that was told of a slot cannot be sent elsewhere any more.
    if (!call->from.empty() && !was_sent) {
      auto confirmed = co_await confirm_admission(call);
      if (!confirmed) {
        call->gone = true;
        co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "user_left", .status = 499};
      }
      first_piece = std::move(*confirmed);
    }
    const bool is_fresh = taken->is_fresh;
    HttpExchange exchange(core, call, std::move(taken->connection), first_piece, since);
    RequestHead request = request_for(*core, *call);
    co_await exchange_http(&exchange, std::move(request));
    platform.connections.give_back(std::move(exchange.connection));
    look_again(core, call, exchange);
    if (exchange.status != 0) co_return end_of_answer(exchange);
    if (is_fresh || was_sent || !may_send_again(exchange)) {
      co_return co_await answer_failure(&exchange, "the platform");
    }
  }
}

}  // namespace dfaas
