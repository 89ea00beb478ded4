// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/strategy.hpp"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "live/net/http.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

void list_strategies(const std::string& output) {
  nlohmann::json list = nlohmann::json::array();
  for (const Strategy& strategy : strategies()) {
    if (output == "json") {
      list.push_back({{"name", strategy.name}, {"summary", strategy.summary}});
    } else {
      fmt::print("{:18} {}\n", strategy.name, strategy.summary);
    }
  }
  if (output == "json") fmt::print("{}\n", list.dump());
}

Result<void> use_strategy(const std::string& directory, const std::string& name) {
  if (auto known = find_strategy(name); !known) return pass_on(std::move(known));
  const NodeDirectory node(std::filesystem::absolute(directory));
  RequestHead head{.method = "PUT", .target = "/v1/strategy"};
  head.headers.add("Host", "agent");
  const auto reply = fetch_blocking(Endpoint::unix_socket(node.agent_socket().string()), head, name,
                                    Millis{3000}, 65536);
  if (!reply)
    return fail(reply.error().code, "the agent does not answer: " + reply.error().message);
  if (reply->head.status != 200) return fail(ErrorCode::invalid_input, reply->body);
  return {};
}

}  // namespace

void add_strategy_command(CLI::App& root, ExitStatus& status) {
  CLI::App* strategy = root.add_subcommand("strategy", "List load-balancing strategies, or switch");
  strategy->require_subcommand(1);
  auto output = std::make_shared<std::string>("table");
  CLI::App* list = strategy->add_subcommand("list", "Every strategy of this build");
  add_output_option(*list, *output);
  list->footer("Example: dfaas strategy list");
  list->callback([output] { list_strategies(*output); });

  auto directory = std::make_shared<std::string>(".");
  auto name = std::make_shared<std::string>();
  CLI::App* use = strategy->add_subcommand("use", "Switch a running node, until it restarts");
  use->add_option("name", *name, "Name of the strategy")->required();
  use->add_option("--dir", *directory, "Directory of the node")->capture_default_str();
  use->footer("Example: dfaas strategy use all_local --dir light");
  use->callback([directory, name, &status] {
    if (auto done = use_strategy(*directory, *name); !done) report_failure(status, done.error());
  });

  CLI::App* reference =
      strategy->add_subcommand("reference", "Print the table of docs/reference/strategies.md");
  reference->footer("Example: dfaas strategy reference");
  reference->callback([] { fmt::print("{}", strategies_reference()); });
}

}  // namespace dfaas
