// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Scenarios of two or three nodes, their windows, and the best that each allows: who may serve whom
/// while faults, lies and owners say otherwise.
#include "sim/oracle/score.hpp"

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sim/oracle/input_json.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/oracle/problems.hpp"

namespace dfaas {
namespace {

using testing::ElementsAre;

constexpr Micros second{1'000'000};
constexpr double near = 1e-6;

/// Two linked nodes of 1 slot, one function of 100 ms: 100 calls a window of 10 s each. Node 0 is asked
/// 150 times in the first second of each window.
struct Pair {
  Scenario scenario{.name = "pair",
                    .duration = 20 * second,
                    .functions = {{.name = *FunctionName::parse("work")}}};

  Pair() {
    for (int node = 0; node < 2; ++node) {
      scenario.nodes.push_back({.name = *NodeName::parse(fmt::format("node-{}", node)),
                                .pools = {{.slots = 1}},
                                .functions = {{}}});
    }
    scenario.links.push_back({.a = 0, .b = 1});
  }

  [[nodiscard]] Result<OracleScore> score(const OracleOptions& options = {}) const {
    auto arrivals = ArrivalCounts::of(scenario);
    if (!arrivals) return pass_on(std::move(arrivals));
    for (const Micros window : {Micros{0}, 10 * second}) {
      for (int call = 0; call < 150; ++call) arrivals->add(window + call * Millis{5}, 0, 0);
    }
    return score_oracle(scenario, *arrivals, options);
  }

  [[nodiscard]] double served_max() const {
    const auto result = score();
    EXPECT_TRUE(result) << result.error().message;
    return result ? result->total.served_max : -1;
  }

