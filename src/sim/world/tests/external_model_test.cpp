// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The model of strategy external_model in a simulation: asked as a live node asks, followed as told.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/scenario/model_trace.hpp"
#include "sim/world/node_ids.hpp"
#include "sim/world/recorded_model.hpp"
#include "sim/world/run.hpp"

namespace dfaas {
namespace {

using nlohmann::json;
using testing::ElementsAre;

constexpr Micros second{1'000'000};
constexpr double rate = 40;  ///< Of users of node 0.

/// Node 0 with users, and others without, all with 20 slots for a function of exactly 100 ms.
Scenario star(std::size_t nodes, Micros duration = 30 * second) {
  Scenario scenario{.name = "star", .duration = duration};
  scenario.functions.push_back(
      {.name = *FunctionName::parse("work"), .service_time = {.kind = ServiceKind::deterministic}});
  for (NodeIndex at = 0; at < nodes; ++at) {
    scenario.nodes.push_back({.name = *NodeName::parse(fmt::format("node-{}", at)),
                              .pools = {{.name = "cpu", .slots = 20}},
                              .functions = {{.function = 0, .pool = 0}}});
    if (at > 0) scenario.links.push_back({.a = 0, .b = at});
  }
  scenario.loads.push_back({.node = 0,
                            .function = 0,
                            .arrivals = ArrivalKind::constant,
                            .step = duration,
                            .rates = {Rate{rate}}});
  return scenario;
}

RunOptions asking(ExternalModel model) {
  return {.strategy = *find_strategy("external_model"), .external = std::move(model)};
}

ExternalShares shares(double local, double refused, const std::map<NodeIndex, double>& others) {
  ExternalShares told{.local = local, .refused = refused, .neighbours = {}};
  for (const auto& [node, share] : others) told.neighbours.emplace(node_id_of(node), share);
  return told;
}

/// All that goes away goes to node 1.
ExternalShares away(double share) { return shares(1 - share, 0, {{1, share}}); }

class Log : public RunListener {
 public:
  void on_end(const CallRecord& call) override { calls.push_back(call); }

  /// Of the calls of that time, the part for which `is` holds.
  [[nodiscard]] double part(Micros from, Micros until,
                            const std::function<bool(const CallRecord&)>& is) const {
    double all = 0;
    double such = 0;
    for (const CallRecord& call : calls) {
      if (call.arrival < from || call.arrival >= until) continue;
      ++all;
      if (is(call)) ++such;
    }
    EXPECT_GT(all, 0);
    return such / all;
  }
  [[nodiscard]] double part_at(NodeIndex server, Micros from, Micros until) const {
    return part(from, until, [server](const CallRecord& call) {
      return call.how <= CallEnd::served_by_peer && call.server == server;
    });
  }
  [[nodiscard]] std::string text() const {
    std::string text;
    for (const CallRecord& call : calls) {
      text += fmt::format("{} {} {} {} {} {}\n", call.arrival.count(), call.end.count(), call.node,
                          call.server, call.tries, static_cast<int>(call.how));
    }
    return text;
  }

  std::vector<CallRecord> calls;
};

Log run(const Scenario& scenario, const RunOptions& options) {
  Log log;
  const auto totals = run_scenario(scenario, options, log);
  EXPECT_TRUE(totals) << totals.error().message;
  return log;
}

/// A question of node 0.
struct Asked {
  Micros at{0};
  ExternalQuestion question;

