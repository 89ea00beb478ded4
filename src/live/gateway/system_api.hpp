// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The parts of /system, each in a source of its own. Callers have checked the credentials.
///
/// Internal to live/gateway.
#pragma once

#include <string>

#include "live/gateway/gateway_core.hpp"

namespace dfaas {

/// 4xx or 500 with the sentence of the error.
boost::asio::awaitable<void> respond_error(ServerConnection* connection, Error error);
/// 405 naming the methods that are allowed: "GET, POST".
boost::asio::awaitable<void> respond_wrong_method(ServerConnection* connection,
                                                  std::string allowed);

boost::asio::awaitable<void> serve_scaling(GatewayCore* core, ServerConnection* connection,
                                           RequestHead head, FunctionName function);
boost::asio::awaitable<void> serve_alert(GatewayCore* core, ServerConnection* connection,
                                         RequestHead head);
boost::asio::awaitable<void> serve_secrets(GatewayCore* core, ServerConnection* connection,
                                           RequestHead head, std::string space);
boost::asio::awaitable<void> serve_logs(GatewayCore* core, ServerConnection* connection,
                                        RequestHead head, std::string query);
boost::asio::awaitable<void> serve_namespace_list(GatewayCore* core, ServerConnection* connection,
                                                  RequestHead head);
boost::asio::awaitable<void> serve_namespace(GatewayCore* core, ServerConnection* connection,
                                             RequestHead head, std::string name);

/// /ui and what is below it; `path` is what follows "/ui".
boost::asio::awaitable<void> serve_page(GatewayCore* core, ServerConnection* connection,
                                        RequestHead head, std::string path);

boost::asio::awaitable<void> serve_async_calls(GatewayCore* core, ServerConnection* connection,
                                               RequestHead head, SystemAsyncRoute route);

}  // namespace dfaas
