// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/serf_rpc.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

using Json = nlohmann::json;

constexpr std::size_t header_bytes_max = 64U << 10U;
constexpr std::size_t name_length_max = 256;
constexpr std::size_t tags_max = 64;
constexpr std::size_t error_length_max = 400;

std::string packed(const Json& value) {
  std::string bytes;
  Json::to_msgpack(value, bytes);
  return bytes;
}

std::string request(std::uint64_t sequence, std::string_view command) {
  return packed({{"Command", command}, {"Seq", sequence}});
}

std::string request(std::uint64_t sequence, std::string_view command, const Json& body) {
  return request(sequence, command) + packed(body);
}

Result<Json> unpacked(std::string_view bytes, std::string_view what) {
  Json value = Json::from_msgpack(bytes.begin(), bytes.end(), true, false);
  if (value.is_discarded() || !value.is_object()) {
    return fail(ErrorCode::invalid_input, fmt::format("{} is no map of MessagePack", what));
  }
  return value;
}

std::string text_in(const Json& map, const char* name) {
  const auto found = map.find(name);
  return found != map.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int count_in(const Json& map, const char* name) {
  constexpr std::uint64_t count_max = 1'000'000;
  const auto found = map.find(name);
  if (found == map.end() || !found->is_number_unsigned()) return 0;
  return static_cast<int>(std::min(found->get<std::uint64_t>(), count_max));
}

/// One line that can be shown, whatever came.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char letter : text.substr(0, error_length_max)) {
    const auto byte = static_cast<unsigned char>(letter);
    const char shown = byte < 0x20 || byte >= 0x7f ? ' ' : letter;
    if (shown != ' ' || (!line.empty() && line.back() != ' ')) line += shown;
  }
  return std::string(trim(line));
}

std::string numeric_address(const Json& member) {
  const auto found = member.find("Addr");
  if (found == member.end()) return {};
  std::string bytes;
  if (found->is_binary()) {
    const auto& binary = found->get_binary();
    bytes.assign(binary.begin(), binary.end());
  } else if (found->is_string()) {
    bytes = found->get<std::string>();
  }
  constexpr std::string_view mapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (bytes.size() == 16 && bytes.starts_with(mapped)) bytes.erase(0, mapped.size());
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (bytes.size() != 4 && bytes.size() != 16) return {};
  if (::inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr) return {};
  return text.data();
}

std::optional<SerfMember> member_in(const Json& value) {
  if (!value.is_object()) return std::nullopt;
  SerfMember member{.name = text_in(value, "Name"), .address = numeric_address(value)};
  const int port = count_in(value, "Port");
  if (member.name.empty() || member.name.size() > name_length_max || member.address.empty() ||
      port < 1 || port > 65'535) {
    return std::nullopt;
  }
  member.port = static_cast<std::uint16_t>(port);
  const std::string status = text_in(value, "Status");
  member.is_alive = status == "alive" || status == "leaving";
  if (const auto tags = value.find("Tags"); tags != value.end() && tags->is_object()) {
    std::size_t bytes = 0;
    for (const auto& [name, text] : tags->items()) {
      if (!text.is_string()) return std::nullopt;
      auto tag = text.get<std::string>();
      bytes += name.size() + tag.size();
      if (bytes > serf_tags_bytes_max || member.tags.size() == tags_max) return std::nullopt;
      member.tags[name] = std::move(tag);
    }
  }
  return member;
}

Json without_empty(Json object) {
  for (auto entry = object.begin(); entry != object.end();) {
    entry = entry->is_string() && entry->get<std::string>().empty() ? object.erase(entry)
                                                                    : std::next(entry);
  }
  return object;
}

}  // namespace

std::string serf_handshake(std::uint64_t sequence) {
  return request(sequence, "handshake", {{"Version", 1}});
}

std::string serf_auth(std::uint64_t sequence, const std::string& key) {
  return request(sequence, "auth", {{"AuthKey", key}});
}

std::string serf_stream(std::uint64_t sequence) {
  return request(sequence, "stream",
                 {{"Type", "member-join,member-leave,member-failed,member-update,member-reap"}});
}

std::string serf_members(std::uint64_t sequence) { return request(sequence, "members"); }

std::string serf_join(std::uint64_t sequence, const std::string& address) {
  return request(sequence, "join", {{"Existing", Json::array({address})}, {"Replay", false}});
}

std::string serf_command(std::uint64_t sequence, std::string_view command) {
  return request(sequence, command);
}

std::string serf_key_command(std::uint64_t sequence, std::string_view command,
                             const std::string& key) {
  return request(sequence, command, {{"Key", key}});
}

Result<SerfFrame> serf_frame(std::string value) {
  if (value.size() > header_bytes_max) return SerfFrame{.body = std::move(value)};
  const auto read = unpacked(value, "what serf sent");
  if (!read) return tl::unexpected(read.error());
  const auto sequence = read->find("Seq");
  const auto error = read->find("Error");
  if (sequence == read->end() || error == read->end()) return SerfFrame{.body = std::move(value)};
  if (!sequence->is_number_unsigned() || !error->is_string()) {
    return fail(ErrorCode::invalid_input, "a header of serf has no number or no text of an error");
  }
  return SerfFrame{.is_header = true,
                   .sequence = sequence->get<std::uint64_t>(),
                   .error = one_line(error->get<std::string>())};
}

