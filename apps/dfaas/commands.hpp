// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The subcommands of the one binary: each file adds its own to the parser, main.cpp lists them.
///
/// Rule  Results to stdout, talk to stderr; exit 0 done, 1 failed, 2 misused. Every command has help that
///       fits a screen and ends with an example.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/base/result.hpp"

namespace dfaas {

/// What a command's callback leaves behind: main() exits with it.
struct ExitStatus {
  int code = 0;
};

/// Prints "dfaas: <message>" to stderr and remembers that the command failed.
void report_failure(ExitStatus& status, const Error& error);

/// Options that node programs share: where the node lives, and settings of the command line.
struct NodeOptions {
  std::string directory = ".";
  std::vector<std::string> overrides;
};
void add_node_options(CLI::App& command, NodeOptions& options);

/// -o json, or a table for people.
void add_output_option(CLI::App& command, std::string& format);

/// The absolute path of this very program.
std::string own_binary();

/// That of dfaas-launcher: beside this program where it was built, in ../lib/dfaas where it is installed.
std::string launcher_binary();

/// Where `program` is in the PATH of this process; empty if it is not.
std::string find_on_path(std::string_view program);

void add_agent_command(CLI::App& root, ExitStatus& status);
void add_author_commands(CLI::App& root, ExitStatus& status);
void add_client_commands(CLI::App& root, ExitStatus& status);
void add_completion_command(CLI::App& root, ExitStatus& status);
void add_config_command(CLI::App& root, ExitStatus& status);
void add_demo_command(CLI::App& root, ExitStatus& status);
void add_doctor_command(CLI::App& root, ExitStatus& status);
/// `dfaas federation` and `dfaas join`.
void add_federation_commands(CLI::App& root, ExitStatus& status);
void add_gateway_command(CLI::App& root, ExitStatus& status);
void add_gossip_commands(CLI::App& root, ExitStatus& status);
void add_load_command(CLI::App& root, ExitStatus& status);
void add_node_command(CLI::App& root, ExitStatus& status);
/// `node` is what add_node_command() made.
void add_node_record_command(CLI::App& node, ExitStatus& status);
void add_peers_command(CLI::App& root, ExitStatus& status);
void add_pki_command(CLI::App& root, ExitStatus& status);
void add_sim_command(CLI::App& root, ExitStatus& status);
void add_status_command(CLI::App& root, ExitStatus& status);
void add_strategy_command(CLI::App& root, ExitStatus& status);
void add_version_command(CLI::App& root, ExitStatus& status);
void add_why_command(CLI::App& root, ExitStatus& status);

}  // namespace dfaas
