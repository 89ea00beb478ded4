// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The nodes that an operator deploys to at once: `--nodes all|NAME,...`.
///
/// Input  A file with one node a line: NAME and either http://USER:PASSWORD@HOST:PORT or the directory of a
///        node on this machine, whose address and credentials are read there. '#' starts a comment. A name
///        that is not in the file may be such a directory itself.
#pragma once

#include <string>
#include <vector>

#include "apps/dfaas/client.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct NamedGateway {
  std::string name;
  GatewayAddress address;
};

/// `chosen` is "all" or names with commas between. Errors: not_found or invalid_input, naming the node, the
/// file and its line.
Result<std::vector<NamedGateway>> choose_nodes(const std::string& chosen, const std::string& file);

/// Address (user.bind) and credentials of the node in this directory. Errors: not_found, invalid_input.
Result<GatewayAddress> gateway_of_directory(const std::string& directory);

}  // namespace dfaas
