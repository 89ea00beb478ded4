// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What is said to serf and heard from it over its RPC, as values; and the settings file of its agent.
///
/// Input   The RPC speaks MessagePack: a header with a number, then perhaps a body. Members and their tags come
///         from whoever holds the gossip key: anything may be in them.
/// Errors  invalid_input naming what serf sent.
/// Source  serf 0.9.4, cmd/serf/command/agent/ipc.go.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

constexpr std::size_t serf_message_bytes_max = 16U << 20U;  ///< Some 40000 members.
constexpr std::size_t serf_tags_bytes_max = 512;            ///< Encoded; serf refuses more.

/// A command, and what goes with it, as bytes for serf.
std::string serf_handshake(std::uint64_t sequence);
std::string serf_auth(std::uint64_t sequence, const std::string& key);
std::string serf_stream(std::uint64_t sequence);  ///< Of everything that happens to members.
std::string serf_members(std::uint64_t sequence);
std::string serf_join(std::uint64_t sequence, const std::string& address);
/// "leave", "list-keys".
std::string serf_command(std::uint64_t sequence, std::string_view command);
/// "install-key", "use-key", "remove-key".
std::string serf_key_command(std::uint64_t sequence, std::string_view command,
                             const std::string& key);

/// One value of serf: the header of an answer or of an event, or the body that follows one.
struct SerfFrame {
  bool is_header = false;
  std::uint64_t sequence = 0;
  std::string error;  ///< Of a header; one printable line; empty when all is well.
  std::string body;   ///< Undecoded.
};
/// `value` is one of MsgpackFrames.
Result<SerfFrame> serf_frame(std::string value);

struct SerfMember {
  std::string name;
  std::string address;  ///< Numeric.
  std::uint16_t port = 0;
  bool is_alive = false;
  std::map<std::string, std::string> tags;
};
struct SerfMembers {
  std::string event;  ///< "member-join"; empty for the answer to serf_members().
  std::vector<SerfMember> members;
  std::size_t malformed = 0;  ///< Left out.
};
Result<SerfMembers> serf_members_from(std::string_view body);

struct SerfKeys {
  std::map<std::string, int> keys;              ///< How many members have it.
  std::map<std::string, std::string> messages;  ///< By member: why not.
  int members = 0;
  int answered = 0;
  int failed = 0;
};
Result<SerfKeys> serf_keys_from(std::string_view body);

/// How many agents a join reached. Errors: invalid_input.
Result<int> serf_joined_from(std::string_view body);

/// serf's words about an address that was not joined, as one sentence for operators.
std::string join_complaint(const std::string& address, std::string_view serf_error);

/// Of a serf agent beside a node.
struct SerfAgentSettings {
  NodeId self;
  NodeName name;
  std::string federation;
  std::string bind;       ///< HOST:PORT
  std::string advertise;  ///< HOST:PORT or empty.
  std::string peer_host;  ///< Numeric; empty when it is the gossip's own.
  std::uint16_t peer_port = 0;
  std::string rpc_address;  ///< HOST:PORT
  std::string rpc_key;
  std::string keyring_file;
  std::string snapshot_file;
  std::string profile;   ///< "lan" or "wan".
  std::string discover;  ///< Empty for no multicast.
};
/// The file that serf reads: secret, because of the key of its RPC.
std::string serf_agent_file(const SerfAgentSettings& settings);

/// Where the RPC of a serf agent is, as its file says.
struct SerfDoor {
  std::string host;
  std::uint16_t port = 0;
  std::string key;
};
Result<SerfDoor> serf_door_from(std::string_view file_text);

/// Keys of gossip as serf keeps them: a JSON list, the first one in use. Base64 of 32 bytes each.
std::string keyring_text(const std::vector<std::string>& keys);
Result<std::vector<std::string>> parse_keyring(std::string_view text);

/// "h:1,  h:2" or lines of a file; '#' begins a comment. Each is HOST or HOST:PORT as serf reads it.
std::vector<std::string> gossip_addresses(std::string_view text);

}  // namespace dfaas
