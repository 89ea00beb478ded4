// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// /async-function and /system/async-calls: puts calls in the queue and tells how they stand.
///
/// Whoever knows the id of a call may ask for it and cancel it, as with OpenFaaS; the list and the dead
/// letters take credentials.
#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/http/query.hpp"
#include "live/gateway/system_api.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

constexpr int listed_max = 1000;
constexpr int listed_default = 100;

/// A refusal that a queue or a proxy on the way may repeat, with the id under which it can be found in logs.
asio::awaitable<void> refuse_async(const GatewayCore* core, ServerConnection* connection,
                                   std::string call_id, Error error) {
  const bool is_full = error.code == ErrorCode::overloaded;
  const int status = error.code == ErrorCode::invalid_input ? 400
                     : error.code == ErrorCode::not_found   ? 404
                     : is_full                              ? 503
                                                            : 500;
  ResponseHead head{.status = status};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-Call-Id", std::move(call_id));
  head.headers.add("X-OpenFaaS-Internal", "proxy");
  if (is_full) head.headers.add("Retry-After", "1");
  add_server_headers(head.headers, core->settings.self, core->settings.name.text());
  std::ignore = co_await connection->respond(std::move(head), error.message + "\n");
}

/// Here, or at a neighbour that the plan names for it.
bool is_served(const GatewayCore& core, const FunctionName& function) {
  if (core.functions.contains(function)) return true;
  return std::ranges::any_of(core.dispatcher.plan().functions,
                             [&function](const FunctionPlan& plan) {
                               return plan.function == function && !plan.peers.empty();
                             });
}

/// The call without its body.
Result<AsyncCall> prepare_call(const GatewayCore& core, const RequestHead& head,
                               const AsyncFunctionRoute& route, std::string call_id) {
  auto function = FunctionName::parse(route.segment);
  if (!function) return pass_on(std::move(function));
  if (!is_served(core, *function)) {
    return fail(ErrorCode::not_found,
                fmt::format("no function {} on this node or its neighbours", function->full()));
  }
  AsyncCall call{.call_id = std::move(call_id),
                 .function = std::move(*function),
                 .target = route.path + (route.query.empty() ? "" : "?" + route.query),
                 .headers = head.headers,
                 .callback = std::string(head.headers.get("X-Callback-Url"))};
  if (head.headers.find("X-Callback-Url") != nullptr) {
    if (auto url = parse_callback_url(call.callback); !url) return pass_on(std::move(url));
  }
  call.headers.remove("X-Callback-Url");
  call.headers.remove("X-Call-Id");
  call.headers.remove_prefixed("DFaaS-");
  return call;
}

asio::awaitable<void> enqueue(GatewayCore* core, ServerConnection* connection, RequestHead head,
                              AsyncFunctionRoute route) {
  const auto arrived = std::chrono::system_clock::now().time_since_epoch();
  const std::string call_id = choose_call_id(head.headers);
  auto call = prepare_call(*core, head, route, call_id);
  if (!call) {
    co_await refuse_async(core, connection, call_id, std::move(call).error());
    co_return;
  }
  auto body = co_await read_whole_body(connection, core->settings.async_body_bytes_max);
  if (!body) {
    const int status = body.error().code == ErrorCode::overloaded ? 413 : 400;
    co_await respond_text(connection, status, body.error().message + "\n");
    co_return;
  }
  call->body = std::move(*body);
  auto written = co_await core->async->enqueue(std::move(*call));
  if (!written) {
    co_await refuse_async(core, connection, call_id, std::move(written).error());
    co_return;
  }
  ResponseHead answer{.status = 202};
  answer.headers.add("X-Call-Id", call_id);
  answer.headers.add(
      "X-Start-Time",
      std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(arrived).count()));
  add_server_headers(answer.headers, core->settings.self, core->settings.name.text());
  std::ignore = co_await connection->respond(std::move(answer), "");
}

std::string list_json(const std::vector<AsyncStatus>& list) {
  std::string text = "[";
  for (const AsyncStatus& status : list) {
    if (text.size() > 1) text += ',';
    text += async_status_json(status);
  }
  return text + "]";
}

}  // namespace

asio::awaitable<void> serve_async(GatewayCore* core, ServerConnection* connection, RequestHead head,
                                  AsyncFunctionRoute route) {
  if (head.method == "POST") {
    co_await enqueue(core, connection, std::move(head), std::move(route));
  } else if (head.method == "GET") {
    auto status = co_await core->async->find(route.segment);
    if (!status) {
      co_await respond_error(connection, std::move(status).error());
    } else {
      co_await respond_json(connection, 200, async_status_json(*status));
    }
  } else if (head.method == "DELETE") {
    auto cancelled = co_await core->async->cancel(route.segment);
    if (!cancelled) {
      co_await respond_error(connection, std::move(cancelled).error());
    } else {
      co_await respond_text(connection, 202, "");
    }
  } else {
    co_await respond_wrong_method(connection, "POST, GET, DELETE");
  }
}

asio::awaitable<void> serve_async_calls(GatewayCore* core, ServerConnection* connection,
                                        RequestHead head, SystemAsyncRoute route) {
  if (!route.call_id.empty()) {
    if (head.method != "POST") {
      co_await respond_wrong_method(connection, "POST");
      co_return;
    }
    auto retried = co_await core->async->retry(route.call_id);
    if (!retried) {
      co_await respond_error(connection, std::move(retried).error());
    } else {
      co_await respond_text(connection, 202, "");
    }
    co_return;
  }
  if (head.method != "GET") {
    co_await respond_wrong_method(connection, "GET");
    co_return;
  }
  const std::string word = query_value(route.query, "state").value_or("failed");
  const auto state = parse_async_state(word);
  if (!state) {
    co_await respond_text(
        connection, 400,
        fmt::format("state: {} is not waiting, running, done, failed or cancelled\n",
                    in_quotes(word)));
    co_return;
  }
  std::string function;
  if (const auto given = query_value(route.query, "function"); given && !given->empty()) {
    auto name = FunctionName::parse(*given);
    if (!name) {
      co_await respond_error(connection, std::move(name).error());
      co_return;
    }
    function = name->full();
  }
  const auto limit = parse_unsigned(query_value(route.query, "limit").value_or(""));
  const int count =
      limit ? static_cast<int>(std::min<std::uint64_t>(*limit, listed_max)) : listed_default;
  auto list = co_await core->async->list(*state, function, count);
  if (!list) {
    co_await respond_error(connection, std::move(list).error());
    co_return;
  }
  co_await respond_json(connection, 200, list_json(*list));
}

}  // namespace dfaas
