// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas members and dfaas gossip: who is known, and the keys by which members find each other.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "core/base/text.hpp"
#include "core/membership/serf_rpc.hpp"
#include "live/membership/gossip_keys.hpp"
#include "live/membership/serf_link.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;
constexpr Millis key_patience{30'000};  ///< Every member is asked.

struct GossipOptions {
  std::string directory = ".";
  std::string output = "table";
  std::string key;
};

NodeDirectory directory_of(const GossipOptions& options) {
  return NodeDirectory(fs::absolute(options.directory).lexically_normal());
}

// --- members

Result<void> show_members(const GossipOptions& options) {
  const auto text =
      get_local(options.directory, directory_of(options).agent_socket().string(), "/v1/members");
  if (!text) return tl::unexpected(text.error());
  if (options.output == "json") {
    fmt::print("{}\n", *text);
    return {};
  }
  const auto answer = nlohmann::json::parse(*text);  // Of our own agent.
  fmt::print("{:32} {:16} {:24} {:9} {:9} {:>9}  {}\n", "ID", "NAME", "ADDRESS", "FROM", "STATE",
             "RTT", "NEIGHBOUR");
  for (const auto& member : answer["members"]) {
    const std::string rtt = member.contains("rtt_ms")
                                ? fmt::format("{:.2f} ms", member["rtt_ms"].get<double>())
                                : std::string();
    std::string from;
    for (const auto& source : member["sources"]) {
      from += (from.empty() ? "" : ",") + source.get<std::string>();
    }
    const auto why = member["why"].get<std::string>();
    fmt::print("{:32} {:16} {:24} {:9} {:9} {:>9}  {}{}\n", member["id"].get<std::string>(),
               member["name"].get<std::string>(), member["address"].get<std::string>(), from,
               member["state"].get<std::string>(), rtt,
               member["neighbour"].get<bool>() ? "yes" : "no",
               why.empty() ? "" : "  (" + why + ")");
  }
  const auto& gossip = answer["gossip"];
  if (gossip.is_null()) return {};
  fmt::print(
      "\ngossip of {}: {}, {} members; ignored: {} of other federations, {} that are no "
      "nodes, {} copies of this node\n",
      gossip["federation"].get<std::string>(),
      gossip["connected"].get<bool>() ? "connected" : "serf is away", gossip["members"].get<int>(),
      gossip["ignored_other_federation"].get<int>(), gossip["ignored_malformed"].get<int>(),
      gossip["ignored_copies_of_self"].get<int>());
  for (const auto& [address, why] : gossip["not_joined"].items()) {
    fmt::print("not joined: {}\n", why.get<std::string>());
  }
  return {};
}

// --- keys

/// One round of all members about keys. Errors: unavailable, naming who did not do it and why.
Result<SerfKeys> ask_members(const GossipOptions& options, std::string command) {
  const auto door = read_serf_door(directory_of(options).serf_config());
  const auto answer = door ? serf_call_blocking(*door, std::move(command),
                                                SerfBody::even_after_errors, key_patience)
                           : Result<SerfAnswer>(tl::unexpected(door.error()));
  if (!answer) {
    return fail(answer.error().code,
                fmt::format("{}; does the node in {} run, with membership.kind = \"serf\"?",
                            answer.error().message, directory_of(options).root().string()));
  }
  auto keys = serf_keys_from(answer->body);
  if (!keys) return keys;
  const bool is_done = keys->failed == 0 && keys->answered == keys->members;
  if (is_done && answer->error.empty()) return keys;
  std::string who;
  for (const auto& [name, why] : keys->messages) {
    who += fmt::format("; {}: {}", in_quotes(name, 40), why);
  }
  return fail(ErrorCode::unavailable,
              fmt::format("{} of {} members did it, {} refused (serf: {}){}",
                          keys->answered - keys->failed, keys->members, keys->failed,
                          answer->error.empty() ? "no error" : answer->error, who));
}

Result<std::string> key_in_use(const GossipOptions& options) {
  const auto keys = read_gossip_keys(directory_of(options).gossip_keys());
  if (!keys) return tl::unexpected(keys.error());
  return keys->front();
}

Result<void> show_keys(const GossipOptions& options) {
  const auto keys = ask_members(options, serf_command(serf_call_sequence, "list-keys"));
  if (!keys) return tl::unexpected(keys.error());
  const auto used = key_in_use(options);
  if (!used) return tl::unexpected(used.error());
  if (options.output == "json") {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [key, count] : keys->keys) {
      list.push_back({{"key", gossip_key_print(key)}, {"members", count}, {"used", key == *used}});
    }
    fmt::print("{}\n", nlohmann::json{{"keys", list}, {"members", keys->members}}.dump());
    return {};
  }
  fmt::print("{:16} {:>12}  {}\n", "KEY", "MEMBERS", "IN USE HERE");
  for (const auto& [key, count] : keys->keys) {
    fmt::print("{:16} {:>12}  {}\n", gossip_key_print(key),
               fmt::format("{} of {}", count, keys->members), key == *used ? "yes" : "no");
  }
  return {};
}

