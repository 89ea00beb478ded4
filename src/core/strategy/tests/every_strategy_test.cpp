// SPDX-License-Identifier: AGPL-3.0-or-later
//
// What must hold for every row of the table, whatever the view: a new strategy is tested by its row.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "core/strategy/capacity.hpp"
#include "core/strategy/tests/views.hpp"

namespace dfaas {
namespace {

using namespace views;

class EveryStrategy : public testing::TestWithParam<Strategy> {
 protected:
  static const Strategy& strategy() { return GetParam(); }
  static StrategyResult plan(const NodeView& view, const StrategyMemory& memory = {}) {
    Random random{7};
    return strategy().plan(view, memory, random);
  }
};

INSTANTIATE_TEST_SUITE_P(Table, EveryStrategy,
                         testing::ValuesIn(strategies().begin(), strategies().end()),
                         [](const auto& tested) { return std::string(tested.param.name); });

const NeighbourFunction* shared(const NeighbourView& neighbour, const FunctionName& name) {
  const auto found = std::ranges::find(neighbour.functions, name, &NeighbourFunction::function);
  return found == neighbour.functions.end() ? nullptr : &*found;
}

const NeighbourView& neighbour_of(const NodeView& view, const NodeId& id) {
  return *std::ranges::find(view.neighbours, id, &NeighbourView::id);
}

bool is_rate(Rate rate) { return rate.per_second >= 0 && rate.per_second <= rate_max; }

void check_peers(const NodeView& view, const FunctionPlan& plan) {
  EXPECT_TRUE(std::ranges::is_sorted(plan.peers, {}, &FunctionPeer::id));
  for (const FunctionPeer& to : plan.peers) {
    const NeighbourView& neighbour = neighbour_of(view, to.id);
    const NeighbourFunction* function = shared(neighbour, plan.function);
    ASSERT_NE(function, nullptr) << "never to who lacks the function";
    EXPECT_GT(function->slots, 0) << "never to who lacks the function";
    EXPECT_TRUE(neighbour.up) << "never to who is down";
    EXPECT_TRUE(to.weight >= 1e-9 && to.weight <= rate_max) << to.weight;
    EXPECT_TRUE(to.floor_weight >= 1e-9 && to.floor_weight <= rate_max) << to.floor_weight;
    EXPECT_TRUE(to.window >= 1 && to.window <= 1'000'000) << to.window;
  }
}

void check_guests(const NodeView& view, const FunctionPlan& plan) {
  EXPECT_TRUE(std::ranges::is_sorted(plan.guests, {}, &GuestLimit::id));
  for (const GuestLimit& guest : plan.guests) {
    EXPECT_TRUE(guest.rate.per_second > 0 && is_rate(guest.rate)) << guest.rate.per_second;
    EXPECT_NE(shared(neighbour_of(view, guest.id), plan.function), nullptr);
  }
}

void check_shares(const FunctionPlan& plan) {
  double sum = plan.local_share + plan.refused_share;
  for (const FunctionPeer& to : plan.peers) sum += to.weight;
  EXPECT_GE(plan.local_share, 0);
  EXPECT_GE(plan.refused_share, 0);
  EXPECT_NEAR(sum, 1, 1e-9);
}

/// The form in which it travels refuses what the dispatcher could not go by.
void check_form(const NodeView& view, const StrategyResult& result) {
  RoutingPlan plan{.functions = result.functions};
  for (const NeighbourView& neighbour : view.neighbours) {
    plan.peers.push_back({.id = neighbour.id, .slot = neighbour.slot, .up = neighbour.up});
  }
  const auto read = plan_from_json(plan_to_json(plan));
  EXPECT_TRUE(read.has_value()) << read.error().message;
}

void check(const NodeView& view, const StrategyResult& result) {
  EXPECT_TRUE(std::ranges::is_sorted(result.functions, {}, &FunctionPlan::function));
  for (const FunctionPlan& plan : result.functions) {
    check_peers(view, plan);
    check_guests(view, plan);
    EXPECT_TRUE(is_rate(plan.local_rate)) << plan.local_rate.per_second;
    if (plan.rule == RoutingRule::shares) check_shares(plan);
  }
  for (const auto& [id, grants] : result.grants) {
    EXPECT_TRUE(std::ranges::is_sorted(grants, {}, &FunctionGrant::function));
    for (const FunctionGrant& grant : grants) {
      EXPECT_TRUE(is_rate(grant.granted) && is_rate(grant.left));
      EXPECT_NE(shared(neighbour_of(view, id), grant.function), nullptr);
    }
  }
  for (const auto& [id, asks] : result.asks) {
    for (const FunctionAsk& ask : asks) EXPECT_TRUE(is_rate(ask.rate));
  }
  check_form(view, result);
}

TEST_P(EveryStrategy, PlansOnlyUsableNumbersWhateverItSees) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    const NodeView view = hostile_view(random);
    const StrategyResult first = plan(view);
    check(view, first);
    check(view, plan(view, first.memory));
    if (HasFailure()) return;
  }
}

