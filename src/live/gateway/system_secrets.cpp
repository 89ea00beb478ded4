// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// /system/secrets. Never answers 204: faas-cli takes it for a failure.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "live/gateway/system_api.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

/// A function that was deployed with the secret; nothing if there is none.
const FunctionName* user_of(const GatewayCore& core, const SecretName& secret) {
  for (const auto& [name, function] : core.functions) {
    const auto& secrets = function.deployment.secrets;
    const bool uses = name.space() == secret.space() &&
                      std::ranges::find(secrets, secret.name()) != secrets.end();
    if (uses) return &name;
  }
  return nullptr;
}

/// A sandbox has copies: those of the functions that use the secret are made anew.
void renew_users_of(GatewayCore* core, const SecretName& secret) {
  for (const auto& [name, function] : core->functions) {
    const auto& used = function.deployment.secrets;
    const bool uses = std::find(used.begin(), used.end(), secret.name()) != used.end();
    if (uses && name.space() == secret.space()) core->runner->renew(name);
  }
}

Result<void> change(GatewayCore* core, const std::string& method, const SecretRequest& request) {
  if (method == "DELETE") {
    if (const FunctionName* user = user_of(*core, request.secret)) {
      return fail(ErrorCode::conflict, fmt::format("secret {} is used by function {}",
                                                   request.secret.name(), user->full()));
    }
    return core->secrets.remove(request.secret);
  }
  if (!request.value) {
    return fail(ErrorCode::invalid_input, "secret: value: is missing (or rawValue, in base64)");
  }
  if (method == "POST") return core->secrets.create(request.secret, *request.value);
  if (auto updated = core->secrets.update(request.secret, *request.value); !updated) return updated;
  renew_users_of(core, request.secret);
  return {};
}

}  // namespace

asio::awaitable<void> serve_secrets(GatewayCore* core, ServerConnection* connection,
                                    RequestHead head, std::string space) {
  if (head.method == "GET") {
    co_await respond_json(connection, 200, secret_list_json(core->secrets.list(space)));
    co_return;
  }
  if (head.method != "POST" && head.method != "PUT" && head.method != "DELETE") {
    co_await respond_wrong_method(connection, "GET, POST, PUT, DELETE");
    co_return;
  }
  const std::uint64_t bytes_max = core->settings.system_body_bytes_max;
  auto body = co_await read_whole_body(connection, bytes_max);
  auto request = body ? secret_request_from_json(*body, bytes_max)
                      : Result<SecretRequest>(pass_on(std::move(body)));
  auto changed =
      request ? change(core, head.method, *request) : Result<void>(tl::unexpected(request.error()));
  if (!changed) {
    co_await respond_error(connection, std::move(changed).error());
    co_return;
  }
  log_event(LogLevel::info, "secret_changed",
            {{"secret", request->secret.name()},
             {"namespace", request->secret.space()},
             {"method", head.method}});
  const int status = head.method == "POST" ? 201 : 202;
  co_await respond_text(connection, status, "");
}

}  // namespace dfaas
