// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/nodes.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "apps/dfaas/settings_loader.hpp"
#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;

bool is_node_directory(const fs::path& path) {
  std::error_code ignored;  // What cannot be looked at is no node of ours.
  return fs::is_regular_file(NodeDirectory(path).settings(), ignored);
}

/// Passwords may be in it.
void warn_if_readable_by_others(const std::string& file) {
  struct stat facts{};
  if (::stat(file.c_str(), &facts) != 0 || (facts.st_mode & 0077U) == 0) return;
  fmt::print(stderr, "dfaas: {} can be read by others: chmod 600 {}\n", file, file);
}

Result<GatewayAddress> address_of(const std::string& where, const fs::path& base) {
  if (where.starts_with("http://") || where.starts_with("https://")) return parse_gateway(where);
  return gateway_of_directory((base / where).string());
}

using Nodes = std::map<std::string, std::string>;  ///< Name, and where it is.

Result<Nodes> read_nodes(const std::string& file) {
  auto text = read_file(file, 1U << 20U);
  if (!text) return pass_on(std::move(text));
  Nodes nodes;
  std::size_t number = 0;
  for (std::string_view line : split(*text, '\n')) {
    ++number;
    line = trim(line.substr(0, line.find('#')));
    if (line.ends_with('\r')) line = trim(line.substr(0, line.size() - 1));
    if (line.empty()) continue;
    const std::size_t blank = line.find_first_of(" \t");
    if (blank == std::string_view::npos) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} line {}: is not NAME and an address or directory", file, number));
    }
    auto name = NodeName::parse(line.substr(0, blank));
    if (!name) {
      return tl::unexpected(
          std::move(name).error().within(fmt::format("{} line {}", file, number)));
    }
    const bool is_new = nodes.emplace(name->text(), trim(line.substr(blank))).second;
    if (!is_new) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} line {}: {} is there twice", file, number, name->text()));
    }
  }
  return nodes;
}

}  // namespace

Result<GatewayAddress> gateway_of_directory(const std::string& directory) {
  const NodeDirectory node{fs::path(directory)};
  if (!is_node_directory(directory)) {
    return fail(ErrorCode::not_found, fmt::format("no node in {}", directory));
  }
  auto settings = load_settings(node, {});
  if (!settings) return pass_on(std::move(settings));
  std::string bind = settings->text("user.bind");
  for (const std::string_view any : {"0.0.0.0:", "*:", "[::]:"}) {
    if (bind.starts_with(any)) bind = "127.0.0.1:" + bind.substr(any.size());
  }
  auto address = parse_gateway("http://" + bind);
  if (!address) return address;
  // The name in the node's certificate is not that of this machine: past the front door, then.
  if (!settings->text("user.certificate").empty()) {
    address->endpoint = Endpoint::unix_socket(node.gateway_user_socket().string());
  }
  auto user = read_file(node.user_file(), 1024);
  if (!user) return pass_on(std::move(user));
  auto password = read_file(node.password_file(), 1024);
  if (!password) return pass_on(std::move(password));
  address->user = std::string(trim(split(*user, '\n').front()));
  address->password = std::string(trim(split(*password, '\n').front()));
  return address;
}

Result<std::vector<NamedGateway>> choose_nodes(const std::string& chosen, const std::string& file) {
  std::error_code ignored;
  const bool has_file = fs::exists(file, ignored);
  Nodes known;
  if (has_file || chosen == "all") {
    auto nodes = read_nodes(file);
    if (!nodes) return pass_on(std::move(nodes));
    known = std::move(*nodes);
    warn_if_readable_by_others(file);
  }
  std::vector<std::string> names;
  if (chosen == "all") {
    for (const auto& [name, where] : known) names.push_back(name);
  } else {
    for (const std::string_view name : split(chosen, ',')) names.emplace_back(trim(name));
  }
  if (names.empty()) {
    return fail(ErrorCode::invalid_input, fmt::format("{} names no node", file));
  }
  std::vector<NamedGateway> gateways;
  for (const std::string& name : names) {
    const auto found = known.find(name);
    if (found == known.end() && !is_node_directory(name)) {
      return fail(
          ErrorCode::not_found,
          fmt::format("node {} is neither in {} nor a directory of a node", in_quotes(name), file));
    }
    auto address = found == known.end() ? gateway_of_directory(name)
                                        : address_of(found->second, fs::path(file).parent_path());
    if (!address) return tl::unexpected(std::move(address).error().within("node " + name));
    gateways.push_back({name, std::move(*address)});
  }
  return gateways;
}

}  // namespace dfaas
