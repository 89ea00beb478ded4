// SPDX-License-Identifier: AGPL-3.0-or-later
#include <cstdio>

#include "apps/dfaas/commands.hpp"

namespace dfaas {

void add_version_command(CLI::App& root, ExitStatus& /*status*/) {
  CLI::App* command = root.add_subcommand("version", "Print the version");
  command->footer("Example: dfaas version");
  command->callback([] { std::puts(DFAAS_VERSION); });
}

}  // namespace dfaas