  ScenarioFault& add_fault(FaultKind kind, std::vector<NodeIndex> nodes) {
    scenario.faults.push_back({.kind = kind, .at = 10 * second, .nodes = std::move(nodes)});
    return scenario.faults.back();
  }
};

TEST(Score, AddsUpTheWindows) {
  std::vector<std::size_t> heard;
  const auto score = Pair().score(
      {.local_first = LocalFirst::work_out,
       .on_window = [&heard](std::size_t done, std::size_t) { heard.push_back(done); }});
  EXPECT_NEAR(score->total.offered, 300, near);
  EXPECT_NEAR(score->total.served_max, 300, near);
  EXPECT_NEAR(score->total.forwarded_min, 100, near);
  EXPECT_NEAR(score->total.work_max, 30, near);
  EXPECT_NEAR(*score->total.local_first_max, 300, near);
  ASSERT_EQ(score->windows.size(), 2U);
  EXPECT_NEAR(score->windows[1].sum.served_max, 150, near);
  EXPECT_THAT(heard, ElementsAre(1, 2));
}

TEST(Score, LeavesTheWarmUpOut) {
  Pair pair;
  pair.scenario.warm_up = 10 * second;
  EXPECT_NEAR(pair.score()->total.offered, 150, near);
}

TEST(Score, WithoutALinkEachIsAlone) {
  Pair pair;
  pair.scenario.links.clear();
  EXPECT_NEAR(pair.served_max(), 200, near);
}

TEST(Score, ALinkThatLosesAllIsNone) {
  Pair pair;
  pair.scenario.links[0].loss_ratio = 1;
  EXPECT_NEAR(pair.served_max(), 200, near);
}

TEST(Score, ARefusingNodeServesItsOwnOnly) {
  Pair pair;
  pair.scenario.nodes[1].lie = {.refuses_guests = true};
  EXPECT_NEAR(pair.served_max(), 200, near);
  pair.scenario.nodes[1].lie.reset();
  pair.scenario.nodes[0].lie = {.refuses_guests = true};
  EXPECT_NEAR(pair.served_max(), 300, near) << "it may still send";
}

TEST(Score, WithoutAnAgentNobodyIsReached) {
  for (const NodeIndex node : {0U, 1U}) {
    Pair pair;
    pair.scenario.nodes[node].runs_agent = false;
    EXPECT_NEAR(pair.served_max(), 200, near);
  }
}

TEST(Score, ASlowNodeServesFewer) {
  Pair pair;
  pair.scenario.nodes[1].lie = {.slowdown = 4};
  EXPECT_NEAR(pair.served_max(), 250, near);
  pair.add_fault(FaultKind::slowdown, {1}).factor = 2.5;
  EXPECT_NEAR(pair.served_max(), 125 + 110, near);
}

TEST(Score, SharingStopsWhereTheOwnerSays) {
  Pair pair;
  pair.scenario.functions[0].share = Sharing::node;
  EXPECT_NEAR(pair.served_max(), 200, near);
  pair.scenario.functions[0].share = Sharing::organisation;
  EXPECT_NEAR(pair.served_max(), 300, near);
  pair.scenario.nodes[1].organisation = "other";
  EXPECT_NEAR(pair.served_max(), 200, near);
}

TEST(Score, AFunctionRunsWhereItIsDeployed) {
  Pair pair;
  pair.scenario.nodes[0].functions.clear();
  EXPECT_NEAR(pair.served_max(), 200, near);
  EXPECT_NEAR(pair.score()->total.forwarded_min, 200, near);
}

TEST(Score, ACrashedNodeServesNobodyAndNobodyItsUsers) {
  Pair pair;
  pair.add_fault(FaultKind::node_crash, {1});
  EXPECT_NEAR(pair.served_max(), 150 + 100, near);
  pair.scenario.faults[0].nodes = {0};
  EXPECT_NEAR(pair.served_max(), 150, near);
  EXPECT_NEAR(pair.score()->total.offered, 300, near) << "they asked all the same";
}

TEST(Score, WindowsAreCutWhereAFaultBeginsOrEnds) {
  Pair pair;
  pair.scenario.duration = 25 * second;
  pair.scenario.warm_up = 2 * second;
  pair.add_fault(FaultKind::node_crash, {1}).until = 14 * second;
  pair.add_fault(FaultKind::agent_crash, {1}).at = 15 * second;
  pair.scenario.nodes[1].joins_at = 3 * second;
  EXPECT_THAT(
      *oracle_spans(pair.scenario),
      ElementsAre(OracleSpan{2 * second, 3 * second}, OracleSpan{3 * second, 10 * second},
                  OracleSpan{10 * second, 12 * second}, OracleSpan{12 * second, 14 * second},
                  OracleSpan{14 * second, 22 * second}, OracleSpan{22 * second, 25 * second}));
}

TEST(Score, ANodeServesFromTheMomentThatItJoins) {
  Pair pair;
  pair.scenario.nodes[1].joins_at = 10 * second;
  EXPECT_NEAR(pair.served_max(), 100 + 150, near);
}

TEST(Score, ARestartedNodeIsUpWhateverFaultBegan) {
  Pair pair;
  // The end of the first starts it again, as in the simulator.
  ScenarioFault& first = pair.add_fault(FaultKind::node_crash, {1});
  first.at = 4 * second;
  first.until = 10 * second;
  pair.add_fault(FaultKind::node_crash, {1}).at = 5 * second;
  // 4 s with node 1, 6 s without; all of them ask in the first.
  EXPECT_NEAR(pair.served_max(), 80 + 150, near);
}

TEST(Score, ACutInEitherDirectionEndsALink) {
  for (const auto& nodes : {std::vector<NodeIndex>{0, 1}, {1, 0}}) {
    for (const FaultKind kind : {FaultKind::one_way_cut, FaultKind::link_cut}) {
      Pair pair;
      pair.add_fault(kind, nodes);
      EXPECT_NEAR(pair.served_max(), 250, near);
    }
  }
}

TEST(Score, APartitionSeparatesItsNodesFromAllOthers) {
  Pair pair;
  pair.add_fault(FaultKind::partition, {1});
  EXPECT_NEAR(pair.served_max(), 250, near);
  pair.scenario.faults[0].nodes = {0, 1};
  EXPECT_NEAR(pair.served_max(), 300, near) << "not from each other";
}

TEST(Score, AnAgentThatCrashesChangesNothing) {
  Pair pair;
  pair.add_fault(FaultKind::agent_crash, {1});
  EXPECT_NEAR(pair.served_max(), 300, near);
}

TEST(Score, ASharedPoolServesMostByNumberOrByWork) {
  Pair pair;
  pair.scenario.nodes.pop_back();
  pair.scenario.links.clear();
  pair.scenario.functions.push_back(
      {.name = *FunctionName::parse("dear"), .service_time = {.mean = 5 * second}});
  pair.scenario.nodes[0].functions.push_back({.function = 1});
  auto arrivals = ArrivalCounts::of(pair.scenario);
  for (int call = 0; call < 80; ++call) arrivals->add(second, 0, 0);
  for (int call = 0; call < 2; ++call) arrivals->add(second, 0, 1);
  const auto score = score_oracle(pair.scenario, *arrivals);
  EXPECT_NEAR(score->total.served_max, 80.4, near);
  EXPECT_NEAR(score->total.work_max, 10, near);
}

TEST(Score, RefusesAScenarioThatIsNone) {
  Pair pair;
  const auto arrivals = ArrivalCounts::of(pair.scenario);
  pair.scenario.links.push_back({.a = 7, .b = 8});
  EXPECT_EQ(score_oracle(pair.scenario, *arrivals).error().code, ErrorCode::invalid_input);
}

TEST(Score, RefusesMoreWindowsThanAnyoneWouldWaitFor) {
  Pair pair;
  pair.scenario.window = Micros{1};
  EXPECT_EQ(pair.score().error().code, ErrorCode::invalid_input);
}

TEST(ArrivalCounts, AreSortedAndOfTheirWindow) {
  Pair pair;
  pair.scenario.warm_up = second;
  auto arrivals = ArrivalCounts::of(pair.scenario);
  for (const Micros at : {Micros{0}, second - Micros{1}, 20 * second, 30 * second}) {
    arrivals->add(at, 0, 0);  // In no window.
  }
  arrivals->add(11 * second, 1, 0);
  arrivals->add(20 * second - Micros{1}, 0, 0);
  arrivals->add(11 * second - Micros{1}, 1, 0);
  arrivals->add(12 * second, 1, 0);
  ASSERT_EQ(arrivals->spans().size(), 2U);
  EXPECT_THAT(arrivals->in(0), ElementsAre(ArrivalCount{1, 0, 1}));
  EXPECT_THAT(arrivals->in(1), ElementsAre(ArrivalCount{0, 0, 1}, ArrivalCount{1, 0, 2}));
}

TEST(InputJson, SaysAllThatTheOracleGoesBy) {
  Pair pair;
  pair.scenario.nodes[1].lie = {.refuses_guests = true, .slowdown = 3};
  pair.add_fault(FaultKind::one_way_cut, {1, 0});
  const auto json = nlohmann::json::parse(oracle_input_json(pair.scenario));
  EXPECT_EQ(json["window_us"], 10'000'000);
  EXPECT_EQ(json["functions"][0], nlohmann::json::parse(R"({"name": "work",
      "service_mean_us": 100000, "deadline_us": 1000000, "share": "federation"})"));
  EXPECT_EQ(json["nodes"][1], nlohmann::json::parse(R"({"name": "node-1", "organisation": "org",
      "pools": [{"slots": 1}], "functions": [{"function": "work", "pool": 0}], "joins_at_us": 0,
      "runs_agent": true, "refuses_guests": true, "slowdown_factor": 3.0})"));
  EXPECT_EQ(json["links"][0],
            nlohmann::json::parse(R"({"a": "node-0", "b": "node-1", "loss_ratio": 0.0})"));
  EXPECT_EQ(json["faults"][0], nlohmann::json::parse(R"({"kind": "one_way_cut",
      "at_us": 10000000, "until_us": null, "nodes": ["node-1", "node-0"], "factor": 1.0})"));
}

}  // namespace
}  // namespace dfaas
