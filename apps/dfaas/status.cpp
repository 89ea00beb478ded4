// SPDX-License-Identifier: AGPL-3.0-or-later
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "core/model/membership_summary.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

/// Who runs the functions, and how they are kept apart, if it is the node itself.
void show_runner(const nlohmann::json& answer) {
  const auto& platform = answer["platform"];
  if (platform["kind"] != "embedded") {
    const auto name = platform["name"].get<std::string>();
    fmt::print("platform  {}{}: {}\n", platform["url"].get<std::string>(),
               name.empty() ? "" : " (" + name + ")", platform["state"].get<std::string>());
    if (const auto why = platform["why"].get<std::string>(); !why.empty()) {
      fmt::print("          {}\n", why);
    }
    for (const auto& left_out : platform["left_out"]) {
      fmt::print("          left out: {}\n", left_out.get<std::string>());
    }
    return;
  }
  const auto& sandbox = answer["sandbox"];
  fmt::print("sandbox   {}; limits by {}: memory {}, processors {}\n",
             sandbox["tier"].get<std::string>(), sandbox["limits"].get<std::string>(),
             sandbox["memory"].get<std::string>(),
             sandbox["cpu"].get<bool>() ? "limited" : "NOT LIMITED");
  for (const auto& note : sandbox["notes"]) {
    fmt::print("          {}\n", note.get<std::string>());
  }
}

/// Whom the node knows. Counts that are zero are left out.
void show_membership(const nlohmann::json& membership) {
  if (membership.is_null()) {
    fmt::print("members   not known yet: the agent has not said\n");
    return;
  }
  const auto counted = [](const nlohmann::json& counts, const auto& names) {
    std::string text;
    for (const auto& [name, member] : names) {
      const auto count = counts[std::string(name)].template get<std::uint64_t>();
      if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
    }
    return text.empty() ? std::string("none") : text;
  };
  fmt::print("peers     {}\nmembers   {}\n", counted(membership["neighbours"], neighbour_states),
             counted(membership["members"], member_states));
  const auto& gossip = membership["gossip"];
  if (gossip.is_null()) return;
  fmt::print("gossip    {}: {}", gossip["federation"].get<std::string>(),
             gossip["connected"].get<bool>()
                 ? fmt::format("{} other members", gossip["members"].get<std::uint64_t>())
                 : std::string("serf is away"));
  if (const auto ignored = counted(gossip["ignored"], gossip_ignored); ignored != "none") {
    fmt::print("; ignored: {}", ignored);
  }
  fmt::print("\n");
  if (const auto count = gossip["not_joined"].get<std::uint64_t>(); count > 0) {
    fmt::print("          {} addresses not joined: see dfaas members\n", count);
  }
}

Result<void> show(const std::string& directory, const std::string& output) {
  const NodeDirectory node(std::filesystem::absolute(directory));
  const auto text = get_local(directory, node.gateway_admin_socket().string(), "/dfaas/v1/status");
  if (!text) return fail(text.error().code, text.error().message);
  if (output == "json") {
    fmt::print("{}\n", *text);
    return {};
  }
  const auto answer = nlohmann::json::parse(*text);  // Of our own gateway.
  fmt::print("node      {} ({})\nversion   {}\nhealthy   {}\nstrategy  {} (plan {})\n",
             answer["node"].get<std::string>(), answer["id"].get<std::string>(),
             answer["version"].get<std::string>(), answer["healthy"].get<bool>() ? "yes" : "no",
             answer["strategy"].get<std::string>(), answer["plan_version"].get<std::uint64_t>());
  show_runner(answer);
  show_membership(answer["membership"]);
  fmt::print("certificate until {}\n", answer["certificate_until"].get<std::string>());
  fmt::print("\n{:30} {:>6} {:>8} {:>6} {:>10} {:>9} {:>9}\n", "FUNCTION", "SLOTS", "RUNNING",
             "QUEUE", "SERVICE", "USERS", "GUESTS");
  for (const auto& function : answer["functions"]) {
    fmt::print("{:30} {:>6} {:>8} {:>6} {:>7.1f} ms {:>9} {:>9}\n",
               function["name"].get<std::string>(), function["slots"].get<int>(),
               function["in_flight"].get<int>(), function["queued"].get<int>(),
               function["service_ms"].get<double>(), function["user_arrivals"].get<std::uint64_t>(),
               function["guest_arrivals"].get<std::uint64_t>());
  }
  return {};
}

}  // namespace

void add_status_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand("status", "Show health, plan and functions of a node");
  auto directory = std::make_shared<std::string>(".");
  auto output = std::make_shared<std::string>("table");
  command->add_option("--dir", *directory, "Directory of the node")->capture_default_str();
  add_output_option(*command, *output);
  command->footer("Example: dfaas status --dir light");
  command->callback([directory, output, &status] {
    if (auto done = show(*directory, *output); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
