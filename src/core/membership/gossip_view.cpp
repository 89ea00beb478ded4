// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/gossip_view.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::string_view protocol = "1";
constexpr std::size_t complaints_max = 100;

enum class Place : std::uint8_t { wrong, loopback, local, ordinary };

/// Where a numeric address leads.
Place place_of(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
    if (bytes[0] == 127) return Place::loopback;
    if (bytes[0] == 0 || bytes[0] >= 224) return Place::wrong;
    return bytes[0] == 169 && bytes[1] == 254 ? Place::local : Place::ordinary;
  }
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return Place::wrong;
  const bool has_zeros =
      std::all_of(bytes.begin(), bytes.end() - 1, [](unsigned char byte) { return byte == 0; });
  if (has_zeros && bytes[15] == 1) return Place::loopback;
  const bool is_mapped =
      std::all_of(bytes.begin(), bytes.begin() + 10, [](unsigned char byte) { return byte == 0; });
  if (is_mapped || bytes[0] == 0xff) return Place::wrong;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80 ? Place::local : Place::ordinary;
}

std::string tag(const SerfMember& member, const char* name) {
  const auto found = member.tags.find(name);
  return found == member.tags.end() ? std::string() : found->second;
}

tl::unexpected<Error> not_a_node(const SerfMember& member, const std::string& why) {
  return fail(ErrorCode::invalid_input,
              fmt::format("member {} of the gossip at {} is no node: {}",
                          in_quotes(member.name, 40), member.address, why));
}

}  // namespace

Result<MemberHint> hint_of(const SerfMember& member, const NodeId& self,
                           const std::string& federation) {
  const std::string spoken = tag(member, "dfaas");
  if (spoken.empty()) return not_a_node(member, "it has no tag dfaas");
  if (spoken != protocol) {
    return not_a_node(member, fmt::format("its tag dfaas is {}, but {} is spoken here",
                                          in_quotes(spoken, 40), protocol));
  }
  if (tag(member, "federation") != federation) {
    return fail(ErrorCode::denied,
                fmt::format("member {} of the gossip at {} is of federation {}, this node of {}",
                            in_quotes(member.name, 40), member.address,
                            in_quotes(tag(member, "federation"), 40), federation));
  }
  auto id = NodeId::parse(tag(member, "id"));
  if (!id) return not_a_node(member, "tag id: " + id.error().message);
  const auto port = parse_unsigned(tag(member, "port"));
  if (!port || *port < 1 || *port > 65'535) {
    return not_a_node(member, fmt::format("tag port: {} is not a port from 1 to 65535",
                                          in_quotes(tag(member, "port"), 40)));
  }
  const std::string told = tag(member, "address");
  const std::string host = told.empty() ? member.address : told;
  const Place place = place_of(host);
  if (place == Place::wrong) {
    return not_a_node(member, fmt::format("tag address: {} is not the number of one machine",
                                          in_quotes(host, 60)));
  }
  // Else a member far away could make us knock at doors of our own machine or network.
  if (place != Place::ordinary && place_of(member.address) != place) {
    return not_a_node(member, fmt::format("tag address: {} leads to the own machine or network",
                                          in_quotes(host, 60)));
  }
  if (*id == self) {
    return fail(ErrorCode::conflict,
                fmt::format("member {} of the gossip at {} says that it is this node",
                            in_quotes(member.name, 40), member.address));
  }
  const bool is_long = member.address.find(':') != std::string::npos;
  const std::string gossip = is_long ? fmt::format("[{}]:{}", member.address, member.port)
                                     : fmt::format("{}:{}", member.address, member.port);
  MemberHint hint{.key = member.name,
                  .group = member.address,
                  .id = *id,
                  .host = host,
                  .port = static_cast<std::uint16_t>(*port),
                  .labels = {{"gossip", gossip}}};
  if (const auto name = NodeName::parse(tag(member, "name"))) hint.labels["name"] = name->text();
  return hint;
}

