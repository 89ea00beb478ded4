// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Talking to a gateway as faas-cli does, and to the local sockets of a node.
#pragma once

#include <string>

#include "core/base/result.hpp"
#include "live/net/http.hpp"

namespace dfaas {

/// Where the user port is and how to log in: -g/--gateway or OPENFAAS_URL, with user:password in it or in
/// a secrets directory.
struct GatewayAddress {
  Endpoint endpoint;
  std::string host;
  std::string user;
  std::string password;
};

/// "http://user:password@host:port". Errors: invalid_input naming the text.
Result<GatewayAddress> parse_gateway(const std::string& url);

/// One call. Errors: what the network says; denied for 401; else the answer, whatever its status.
Result<HttpReply> call_gateway(const GatewayAddress& gateway, const std::string& method,
                               const std::string& target, std::string body, Headers headers,
                               Millis patience);

/// GET on a local socket; the body of a 200. Errors: unavailable, saying that the node may not run.
Result<std::string> get_local(const std::string& directory, const std::string& socket,
                              const std::string& target);

}  // namespace dfaas
