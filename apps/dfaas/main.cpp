// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas: one binary, a table of subcommands.
#include <cstdio>

#include <CLI/CLI.hpp>

#include "apps/dfaas/commands.hpp"

namespace dfaas {

void report_failure(ExitStatus& status, const Error& error) {
  std::fprintf(stderr, "dfaas: %s\n", error.message.c_str());
  status.code = error.code == ErrorCode::invalid_input ? 2 : 1;
}

namespace {

using AddCommand = void (*)(CLI::App& root, ExitStatus& status);

/// In the order in which `dfaas --help` shows them.
constexpr AddCommand commands[] = {
    add_version_command,
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
