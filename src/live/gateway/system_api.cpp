// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The OpenFaaS REST API on the user port: what core/openfaas reads and writes, done.
#include "live/gateway/system_api.hpp"

#include <sys/utsname.h>

#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/text.hpp"
#include "core/http/origin.hpp"
#include "core/openfaas/status.hpp"
#include "live/gateway/platform.hpp"
#include "live/pki/trust_bundle.hpp"
#include "live/runtime/sandbox_status.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

int status_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_input:
      return 400;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::denied:
      return 403;
    case ErrorCode::conflict:
      return 409;
    case ErrorCode::overloaded:
      return 413;
    case ErrorCode::unavailable:
    case ErrorCode::timed_out:
      return 500;
  }
  return 500;
}

FunctionStatus status_of(const GatewayCore& core, const DeployedFunction& function) {
  const ReplicaCounts counts = core.runner->counts(function.deployment.function);
  return {.deployment = function.deployment,
          .created_at = function.created_at,
          .invocation_count = core.metrics.invocations(function.deployment.function.full()),
          .replicas = counts.wanted,
          .available_replicas = available_replicas(core, function),
          .image_digest = function.image_digest(),
          .image_bytes = function.plan.image ? function.plan.image->bytes : 0};
}

/// Reads files, so calls have their turn after each function.
asio::awaitable<void> add_usage(GatewayCore* core, FunctionStatus* status) {
  status->usage = core->runner->usage(status->deployment.function);
  co_await asio::post(core->executor, asio::use_awaitable);
}

asio::awaitable<void> list_functions(GatewayCore* core, ServerConnection* connection,
                                     SystemFunctionsRoute route) {
  std::vector<FunctionStatus> statuses;
  for (const auto& [name, function] : core->functions) {
    const bool is_wanted = route.space.empty() || name.space() == route.space;
    if (is_wanted) statuses.push_back(status_of(*core, function));
  }
  if (route.wants_usage) {
    for (FunctionStatus& status : statuses) co_await add_usage(core, &status);
  }
  co_await respond_json(connection, 200, function_list_json(statuses));
}

/// A mistyped organisation must not be silently without effect. Only of new deployments: those in the
/// database start, whoever is trusted by now.
Result<void> check_share(const GatewayCore& core, const FunctionTraits& traits) {
  if (traits.share_with.empty()) return {};
  const auto bundle = TrustBundle::read(core.settings.authorities);
  if (!bundle) return tl::unexpected(bundle.error());
  for (const std::string& organisation : traits.share_with) {
    if (bundle->find(organisation) != nullptr) continue;
    std::vector<std::string> known;
    for (const TrustedAuthority& authority : bundle->authorities()) {
      known.push_back(authority.organisation);
    }
    return fail(ErrorCode::invalid_input,
                fmt::format("label dfaas.share: organisation {} is not trusted here: {} are",
                            in_quotes(organisation), fmt::join(known, ", ")));
  }
  return {};
}

/// Stores first: what the database refuses changes nothing.
asio::awaitable<void> deploy(GatewayCore* core, ServerConnection* connection, std::string text,
                             bool must_exist) {
  auto deployment = deployment_from_json(text);
  if (!deployment) {
    co_await respond_error(connection, std::move(deployment).error());
    co_return;
  }
  const FunctionName name = deployment->function;
  const auto is_missing = [core, &name, must_exist] {
    return must_exist && !core->functions.contains(name);
  };
  const std::string missing = fmt::format("no function {} to update\n", name.full());
  if (is_missing()) {
    co_await respond_text(connection, 404, missing);
    co_return;
  }
  const std::uint64_t change = core->next_change++;
  auto container = co_await fetch_container(core, *deployment);
  if (!container) {
    co_await respond_error(connection, std::move(container).error());
    co_return;
  }
  // Unpacking takes its time: other requests may have been served meanwhile.
  if (is_missing()) {
    co_await respond_text(connection, 404, missing);
    co_return;
  }
  const auto existing = core->functions.find(name);
  if (existing != core->functions.end() && existing->second.change > change) {
    co_await respond_text(connection, 409,
                          fmt::format("function {} was deployed anew meanwhile\n", name.full()));
    co_return;
  }
  const std::string created =
      existing == core->functions.end() ? rfc3339_now() : existing->second.created_at;
  const std::optional<int> replicas =
      existing == core->functions.end() ? std::nullopt : std::optional(existing->second.replicas);
  auto prepared = prepare(*core, std::move(*deployment), created, replicas, std::move(*container));
  if (!prepared) {
    co_await respond_error(connection, std::move(prepared).error());
    co_return;
  }
  if (auto shared = check_share(*core, prepared->traits); !shared) {
    co_await respond_error(connection, std::move(shared).error());
    co_return;
  }
  prepared->change = change;
  if (auto stored = core->store.put(prepared->deployment, created, prepared->image_digest());
      !stored) {
    co_await respond_error(connection, std::move(stored).error());
    co_return;
  }
  log_event(LogLevel::info, "function_deployed",
            {{"function", name.full()},
             {"slots", std::to_string(prepared->slots)},
             {"digest", prepared->digest}});
  core->put(std::move(*prepared));
  co_await respond_text(connection, 202, "");
}