/// The key with this print, of those that the members have.
Result<std::string> find_key(const GossipOptions& options) {
  const auto keys = ask_members(options, serf_command(serf_call_sequence, "list-keys"));
  if (!keys) return tl::unexpected(keys.error());
  for (const auto& [key, count] : keys->keys) {
    if (gossip_key_print(key) == options.key) return key;
  }
  return fail(ErrorCode::not_found, fmt::format("no member has a key {}: see dfaas gossip key show",
                                                in_quotes(options.key)));
}

Result<void> remove_key(const GossipOptions& options) {
  const auto key = find_key(options);
  if (!key) return tl::unexpected(key.error());
  const auto used = key_in_use(options);
  if (!used) return tl::unexpected(used.error());
  if (*key == *used) {
    return fail(ErrorCode::conflict,
                fmt::format("key {} is in use: change to another one with dfaas gossip key rotate",
                            options.key));
  }
  const auto done = ask_members(options, serf_key_command(serf_call_sequence, "remove-key", *key));
  if (!done) return tl::unexpected(done.error());
  fmt::print("{}\n", options.key);
  fmt::print(stderr, "removed from {} members\n", done->members);
  return {};
}

/// Installed everywhere, then used everywhere, then the old ones are removed: nobody is shut out meanwhile.
Result<void> rotate_keys(const GossipOptions& options) {
  const auto before = ask_members(options, serf_command(serf_call_sequence, "list-keys"));
  if (!before) return tl::unexpected(before.error());
  const std::string key = make_gossip_key();
  const auto tell = [&options](std::string_view command, const std::string& which) {
    return ask_members(options, serf_key_command(serf_call_sequence, command, which));
  };
  if (auto done = tell("install-key", key); !done) {
    std::ignore = tell("remove-key", key);
    return tl::unexpected(
        std::move(done).error().within("the new key was not taken everywhere, the old one stays"));
  }
  if (auto done = tell("use-key", key); !done) {
    return tl::unexpected(std::move(done).error().within(
        "all members have the new key, but not all use it; try dfaas gossip key rotate again"));
  }
  for (const auto& [old, count] : before->keys) {
    if (auto done = tell("remove-key", old); !done) {
      return tl::unexpected(std::move(done).error().within(fmt::format(
          "the new key is in use; the old one stays, remove it with: dfaas gossip key remove {}",
          gossip_key_print(old))));
    }
  }
  fmt::print("{}\n", gossip_key_print(key));
  fmt::print(stderr,
             "{} members use the new key; one that was away needs a copy of {} before it starts\n",
             before->members, directory_of(options).gossip_keys().string());
  return {};
}

using RunCommand = Result<void> (*)(const GossipOptions&);

void run_on_callback(CLI::App& command, std::shared_ptr<GossipOptions> options, RunCommand run,
                     ExitStatus& status) {
  command.add_option("--dir", options->directory, "Directory of the node")->capture_default_str();
  command.callback([options = std::move(options), run, &status] {
    if (auto done = run(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace

void add_gossip_commands(CLI::App& root, ExitStatus& status) {
  const auto options = std::make_shared<GossipOptions>();
  CLI::App* members = root.add_subcommand(
      "members", "Show all nodes that are known: whence, how far, neighbour or not");
  add_output_option(*members, options->output);
  members->footer("Example: dfaas members --dir light");
  run_on_callback(*members, options, show_members, status);

  CLI::App* gossip =
      root.add_subcommand("gossip", "Keys of the gossip by which members find each other");
  gossip->require_subcommand(1);
  CLI::App* key = gossip->add_subcommand("key", "Show, change and remove them, on all members");
  key->require_subcommand(1);

  CLI::App* show =
      key->add_subcommand("show", "Show which keys the members have, not the keys themselves");
  add_output_option(*show, options->output);
  show->footer("Example: dfaas gossip key show --dir light");
  run_on_callback(*show, options, show_keys, status);

  CLI::App* rotate =
      key->add_subcommand("rotate", "Change to a new key on all members, remove the old ones");
  rotate->footer("Example: dfaas gossip key rotate --dir light");
  run_on_callback(*rotate, options, rotate_keys, status);

  CLI::App* remove = key->add_subcommand("remove", "Remove an old key from all members");
  remove->add_option("key", options->key, "As dfaas gossip key show prints it")->required();
  remove->footer("Example: dfaas gossip key remove 0123456789abcdef --dir light");
  run_on_callback(*remove, options, remove_key, status);
}

}  // namespace dfaas
