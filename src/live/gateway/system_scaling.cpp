// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// POST /system/scale-function/{name} and POST /system/alert.
#include <utility>

#include <fmt/format.h>

#include "live/gateway/system_api.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

/// Checks and does it; what is refused changes nothing.
Result<void> scale(GatewayCore* core, const FunctionName& function, int wanted,
                   std::string_view cause) {
  const auto found = core->functions.find(function);
  if (found == core->functions.end()) {
    return fail(ErrorCode::not_found, fmt::format("no function {}", function.full()));
  }
  const auto accepted = accept_replicas(found->second.scaling, wanted, core->settings.replicas_max);
  if (!accepted) return tl::unexpected(accepted.error());
  if (*accepted == found->second.replicas) return {};
  if (auto scaled = core->scale(function, *accepted); !scaled) return scaled;
  log_event(
      LogLevel::info, "function_scaled",
      {{"function", function.full()}, {"replicas", std::to_string(*accepted)}, {"cause", cause}});
  return {};
}

Result<void> apply_alerts(GatewayCore* core, const std::vector<Alert>& alerts) {
  for (const Alert& alert : alerts) {
    if (!core->functions.contains(alert.function)) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("alert: no function {}", alert.function.full()));
    }
  }
  for (const Alert& alert : alerts) {
    const DeployedFunction& function = core->functions.at(alert.function);
    const int wanted = replicas_after_alert(function.scaling, function.replicas, alert.firing,
                                            core->settings.replicas_max);
    if (auto scaled = scale(core, alert.function, wanted, "alert"); !scaled) return scaled;
  }
  return {};
}

}  // namespace

asio::awaitable<void> serve_scaling(GatewayCore* core, ServerConnection* connection,
                                    RequestHead head, FunctionName function) {
  if (head.method != "POST") {
    co_await respond_wrong_method(connection, "POST");
    co_return;
  }
  auto body = co_await read_whole_body(connection, core->settings.system_body_bytes_max);
  auto request =
      body ? scale_request_from_json(*body) : Result<ScaleRequest>(pass_on(std::move(body)));
  if (!request) {
    co_await respond_error(connection, std::move(request).error());
    co_return;
  }
  // The namespace may come with the path, with the query or with the body.
  if (!request->space.empty()) {
    auto named = FunctionName::parse(function.name(), request->space);
    if (!named) {
      co_await respond_error(connection, std::move(named).error());
      co_return;
    }
    function = std::move(*named);
  }
  auto scaled = scale(core, function, request->replicas, "request");
  if (!scaled) {
    co_await respond_error(connection, std::move(scaled).error());
    co_return;
  }
  co_await respond_text(connection, 202, "");
}

asio::awaitable<void> serve_alert(GatewayCore* core, ServerConnection* connection,
                                  RequestHead head) {
  if (head.method != "POST") {
    co_await respond_wrong_method(connection, "POST");
    co_return;
  }
  auto body = co_await read_whole_body(connection, core->settings.system_body_bytes_max);
  auto alerts =
      body ? alerts_from_json(*body) : Result<std::vector<Alert>>(pass_on(std::move(body)));
  auto applied = alerts ? apply_alerts(core, *alerts) : Result<void>(pass_on(std::move(alerts)));
  if (!applied) {
    co_await respond_error(connection, std::move(applied).error());
    co_return;
  }
  co_await respond_text(connection, 200, "");
}

}  // namespace dfaas
