// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/neighbours.hpp"

#include <algorithm>
#include <tuple>

namespace dfaas {
namespace {

constexpr double stranger_penalty =
    1.25;  ///< Over (1 + 0.1) / (1 - 0.1), the noise that must not matter.
constexpr Micros distance_min{1'000};  ///< Nearer than this is all the same: one machine room.

/// The lot of two nodes: the same whoever of them asks. FNV-1a over both, then mixed as splitmix64 does.
std::uint64_t lot_of(const NodeId& one, const NodeId& other) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const NodeId& id : {std::min(one, other), std::max(one, other)}) {
    for (const char letter : id.view()) {
      hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
    }
  }
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31U);
}

struct Ranked {
  const ProvedMember* member = nullptr;
  double distance = 0;
  std::uint64_t lot = 0;
};

}  // namespace

std::vector<NodeId> choose_neighbours(std::span<const ProvedMember> members,
                                      const NeighbourRules& rules) {
  const std::size_t room = std::min(rules.neighbours_max, neighbours_limit);
  std::vector<Ranked> good;
  std::vector<Ranked> doubtful;
  for (const ProvedMember& member : members) {
    const bool is_allowed = rules.only.empty() || rules.only.contains(member.id.text()) ||
                            (!member.name.empty() && rules.only.contains(member.name));
    if (!is_allowed || member.id == rules.self) continue;
    const double distance = static_cast<double>(std::max(member.rtt, distance_min).count()) *
                            (member.is_neighbour ? 1 : stranger_penalty);
    (member.is_doubtful ? doubtful : good)
        .push_back({.member = &member, .distance = distance, .lot = lot_of(rules.self, member.id)});
  }
  const auto by_distance = [](const Ranked& left, const Ranked& right) {
    return std::tie(left.distance, left.lot, left.member->id) <
           std::tie(right.distance, right.lot, right.member->id);
  };
  const auto by_lot = [](const Ranked& left, const Ranked& right) {
    return std::tie(left.lot, left.member->id) < std::tie(right.lot, right.member->id);
  };
  std::vector<NodeId> chosen;
  const auto choose = [&chosen](std::vector<Ranked>& from, std::size_t count) {
    count = std::min(count, from.size());
    for (std::size_t at = 0; at < count; ++at) chosen.push_back(from[at].member->id);
    from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  };
  std::ranges::sort(good, by_lot);
  choose(good, std::min(rules.by_lot, room));
  std::ranges::sort(good, by_distance);
  choose(good, room - chosen.size());
  std::ranges::sort(doubtful, by_distance);
  choose(doubtful, room - chosen.size());
  std::ranges::sort(chosen);
  return chosen;
}

void FlapMeter::lost(Instant now) {
  constexpr Micros forgotten_after{1'200'000'000};
  if (losses_ > 0 && now - last_ > forgotten_after) losses_ = 0;
  ++losses_;
  last_ = now;
}

bool FlapMeter::is_damped(Instant now) const {
  constexpr Micros damping_min{10'000'000};
  constexpr Micros damping_max{600'000'000};
  if (losses_ < 2) return false;
  constexpr int doublings_max = 6;
  const Micros damping = damping_min * (1 << std::min(losses_ - 2, doublings_max));
  return now - last_ < std::min(damping, damping_max);
}

std::vector<std::size_t> order_proofs(std::vector<ProofWish> wishes,
                                      std::map<std::string, std::size_t> under_way,
                                      const ProofLimits& limits) {
  std::size_t total = 0;
  for (const auto& [group, count] : under_way) total += count;
  std::ranges::sort(wishes, {}, [](const ProofWish& wish) {
    return std::make_tuple(!wish.is_neighbour && !wish.group.empty(), wish.since, wish.index);
  });
  std::vector<std::size_t> order;
  std::map<std::string_view, std::vector<std::size_t>> groups;
  for (const ProofWish& wish : wishes) {
    if (!wish.is_neighbour && !wish.group.empty()) {
      groups[wish.group].push_back(wish.index);
    } else if (total < limits.under_way_max) {
      order.push_back(wish.index);
      ++total;
    }
  }
  // Those with least under way come first, so that each has its turn also over many calls.
  std::vector<std::pair<std::size_t, std::string_view>> turns;
  for (const auto& [group, waiting] : groups) {
    std::size_t count = under_way[std::string(group)];
    for (std::size_t at = 0; at < waiting.size() && count < limits.under_way_max_each; ++at) {
      turns.emplace_back(count++, group);
    }
  }
  std::ranges::sort(turns);
  std::map<std::string_view, std::size_t> next;
  for (const auto& [count, group] : turns) {
    if (total++ >= limits.under_way_max) break;
    order.push_back(groups[group][next[group]++]);
  }
  return order;
}

}  // namespace dfaas
