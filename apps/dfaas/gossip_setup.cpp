// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/gossip_setup.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "apps/dfaas/node_setup.hpp"
#include "core/base/text.hpp"
#include "core/membership/multicast.hpp"
#include "core/membership/serf_rpc.hpp"
#include "live/files/files.hpp"
#include "live/membership/gossip_keys.hpp"
#include "live/membership/serf_link.hpp"
#include "live/net/http.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;

/// The numeric address of a host, which may be a name. Errors: invalid_input naming the setting.
Result<Endpoint> numeric(const Settings& settings, std::string_view name) {
  const std::string& text = settings.text(name);
  auto endpoint = Endpoint::parse(text.starts_with("*:") ? "0.0.0.0" + text.substr(1) : text);
  if (!endpoint)
    return tl::unexpected(std::move(endpoint).error().within(fmt::format("setting {}", name)));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::array<char, INET6_ADDRSTRLEN> host{};
  const int failed = ::getaddrinfo(endpoint->host.c_str(), nullptr, &hints, &found);
  if (failed == 0) {
    ::getnameinfo(found->ai_addr, found->ai_addrlen, host.data(), host.size(), nullptr, 0,
                  NI_NUMERICHOST);
    ::freeaddrinfo(found);
  }
  endpoint->host = host.data();
  if (!endpoint->host.empty()) return endpoint;
  return fail(ErrorCode::invalid_input, fmt::format("setting {}: {} is no address: {}", name,
                                                    in_quotes(text), ::gai_strerror(failed)));
}

bool is_everywhere(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

/// A port of this machine that nobody uses now. serf needs its number beforehand.
Result<std::uint16_t> free_loopback_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  // NOLINTBEGIN: how sockets are addressed.
  const bool is_bound =
      ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  // NOLINTEND
  ::close(descriptor);
  if (!is_bound) return fail(ErrorCode::unavailable, "no port of 127.0.0.1 is free for serf");
  return ntohs(address.sin_port);
}

bool accepts_rpc(const fs::path& agent_file) {
  const auto door = read_serf_door(agent_file);
  constexpr Millis patience{300};
  return door &&
         serf_call_blocking(*door, serf_members(serf_call_sequence), SerfBody::follows, patience);
}

/// Whether multicast may be used, and a line of why not.
bool may_discover(const Settings& settings) {
  if (settings.text("gossip.discover") != "yes") return false;
  const auto routes = read_file("/proc/net/route");
  if (routes && has_multicast_route(*routes)) return true;
  log_event(LogLevel::warn, "gossip_discovery_off",
            {{"why", "this machine has neither a default route nor one for multicast"}});
  return false;
}

Result<void> ensure_keys(const fs::path& file) {
  const auto keys = read_gossip_keys(file);
  if (keys) {
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
    return {};
  }
  if (keys.error().code != ErrorCode::not_found) return tl::unexpected(keys.error());
  log_event(LogLevel::info, "gossip_key_made", {{"file", file.string()}});
  return write_gossip_keys(file, {make_gossip_key()});
}

}  // namespace

Result<std::string> find_serf(const std::string& chosen) {
  if (!chosen.empty() && ::access(chosen.c_str(), X_OK) != 0) {
    return fail(ErrorCode::not_found,
                fmt::format("setting serf.program: {} is not an executable file, but "
                            "membership.kind is serf",
                            in_quotes(chosen)));
  }
  std::string program = chosen.empty() ? find_program("serf") : chosen;
  if (!program.empty()) return program;
  return fail(ErrorCode::not_found,
              "setting membership.kind is serf, but serf is not installed: apt-get install serf");
}

bool uses_serf(const Settings& settings) { return settings.text("membership.kind") == "serf"; }

Result<SupervisedProgram> serf_program(const NodeIdentity& identity) {
  const Settings& settings = identity.settings;
  const NodeDirectory& directory = identity.directory;
  const auto serf = find_serf(settings.text("serf.program"));
  if (!serf) return tl::unexpected(serf.error());
  const auto federation = NodeName::parse(settings.text("membership.federation"));
  if (!federation) {
    return tl::unexpected(Error(federation.error()).within("setting membership.federation"));
  }
  SerfAgentSettings agent{.self = identity.id,
                          .name = identity.name,
                          .federation = federation->text(),
                          .keyring_file = directory.gossip_keys().string(),
                          .snapshot_file = directory.serf_snapshot().string(),
                          .profile = settings.text("gossip.profile")};
  const auto bind = numeric(settings, "gossip.bind");
  if (!bind) return tl::unexpected(bind.error());
  agent.bind = bind->text();
  std::string gossip_host = bind->host;
  if (!settings.text("gossip.advertise").empty()) {
    const auto advertise = numeric(settings, "gossip.advertise");
    if (!advertise) return tl::unexpected(advertise.error());
    agent.advertise = advertise->text();
    gossip_host = advertise->host;
  }
  const bool is_told = !settings.text("peer.address").empty();
  const auto peer = numeric(settings, is_told ? "peer.address" : "peer.bind");
  if (!peer) return tl::unexpected(peer.error());
  agent.peer_port = peer->port;
  if (!is_everywhere(peer->host) && peer->host != gossip_host) agent.peer_host = peer->host;
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    if (auto free = check_port(settings, "gossip.bind", type); !free) {
      return tl::unexpected(free.error());
    }
  }
  if (auto keys = ensure_keys(directory.gossip_keys()); !keys) return tl::unexpected(keys.error());

  const std::string file = directory.serf_config().string();
  const fs::path log = directory.serf_log();
  std::vector<std::string> command{*serf, "agent", "-config-file=" + file};
  // serf does not know our death pipe: the kernel ends it when its parent does.
  if (const std::string setpriv = find_program("setpriv"); !setpriv.empty()) {
    command.insert(command.begin(), {setpriv, "--pdeathsig", "KILL"});
  }
  return SupervisedProgram{.name = "serf",
                           .command = std::move(command),
                           .log_file = log.string(),
                           .before_start = [agent, settings, file, log]() mutable -> Result<void> {
                             const auto port = free_loopback_port();
                             if (!port) return tl::unexpected(port.error());
                             agent.rpc_address = fmt::format("127.0.0.1:{}", *port);
                             agent.rpc_key = random_boot();
                             agent.discover =
                                 may_discover(settings) ? agent.federation : std::string();
                             return write_file(file, serf_agent_file(agent), 0600);
                           },
                           .start_tries = 3,  // Its port is free when chosen, not yet taken.
                           .stop_patience = Millis{6'000},
                           .is_ready = [file](int /*pid*/) { return accepts_rpc(file); }};
}

std::optional<SerfSettings> serf_settings(const NodeIdentity& identity) {
  const Settings& settings = identity.settings;
  if (!uses_serf(settings)) return std::nullopt;
  return SerfSettings{.agent_file = identity.directory.serf_config(),
                      .log_file = identity.directory.serf_log(),
                      .self = identity.id,
                      .federation = settings.text("membership.federation"),
                      .join = settings.text("gossip.join"),
                      .join_file = identity.directory.root() / settings.text("gossip.join_file")};
}

std::map<std::string, std::string> gossip_settings_for_others(const Settings& settings) {
  if (!uses_serf(settings)) return {};
  const std::string& bind = settings.text("gossip.bind");
  const std::string& advertise = settings.text("gossip.advertise");
  return {{"membership.kind", "serf"},
          {"membership.federation", settings.text("membership.federation")},
          {"gossip.profile", settings.text("gossip.profile")},
          {"gossip.join", advertise.empty() ? bind.substr(bind.rfind(':')) : advertise}};
}

}  // namespace dfaas