void GossipView::replace(const std::vector<SerfMember>& members) {
  std::set<std::string> named;
  for (const SerfMember& member : members) {
    if (member.is_alive) named.insert(member.name);
  }
  std::vector<std::string> gone;
  for (const auto& [key, hint] : hints_) {
    if (!named.contains(key)) gone.push_back(key);
  }
  for (const std::string& key : gone) remove(key);
  for (const SerfMember& member : members) {
    if (member.is_alive) put(member);
  }
}

void GossipView::apply(const SerfMembers& event) {
  const bool is_there = event.event == "member-join" || event.event == "member-update";
  for (const SerfMember& member : event.members) {
    if (is_there) {
      put(member);
    } else {
      remove(member.name);
    }
  }
}

void GossipView::put(const SerfMember& member) {
  // Our own entry. Somebody else under our name is not let in by serf while we are there.
  if (member.name == settings_.self.text()) return;
  auto hint = hint_of(member, settings_.self, settings_.federation);
  if (!hint) {
    const ErrorCode code = hint.error().code;
    ++(code == ErrorCode::denied     ? counters_.ignored_other_federation
       : code == ErrorCode::conflict ? counters_.ignored_copies_of_self
                                     : counters_.ignored_malformed);
    complain(hint.error().message);
    remove(member.name);
    return;
  }
  const auto known = hints_.find(hint->key);
  if (known != hints_.end() && known->second == *hint) return;
  if (known != hints_.end() && known->second.group != hint->group) remove(hint->key);
  if (!hints_.contains(hint->key) && !make_room(hint->group)) return;
  touched_.insert(hint->key);
  by_group_[hint->group].insert(hint->key);
  hints_[hint->key] = std::move(*hint);
}

void GossipView::remove(const std::string& key) {
  const auto found = hints_.find(key);
  if (found == hints_.end()) return;
  const auto group = by_group_.find(found->second.group);
  group->second.erase(key);
  if (group->second.empty()) by_group_.erase(group);
  hints_.erase(found);
  if (reported_.contains(key)) {
    touched_.insert(key);
  } else {
    touched_.erase(key);
  }
}

bool GossipView::make_room(const std::string& group) {
  if (hints_.size() < settings_.members_max) return true;
  ++counters_.crowded_out;
  complain(
      fmt::format("gossip names more than {} members: those at the busiest address are left out",
                  settings_.members_max));
  const auto busiest = std::ranges::max_element(
      by_group_, {}, [](const auto& entry) { return entry.second.size(); });
  const auto own = by_group_.find(group);
  const std::size_t own_size = own == by_group_.end() ? 0 : own->second.size();
  if (own_size + 1 >= busiest->second.size()) return false;
  const std::string loser = *busiest->second.rbegin();
  remove(loser);
  return true;
}

void GossipView::complain(const std::string& sentence) {
  if (complained_.size() == complaints_max || !complained_.insert(sentence).second) return;
  complaints_.push_back(sentence);
}

std::vector<HintChange> GossipView::take_changes() {
  std::vector<HintChange> changes;
  for (const std::string& key : std::exchange(touched_, {})) {
    const auto now = hints_.find(key);
    const auto before = reported_.find(key);
    if (now == hints_.end()) {
      if (before == reported_.end()) continue;
      changes.push_back({.kind = HintChange::Kind::gone, .hint = before->second});
      reported_.erase(before);
    } else if (before == reported_.end()) {
      changes.push_back({.kind = HintChange::Kind::appeared, .hint = now->second});
      reported_.emplace(key, now->second);
    } else if (before->second != now->second) {
      changes.push_back({.kind = HintChange::Kind::changed, .hint = now->second});
      before->second = now->second;
    }
  }
  return changes;
}

std::vector<std::string> GossipView::take_complaints() { return std::exchange(complaints_, {}); }

bool GossipView::knows_gossip_at(const std::string& address) const {
  return std::ranges::any_of(hints_, [&address](const auto& entry) {
    const auto label = entry.second.labels.find("gossip");
    return label != entry.second.labels.end() && label->second == address;
  });
}

}  // namespace dfaas
