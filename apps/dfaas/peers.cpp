// SPDX-License-Identifier: AGPL-3.0-or-later
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

/// What is out of the ordinary with a neighbour; empty where nothing is.
std::string note_of(const nlohmann::json& peer) {
  std::vector<std::string> notes;
  if (peer.contains("held_ms")) {
    notes.push_back(fmt::format("came and went too often: held back for {:.0f} s",
                                peer["held_ms"].get<double>() / 1000));
  }
  if (peer.contains("ejected")) {
    for (const auto& ejected : peer["ejected"]) {
      notes.push_back(fmt::format("set aside for {}: {}", ejected["function"].get<std::string>(),
                                  ejected["why"].get<std::string>()));
    }
  }
  if (peer.contains("guest_slots")) {
    notes.push_back(fmt::format("at most {} calls of {} here", peer["guest_slots"].get<int>(),
                                peer["organisation"].get<std::string>()));
  }
  return fmt::format("{}", fmt::join(notes, "; "));
}

Result<void> show(const std::string& directory, const std::string& output) {
  const NodeDirectory node(std::filesystem::absolute(directory));
  const auto text = get_local(directory, node.agent_socket().string(), "/v1/peers");
  if (!text) return fail(text.error().code, text.error().message);
  if (output == "json") {
    fmt::print("{}\n", *text);
    return {};
  }
  const auto answer = nlohmann::json::parse(*text);  // Of our own agent.
  fmt::print("{:32} {:12} {:24} {:9} {:>9} {:>12}  {}\n", "ID", "NAME", "ADDRESS", "STATE", "RTT",
             "LAST MESSAGE", "NOTE");
  for (const auto& peer : answer["peers"]) {
    const std::string age =
        peer.contains("last_message_ms")
            ? fmt::format("{:.0f} ms ago", peer["last_message_ms"].get<double>())
            : "never";
    fmt::print("{:32} {:12} {:24} {:9} {:>6.2f} ms {:>12}{}\n", peer["id"].get<std::string>(),
               peer["name"].get<std::string>(), peer["address"].get<std::string>(),
               peer["state"].get<std::string>(), peer["rtt_ms"].get<double>(), age,
               note_of(peer).empty() ? "" : "  " + note_of(peer));
  }
  for (const auto& candidate : answer["unproved"]) {
    fmt::print("{:32} {:12} {:24} {}\n",
               candidate["denied"].get<bool>() ? "(denied)" : "(not proved)", "",
               candidate["address"].get<std::string>(), candidate["why"].get<std::string>());
  }
  return {};
}

}  // namespace

void add_peers_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand("peers", "Show the neighbours of a node");
  auto directory = std::make_shared<std::string>(".");
  auto output = std::make_shared<std::string>("table");
  command->add_option("--dir", *directory, "Directory of the node")->capture_default_str();
  add_output_option(*command, *output);
  command->footer("Example: dfaas peers --dir light");
  command->callback([directory, output, &status] {
    if (auto done = show(*directory, *output); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
