// SPDX-License-Identifier: AGPL-3.0-or-later
//
// random_spill and power_of_two.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/strategy/tests/views.hpp"

namespace dfaas {
namespace {

using namespace views;
using testing::IsEmpty;
using testing::SizeIs;

NodeView two_sizes() {
  NodeView view{.self = node(0), .functions = {own(10)}};
  view.neighbours = {neighbour(1, {.slots = 10}), neighbour(2, {.slots = 40})};
  view.neighbours[1].rtt = Micros{50'000};
  return view;
}

TEST(RandomSpill, KnowsNothingOfItsNeighboursButThatTheyAreThere) {
  const StrategyResult result = plan("random_spill", two_sizes());
  const FunctionPlan& planned = result.functions.at(0);
  EXPECT_EQ(planned.rule, RoutingRule::spill);
  EXPECT_EQ(planned.guest_rule, GuestRule::home_first);
  EXPECT_EQ(planned.draws, 1);
  EXPECT_EQ(weight(planned, 1), weight(planned, 2));
  EXPECT_THAT(planned.guests, SizeIs(2));
  EXPECT_THAT(result.asks, IsEmpty());
  EXPECT_THAT(result.grants, IsEmpty());
}

TEST(PowerOfTwo, WeighsNeighboursByWhatTheyCanServe) {
  const FunctionPlan planned = plan("power_of_two", two_sizes()).functions.at(0);
  EXPECT_EQ(planned.draws, 2);
  EXPECT_NEAR(weight(planned, 1), 100, 1e-9);
  EXPECT_NEAR(weight(planned, 2), 400, 1e-9);
}

TEST(Spills, HaveWindowsWideEnoughThatAdmissionDecides) {
  for (const std::string_view name : {"random_spill", "power_of_two"}) {
    const FunctionPlan planned = plan(name, two_sizes()).functions.at(0);
    EXPECT_EQ(peer(planned, 1)->window, 2 * 10 + 2);
    EXPECT_EQ(peer(planned, 2)->window, 2 * 40 * 3 / 2 + 2) << "with what is under way";
  }
}

TEST(Spills, KeepTheirWeightsWhenNoPlanComes) {
  for (const std::string_view name : {"random_spill", "power_of_two"}) {
    for (const FunctionPeer& to : plan(name, two_sizes()).functions.at(0).peers) {
      EXPECT_EQ(to.floor_weight, to.weight);
    }
  }
}

}  // namespace
}  // namespace dfaas
