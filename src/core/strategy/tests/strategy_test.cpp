// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/strategy.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/strategy/all_local.hpp"
#include "core/strategy/grant_and_spill.hpp"

namespace dfaas {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

NodeId node(std::size_t index) {
  return *NodeId::parse(std::string(32, static_cast<char>('a' + index)));
}
FunctionName named(std::string_view name) { return *FunctionName::parse(name); }

const FunctionName work = named("work");

/// Ten slots of 100 ms each: 100 requests/s at most, 95 to plan with.
FunctionView own(double arrivals) {
  return {.function = work,
          .digest = "d",
          .deployed = true,
          .slots = 10,
          .service_time = Micros{100'000},
          .arrivals = Rate{arrivals}};
}

NeighbourView neighbour(std::size_t index, NeighbourFunction function) {
  function.function = work;
  if (function.service_time.count() == 0) function.service_time = Micros{100'000};
  return {.id = node(index),
          .slot = static_cast<int>(index) + 1,
          .up = true,
          .functions = {std::move(function)}};
}

StrategyResult plan(const NodeView& view, const StrategyMemory& memory = {}) {
  Random random{1};
  return plan_grant_and_spill(view, memory, random);
}

TEST(StrategyTable, IsSortedAndFindsByName) {
  EXPECT_TRUE(std::ranges::is_sorted(strategies(), {}, &Strategy::name));
  for (const Strategy& strategy : strategies()) {
    ASSERT_TRUE(find_strategy(strategy.name));
    EXPECT_EQ(find_strategy(strategy.name)->plan, strategy.plan);
    EXPECT_FALSE(strategy.summary.empty());
  }
  const auto unknown = find_strategy("recalx");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::invalid_input);
  EXPECT_NE(unknown.error().message.find("grant_and_spill"), std::string::npos);
}

TEST(AllLocal, SendsNothingTakesNothingAsksNothing) {
  NodeView view{.self = node(0), .functions = {own(500)}};
  view.neighbours.push_back(
      neighbour(1, {.slots = 10, .granted = Rate{50}, .left = Rate{9}, .asked = Rate{50}}));
  Random random{1};
  const StrategyResult result = plan_all_local(view, {}, random);
  ASSERT_THAT(result.functions, SizeIs(1));
  EXPECT_THAT(result.functions[0].peers, IsEmpty());
  EXPECT_THAT(result.functions[0].guests, IsEmpty());
  EXPECT_THAT(result.asks, IsEmpty());
  EXPECT_THAT(result.grants, IsEmpty());
}

TEST(GrantAndSpill, AsksForItsExcessWhereGrantsAndLeftoversAre) {
  // 190/s want 19 of the 9.5 slots to plan with: half of it is too much.
  NodeView view{.self = node(0), .functions = {own(190)}};
  view.neighbours.push_back(neighbour(1, {.slots = 10, .granted = Rate{20}, .left = Rate{10}}));
  view.neighbours.push_back(neighbour(2, {.slots = 10, .granted = Rate{0}, .left = Rate{60}}));
  StrategyResult result = plan(view);
  ASSERT_THAT(result.asks[node(1)], SizeIs(1));
  EXPECT_NEAR(result.asks[node(1)][0].rate.per_second, 95.0 * 30 / 90, 1e-3);
  EXPECT_NEAR(result.asks[node(2)][0].rate.per_second, 95.0 * 60 / 90, 1e-3);
}

TEST(GrantAndSpill, AsksForNothingWhileItsOwnSlotsSuffice) {
  NodeView view{.self = node(0), .functions = {own(94)}};
  view.neighbours.push_back(neighbour(1, {.slots = 10, .left = Rate{10}}));
  EXPECT_THAT(plan(view).asks, IsEmpty());
}

TEST(GrantAndSpill, AsksForEverythingWhereItLacksTheFunction) {
  NodeView view{.self = node(0), .functions = {own(40)}};
  view.functions[0].deployed = false;
  view.functions[0].slots = 0;
  view.neighbours.push_back(neighbour(1, {.slots = 10, .left = Rate{10}}));
  StrategyResult result = plan(view);
  EXPECT_NEAR(result.asks[node(1)][0].rate.per_second, 40, 1e-9);
  EXPECT_THAT(result.grants, IsEmpty());
  EXPECT_THAT(result.functions[0].guests, IsEmpty());
  EXPECT_THAT(result.functions[0].peers, SizeIs(1));
}

TEST(GrantAndSpill, GrantsItsHeadroomFairlyAndGivesTheRestAhead) {
  // Own users need 35 of 95: 60 are left for the others.
  NodeView view{.self = node(0), .functions = {own(35)}};
  view.neighbours.push_back(neighbour(1, {.slots = 10, .asked = Rate{10}}));
  view.neighbours.push_back(neighbour(2, {.slots = 10, .asked = Rate{20}}));
  view.neighbours.push_back(neighbour(3, {.slots = 10}));
  StrategyResult result = plan(view);
  EXPECT_NEAR(result.grants[node(1)][0].granted.per_second, 10, 1e-9);
  EXPECT_NEAR(result.grants[node(2)][0].granted.per_second, 20, 1e-9);
  EXPECT_NEAR(result.grants[node(3)][0].left.per_second, 10, 1e-9);
  // Twice the grant, what is left, a burst, and half of what the slots can do.
  EXPECT_NEAR(result.functions[0].guests[1].rate.per_second, 2 * 20 + 10 + 2 + 95.0 / 2, 1e-9);
}

TEST(GrantAndSpill, AdmitsWhoSharesTheFunctionBeforeItAsksOrRunsIt) {
  NodeView view{.self = node(0), .functions = {own(35)}};
  view.neighbours.push_back(neighbour(1, {.slots = 0}));
  view.neighbours.push_back(neighbour(2, {.slots = 10}));
  view.neighbours[1].up = false;
  StrategyResult result = plan(view);
  ASSERT_THAT(result.functions[0].guests, SizeIs(2));
  EXPECT_GT(result.functions[0].guests[0].rate.per_second, 0);
  EXPECT_THAT(result.functions[0].peers, IsEmpty()) << "nobody to send to";
  EXPECT_THAT(result.grants, IsEmpty()) << "nobody to give to";
}

TEST(GrantAndSpill, GrantsToAnAskerThatDoesNotRunTheFunction) {
  NodeView view{.self = node(0), .functions = {own(35)}};
  view.neighbours.push_back(neighbour(1, {.slots = 0, .asked = Rate{40}}));
  StrategyResult result = plan(view);
  EXPECT_NEAR(result.grants[node(1)][0].granted.per_second, 40, 1e-9);
  EXPECT_NEAR(result.grants[node(1)][0].left.per_second, 20, 1e-9);
}

TEST(GrantAndSpill, WeighsNeighboursByGrantsAndKeepsAFloor) {
  NodeView view{.self = node(0), .functions = {own(190)}};
  view.neighbours.push_back(neighbour(1, {.slots = 10, .granted = Rate{40}, .left = Rate{5}}));
  view.neighbours.push_back(neighbour(2, {.slots = 10}));
  const auto peers = plan(view).functions[0].peers;
  ASSERT_THAT(peers, SizeIs(2));
  // A tenth of its 100/s, shared by two neighbours.
  EXPECT_NEAR(peers[1].weight, 5.001, 1e-9);
  EXPECT_NEAR(peers[1].floor_weight, 5.001, 1e-9);
  EXPECT_NEAR(peers[0].weight, 45 + 5.001, 1e-9);
  EXPECT_EQ(peers[0].window, 13) << "ceil(2 x 50.001/s x 0.1 s + 2)";
}

TEST(GrantAndSpill, LosesFaithInWhoRefusesAndForgivesInAboutAMinute) {
  NodeView view{.self = node(0), .functions = {own(190)}};
  view.neighbours.push_back(
      neighbour(1, {.slots = 10, .granted = Rate{40}, .left = Rate{5}, .refused = 100}));
  StrategyMemory memory;
  for (int tick = 0; tick < 5; ++tick) memory = plan(view, memory).memory;
  const double distrusted = plan(view, memory).functions[0].peers[0].weight;
  EXPECT_LT(distrusted, 3);
  view.neighbours[0].functions[0].refused = 0;
  for (int tick = 0; tick < 30; ++tick) memory = plan(view, memory).memory;
  EXPECT_GT(plan(view, memory).functions[0].peers[0].weight, 35);
}

TEST(GrantAndSpill, FallsForNoClaimOfManySlots) {
  NodeView view{.self = node(0), .functions = {own(190)}};
  view.neighbours.push_back(neighbour(1, {.slots = 100'000,
                                          .service_time = Micros{1000},
                                          .granted = Rate{1e9},
                                          .left = Rate{1e9},
                                          .refused = 500}));
  view.neighbours.push_back(neighbour(2, {.slots = 10, .granted = Rate{40}, .accepted = 80}));
  const StrategyMemory memory = plan(view).memory;
  const auto peers = plan(view, memory).functions[0].peers;
  EXPECT_LT(peers[0].weight, 0.1 * peers[1].weight);
  EXPECT_LT(peers[0].floor_weight, peers[1].floor_weight);
}

TEST(GrantAndSpillProperty, GivesNoMoreThanItHasAndPlansOnlyUsableNumbers) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    // Numbers as hostile as messages may carry, mixed with ordinary ones.
    const auto rate = [&random] {
      const double kind = uniform(random, 0, 1);
      return Rate{kind < 0.2 ? 0 : kind < 0.3 ? 1e9 : uniform(random, 0, 200)};
    };
    NodeView view{.self = node(0)};
    const std::size_t functions = 1 + below(random, 4);
    for (std::size_t at = 0; at < functions; ++at) {
      FunctionView function = own(rate().per_second);
      function.function = named("f" + std::to_string(at));
      function.deployed = below(random, 4) != 0;
      function.slots = function.deployed ? 1 + static_cast<int>(below(random, 20)) : 0;
      function.service_time = Micros{1 + static_cast<Micros::rep>(below(random, 1'000'000))};
      view.functions.push_back(function);
    }
    for (std::size_t peer = 0; peer < below(random, 8); ++peer) {
      NeighbourView sharer{.id = node(peer + 1), .up = below(random, 4) != 0};
      for (std::size_t at = 0; at < functions; ++at) {
        if (below(random, 3) == 0) continue;
        sharer.functions.push_back(
            {.function = view.functions[at].function,
             .slots = below(random, 5) == 0 ? 100'000 : static_cast<int>(below(random, 10)),
             .service_time = Micros{1000 + static_cast<Micros::rep>(below(random, 1'000'000))},
             .granted = rate(),
             .left = rate(),
             .asked = rate(),
             .accepted = below(random, 100),
             .refused = below(random, 100)});
      }
      view.neighbours.push_back(std::move(sharer));
    }

    StrategyMemory memory;
    for (int tick = 0; tick < 3; ++tick) {
      const StrategyResult result = plan(view, memory);
      memory = result.memory;
      ASSERT_EQ(result.functions.size(), view.functions.size());
      for (std::size_t at = 0; at < functions; ++at) {
        const FunctionView& function = view.functions[at];
        const FunctionPlan& planned = result.functions[at];
        ASSERT_EQ(planned.function, function.function);
        EXPECT_TRUE(std::ranges::is_sorted(planned.peers, {}, &FunctionPeer::id));
        EXPECT_TRUE(std::ranges::is_sorted(planned.guests, {}, &GuestLimit::id));
        for (const FunctionPeer& peer : planned.peers) {
          EXPECT_GT(peer.floor_weight, 0);
          EXPECT_GE(peer.weight, peer.floor_weight);
          EXPECT_LE(peer.weight, 1e9);
          EXPECT_TRUE(peer.window >= 1 && peer.window <= 1'000'000) << peer.window;
        }
        for (const GuestLimit& guest : planned.guests) {
          EXPECT_TRUE(guest.rate.per_second > 0 && guest.rate.per_second <= 1e9);
        }
        double given = 0;
        double asked = 0;
        for (const NeighbourView& sharer : view.neighbours) {
          const auto theirs =
              std::ranges::find(sharer.functions, function.function, &NeighbourFunction::function);
          if (const auto grants = result.grants.find(sharer.id); grants != result.grants.end()) {
            for (const FunctionGrant& grant : grants->second) {
              if (grant.function != function.function) continue;
              ASSERT_NE(theirs, sharer.functions.end()) << "a grant to who shares nothing";
              EXPECT_LE(grant.granted.per_second, theirs->asked.per_second);
              EXPECT_GE(grant.left.per_second, 0);
              given += grant.granted.per_second + grant.left.per_second;
            }
          }
          if (const auto asks = result.asks.find(sharer.id); asks != result.asks.end()) {
            for (const FunctionAsk& ask : asks->second) {
              if (ask.function == function.function) asked += ask.rate.per_second;
            }
          }
        }
        const double headroom =
            std::max(0.0, 0.95 * function.slots / to_seconds(function.service_time) -
                              function.arrivals.per_second);
        EXPECT_LE(given, headroom * (1 + 1e-9) + 1e-6);
        EXPECT_LE(asked, function.arrivals.per_second * (1 + 1e-9) + 1e-6);
      }
      const StrategyResult again = plan(view, memory);
      EXPECT_EQ(plan(view, memory).functions, again.functions) << "same view, same plan";
    }
  }
}

}  // namespace
}  // namespace dfaas
