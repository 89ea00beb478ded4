// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The local sockets: status and metrics for operators, plans and counters for the agent.
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/http/query.hpp"
#include "live/files/files.hpp"
#include "live/gateway/gateway_core.hpp"
#include "live/gateway/platform.hpp"
#include "live/pki/pki.hpp"
#include "live/runtime/sandbox_status.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr std::uint64_t plan_bytes_max = 16ULL << 20U;
constexpr std::size_t certificate_bytes_max = 1U << 20U;

/// "a/b?c=d" as path and the value of `key` in the query.
std::pair<std::string_view, std::string_view> path_and_value(std::string_view target,
                                                             std::string_view key) {
  const std::size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  if (mark == std::string_view::npos) return {path, {}};
  for (const std::string_view pair : split(target.substr(mark + 1), '&')) {
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == key) {
      return {path, pair.substr(equals + 1)};
    }
  }
  return {path, {}};
}

/// Read anew each time: the agent renews it.
Result<Certificate> own_certificate(const GatewayCore& core) {
  const auto text = read_file(core.settings.certificate, certificate_bytes_max);
  if (!text) return tl::unexpected(text.error());
  return inspect_certificate(*text);
}

std::string status_json(const GatewayCore& core) {
  const auto certificate = own_certificate(core);
  const GatewayObservation seen = core.dispatcher.observe(now());
  nlohmann::json functions = nlohmann::json::array();
  for (const FunctionObservation& function : seen.functions) {
    functions.push_back({{"name", function.function.full()},
                         {"deployed", function.deployed},
                         {"slots", function.slots},
                         {"in_flight", function.in_flight},
                         {"queued", function.queued},
                         {"service_ms", to_millis(function.service_time)},
                         {"user_arrivals", function.user_arrivals},
                         {"guest_arrivals", function.guest_arrivals}});
  }
  nlohmann::json status{{"node", core.settings.name.text()},
                        {"id", core.settings.self.text()},
                        {"version", core.settings.version},
                        {"healthy", core.is_healthy()},
                        {"strategy", seen.plan_strategy},
                        {"plan_version", seen.plan_version},
                        {"platform", nlohmann::json::parse(platform_json(core))},
                        {"certificate_until", certificate ? certificate->not_after : "unknown"},
                        {"membership", nullptr},
                        {"functions", functions}};
  if (core.membership) {
    status["membership"] = nlohmann::json::parse(membership_summary_to_json(*core.membership));
  }
  if (core.runner) {
    status["sandbox"] = nlohmann::json::parse(sandbox_json(core.runner->sandbox()));
  }
  return status.dump();
}

std::string decisions_json(const std::vector<DecisionRecord>& records) {
  std::string text = "[";
  for (const DecisionRecord& record : records) {
    if (text.size() > 1) text += ',';
    text += decision_json(record);
  }
  return text + "]";
}

/// The observation: at once if the caller has not seen the newest functions, else when they change or it has waited
/// long enough. ?boot=...&after=VERSION&wait_ms=...
asio::awaitable<void> serve_observation(GatewayCore* core, ServerConnection* connection,
                                        std::string query) {
  constexpr std::uint64_t wait_ms_max = 60'000;
  const auto after = parse_unsigned(query_value(query, "after").value_or(""));
  const auto wait = parse_unsigned(query_value(query, "wait_ms").value_or(""));
  const bool is_seen =
      after == core->version && query_value(query, "boot").value_or("") == core->boot;
  if (is_seen && wait && !core->draining) {
    const auto timer =
        std::make_shared<asio::steady_timer>(core->executor, Millis{std::min(*wait, wait_ms_max)});
    core->watchers.push_back(timer);
    connection->watch_hangup([timer] { timer->cancel(); });
    std::ignore = co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
    connection->stop_watching();
    std::erase(core->watchers, timer);
  }
  co_await respond_json(connection, 200, observation_to_json(core->observe()));
}

std::vector<GatewayMetrics::Ejected> ejected_of(const GatewayCore& core) {
  std::vector<GatewayMetrics::Ejected> result;
  const GatewayObservation seen = core.dispatcher.observe(now());
  for (const FunctionObservation& function : seen.functions) {
    for (const PeerCounters& peer : function.peers) {
      if (peer.ejections == 0) continue;
      result.push_back({.function = function.function.full(),
                        .peer = core.name_of(peer.id),
                        .why = peer.ejected,
                        .times = peer.ejections});
    }
  }
  return result;
}