TEST_P(EveryStrategy, PlansOnlyUsableNumbersThoughTheViewIsBroken) {
  if (strategy().name == "grant_and_spill") GTEST_SKIP() << "believes what a view promises";
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    const NodeView view = broken_view(random);
    check(view, plan(view));
    if (HasFailure()) return;
  }
}

TEST_P(EveryStrategy, PlansTheSameForTheSameSeed) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Random random{seed};
    const NodeView view = hostile_view(random);
    const StrategyResult once = plan(view);
    const StrategyResult again = plan(view);
    EXPECT_EQ(once.functions, again.functions) << "seed " << seed;
    EXPECT_EQ(once.grants, again.grants) << "seed " << seed;
    EXPECT_EQ(once.asks, again.asks) << "seed " << seed;
  }
}

TEST_P(EveryStrategy, ServesAloneWithoutNeighbours) {
  const StrategyResult result = plan({.self = node(0), .functions = {own(500)}});
  ASSERT_EQ(result.functions.size(), 1U);
  EXPECT_TRUE(result.functions[0].peers.empty());
  if (result.functions[0].rule == RoutingRule::shares) {
    EXPECT_EQ(result.functions[0].local_share, 1);
  }
  EXPECT_TRUE(result.asks.empty());
  EXPECT_TRUE(result.grants.empty());
}

/// Those that send away what was told, not what is too much.
bool is_driven_by_load(const Strategy& strategy) {
  return strategy.name != "static" && strategy.name != "external_model";
}

TEST_P(EveryStrategy, SendsNothingAwayWithoutLoad) {
  NodeView view{.self = node(0), .functions = {own(0)}};
  view.functions[0].guest_arrivals = Rate{500};
  view.neighbours = {neighbour(1, {.slots = 10, .left = Rate{50}}), neighbour(2)};
  const StrategyResult result = plan(view);
  ASSERT_EQ(result.functions.size(), 1U);
  EXPECT_TRUE(result.asks.empty());
  if (result.functions[0].rule == RoutingRule::shares && is_driven_by_load(strategy())) {
    EXPECT_TRUE(result.functions[0].peers.empty());
    EXPECT_EQ(result.functions[0].local_share, 1);
  }
}

TEST_P(EveryStrategy, AdmitsTheNeighboursToWhomItWouldSend) {
  if (strategy().name == "all_local") GTEST_SKIP() << "takes nothing";
  NodeView view{.self = node(0), .functions = {own(10)}};
  view.neighbours = {neighbour(1), neighbour(2)};
  const StrategyResult result = plan(view);
  ASSERT_EQ(result.functions[0].guests.size(), 2U);
  EXPECT_EQ(result.functions[0].guests[0].id, node(1));
}

TEST_P(EveryStrategy, HasAPeriodThatTheSettingsAllow) {
  EXPECT_GE(strategy().period, Millis{500});
  EXPECT_LE(strategy().period, Millis{600'000});
}

TEST(PublishedStrategies, PlanOnlyUsableNumbersWhateverTheySee) {
  for (const Strategy& strategy : strategies()) {
    if (strategy.plan_as_published == nullptr) continue;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
      SCOPED_TRACE(testing::Message() << strategy.name << ", seed " << seed);
      Random random{seed};
      const NodeView view = hostile_view(random);
      StrategyMemory memory;
      for (int call = 0; call < 4; ++call) {
        const StrategyResult result = strategy.plan_as_published(view, memory, random);
        for (const FunctionPlan& plan : result.functions) {
          check_peers(view, plan);
          check_guests(view, plan);
        }
        check_form(view, result);
        memory = result.memory;
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(StrategiesReference, BeginsTheCommittedPage) {
  const std::string page = text_of(DFAAS_ROOT "/docs/reference/strategies.md");
  const std::string expected =
      "\n<!-- dfaas strategy reference -->\n" + strategies_reference() + "<!-- end -->\n";
  EXPECT_NE(page.find(expected), std::string::npos)
      << "put what dfaas strategy reference prints between the marks of strategies.md";
  for (const Strategy& strategy : strategies()) {
    EXPECT_NE(page.find("\n## " + std::string(strategy.name) + "\n"), std::string::npos)
        << strategy.name << " has no section";
  }
}

TEST(GuideToAStrategy, ShowsCodeThatIsInTheTree) {
  const std::string code = text_of(DFAAS_ROOT "/src/core/strategy/static.cpp") +
                           text_of(DFAAS_ROOT "/src/core/strategy/strategy.hpp") +
                           text_of(DFAAS_ROOT "/src/core/strategy/strategy.cpp") +
                           text_of(DFAAS_ROOT "/src/core/strategy/tests/shares_test.cpp");
  const std::string guide = text_of(DFAAS_ROOT "/docs/guides/add-a-strategy.md");
  constexpr std::string_view open = "```cpp\n";
  int blocks = 0;
  for (std::size_t at = 0; (at = guide.find(open, at)) != std::string::npos; ++blocks) {
    at += open.size();
    const std::string block = guide.substr(at, guide.find("```", at) - at);
    EXPECT_NE(code.find(block), std::string::npos) << "not in the tree:\n" << block;
  }
  EXPECT_EQ(blocks, 4);
}

}  // namespace
}  // namespace dfaas
