// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file What a raw request target asks for. Targets are never normalised: an ambiguous one is
/// refused, so that no two programs on the way can read it differently.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "core/base/names.hpp"

namespace dfaas {

/// /function/{name}[.namespace][/path][?query]
struct FunctionCallRoute {
  FunctionName function;
  std::string path;   ///< Behind the name, with its leading '/'; may be empty.
  std::string query;  ///< Without the '?'.
};
struct SystemFunctionsRoute {
  std::string space;  ///< ?namespace=, empty for all.
};
struct SystemFunctionRoute {
  FunctionName function;
};
struct SystemInfoRoute {};
struct HealthzRoute {};
struct UnknownRoute {};
struct RefusedRoute {
  int status = 400;
  std::string sentence;
};

using Route = std::variant<UnknownRoute, RefusedRoute, FunctionCallRoute, SystemFunctionsRoute,
                           SystemFunctionRoute, SystemInfoRoute, HealthzRoute>;

/// Never fails; any bytes are fine.
Route parse_route(std::string_view target);

}  // namespace dfaas
