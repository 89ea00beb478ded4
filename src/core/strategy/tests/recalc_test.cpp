// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/recalc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/strategy/capacity.hpp"
#include "core/strategy/tests/views.hpp"

namespace dfaas {
namespace {

using namespace views;
using testing::IsEmpty;
using testing::SizeIs;

double left_for(StrategyResult& result, std::size_t number, std::size_t at = 0) {
  return result.grants[node(number)].at(at).left.per_second;
}

TEST(Recalc, GrantsItsMarginInEqualPartsAndEnforcesThem) {
  // Of 100/s its users need 30: 70 for three.
  NodeView view{.self = node(0), .functions = {own(30)}};
  view.neighbours = {neighbour(1), neighbour(2), neighbour(3)};
  StrategyResult result = plan("recalc", view);
  EXPECT_EQ(result.functions[0].rule, RoutingRule::rate);
  EXPECT_EQ(result.functions[0].guest_rule, GuestRule::capped);
  EXPECT_NEAR(result.functions[0].local_rate.per_second, 100, 1e-9);
  for (std::size_t number = 1; number <= 3; ++number) {
    EXPECT_NEAR(left_for(result, number), 70.0 / 3, 1e-9) << "not a whole number";
    EXPECT_EQ(result.grants[node(number)][0].granted, Rate{});
    EXPECT_NEAR(result.functions[0].guests.at(number - 1).rate.per_second, 70.0 / 3, 1e-9);
  }
}

TEST(Recalc, AdmitsNobodyWhenItsUsersNeedAll) {
  NodeView view{.self = node(0), .functions = {own(100)}};
  view.neighbours = {neighbour(1)};
  const StrategyResult result = plan("recalc", view);
  EXPECT_THAT(result.grants, IsEmpty());
  EXPECT_THAT(result.functions[0].guests, IsEmpty());
}

TEST(Recalc, KeepsWeightsReadyBeforeItIsOverloaded) {
  NodeView view{.self = node(0), .functions = {own(1)}};
  view.neighbours = {neighbour(1, {.slots = 10, .granted = Rate{5}, .left = Rate{20}}),
                     neighbour(2), neighbour(3, {.slots = 10, .left = Rate{50}})};
  const FunctionPlan planned = plan("recalc", view).functions[0];
  ASSERT_THAT(planned.peers, SizeIs(2)) << "nobody without a limit";
  EXPECT_NEAR(weight(planned, 1), 25, 1e-9);
  EXPECT_NEAR(weight(planned, 3), 50, 1e-9);
}

TEST(Recalc, AsksForWhatItLacksAndGrantsToWhoAsks) {
  NodeView view{.self = node(0), .functions = {foreign(40)}};
  view.neighbours = {neighbour(1), neighbour(2, {.slots = 10, .left = Rate{30}})};
  StrategyResult asking = plan("recalc", view);
  EXPECT_NEAR(asking.asks[node(1)].at(0).rate.per_second, 20, 1e-9);
  EXPECT_EQ(asking.functions[0].local_rate, Rate{});
  EXPECT_NEAR(weight(asking.functions[0], 2), 30, 1e-9);

  NodeView giver{.self = node(0), .functions = {own(40)}};
  giver.neighbours = {neighbour(1, {.slots = 0}), neighbour(2, {.slots = 0, .asked = Rate{20}}),
                      neighbour(3)};
  StrategyResult giving = plan("recalc", giver);
  EXPECT_THAT(giving.grants, SizeIs(2)) << "not to who neither runs it nor asked";
  EXPECT_NEAR(left_for(giving, 2), 30, 1e-9);
}

TEST(Recalc, DividesAPoolAmongItsFunctions) {
  NodeView view{.self = node(0), .functions = {own(20, named("a")), own(20)}};
  view.functions[0].service_time = Micros{200'000};  // 50/s at most: 0.4 of the pool.
  for (FunctionView& function : view.functions) function.traits.pool = "cpu";
  view.neighbours = {neighbour(1, {.slots = 10})};
  view.neighbours[0].functions.insert(view.neighbours[0].functions.begin(),
                                      theirs({.function = named("a"), .slots = 10}));
  StrategyResult result = plan("recalc", view);
  // 0.4 of the pool are free, 0.2 for each: 10 of 200 ms, 20 of 100 ms.
  EXPECT_NEAR(left_for(result, 1, 0), 10, 1e-9);
  EXPECT_NEAR(left_for(result, 1, 1), 20, 1e-9);
  // Here each may use what the other leaves.
  EXPECT_NEAR(result.functions[0].local_rate.per_second, 40, 1e-9);
  EXPECT_NEAR(result.functions[1].local_rate.per_second, 60, 1e-9);
  for (FunctionView& function : view.functions) function.arrivals = Rate{50};
  result = plan("recalc", view);
  // 1.0 and 0.5 of it: two thirds of each fit.
  EXPECT_NEAR(result.functions[0].local_rate.per_second, 100.0 / 3, 1e-9);
  EXPECT_NEAR(result.functions[1].local_rate.per_second, 100.0 / 3, 1e-9);
}

TEST(Recalc, DoesNotTakeItsRoomBackWhenSomebodyUsesIt) {
  // The neighbour sends what it may; what the controller sees of that is smoothed.
  NodeView view{.self = node(0), .functions = {own(20)}};
  view.neighbours = {neighbour(1)};
  for (int period = 0; period < 20; ++period) {
    StrategyResult result = plan("recalc", view);
    EXPECT_NEAR(left_for(result, 1), 80, 1e-9) << "period " << period;
    Rate& guests = view.functions[0].guest_arrivals;
    guests = guests * 0.4 + Rate{left_for(result, 1)} * 0.6;
  }
}

TEST(Recalc, NeverGrantsMoreThanItsUsersLeave) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Random random{seed};
    const NodeView view = hostile_view(random);
    const StrategyResult result = plan("recalc", view);
    std::map<FunctionName, double> given;
    for (const auto& [id, grants] : result.grants) {
      for (const FunctionGrant& grant : grants) given[grant.function] += grant.left.per_second;
    }
    for (const std::vector<std::size_t>& pool : pools_of(view)) {
      double used = 0;
      double promised = 0;
      for (const std::size_t at : pool) {
        const FunctionView& function = view.functions[at];
        used += function.arrivals / max_rate(function);
        promised += Rate{given[function.function]} / max_rate(function);
      }
      EXPECT_LE(promised, std::max(0.0, 1 - used) + 1e-9) << "seed " << seed;
    }
  }
}

// --- as published

class PublishedRecalc : public testing::Test {
 protected:
  StrategyResult step() {
    Random random{1};
    StrategyResult result = plan_recalc_as_published(view, memory, random);
    memory = result.memory;
    return result;
  }

