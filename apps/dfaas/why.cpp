// SPDX-License-Identifier: AGPL-3.0-or-later
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "core/base/text.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

struct WhyOptions {
  std::string directory = ".";
  std::string output = "table";
  std::string call_id;
};

Result<void> show(const WhyOptions& options) {
  if (options.call_id.find_first_not_of(
          "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") !=
      std::string::npos) {
    return fail(ErrorCode::invalid_input,
                fmt::format("call id {} holds other characters than a-z, A-Z, 0-9, '-' and '_'",
                            in_quotes(options.call_id)));
  }
  const NodeDirectory node(std::filesystem::absolute(options.directory));
  const auto text = get_local(options.directory, node.gateway_admin_socket().string(),
                              "/dfaas/v1/decisions?call_id=" + options.call_id);
  if (!text) return fail(text.error().code, text.error().message);
  const auto answer = nlohmann::json::parse(*text);  // Of our own gateway.
  if (answer.empty() && !options.call_id.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("no call {} among the last 1024 of this node", options.call_id));
  }
  if (options.output == "json") {
    fmt::print("{}\n", *text);
    return {};
  }
  for (const auto& record : answer) {
    fmt::print("{} {} {} from {}: {}{}{} ({}, {:.1f} ms)\n", record["time"].get<std::string>(),
               record["call_id"].get<std::string>(), record["function"].get<std::string>(),
               record["origin"].get<std::string>(), record["result"].get<std::string>(),
               record["reason"].get<std::string>().empty() ? "" : ", ",
               record["reason"].get<std::string>(), record["status"].get<int>(),
               record["ms"].get<double>());
    for (const auto& step : record["steps"]) {
      fmt::print("    {:12} {:24} {:8.1f} ms\n", step["where"].get<std::string>(),
                 step["what"].get<std::string>(), step["ms"].get<double>());
    }
  }
  return {};
}

}  // namespace

void add_why_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand("why", "Tell how a call was decided, step by step");
  auto options = std::make_shared<WhyOptions>();
  command->add_option("call-id", options->call_id,
                      "X-Call-Id of the answer (default: the newest calls)");
  command->add_option("--dir", options->directory, "Directory of the node")->capture_default_str();
  add_output_option(*command, options->output);
  command->footer("Example: dfaas why 7b1d6c1e-8a52-4f0e-9d53-0a1b2c3d4e5f --dir light");
  command->callback([options, &status] {
    if (auto done = show(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