Result<SerfMembers> serf_members_from(std::string_view body) {
  const auto read = unpacked(body, "a list of members");
  if (!read) return tl::unexpected(read.error());
  SerfMembers result{.event = one_line(text_in(*read, "Event"))};
  const auto list = read->find("Members");
  if (list == read->end() || (!list->is_array() && !list->is_null())) {
    return fail(ErrorCode::invalid_input, "serf named no members");
  }
  for (const Json& value : *list) {
    if (auto member = member_in(value)) {
      result.members.push_back(std::move(*member));
    } else {
      ++result.malformed;
    }
  }
  return result;
}

Result<SerfKeys> serf_keys_from(std::string_view body) {
  const auto read = unpacked(body, "an answer about keys");
  if (!read) return tl::unexpected(read.error());
  SerfKeys result{.members = count_in(*read, "NumNodes"),
                  .answered = count_in(*read, "NumResp"),
                  .failed = count_in(*read, "NumErr")};
  if (const auto keys = read->find("Keys"); keys != read->end() && keys->is_object()) {
    for (const auto& [key, count] : keys->items()) {
      std::ignore = count;
      result.keys[one_line(key)] = count_in(*keys, key.c_str());
    }
  }
  if (const auto said = read->find("Messages"); said != read->end() && said->is_object()) {
    for (const auto& [name, text] : said->items()) {
      if (text.is_string()) result.messages[one_line(name)] = one_line(text.get<std::string>());
    }
  }
  return result;
}

Result<int> serf_joined_from(std::string_view body) {
  const auto read = unpacked(body, "the answer to a join");
  if (!read) return tl::unexpected(read.error());
  return count_in(*read, "Num");
}

std::string join_complaint(const std::string& address, std::string_view serf_error) {
  const std::string shown = one_line(address);
  const auto says = [serf_error](std::string_view words) {
    return serf_error.find(words) != std::string_view::npos;
  };
  if (says("No installed keys could decrypt")) {
    return fmt::format(
        "{} gossips with another key: give this node the secrets/gossip-keys of a member", shown);
  }
  if (says("not encrypted") || says("EOF") || says("msgpack") || says("i/o timeout") ||
      says("reset by peer")) {
    return fmt::format("{} answers, but not as a member's gossip with this key", shown);
  }
  std::string_view why = serf_error;
  if (const std::size_t at = why.rfind("* "); at != std::string_view::npos)
    why.remove_prefix(at + 2);
  return fmt::format("{} is not reached: {}", shown, one_line(why));
}

std::string serf_agent_file(const SerfAgentSettings& settings) {
  Json tags = without_empty({{"dfaas", "1"},
                             {"federation", settings.federation},
                             {"id", settings.self.text()},
                             {"name", settings.name.text()},
                             {"address", settings.peer_host},
                             {"port", std::to_string(settings.peer_port)}});
  const Json file =
      without_empty({{"node_name", settings.self.text()},
                     {"bind", settings.bind},
                     {"advertise", settings.advertise},
                     {"rpc_addr", settings.rpc_address},
                     {"rpc_auth", settings.rpc_key},
                     {"keyring_file", settings.keyring_file},
                     {"snapshot_path", settings.snapshot_file},
                     {"rejoin_after_leave", true},
                     {"leave_on_terminate", true},
                     {"profile", settings.profile},
                     {"discover", settings.discover},
                     // Whoever holds the key could name itself as we do, and a vote would
                     // end our serf.
                     {"disable_name_resolution", true},
                     {"log_level", "warn"},
                     {"tags", std::move(tags)}});
  return json_text(file) + "\n";
}

Result<SerfDoor> serf_door_from(std::string_view file_text) {
  SerfDoor door;
  auto parsed = parse_json_object(file_text, header_bytes_max, [&door](const Fields& fields) {
    const std::string address = fields.text("rpc_addr", name_length_max);
    const std::size_t colon = address.rfind(':');
    const auto port = parse_unsigned(
        colon == std::string::npos ? "" : std::string_view(address).substr(colon + 1));
    if (!port || *port < 1 || *port > 65'535) fields.fail_at("rpc_addr", "it is not HOST:PORT");
    door.host = address.substr(0, colon);
    door.port = static_cast<std::uint16_t>(*port);
    door.key = fields.text("rpc_auth", name_length_max);
  });
  if (!parsed) return tl::unexpected(std::move(parsed).error());
  return door;
}

std::string keyring_text(const std::vector<std::string>& keys) {
  return json_text(Json(keys)) + "\n";
}

Result<std::vector<std::string>> parse_keyring(std::string_view text) {
  constexpr std::size_t keys_max = 100;
  const Json list = Json::parse(text, nullptr, false);
  if (!list.is_array() || list.empty() || list.size() > keys_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("it is not a JSON list of 1 to {} keys", keys_max));
  }
  std::vector<std::string> keys;
  for (const Json& value : list) {
    const auto key = value.is_string() ? base64_decode(value.get<std::string>()) : std::nullopt;
    if (!key || key->size() != 32) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("key {} is not the base64 of 32 bytes", keys.size() + 1));
    }
    keys.push_back(value.get<std::string>());
  }
  return keys;
}

std::vector<std::string> gossip_addresses(std::string_view text) {
  constexpr std::size_t addresses_max = 1000;
  constexpr std::size_t length_max = 300;
  std::vector<std::string> addresses;
  for (const std::string_view line : split(text, '\n')) {
    for (std::string_view word : split(line.substr(0, line.find('#')), ',')) {
      if (word.ends_with('\r')) word.remove_suffix(1);
      const std::string address = one_line(word);
      const bool is_new = std::ranges::find(addresses, address) == addresses.end();
      if (address.empty() || address.size() > length_max || !is_new) continue;
      if (addresses.size() == addresses_max) return addresses;
      addresses.push_back(address);
    }
  }
  return addresses;
}

}  // namespace dfaas
