// SPDX-License-Identifier: AGPL-3.0-or-later
//
// static, random, equal, empirical, external_model: strategies that divide requests by shares.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/strategy/capacity.hpp"
#include "core/strategy/tests/views.hpp"

namespace dfaas {
namespace {

using namespace views;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct Case {
  const char* name;
  std::string_view strategy;
  NodeView view;
  double local;
  std::vector<double> shares;  ///< Of neighbours 1, 2, ...
};

NodeView with(FunctionView function, std::vector<NeighbourView> neighbours) {
  return {.self = node(0), .functions = {std::move(function)}, .neighbours = std::move(neighbours)};
}

NeighbourView down(NeighbourView neighbour) {
  neighbour.up = false;
  return neighbour;
}

FunctionView with_guests(FunctionView function, double rate) {
  function.guest_arrivals = Rate{rate};
  return function;
}

FunctionView with_max_rate(FunctionView function, double rate) {
  function.traits.max_rate = Rate{rate};
  return function;
}

NodeView told(NodeView view, const ExternalShares& shares) {
  view.external[work] = shares;
  return view;
}

class Shares : public testing::TestWithParam<Case> {};

TEST_P(Shares, AreAsComputedByHand) {
  const FunctionPlan planned = plan(GetParam().strategy, GetParam().view).functions.at(0);
  EXPECT_EQ(planned.rule, RoutingRule::shares);
  EXPECT_EQ(planned.guest_rule, GuestRule::as_users);
  EXPECT_NEAR(planned.local_share, GetParam().local, 1e-12);
  for (std::size_t at = 0; at < GetParam().shares.size(); ++at) {
    EXPECT_NEAR(weight(planned, at + 1), GetParam().shares[at], 1e-12) << "neighbour " << at + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Static, Shares,
    testing::Values(
        Case{"two_neighbours",
             "static",
             with(own(1), {neighbour(1), neighbour(2)}),
             0.6,
             {0.2, 0.2}},
        Case{"three_do_not_lose_a_percent",
             "static",
             with(own(1), {neighbour(1), neighbour(2), neighbour(3)}),
             0.6,
             {0.4 / 3, 0.4 / 3, 0.4 / 3}},
        Case{"nobody_near", "static", with(own(1), {}), 1, {}},
        Case{"only_who_is_up_and_runs_it",
             "static",
             with(own(1), {down(neighbour(1)), neighbour(2, {.slots = 0}), neighbour(3)}),
             0.6,
             {0, 0, 0.4}},
        Case{"not_here", "static", with(foreign(1), {neighbour(1), neighbour(2)}), 0, {0.5, 0.5}}),
    [](const auto& tested) { return tested.param.name; });

// 100/s at most: of 125/s a fifth is too much.
INSTANTIATE_TEST_SUITE_P(
    Equal, Shares,
    testing::Values(
        Case{"fewest_steps_that_help",
             "equal",
             with(own(125), {neighbour(1), neighbour(2)}),
             0.8,
             {0.1, 0.1}},
        Case{"in_whole_percents", "equal", with(own(101), {neighbour(1)}), 0.99, {0.01}},
        Case{
            "guests_count", "equal", with(with_guests(own(100), 25), {neighbour(1)}), 0.75, {0.25}},
        Case{"nobody_near", "equal", with(own(125), {}), 1, {}},
        Case{"just_full", "equal", with(own(100), {neighbour(1)}), 1, {0}},
        Case{"only_who_runs_it",
             "equal",
             with(own(125), {neighbour(1, {.slots = 0}), neighbour(2)}),
             0.8,
             {0, 0.2}},
        Case{"label", "equal", with(with_max_rate(own(100), 50), {neighbour(1)}), 0.5, {0.5}}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    ExternalModel, Shares,
    testing::Values(
        Case{"as_told",
             "external_model",
             told(with(own(1), {neighbour(1), neighbour(2)}),
                  {.local = 0.5, .neighbours = {{node(1), 0.2}, {node(2), 0.3}}}),
             0.5,
             {0.2, 0.3}},
        Case{"no_answer_yet", "external_model", with(own(900), {neighbour(1)}), 1, {0}},
        Case{"one_who_left",
             "external_model",
             told(with(own(1), {down(neighbour(1)), neighbour(2)}),
                  {.local = 0.5, .neighbours = {{node(1), 0.2}, {node(2), 0.3}}}),
             0.625,
             {0, 0.375}},
        Case{"nobody_who_is_there",
             "external_model",
             told(with(own(1), {neighbour(1)}), {.local = 0, .neighbours = {{node(5), 1}}}),
             1,
             {0}},
        Case{"not_a_division",
             "external_model",
             told(with(own(1), {neighbour(1)}), {.local = 0.9, .neighbours = {{node(1), 0.9}}}),
             1,
             {0}},
        Case{"not_here_any_more",
             "external_model",
             told(with(foreign(1), {neighbour(1)}), {.local = 0.6, .neighbours = {{node(1), 0.4}}}),
             0,
             {1}}),
    [](const auto& tested) { return tested.param.name; });

TEST(ExternalModel, RefusesAsTold) {
  const FunctionPlan planned =
      plan("external_model", told(with(own(1), {neighbour(1)}),
                                  {.local = 0.5, .refused = 0.25, .neighbours = {{node(1), 0.25}}}))
          .functions.at(0);
  EXPECT_NEAR(planned.local_share, 0.5, 1e-12);
  EXPECT_NEAR(planned.refused_share, 0.25, 1e-12);
  EXPECT_NEAR(weight(planned, 1), 0.25, 1e-12);
}

TEST(Equal, RelievesAPoolByItsFunctionsThatANeighbourRuns) {
  // Both share ten slots of 100 ms; nobody near runs "alone", so "work" gives up twice as much.
  NodeView view{.self = node(0), .functions = {own(60, named("alone")), own(60)}};
  for (FunctionView& function : view.functions) function.traits.pool = "cpu";
  view.neighbours = {neighbour(1)};
  const StrategyResult result = plan("equal", view);
  EXPECT_EQ(result.functions[0].local_share, 1);
  EXPECT_NEAR(weight(result.functions[1], 1), 0.34, 1e-12);
}

TEST(Random, SendsTheExcessByWholeWeights) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const FunctionPlan planned =
        plan("random", with(own(125), {neighbour(1), neighbour(2)}), seed).functions.at(0);
    EXPECT_NEAR(planned.local_share, 0.8, 1e-12);
    const double ratio = weight(planned, 1) / weight(planned, 2);
    EXPECT_TRUE(ratio >= 0.01 && ratio <= 100) << ratio;
  }
  EXPECT_NE(plan("random", with(own(125), {neighbour(1), neighbour(2)}), 1).functions,
            plan("random", with(own(125), {neighbour(1), neighbour(2)}), 2).functions);
}

TEST(Random, SendsWhatAPoolCannotHold) {
  // 0.8 + 0.8 of the slots: three eighths of each are too much.
  NodeView view{.self = node(0), .functions = {own(80, named("other")), own(80)}};
  for (FunctionView& function : view.functions) function.traits.pool = "cpu";
  view.neighbours = {neighbour(1)};
  EXPECT_NEAR(weight(plan("random", view).functions[1], 1), 0.375, 1e-12);
}

/// Means over seeds, so that the noise cancels out.
double mean_weight(const NodeView& view, std::size_t number) {
  double sum = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    sum += weight(plan("empirical", view, seed).functions.at(0), number);
  }
  return sum / 400;
}

TEST(Empirical, DividesTheExcessEvenlyAmongTwins) {
  const NodeView view = with(own(200), {neighbour(1, {.slots = 10, .arrivals = Rate{50}}),
                                        neighbour(2, {.slots = 10, .arrivals = Rate{50}})});
  EXPECT_NEAR(mean_weight(view, 1), 0.25, 0.01);
  EXPECT_NEAR(plan("empirical", view).functions[0].local_share, 0.5, 1e-12);
}

TEST(Empirical, SumsSixFigures) {
  // Slots 1:3; margin 50:270; rate by largest rate 0.5:0.1; service times alike; both usages 0.5:0.1.
  const NodeView view = with(own(200), {neighbour(1, {.slots = 10, .arrivals = Rate{50}}),
                                        neighbour(2, {.slots = 30, .arrivals = Rate{30}})});
  const double first = 0.25 + 50.0 / 320 + 1.0 / 6 + 0.5 + 1.0 / 6 + 1.0 / 6;
  EXPECT_NEAR(mean_weight(view, 1), 0.5 * first / 6, 0.01);
}

TEST(Empirical, AsksNobodyWhoIsOverloadedInItsPool) {
  NeighbourView busy = neighbour(2, {.slots = 10, .pool = "cpu", .arrivals = Rate{30}});
  busy.functions.insert(
      busy.functions.begin(),
      theirs({.function = named("other"), .slots = 10, .pool = "cpu", .arrivals = Rate{80}}));
  const NodeView view = with(own(200), {neighbour(1), busy});
  const FunctionPlan planned = plan("empirical", view).functions.at(0);
  EXPECT_NEAR(weight(planned, 1), 0.5, 1e-12);
  EXPECT_EQ(peer(planned, 2), nullptr);
}

TEST(Empirical, KeepsItsExcessWhereNobodyCanHelp) {
  const NodeView view = with(own(200), {neighbour(1, {.slots = 10, .arrivals = Rate{100}})});
  EXPECT_EQ(plan("empirical", view).functions.at(0).local_share, 1);
}

TEST(Capacity, IsTheLabelElseSlotsByServiceTime) {
  EXPECT_NEAR(max_rate(own(0)).per_second, 100, 1e-9);
  EXPECT_NEAR(max_rate(with_max_rate(own(0), 30)).per_second, 30, 1e-9);
  EXPECT_NEAR(max_rate(theirs({.slots = 5})).per_second, 50, 1e-9);
}

TEST(Capacity, GathersFunctionsByThePoolThatTheyName) {
  NodeView view{.functions = {own(0, named("a")), own(0, named("b")), own(0, named("c")),
                              own(0, named("d")), foreign(0, named("e"))}};
  view.functions[0].traits.pool = view.functions[2].traits.pool = "cpu";
  EXPECT_THAT(pools_of(view), ElementsAre(ElementsAre(0, 2), ElementsAre(1), ElementsAre(3)));
}

}  // namespace
}  // namespace dfaas