  [[nodiscard]] json seen() const {
    return json::parse(question.json).at("observation").at("node_" + node_id_of(0).text());
  }
};

TEST(ExternalModel, IsAskedOnceAPeriodWhatALiveNodeWouldAsk) {
  std::vector<Asked> asked;
  std::map<NodeIndex, int> questions;
  run(star(2), asking([&](Micros at, NodeIndex node, const ExternalQuestion& question) {
        ++questions[node];
        if (node == 0) asked.push_back({.at = at, .question = question});
        return node == 0 ? std::optional(away(0.25)) : std::nullopt;
      }));
  ASSERT_NEAR(static_cast<double>(asked.size()), 30, 2);
  EXPECT_NEAR(questions[1], 30, 2) << "it has no users, but runs the function";
  for (std::size_t at = 1; at < asked.size(); ++at) {
    EXPECT_EQ(asked[at].at - asked[at - 1].at, second) << "the period of the strategy";
    EXPECT_EQ(asked[at].question.function.name(), "work");
    EXPECT_THAT(asked[at].question.neighbours, ElementsAre(node_id_of(1)));
  }
  EXPECT_EQ(asked.front().seen().at("input_rate"), 0) << "what came before is no rate of ours";
  const json seen = asked[20].seen();
  const std::string to = "fwd_to_node_" + node_id_of(1).text();
  EXPECT_NEAR(seen.at("input_rate").get<double>(), rate, 1);
  EXPECT_NEAR(seen.at("previous_input_rate").get<double>(), rate, 1);
  EXPECT_NEAR(seen.at("previous_" + to).get<double>(), rate / 4, 8);
  EXPECT_EQ(seen.at("reject_rate"), 0);
  EXPECT_NEAR(seen.at("avg_resp_time_loc").get<double>(), 100, 1);
  EXPECT_NEAR(seen.at("previous_avg_resp_time_" + to).get<double>(), 102, 1) << "there and back";
  EXPECT_NEAR(seen.at("cpu_utilization").get<double>(), 0.75 * rate * 0.1 / 20, 0.05);
  EXPECT_EQ(seen.at("n_replicas"), 1);
  double sent = 0;
  for (std::size_t at = 5; at < 25; ++at)
    sent += asked[at].seen().at("previous_" + to).get<double>();
  EXPECT_NEAR(sent / 20, rate / 4, 3) << "on average, what it said";
}

TEST(ExternalModel, IsToldOfWhatWasRefusedAndWhatCameTooLate) {
  Scenario scenario = star(2);
  scenario.nodes[1].lie = Lie{.refuses_guests = true};
  scenario.functions[0].deadline = Micros{150'000};
  scenario.faults.push_back(
      {.kind = FaultKind::slowdown, .at = 15 * second, .nodes = {0}, .factor = 2});
  std::vector<Asked> asked;
  run(scenario, asking([&](Micros at, NodeIndex node, const ExternalQuestion& question) {
        if (node == 0) asked.push_back({.at = at, .question = question});
        return node == 0 ? std::optional(at < 8 * second ? shares(0.5, 0.5, {}) : away(0.5))
                         : std::nullopt;
      }));
  const auto mean = [&asked](std::size_t from, std::size_t until, const std::string& key) {
    double sum = 0;
    for (std::size_t at = from; at < until; ++at) sum += asked[at].seen().at(key).get<double>();
    return sum / static_cast<double>(until - from);
  };
  const std::string to = "previous_fwd_to_node_" + node_id_of(1).text();
  EXPECT_NEAR(mean(3, 8, "reject_rate"), 0.5, 0.15) << "as it said itself";
  EXPECT_EQ(mean(3, 8, to), 0);
  EXPECT_NEAR(mean(10, 14, to), rate / 2, 8);
  EXPECT_EQ(mean(10, 14, to), mean(10, 14, to + "_rejected"));
  EXPECT_EQ(mean(18, 28, "reject_rate"), 1) << "200 ms are too late for all";
}

TEST(ExternalModel, ThePeriodCanBeSet) {
  std::vector<Micros> asked;
  RunOptions options = asking([&asked](Micros at, NodeIndex node, const ExternalQuestion&) {
    if (node == 0) asked.push_back(at);
    return std::optional<ExternalShares>();
  });
  options.period = Millis{2500};
  run(star(2), options);
  ASSERT_NEAR(static_cast<double>(asked.size()), 12, 1);
  EXPECT_EQ(asked[5] - asked[4], Micros{2'500'000});
}

TEST(ExternalModel, ItsSharesAreFollowed) {
  const Log log =
      run(star(3, 120 * second), asking([](Micros, NodeIndex node, const ExternalQuestion&) {
            return node == 0 ? std::optional(shares(0.3, 0.1, {{1, 0.4}, {2, 0.2}})) : std::nullopt;
          }));
  // 4720 draws: four standard deviations are 0.028 of the largest share.
  EXPECT_NEAR(log.part_at(0, 2 * second, 120 * second), 0.3, 0.03);
  EXPECT_NEAR(log.part_at(1, 2 * second, 120 * second), 0.4, 0.03);
  EXPECT_NEAR(log.part_at(2, 2 * second, 120 * second), 0.2, 0.03);
  EXPECT_NEAR(log.part(2 * second, 120 * second,
                       [](const CallRecord& call) { return call.how == CallEnd::refused; }),
              0.1, 0.03);
}

TEST(ExternalModel, AnswersExpireAndEverythingStaysHere) {
  RunOptions options = asking([](Micros at, NodeIndex node, const ExternalQuestion&) {
    return node == 0 && at < 5 * second ? std::optional(away(1)) : std::nullopt;
  });
  options.external_keep = Millis{3000};
  const Log log = run(star(2), options);
  EXPECT_EQ(log.part_at(1, 2 * second, 7 * second), 1) << "the last answer came after 4 s";
  EXPECT_EQ(log.part_at(0, 10 * second, 30 * second), 1);
}

TEST(ExternalModel, WhatIsNoPartOfOneIsNoAnswer) {
  const Log log = run(star(2), asking([](Micros at, NodeIndex node, const ExternalQuestion&) {
                        return node == 0 && at < 5 * second
                                   ? std::optional(away(1))
                                   : std::optional(shares(0.5, 0, {{1, 0.7}}));
                      }));
  EXPECT_EQ(log.part_at(1, 2 * second, 14 * second), 1) << "the last good one holds for 10 s";
  EXPECT_EQ(log.part_at(0, 17 * second, 30 * second), 1);
}

TEST(ExternalModel, ANewAgentKnowsNoAnswersOfTheOneBefore) {
  Scenario scenario = star(2);
  scenario.faults.push_back(
      {.kind = FaultKind::agent_crash, .at = 6 * second, .until = 7 * second, .nodes = {0}});
  RunOptions options = asking([](Micros at, NodeIndex node, const ExternalQuestion&) {
    return node == 0 && at < 5 * second ? std::optional(away(1)) : std::nullopt;
  });
  options.external_keep = Millis{3'600'000};
  const Log log = run(scenario, options);
  EXPECT_EQ(log.part_at(1, 2 * second, 7 * second), 1);
  EXPECT_EQ(log.part_at(0, 12 * second, 30 * second), 1);
}

TEST(ExternalModel, WithoutAModelEverythingStaysHere) {
  RunOptions all_local{.strategy = *find_strategy("all_local"), .period = Millis{1000}};
  Scenario scenario = star(2);
  scenario.nodes[0].pools[0].slots = 2;  // Too few.
  EXPECT_EQ(run(scenario, asking({})).text(), run(scenario, all_local).text());
}

TEST(ExternalModel, OnlyItsStrategyAsks) {
  RunOptions options = asking([](Micros, NodeIndex, const ExternalQuestion&) {
    ADD_FAILURE() << "asked";
    return std::optional<ExternalShares>();
  });
  options.strategy = *find_strategy("grant_and_spill");
  run(star(2), options);
  options.is_omni = true;
  run(star(2), options);
}

TEST(RecordedModel, SaysWhatTheTraceHasAndTheSameAgain) {
  const Scenario scenario = star(3);
  auto trace = parse_model_trace(
      R"({"at_s": 0, "node": "node-0", "function": "work", "local": 0, "reject": 0, "neighbours": {"node-1": 1}}
{"at_s": 9.9, "node": "node-0", "function": "work", "local": 0.5, "reject": 0, "neighbours": {"node-2": 0.5}}
{"at_s": 20.1, "node": "node-0", "function": "work", "local": 1, "reject": 0}
)",
      scenario);
  ASSERT_TRUE(trace) << trace.error().message;
  const RunOptions options = asking(model_of(std::move(*trace), scenario));
  const Log log = run(scenario, options);
  EXPECT_EQ(log.part_at(1, 2 * second, 9 * second), 1);
  EXPECT_NEAR(log.part_at(2, 12 * second, 20 * second), 0.5, 0.15);
  EXPECT_EQ(log.part_at(1, 12 * second, 20 * second), 0);
  EXPECT_EQ(log.part_at(0, 22 * second, 30 * second), 1);
  EXPECT_EQ(log.text(), run(scenario, options).text());
}

}  // namespace
}  // namespace dfaas
