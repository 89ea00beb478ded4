// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The subcommands of the one binary: each file adds its own to the parser, main.cpp lists them.
///
/// Rule  Results to stdout, talk to stderr; exit 0 done, 1 failed, 2 misused. Every command has
/// help that
///       fits a screen and ends with an example.
#pragma once

#include <CLI/CLI.hpp>

#include "core/base/result.hpp"

namespace dfaas {

/// What a command's callback leaves behind: main() exits with it.
struct ExitStatus {
  int code = 0;
};

/// Prints "dfaas: <message>" to stderr and remembers that the command failed.
void report_failure(ExitStatus& status, const Error& error);

void add_version_command(CLI::App& root, ExitStatus& status);

}  // namespace dfaas