  NodeView view{.self = node(0), .period = Micros{5'000'000}, .functions = {own(30.7)}};
  StrategyMemory memory;
};

TEST_F(PublishedRecalc, AnnouncesWholeLimitsAndEnforcesThemHalfAPeriodLater) {
  view.neighbours = {neighbour(1), neighbour(2), neighbour(3)};
  StrategyResult first = step();
  EXPECT_THAT(first.functions, IsEmpty()) << "nothing was in force yet";
  EXPECT_EQ(left_for(first, 1), 23) << "floor(floor(100 - 30) / 3)";
  StrategyResult second = step();
  EXPECT_EQ(left_for(second, 1), 23) << "stays announced";
  EXPECT_EQ(second.functions.at(0).guests.at(0).rate.per_second, 23);
  EXPECT_EQ(second.functions[0].local_rate.per_second, 100);
  view.functions[0].arrivals_latest = Rate{90};
  StrategyResult third = step();
  EXPECT_EQ(left_for(third, 1), 3) << "announced anew";
  EXPECT_EQ(third.functions.at(0).guests.at(0).rate.per_second, 23) << "in force until half time";
  EXPECT_EQ(step().functions.at(0).guests.at(0).rate.per_second, 3);
}

TEST_F(PublishedRecalc, HasWeightsOnlyAfterItWasSeenOverloaded) {
  view.neighbours = {neighbour(1, {.slots = 10, .left = Rate{20}}),
                     neighbour(2, {.slots = 10, .left = Rate{10}}), neighbour(3, {.slots = 10})};
  step();
  EXPECT_THAT(step().functions.at(0).peers, IsEmpty());
  view.functions[0].arrivals_latest = Rate{100};
  const StrategyResult measured = step();
  EXPECT_THAT(measured.functions.at(0).peers, IsEmpty());
  EXPECT_THAT(measured.grants, IsEmpty());
  const FunctionPlan weighed = step().functions.at(0);
  EXPECT_EQ(weight(weighed, 1), 66);
  EXPECT_EQ(weight(weighed, 2), 33);
  EXPECT_EQ(peer(weighed, 3), nullptr);
  EXPECT_THAT(weighed.guests, IsEmpty());
}

TEST_F(PublishedRecalc, LosesWhatCannotBeDividedWhole) {
  view.functions[0] = own(98.5);
  view.neighbours = {neighbour(1), neighbour(2), neighbour(3)};
  EXPECT_THAT(step().grants, IsEmpty()) << "a margin of 2 for 3";
}

TEST_F(PublishedRecalc, RefusesWhatOnlyNeighboursRun) {
  view.functions[0] = foreign(10);
  view.neighbours = {neighbour(1, {.slots = 10, .left = Rate{50}})};
  step();
  const FunctionPlan planned = step().functions.at(0);
  EXPECT_EQ(planned.rule, RoutingRule::rate);
  EXPECT_EQ(planned.local_rate, Rate{});
  EXPECT_THAT(planned.peers, IsEmpty());
}

TEST_F(PublishedRecalc, ChangesNothingBetweenTwoPeriods) {
  view.neighbours = {neighbour(1)};
  step();
  const StrategyResult second = step();
  view.functions[0].arrivals_latest = Rate{100};
  view.period = Micros{1'000'000};
  const StrategyResult between = step();
  EXPECT_EQ(between.functions, second.functions);
  EXPECT_EQ(between.grants, second.grants);
  EXPECT_EQ(between.memory.plans, 2U);
}

}  // namespace
}  // namespace dfaas
