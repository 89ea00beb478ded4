// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A function of mode http: the request goes to a process that stays, the answer comes back as it is written.
///
/// Guarantees A process that dies before its answer gives 502, one that stalls 504.
/// Limits     A request that went out on a connection which the process closed at that moment is sent again
///            only if it may run twice: GET, HEAD, or dfaas.retry=safe.
#include <optional>
#include <tuple>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/gateway/http_exchange.hpp"
#include "live/gateway/local_run.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr int tries_max = 5;
constexpr Millis pause_time{10};  ///< Until the end of a process is known here.

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

}  // namespace

asio::awaitable<CallEnd> run_http(GatewayCore* core, CallPtr call, FunctionHost::Lease lease,
                                  std::string first_piece, Instant taken) {
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
    HttpExchange exchange(core, call, std::move(connected->connection), first_piece, taken);
    RequestHead request = request_for(*call);
    co_await exchange_http(&exchange, std::move(request));
    if (exchange.connection.reusable()) (*place)->give_back(std::move(exchange.connection));
    if (exchange.status != 0) co_return end_of_answer(exchange);
    if (is_fresh || was_sent || !may_send_again(exchange)) {
      co_return co_await answer_failure(&exchange, "the function");
    }
    was_sent = true;
  }
}

}  // namespace dfaas
