// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Talking to a gateway as faas-cli does, and to the local sockets of a node.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"
#include "live/net/http.hpp"

namespace dfaas {

/// Where the user port is and how to log in: -g/--gateway or OPENFAAS_URL, with user:password in it or in
/// a secrets directory.
struct GatewayAddress {
  Endpoint endpoint;
  std::string host;
  std::string user;
  std::string password;
  bool is_secure = false;  ///< https.
};

/// "http://user:password@host:port", or https. Errors: invalid_input naming the text.
Result<GatewayAddress> parse_gateway(const std::string& url);

/// One call. Errors: what the network says; denied for 401; else the answer, whatever its status.
Result<HttpReply> call_gateway(const GatewayAddress& gateway, const std::string& method,
                               const std::string& target, std::string body, Headers headers,
                               Millis patience);

/// A call on a local socket of the node in `directory`; the body of a 200. Errors: unavailable, saying that the
/// node may not run; else what it answered.
Result<std::string> call_local(const std::string& directory, const std::string& socket,
                               const std::string& method, const std::string& target,
                               const std::string& body);
Result<std::string> get_local(const std::string& directory, const std::string& socket,
                              const std::string& target);

/// Where a deployment goes.
struct DeployTargets {
  std::string gateway;    ///< --gateway
  std::string directory;  ///< --dir
  std::string nodes;      ///< --nodes: "all" or names; then the two above are not used.
  std::string nodes_file = "nodes.txt";
  std::string otherwise;  ///< Instead of http://127.0.0.1:8080.
};
void add_target_options(CLI::App& command, DeployTargets& targets);

/// --gateway, else the node in --dir, else OPENFAAS_URL, else `otherwise`, else http://127.0.0.1:8080.
/// Credentials come with the address, else from --dir.
Result<GatewayAddress> choose_gateway(const std::string& gateway, const std::string& directory,
                                      const std::string& otherwise);

/// Creates or changes the function at every target, and says so for each. Errors: the last one, after all
/// were tried.
Result<void> deploy_everywhere(const DeployTargets& targets, const FunctionDeployment& deployment);

/// NAME=VALUE each. Errors: invalid_input naming the option and the text.
Result<std::map<std::string, std::string>> parse_pairs(const std::vector<std::string>& texts,
                                                       std::string_view option);

}  // namespace dfaas