asio::awaitable<void> remove(GatewayCore* core, ServerConnection* connection, std::string text) {
  auto name = deletion_from_json(text);
  if (!name) {
    co_await respond_error(connection, std::move(name).error());
    co_return;
  }
  if (!core->functions.contains(*name)) {
    co_await respond_text(connection, 404, fmt::format("no function {} to remove\n", name->full()));
    co_return;
  }
  if (auto removed = core->store.remove(*name); !removed) {
    co_await respond_error(connection, std::move(removed).error());
    co_return;
  }
  core->erase(*name);
  log_event(LogLevel::info, "function_removed", {{"function", name->full()}});
  co_await respond_text(connection, 202, "");
}

asio::awaitable<void> serve_functions(GatewayCore* core, ServerConnection* connection,
                                      RequestHead head, SystemFunctionsRoute route) {
  if (head.method == "GET") {
    co_await list_functions(core, connection, std::move(route));
    co_return;
  }
  if (head.method != "POST" && head.method != "PUT" && head.method != "DELETE") {
    co_await respond_wrong_method(connection, "GET, POST, PUT, DELETE");
    co_return;
  }
  auto body = co_await read_whole_body(connection, core->settings.system_body_bytes_max);
  if (!body) {
    co_await respond_error(connection, std::move(body).error());
    co_return;
  }
  if (head.method == "DELETE") {
    co_await remove(core, connection, std::move(*body));
  } else {
    co_await deploy(core, connection, std::move(*body), head.method == "PUT");
  }
}

asio::awaitable<void> describe(GatewayCore* core, ServerConnection* connection,
                               SystemFunctionRoute route) {
  const FunctionName& name = route.function;
  const auto found = core->functions.find(name);
  if (found == core->functions.end()) {
    co_await respond_text(connection, 404, fmt::format("no function {}\n", name.full()));
    co_return;
  }
  FunctionStatus status = status_of(*core, found->second);
  if (route.wants_usage) co_await add_usage(core, &status);
  co_await respond_json(connection, 200, function_status_json(status));
}

asio::awaitable<void> ask_for_credentials(ServerConnection* connection) {
  ResponseHead head{.status = 401};
  head.headers.add("WWW-Authenticate", "Basic realm=\"Restricted\"");
  head.headers.add("Content-Type", "text/plain");
  std::ignore = co_await connection->respond(std::move(head), "wrong or missing credentials\n");
}

/// As the kernel names it: "x86_64", "aarch64".
std::string machine_arch() {
  utsname names{};
  return ::uname(&names) == 0 ? std::string(names.machine) : std::string("unknown");
}

