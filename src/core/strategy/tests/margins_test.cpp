// SPDX-License-Identifier: AGPL-3.0-or-later
//
// node_margin and power_saving.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/strategy/margins.hpp"
#include "core/strategy/node_margin.hpp"
#include "core/strategy/tests/views.hpp"

namespace dfaas {
namespace {

using namespace views;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// A neighbour of `slots` slots whose margin is a part of its usage.
NeighbourView with_margin(std::size_t number, double margin, double arrivals, int slots = 10) {
  return neighbour(
      number, {.slots = slots, .arrivals = Rate{arrivals}, .left = Rate{margin * slots / 0.1}});
}

TEST(LinearUsage, IsTheSumOfRateAndServiceTimeByTheSlotsOfAPool) {
  NodeView view{.functions = {own(20, named("a")), own(30, named("b")), own(80, named("c")),
                              foreign(99, named("d"))}};
  view.functions[0].traits.pool = view.functions[1].traits.pool = "cpu";
  const NodeLoad load =
      load_of(view, [](const FunctionView& function) { return function.arrivals; });
  EXPECT_THAT(linear_usage().resources(load),
              ElementsAre(DoubleNear(0.5, 1e-9), DoubleNear(0.8, 1e-9)));
  // 13 of 20 slots.
  EXPECT_NEAR(linear_usage().power(load), 0.2 + 0.8 * 0.65, 1e-9);
  EXPECT_NEAR(linear_usage().power({}), 0.2, 1e-9);
}

TEST(NodeMargin, TellsItsMarginInPartsForItsCommonNeighbours) {
  NodeView view{.self = node(0), .functions = {own(40)}};
  view.functions[0].service_time = Micros{200'000};  // Usage 0.8.
  view.neighbours = {neighbour(1), neighbour(2, {.slots = 0}), neighbour(3), neighbour(4)};
  view.neighbours[3].up = false;
  StrategyResult result = plan("node_margin", view);
  EXPECT_THAT(result.grants, SizeIs(2));
  // 0.1 for each of two, of 10 slots / 0.2 s.
  EXPECT_NEAR(result.grants[node(1)].at(0).left.per_second, 5, 1e-9);
  // The other side gets it back.
  NodeView other{.self = node(1), .functions = {own(0)}};
  other.neighbours = {neighbour(
      5, {.slots = 10, .service_time = Micros{200'000}, .left = result.grants[node(1)][0].left})};
  const NodeLoad load =
      load_of(other, [](const FunctionView& function) { return function.arrivals; });
  EXPECT_NEAR(margin_neighbours(other, load).at(0).margin, 0.1, 1e-9);
}

TEST(NodeMargin, HasNoMarginWhenOverloaded) {
  NodeView view{.self = node(0), .functions = {own(101)}};
  view.neighbours = {neighbour(1)};
  EXPECT_THAT(plan("node_margin", view).grants, IsEmpty());
}

TEST(NodeMargin, MovesOnePercentByOneUntilItIsNotOverloaded) {
  // 104.5/s: five steps of 1.045, three to the first, two to the second.
  NodeView view{.self = node(0), .functions = {own(104.5)}};
  view.neighbours = {with_margin(1, 0.5, 10), with_margin(2, 0.5, 10)};
  const FunctionPlan planned = plan("node_margin", view).functions[0];
  EXPECT_NEAR(planned.local_share, 0.95, 1e-12);
  EXPECT_NEAR(weight(planned, 1), 0.03, 1e-12);
  EXPECT_NEAR(weight(planned, 2), 0.02, 1e-12);
}

TEST(NodeMargin, StaysWithinTheMarginCountingAllThatItSent) {
  // 200/s: steps of 2, each 0.02 of the neighbour's slots: four are below 0.09, five are not.
  NodeView view{.self = node(0), .functions = {own(200)}};
  view.neighbours = {with_margin(1, 0.09, 10), with_margin(2, 0.05, 10)};
  const FunctionPlan planned = plan("node_margin", view).functions[0];
  EXPECT_NEAR(weight(planned, 1), 0.04, 1e-12);
  EXPECT_NEAR(weight(planned, 2), 0.02, 1e-12);
  EXPECT_NEAR(planned.local_share, 0.94, 1e-12);
}

TEST(NodeMargin, CountsGuestsWhenItJudgesItself) {
  NodeView view{.self = node(0), .functions = {own(90)}};
  view.neighbours = {with_margin(1, 0.9, 0)};
  EXPECT_EQ(plan("node_margin", view).functions[0].local_share, 1);
  view.functions[0].guest_arrivals = Rate{20};
  // 110/s: 0.9 a step.
  EXPECT_NEAR(weight(plan("node_margin", view).functions[0], 1), 0.12, 1e-12);
}

TEST(NodeMargin, DoesNotTakeItsRoomBackWhenSomebodyUsesIt) {
  NodeView view{.self = node(0), .functions = {own(20)}};
  view.neighbours = {neighbour(1)};
  for (const double guests : {0.0, 40.0, 80.0}) {
    view.functions[0].guest_arrivals = Rate{guests};
    StrategyResult result = plan("node_margin", view);
    EXPECT_NEAR(result.grants[node(1)].at(0).left.per_second, 80, 1e-9);
  }
}

TEST(NodeMargin, MovesOnlyWhatRelievesThePoolThatIsFull) {
  NodeView view{.self = node(0), .functions = {own(10, named("idle")), own(105)}};
  view.neighbours = {with_margin(1, 0.9, 0)};
  view.neighbours[0].functions.insert(
      view.neighbours[0].functions.begin(),
      theirs({.function = named("idle"), .slots = 10, .left = Rate{90}}));
  const StrategyResult result = plan("node_margin", view);
  EXPECT_EQ(result.functions[0].local_share, 1);
  EXPECT_NEAR(weight(result.functions[1], 1), 0.05, 1e-12);
}

TEST(NodeMargin, FillsNoNeighbourBeyondItsSlotsWhateverItPromised) {
  NodeView view{.self = node(0), .functions = {own(200)}};
  view.neighbours = {with_margin(1, 1, 95)};
  EXPECT_NEAR(weight(plan("node_margin", view).functions[0], 1), 0.02, 1e-12) << "95 + 2 x 2";
}

TEST(NodeMargin, SendsWhatItLacksToAllThatRunIt) {
  NodeView view{.self = node(0), .functions = {foreign(10)}};
  view.neighbours = {neighbour(1), neighbour(2)};
  const FunctionPlan planned = plan("node_margin", view).functions[0];
  EXPECT_EQ(planned.local_share, 0);
  EXPECT_NEAR(weight(planned, 1), 0.5, 1e-12);
}

TEST(PowerSaving, ShedsLoadAboveItsCapThoughItHasSlots) {
  // 70 % of the power is 62.5 % of the slots: of 65/s it keeps 62.4.
  NodeView view{.self = node(0), .functions = {own(65)}};
  view.neighbours = {with_margin(1, 0.5, 0)};
  EXPECT_NEAR(weight(plan("power_saving", view).functions[0], 1), 0.04, 1e-12);
  view.functions[0].arrivals = Rate{62};
  EXPECT_EQ(plan("power_saving", view).functions[0].local_share, 1);
}

TEST(PowerSaving, TellsWhatIsLeftOfItsPower) {
  // 0.2 + 0.8 x 0.3 = 0.44 of 0.7.
  NodeView view{.self = node(0), .functions = {own(30)}};
  view.neighbours = {neighbour(1), neighbour(2)};
  StrategyResult result = plan("power_saving", view);
  EXPECT_NEAR(result.grants[node(1)].at(0).left.per_second, 100 * (1 - 0.44 / 0.7) / 2, 1e-9);
}

TEST(PowerSaving, LeavesNeighboursBelowTheirCap) {
  NodeView view{.self = node(0), .functions = {own(200)}};
  view.neighbours = {with_margin(1, 1, 60)};
  EXPECT_NEAR(weight(plan("power_saving", view).functions[0], 1), 0.01, 1e-12) << "60 + 2";
}

// --- as published

StrategyResult published(const NodeView& view, std::uint64_t seed = 1) {
  Random random{seed};
  return plan_node_margin_as_published(view, {}, random);
}

TEST(PublishedNodeMargin, LooksAtTheLastSecondAndAtUsersOnly) {
  NodeView view{.self = node(0), .functions = {own(500)}};
  view.functions[0].arrivals_latest = Rate{50};
  view.functions[0].guest_arrivals = Rate{500};
  view.neighbours = {with_margin(1, 0.5, 0)};
  StrategyResult result = published(view);
  EXPECT_EQ(result.functions[0].local_share, 1);
  // The mean of usage 0.5 and power 0.6.
  EXPECT_NEAR(result.grants[node(1)].at(0).left.per_second, 45, 1e-9);
}

TEST(PublishedNodeMargin, RoundsSharesToPercentsThatMayNotSumToOne) {
  NodeView view{.self = node(0), .functions = {own(110)}};
  view.neighbours = {with_margin(1, 0.9, 0), with_margin(2, 0.9, 0), with_margin(3, 0.9, 0)};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const FunctionPlan planned = published(view, seed).functions[0];
    // Ten steps of a hundredth of what is left: 0.99^10 = 0.904.
    EXPECT_NEAR(planned.local_share, 0.90, 1e-12);
    for (const FunctionPeer& peer : planned.peers) {
      EXPECT_NEAR(peer.weight * 100, std::round(peer.weight * 100), 1e-9);
    }
  }
}

TEST(PublishedNodeMargin, RefusesWhatItLacks) {
  NodeView view{.self = node(0), .functions = {foreign(10)}};
  view.neighbours = {neighbour(1)};
  EXPECT_THAT(published(view).functions.at(0).peers, IsEmpty());
}

}  // namespace
}  // namespace dfaas
