// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// /system/namespaces and /system/namespace/{name}. A namespace exists when it was made, or while a function
/// is in it; the default one always does.
#include <set>
#include <utility>

#include <fmt/format.h>

#include "live/gateway/system_api.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

std::set<std::string> all_namespaces(const GatewayCore& core) {
  std::set<std::string> names{std::string(FunctionName::default_space)};
  for (const auto& [name, space] : core.namespaces) names.insert(name);
  for (const auto& [name, function] : core.functions) names.insert(name.space());
  return names;
}

tl::unexpected<Error> unknown(const std::string& name) {
  return fail(ErrorCode::not_found, fmt::format("no namespace {}", name));
}

Result<void> check_unused(const GatewayCore& core, const std::string& name) {
  if (name == FunctionName::default_space) {
    return fail(ErrorCode::invalid_input, fmt::format("{} is the default namespace", name));
  }
  for (const auto& [function, deployed] : core.functions) {
    if (function.space() == name) {
      return fail(ErrorCode::conflict,
                  fmt::format("namespace {} holds function {}", name, function.name()));
    }
  }
  if (!core.secrets.list(name).empty()) {
    return fail(ErrorCode::conflict, fmt::format("namespace {} holds secrets", name));
  }
  return {};
}

/// The status to answer.
Result<int> change(GatewayCore* core, const std::string& method, const Namespace& space) {
  const bool exists = all_namespaces(*core).contains(space.name);
  if (method == "POST" && exists) {
    return fail(ErrorCode::conflict, fmt::format("namespace {} exists", space.name));
  }
  if (method != "POST" && !exists) return unknown(space.name);
  if (method == "DELETE") {
    if (auto unused = check_unused(*core, space.name); !unused) return pass_on(std::move(unused));
    if (auto removed = core->store.remove_namespace(space.name); !removed) {
      return pass_on(std::move(removed));
    }
    core->namespaces.erase(space.name);
    return 202;
  }
  if (auto stored = core->store.put_namespace(space); !stored) return pass_on(std::move(stored));
  core->namespaces.insert_or_assign(space.name, space);
  return method == "POST" ? 201 : 202;
}

}  // namespace

asio::awaitable<void> serve_namespace_list(GatewayCore* core, ServerConnection* connection,
                                           RequestHead head) {
  if (head.method != "GET") {
    co_await respond_wrong_method(connection, "GET");
    co_return;
  }
  const auto names = all_namespaces(*core);
  const std::vector<std::string> list(names.begin(), names.end());
  co_await respond_json(connection, 200, namespace_list_json(list));
}

asio::awaitable<void> serve_namespace(GatewayCore* core, ServerConnection* connection,
                                      RequestHead head, std::string name) {
  if (head.method == "GET") {
    if (!all_namespaces(*core).contains(name)) {
      co_await respond_text(connection, 404, fmt::format("no namespace {}\n", name));
      co_return;
    }
    const auto made = core->namespaces.find(name);
    const Namespace plain{.name = name};
    co_await respond_json(connection, 200,
                          namespace_json(made == core->namespaces.end() ? plain : made->second));
    co_return;
  }
  if (head.method != "POST" && head.method != "PUT" && head.method != "DELETE") {
    co_await respond_wrong_method(connection, "GET, POST, PUT, DELETE");
    co_return;
  }
  auto body = co_await read_whole_body(connection, core->settings.system_body_bytes_max);
  auto space = body ? namespace_from_json(*body) : Result<Namespace>(pass_on(std::move(body)));
  // faas-cli creates by the name in the body alone, and removes by both.
  if (space && !name.empty() && space->name != name) {
    space = fail(ErrorCode::invalid_input, fmt::format("namespace: name: {} is not {}, as the path "
                                                       "says",
                                                       space->name, name));
  }
  auto status =
      space ? change(core, head.method, *space) : Result<int>(tl::unexpected(space.error()));
  if (!status) {
    co_await respond_error(connection, std::move(status).error());
    co_return;
  }
  log_event(LogLevel::info, "namespace_changed",
            {{"namespace", space->name}, {"method", head.method}});
  co_await respond_text(connection, *status, "");
}

}  // namespace dfaas