/// Behind the credentials.
asio::awaitable<void> serve_secured(GatewayCore* core, ServerConnection* connection,
                                    RequestHead head, Route route) {
  const bool is_ours = std::holds_alternative<SystemInfoRoute>(route) ||
                       std::holds_alternative<SystemAsyncRoute>(route) ||
                       std::holds_alternative<UiRoute>(route);
  if (core->platform && !is_ours) {
    co_await pass_to_platform(core, connection, std::move(head));
    co_return;
  }
  if (auto* functions = std::get_if<SystemFunctionsRoute>(&route)) {
    co_await serve_functions(core, connection, std::move(head), std::move(*functions));
  } else if (auto* function = std::get_if<SystemFunctionRoute>(&route)) {
    co_await describe(core, connection, std::move(*function));
  } else if (auto* scaled = std::get_if<SystemScaleRoute>(&route)) {
    co_await serve_scaling(core, connection, std::move(head), std::move(scaled->function));
  } else if (auto* secrets = std::get_if<SystemSecretsRoute>(&route)) {
    co_await serve_secrets(core, connection, std::move(head), std::move(secrets->space));
  } else if (auto* logs = std::get_if<SystemLogsRoute>(&route)) {
    co_await serve_logs(core, connection, std::move(head), std::move(logs->query));
  } else if (std::holds_alternative<SystemNamespacesRoute>(route)) {
    co_await serve_namespace_list(core, connection, std::move(head));
  } else if (auto* space = std::get_if<SystemNamespaceRoute>(&route)) {
    co_await serve_namespace(core, connection, std::move(head), std::move(space->name));
  } else if (std::holds_alternative<SystemAlertRoute>(route)) {
    co_await serve_alert(core, connection, std::move(head));
  } else if (auto* calls = std::get_if<SystemAsyncRoute>(&route)) {
    co_await serve_async_calls(core, connection, std::move(head), std::move(*calls));
  } else if (std::holds_alternative<SystemInfoRoute>(route)) {
    const InfoFacts facts{.version = core->settings.version,
                          .arch = machine_arch(),
                          .node = core->settings.name.text(),
                          .id = core->settings.self.text(),
                          .sandbox = core->runner ? sandbox_json(core->runner->sandbox()) : "",
                          .platform = platform_json(*core)};
    co_await respond_json(connection, 200, info_json(facts));
  } else if (auto* page = std::get_if<UiRoute>(&route)) {
    co_await serve_page(core, connection, std::move(head), std::move(page->path));
  } else {
    co_await respond_text(connection, 404, "not here\n");
  }
}

bool needs_credentials(const Route& route) {
  return !std::holds_alternative<UnknownRoute>(route) &&
         !std::holds_alternative<StoreRoute>(route) &&
         !std::holds_alternative<AsyncFunctionRoute>(route);
}

}  // namespace

asio::awaitable<void> respond_error(ServerConnection* connection, Error error) {
  co_await respond_text(connection, status_of(error), error.message + "\n");
}

asio::awaitable<void> respond_wrong_method(ServerConnection* connection, std::string allowed) {
  ResponseHead answer{.status = 405};
  answer.headers.add("Allow", allowed);
  answer.headers.add("Content-Type", "text/plain");
  std::ignore = co_await connection->respond(std::move(answer), "use " + allowed + "\n");
}

asio::awaitable<void> serve_system(GatewayCore* core, ServerConnection* connection,
                                   RequestHead head, Route route) {
  if (const auto* refused = std::get_if<RefusedRoute>(&route)) {
    co_await respond_text(connection, refused->status, refused->sentence + "\n");
    co_return;
  }
  if (std::holds_alternative<HealthzRoute>(route)) {
    co_await respond_health(core, connection);
    co_return;
  }
  if (std::holds_alternative<StoreRoute>(route)) {
    co_await respond_json(connection, 200, core->settings.store_catalogue);
    co_return;
  }
  if (!needs_credentials(route)) {
    co_await respond_text(connection, 404,
                          "no such path: see /function/NAME and /system/functions\n");
    co_return;
  }
  if (!is_authorized(head, core->settings.system_user, core->settings.system_password)) {
    co_await ask_for_credentials(connection);
    co_return;
  }
  const bool is_change = head.method != "GET" && head.method != "HEAD";
  if (is_change && is_from_other_site(head.headers)) {
    co_await respond_text(connection, 403,
                          "refused: a page of another site asks for this (header Origin)\n");
    co_return;
  }
  co_await serve_secured(core, connection, std::move(head), std::move(route));
}

}  // namespace dfaas
