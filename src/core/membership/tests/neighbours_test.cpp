// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/neighbours.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

NodeId id_of(std::uint64_t number) {
  Random random{number};
  std::string text;
  while (text.size() < NodeId::length)
    text += "abcdefghijklmnopqrstuvwxyz234567"[below(random, 32)];
  return *NodeId::parse(text);
}

const NodeId self = id_of(0);

ProvedMember at(std::uint64_t number, Micros::rep micros) {
  return {.id = id_of(number), .name = "n" + std::to_string(number), .rtt = Micros{micros}};
}

std::vector<NodeId> ids(std::initializer_list<std::uint64_t> numbers) {
  std::vector<NodeId> result;
  for (const auto number : numbers) result.push_back(id_of(number));
  std::ranges::sort(result);
  return result;
}

TEST(Neighbours, AreAllWhereAllHaveRoom) {
  std::vector<ProvedMember> members{at(1, 1'000'000), at(2, 1), at(3, 0), at(0, 5)};
  members[0].is_doubtful = true;
  EXPECT_EQ(choose_neighbours(members, {.self = self}), ids({1, 2, 3}));
}

TEST(Neighbours, AreTheNearestWhereThereAreMore) {
  const std::vector<ProvedMember> members{at(1, 50'000), at(2, 20'000), at(3, 30'000),
                                          at(4, 40'000)};
  EXPECT_EQ(choose_neighbours(members, {.self = self, .neighbours_max = 2, .by_lot = 0}),
            ids({2, 3}));
  EXPECT_TRUE(choose_neighbours(members, {.self = self, .neighbours_max = 0}).empty());
}

TEST(Neighbours, StayUnlessAnotherIsNearerByAFifth) {
  std::vector<ProvedMember> members{at(1, 10'000), at(2, 8'100)};
  members[0].is_neighbour = true;
  const NeighbourRules rules{.self = self, .neighbours_max = 1, .by_lot = 0};
  EXPECT_EQ(choose_neighbours(members, rules), ids({1}));
  members[1].rtt = Micros{7'900};
  EXPECT_EQ(choose_neighbours(members, rules), ids({2}));
}

TEST(Neighbours, ThatAreDoubtfulGiveWay) {
  std::vector<ProvedMember> members{at(1, 5'000), at(2, 90'000), at(3, 95'000)};
  members[0].is_neighbour = true;
  members[0].is_doubtful = true;
  EXPECT_EQ(choose_neighbours(members, {.self = self, .neighbours_max = 2}), ids({2, 3}));
  EXPECT_EQ(choose_neighbours(members, {.self = self, .neighbours_max = 3}), ids({1, 2, 3}));
}

TEST(Neighbours, AreThoseThatTheOperatorNamesAndNobodyElse) {
  const std::vector<ProvedMember> members{at(1, 1), at(2, 1), at(3, 900'000)};
  NeighbourRules rules{.self = self, .only = {"n3", id_of(2).text()}};
  EXPECT_EQ(choose_neighbours(members, rules), ids({2, 3}));
  rules.only = {"nobody"};
  EXPECT_TRUE(choose_neighbours(members, rules).empty());
}

TEST(Neighbours, AreNeverTooManyAndAlwaysMembersWhateverComes) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random{seed};
    std::vector<ProvedMember> members;
    const std::size_t count = below(random, 150);
    for (std::size_t number = 1; number <= count; ++number) {
      ProvedMember member = at(number, static_cast<Micros::rep>(below(random, 100'000)));
      member.is_neighbour = below(random, 2) == 0;
      member.is_doubtful = below(random, 4) == 0;
      members.push_back(member);
    }
    const NeighbourRules rules{
        .self = self, .neighbours_max = below(random, 80), .by_lot = below(random, 20)};
    const auto chosen = choose_neighbours(members, rules);
    const std::size_t room = std::min(rules.neighbours_max, neighbours_limit);
    EXPECT_EQ(chosen.size(), std::min(room, members.size())) << "seed " << seed;
    EXPECT_EQ(std::set(chosen.begin(), chosen.end()).size(), chosen.size()) << "seed " << seed;
    std::ranges::reverse(members);
    EXPECT_EQ(choose_neighbours(members, rules), chosen) << "seed " << seed;
  }
}

TEST(Neighbours, DoNotChangeUnderNoiseOfATenth) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Random random{seed};
    std::vector<ProvedMember> members;
    std::vector<double> distances;
    for (std::uint64_t number = 1; number <= 120; ++number) {
      distances.push_back(uniform(random, 500, 60'000));
      members.push_back(at(number, static_cast<Micros::rep>(distances.back())));
    }
    const NeighbourRules rules{.self = self, .neighbours_max = 20};
    const auto first = choose_neighbours(members, rules);
    for (int round = 0; round < 50; ++round) {
      for (std::size_t index = 0; index < members.size(); ++index) {
        members[index].rtt =
            Micros{static_cast<Micros::rep>(distances[index] * uniform(random, 0.9, 1.1))};
        members[index].is_neighbour = std::ranges::binary_search(first, members[index].id);
      }
      ASSERT_EQ(choose_neighbours(members, rules), first) << "seed " << seed;
    }
  }
}

/// Two machine rooms far from each other, and everybody prefers its own. What both sides chose counts.
TEST(Neighbours, ByLotKeepTheFederationConnected) {
  constexpr std::size_t nodes = 150;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<std::set<std::size_t>> chosen(nodes);
    std::vector<NodeId> names;
    for (std::size_t node = 0; node < nodes; ++node) names.push_back(id_of(seed * 1000 + node));
    for (std::size_t node = 0; node < nodes; ++node) {
      std::vector<ProvedMember> members;
      for (std::size_t other = 0; other < nodes; ++other) {
        if (other == node) continue;
        const bool is_near = (other < nodes / 2) == (node < nodes / 2);
        members.push_back({.id = names[other], .name = {}, .rtt = Micros{is_near ? 200 : 50'000}});
      }
      const auto picks =
          choose_neighbours(members, {.self = names[node], .neighbours_max = 20, .by_lot = 6});
      for (std::size_t other = 0; other < nodes; ++other) {
        if (std::ranges::binary_search(picks, names[other])) chosen[node].insert(other);
      }
    }
    std::set<std::size_t> reached{0};
    std::vector<std::size_t> open{0};
    while (!open.empty()) {
      const std::size_t node = open.back();
      open.pop_back();
      for (const std::size_t other : chosen[node]) {
        if (chosen[other].contains(node) && reached.insert(other).second) open.push_back(other);
      }
    }
    EXPECT_EQ(reached.size(), nodes) << "seed " << seed;
  }
}

TEST(FlapMeter, DampsWhoComesAndGoes) {
  FlapMeter meter;
  const auto at_second = [](int second) { return Instant{Micros{second * 1'000'000LL}}; };
  EXPECT_FALSE(meter.is_damped(at_second(0)));
  meter.lost(at_second(0));
  EXPECT_FALSE(meter.is_damped(at_second(0)));  // Once may happen to anybody.
  meter.lost(at_second(100));
  EXPECT_TRUE(meter.is_damped(at_second(109)));
  EXPECT_FALSE(meter.is_damped(at_second(110)));
  meter.lost(at_second(200));
  EXPECT_TRUE(meter.is_damped(at_second(219)));
  for (int loss = 0; loss < 50; ++loss) meter.lost(at_second(300));
  EXPECT_TRUE(meter.is_damped(at_second(899)));
  EXPECT_FALSE(meter.is_damped(at_second(940)));
  meter.lost(at_second(3000));
  EXPECT_FALSE(meter.is_damped(at_second(3000)));
}

TEST(Proofs, OfTheListAndOfNeighboursComeFirst) {
  const std::vector<ProofWish> wishes{{.index = 0, .group = "b"},
                                      {.index = 1, .group = "b", .is_neighbour = true},
                                      {.index = 2, .group = "", .since = Instant{Micros{5}}}};
  EXPECT_EQ(order_proofs(wishes, {}, {}), (std::vector<std::size_t>{1, 2, 0}));
}

TEST(Proofs, OfACrowdAtOneAddressHoldUpNobodyElse) {
  std::vector<ProofWish> wishes;
  for (std::size_t index = 0; index < 5000; ++index)
    wishes.push_back({.index = index, .group = "crowd"});
  wishes.push_back({.index = 9000, .group = "honest", .since = Instant{Micros{7}}});
  wishes.push_back({.index = 9001, .group = "honest", .since = Instant{Micros{8}}});
  const auto order =
      order_proofs(wishes, {{"crowd", 3}}, {.under_way_max = 20, .under_way_max_each = 10});
  ASSERT_EQ(order.size(), 2U + 7U);
  EXPECT_EQ(order[0], 9000U);
  EXPECT_EQ(order[1], 9001U);
  EXPECT_TRUE(order_proofs(wishes, {{"crowd", 20}}, {.under_way_max = 20}).empty());
}

}  // namespace
}  // namespace dfaas