asio::awaitable<void> install_plan(GatewayCore* core, ServerConnection* connection) {
  auto body = co_await read_whole_body(connection, plan_bytes_max);
  auto plan = body ? plan_from_json(*body) : Result<RoutingPlan>(pass_on(std::move(body)));
  if (!plan) {
    co_await respond_text(connection, 400, plan.error().message + "\n");
    co_return;
  }
  core->dispatcher.install(*plan, now());
  // Calls at a neighbour that is gone: end their wait, their coroutines decide what next.
  for (const RequestId id : core->dispatcher.requests_at_lost_peers()) {
    if (const auto found = core->calls.find(id); found != core->calls.end()) {
      found->second->peer_lost = true;
      found->second->interrupt();
    }
  }
  core->pump();
  co_await respond_text(connection, 200, "");
}

/// What became of the agent's questions to its model: kept here, so that one scrape shows everything.
asio::awaitable<void> take_model_counters(GatewayCore* core, ServerConnection* connection) {
  constexpr std::uint64_t counters_bytes_max = 4096;
  const auto body = co_await read_whole_body(connection, counters_bytes_max);
  const auto counters = body ? model_counters_from_json(*body)
                             : Result<ModelCounters>(fail(body.error().code, body.error().message));
  if (!counters) {
    co_await respond_text(connection, 400, counters.error().message + "\n");
    co_return;
  }
  core->metrics.set_model(*counters);
  co_await respond_text(connection, 200, "");
}

/// Whom the agent knows, for the same reason.
asio::awaitable<void> take_membership(GatewayCore* core, ServerConnection* connection) {
  constexpr std::uint64_t summary_bytes_max = 4096;
  auto body = co_await read_whole_body(connection, summary_bytes_max);
  auto summary = body ? membership_summary_from_json(*body)
                      : Result<MembershipSummary>(pass_on(std::move(body)));
  if (!summary) {
    co_await respond_text(connection, 400, summary.error().message + "\n");
    co_return;
  }
  core->metrics.set_membership(*summary);
  core->membership = std::move(*summary);
  co_await respond_text(connection, 200, "");
}

}  // namespace

asio::awaitable<void> serve_admin(GatewayCore* core, ServerConnection* connection,
                                  RequestHead head) {
  const auto [path, call_id] = path_and_value(head.target, "call_id");
  if (head.method != "GET") {
    co_await respond_text(connection, 405, "this port only answers GET\n");
  } else if (path == "/metrics") {
    core->metrics.set_async(core->async->counters());
    if (const Platform* platform = core->platform.get()) {
      core->metrics.set_platform({.is_ready = platform->can_run(),
                                  .readings = platform->readings,
                                  .failures = platform->failures,
                                  .refused_connections = platform->refused_connections});
    }
    core->metrics.set_ejected(ejected_of(*core));
    if (const auto certificate = own_certificate(*core)) {
      core->metrics.set_certificate_end(certificate->valid_until);
    }
    ResponseHead answer{.status = 200};
    answer.headers.add("Content-Type", "text/plain; version=0.0.4");
    std::ignore = co_await connection->respond(std::move(answer), core->metrics.text());
  } else if (path == "/healthz") {
    co_await respond_health(core, connection);
  } else if (path == "/dfaas/v1/status") {
    co_await respond_json(connection, 200, status_json(*core));
  } else if (path == "/dfaas/v1/decisions") {
    constexpr std::size_t shown_max = 100;
    co_await respond_json(connection, 200,
                          decisions_json(core->decisions.find(call_id, shown_max)));
  } else {
    co_await respond_text(connection, 404,
                          "here are /metrics, /healthz, /dfaas/v1/status, /dfaas/v1/decisions\n");
  }
}

asio::awaitable<void> serve_control(GatewayCore* core, ServerConnection* connection,
                                    RequestHead head) {
  const std::size_t mark = std::min(head.target.find('?'), head.target.size());
  if (head.method == "GET" && head.target.substr(0, mark) == "/v1/observation") {
    std::string query = head.target.substr(std::min(mark + 1, head.target.size()));
    co_await serve_observation(core, connection, std::move(query));
  } else if (head.method == "GET" && head.target == "/v1/plan") {
    co_await respond_json(connection, 200, plan_to_json(core->dispatcher.plan()));
  } else if (head.method == "PUT" && head.target == "/v1/plan") {
    co_await install_plan(core, connection);
  } else if (head.method == "PUT" && head.target == "/v1/model") {
    co_await take_model_counters(core, connection);
  } else if (head.method == "PUT" && head.target == "/v1/membership") {
    co_await take_membership(core, connection);
  } else if (head.method == "GET" && head.target == "/v1/recording") {
    co_await serve_recording(core, connection);
  } else if (head.method == "POST" && head.target == "/v1/drain") {
    core->dispatcher.drain();
    co_await respond_text(connection, 200, "");
  } else {
    co_await respond_text(connection, 404,
                          "here are GET /v1/observation, GET and PUT /v1/plan, PUT /v1/model, PUT "
                          "/v1/membership, GET /v1/recording, POST /v1/drain\n");
  }
}

}  // namespace dfaas
