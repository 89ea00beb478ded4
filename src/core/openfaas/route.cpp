// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/route.hpp"

#include <algorithm>
#include <optional>
#include <type_traits>

#include "core/base/text.hpp"
#include "core/http/query.hpp"

namespace dfaas {
namespace {

/// Why this path could be read in two ways, or nothing.
std::optional<std::string> ambiguity_of(std::string_view path) {
  if (!path.starts_with('/')) return "the target must be a path that starts with '/'";
  const auto is_odd = [](char letter) {
    const auto code = static_cast<unsigned char>(letter);
    return code <= 0x20 || code >= 0x7f || letter == '\\' || letter == '#';
  };
  if (std::ranges::any_of(path, is_odd)) {
    return "the path holds a blank, a control character, '\\', '#' or a byte beyond ASCII";
  }
  if (path.find("//") != std::string_view::npos) return "the path holds '//'";
  const std::string lower = to_lower(path);
  for (const std::string_view code : {"%2f", "%5c", "%00", "%2e"}) {
    if (lower.find(code) != std::string::npos) return "the path holds " + std::string(code);
  }
  for (const std::string_view segment : split(path, '/')) {
    if (segment == "." || segment == "..") return "the path holds '.' or '..'";
  }
  return std::nullopt;
}

std::string value_of(std::string_view query, std::string_view key) {
  return query_value(query, key).value_or("");
}

Route parse_function_call(std::string_view rest, std::string_view query) {
  const std::size_t slash = rest.find('/');
  auto function = FunctionName::parse(rest.substr(0, slash));
  if (!function) return RefusedRoute{.status = 400, .sentence = function.error().message};
  return FunctionCallRoute{
      .function = std::move(*function),
      .path = slash == std::string_view::npos ? std::string() : std::string(rest.substr(slash)),
      .query = std::string(query)};
}

/// Both words that a client's library may write.
bool wants_usage(std::string_view query) {
  const std::string value = value_of(query, "usage");
  return value == "1" || value == "true";
}

template <class FunctionRoute>
Route parse_system_function(std::string_view name, std::string_view query) {
  const std::string space = value_of(query, "namespace");
  // A client may give the namespace twice: in the name and in the query.
  auto function = FunctionName::parse(name);
  if (function && !space.empty()) function = FunctionName::parse(function->name(), space);
  if (!function) return RefusedRoute{.status = 400, .sentence = function.error().message};
  if constexpr (std::is_same_v<FunctionRoute, SystemFunctionRoute>) {
    return FunctionRoute{.function = std::move(*function), .wants_usage = wants_usage(query)};
  } else {
    return FunctionRoute{.function = std::move(*function)};
  }
}

Route parse_async(std::string_view rest, std::string_view query) {
  const std::size_t slash = rest.find('/');
  return AsyncFunctionRoute{
      .segment = std::string(rest.substr(0, slash)),
      .path = slash == std::string_view::npos ? std::string() : std::string(rest.substr(slash)),
      .query = std::string(query)};
}

/// Behind "/system/". Nothing where there is no such path.
std::optional<Route> parse_system(std::string_view rest, std::string_view query) {
  constexpr std::string_view function = "function/";
  constexpr std::string_view scale = "scale-function/";
  constexpr std::string_view space = "namespace/";
  constexpr std::string_view async_calls = "async-calls/";
  constexpr std::string_view retry = "/retry";
  if (rest == "functions") {
    return SystemFunctionsRoute{.space = value_of(query, "namespace"),
                                .wants_usage = wants_usage(query)};
  }
  if (rest == "info") return SystemInfoRoute{};
  if (rest == "secrets") return SystemSecretsRoute{.space = value_of(query, "namespace")};
  if (rest == "logs") return SystemLogsRoute{.query = std::string(query)};
  if (rest == "namespaces") return SystemNamespacesRoute{};
  if (rest == "namespace") return SystemNamespaceRoute{};
  if (rest == "alert") return SystemAlertRoute{};
  if (rest == "async-calls") return SystemAsyncRoute{.call_id = {}, .query = std::string(query)};
  if (rest.starts_with(function)) {
    return parse_system_function<SystemFunctionRoute>(rest.substr(function.size()), query);
  }
  if (rest.starts_with(scale)) {
    return parse_system_function<SystemScaleRoute>(rest.substr(scale.size()), query);
  }
  if (rest.starts_with(space)) {
    return SystemNamespaceRoute{.name = std::string(rest.substr(space.size()))};
  }
  if (rest.starts_with(async_calls) && rest.ends_with(retry) &&
      rest.size() > async_calls.size() + retry.size()) {
    rest.remove_prefix(async_calls.size());
    rest.remove_suffix(retry.size());
    return SystemAsyncRoute{.call_id = std::string(rest), .query = std::string(query)};
  }
  return std::nullopt;
}

}  // namespace

Route parse_route(std::string_view target) {
  const std::size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  if (auto why = ambiguity_of(path)) {
    return RefusedRoute{.status = 400, .sentence = "refused target: " + std::move(*why)};
  }
  constexpr std::string_view function_prefix = "/function/";
  constexpr std::string_view async_prefix = "/async-function/";
  constexpr std::string_view system_prefix = "/system/";
  constexpr std::string_view page = "/ui";
  constexpr std::string_view page_prefix = "/ui/";
  if (path.starts_with(function_prefix)) {
    return parse_function_call(path.substr(function_prefix.size()), query);
  }
  if (path.starts_with(async_prefix)) return parse_async(path.substr(async_prefix.size()), query);
  if (path == "/healthz") return HealthzRoute{};
  if (path == "/store.json") return StoreRoute{};
  if (path == page || path.starts_with(page_prefix)) {
    return UiRoute{.path = std::string(path.substr(page.size()))};
  }
  if (path.starts_with(system_prefix)) {
    if (auto route = parse_system(path.substr(system_prefix.size()), query)) {
      return std::move(*route);
    }
  }
  return UnknownRoute{};
}

}  // namespace dfaas
