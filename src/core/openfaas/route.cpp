// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/route.hpp"

#include <algorithm>
#include <optional>

#include "core/base/text.hpp"

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
  for (const std::string_view pair : split(query, '&')) {
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == key) {
      return std::string(pair.substr(equals + 1));
    }
  }
  return {};
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

Route parse_system_function(std::string_view name, std::string_view query) {
  const std::string space = value_of(query, "namespace");
  auto function = space.empty() ? FunctionName::parse(name) : FunctionName::parse(name, space);
  if (!function) return RefusedRoute{.status = 400, .sentence = function.error().message};
  return SystemFunctionRoute{.function = std::move(*function)};
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
  constexpr std::string_view system_function_prefix = "/system/function/";
  if (path.starts_with(function_prefix)) {
    return parse_function_call(path.substr(function_prefix.size()), query);
  }
  if (path == "/healthz") return HealthzRoute{};
  if (path == "/system/functions") {
    return SystemFunctionsRoute{.space = value_of(query, "namespace")};
  }
  if (path == "/system/info") return SystemInfoRoute{};
  if (path.starts_with(system_function_prefix)) {
    return parse_system_function(path.substr(system_function_prefix.size()), query);
  }
  return UnknownRoute{};
}

}  // namespace dfaas
