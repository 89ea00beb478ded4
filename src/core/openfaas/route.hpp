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
  std::string space;         ///< ?namespace=, empty for all.
  bool wants_usage = false;  ///< ?usage=1
};
struct SystemFunctionRoute {
  FunctionName function;
  bool wants_usage = false;  ///< ?usage=1
};
struct SystemInfoRoute {};
/// /system/scale-function/{name}[?namespace=]
struct SystemScaleRoute {
  FunctionName function;
};
/// /system/secrets[?namespace=]
struct SystemSecretsRoute {
  std::string space;
};
/// /system/logs?name=...
struct SystemLogsRoute {
  std::string query;
};
struct SystemNamespacesRoute {};
/// /system/namespace/{name}; the name is empty for /system/namespace and /system/namespace/.
struct SystemNamespaceRoute {
  std::string name;
};
struct SystemAlertRoute {};
/// /system/async-calls[?query] and /system/async-calls/{call id}/retry
struct SystemAsyncRoute {
  std::string call_id;  ///< Empty for the list.
  std::string query;
};
/// /async-function/{segment}[/path][?query]: a function to POST to, or the id of a queued call.
struct AsyncFunctionRoute {
  std::string segment;
  std::string path;
  std::string query;
};
struct StoreRoute {};  ///< /store.json
/// /ui and what is below it.
struct UiRoute {
  std::string path;  ///< Behind "/ui", with its leading '/'; empty for /ui itself.
};
struct HealthzRoute {};
struct UnknownRoute {};
struct RefusedRoute {
  int status = 400;
  std::string sentence;
};

using Route =
    std::variant<UnknownRoute, RefusedRoute, FunctionCallRoute, SystemFunctionsRoute,
                 SystemFunctionRoute, SystemInfoRoute, SystemScaleRoute, SystemSecretsRoute,
                 SystemLogsRoute, SystemNamespacesRoute, SystemNamespaceRoute, SystemAlertRoute,
                 SystemAsyncRoute, AsyncFunctionRoute, StoreRoute, UiRoute, HealthzRoute>;

/// Never fails; any bytes are fine.
Route parse_route(std::string_view target);

}  // namespace dfaas
