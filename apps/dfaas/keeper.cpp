// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/keeper.hpp"
#include "apps/dfaas/commands.hpp"

namespace dfaas {

void add_keeper_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand("keeper", "Start functions for a gateway (internal)");
  command->group("");  // Not for people.
  command->callback([&status] { status.code = keeper_main(keeper_socket); });
}

}  // namespace dfaas
