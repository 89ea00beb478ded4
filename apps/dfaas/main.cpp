// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas: one binary, a table of subcommands.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>

#include "apps/dfaas/commands.hpp"
#include "core/base/text.hpp"

namespace dfaas {

void report_failure(ExitStatus& status, const Error& error) {
  std::fprintf(stderr, "dfaas: %s\n", error.message.c_str());
  status.code = error.code == ErrorCode::invalid_input ? 2 : 1;
}

void add_node_options(CLI::App& command, NodeOptions& options) {
  command.add_option("--dir", options.directory, "Directory of the node")->capture_default_str();
  command.add_option("--set", options.overrides, "A setting, as NAME=VALUE; may be repeated")
      ->allow_extra_args(false);
}

void add_output_option(CLI::App& command, std::string& format) {
  command.add_option("-o,--output", format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

std::string own_binary() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string("/usr/bin/dfaas") : path.string();
}

std::string launcher_binary() {
  const std::filesystem::path directory = std::filesystem::path(own_binary()).parent_path();
  const std::filesystem::path beside = directory / "dfaas-launcher";
  std::error_code error;
  if (std::filesystem::exists(beside, error)) return beside.string();
  return (directory.parent_path() / "lib/dfaas/dfaas-launcher").string();
}

std::string find_on_path(std::string_view program) {
  const char* path = std::getenv("PATH");  // NOLINT: before any thread of ours.
  for (const std::string_view directory : split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    if (!directory.starts_with('/')) continue;
    const std::string place = std::string(directory) + "/" + std::string(program);
    if (::access(place.c_str(), X_OK) == 0) return place;
  }
  return {};
}

namespace {

using AddCommand = void (*)(CLI::App& root, ExitStatus& status);

/// In the order in which `dfaas --help` shows them.
constexpr AddCommand commands[] = {
    add_demo_command,       add_author_commands, add_client_commands, add_load_command,
    add_node_command,       add_peers_command,   add_status_command,  add_why_command,
    add_strategy_command,   add_sim_command,     add_config_command,  add_federation_commands,
    add_doctor_command,     add_pki_command,     add_gossip_commands, add_version_command,
    add_completion_command, add_gateway_command, add_agent_command,
};

}  // namespace
}  // namespace dfaas

int main(int count, char** arguments) {
  CLI::App root{
      "dfaas: functions on a federation of small nodes, where each overflow finds a neighbour with "
      "room"};
  root.name("dfaas");
  root.require_subcommand(1);
  root.footer("Example: dfaas demo");
  dfaas::ExitStatus status;
  for (const auto add : dfaas::commands) add(root, status);
  try {
    root.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    return root.exit(error) == 0 ? 0 : 2;
  }
  return status.code;
}
