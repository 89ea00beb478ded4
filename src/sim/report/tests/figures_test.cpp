// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Figures of runs small enough to reckon by hand.
#include "sim/report/figures.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dfaas {
namespace {

constexpr Micros second{1'000'000};

Scenario two_nodes() {
  Scenario scenario{.name = "two", .duration = 30 * second, .warm_up = 10 * second};
  scenario.functions.push_back({.name = *FunctionName::parse("work")});
  for (const char* name : {"a", "b"}) {
    scenario.nodes.push_back({.name = *NodeName::parse(name),
                              .pools = {{.name = "", .slots = 2}},
                              .functions = {{.function = 0, .pool = 0}}});
  }
  scenario.links.push_back({.a = 0, .b = 1});
  return scenario;
}

CallRecord call(double at_seconds, std::uint32_t node, CallEnd how, double takes_seconds = 0.1) {
  CallRecord record{.arrival = from_seconds(at_seconds),
                    .end = from_seconds(at_seconds + takes_seconds),
                    .node = node,
                    .server = node,
                    .how = how,
                    .service_time = from_seconds(takes_seconds)};
  if (how == CallEnd::served_by_peer) {
    record.server = 1 - node;
    record.tries = 1;
  }
  return record;
}

class FiguresTest : public testing::Test {
 protected:
  void end(const CallRecord& record) { tally_.on_end(record); }
  RunFigures figures() {
    RunTotals totals{.nodes = std::vector<NodeTotals>(2)};
    totals.nodes[0].busy_seconds = 30;  // Of 60 slot-seconds: half.
    totals.nodes[0].messages = 60;
    totals.nodes[0].forwards = 4;
    totals.nodes[0].forwards_refused = 1;
    return figures_of(tally_, totals, {.strategy = *find_strategy("all_local"), .seed = 7});
  }

  Scenario scenario_ = two_nodes();
  RunTally tally_{scenario_};
};

TEST_F(FiguresTest, CountsWhatCameAfterTheWarmUp) {
  end(call(9.9, 0, CallEnd::refused));
  end(call(10, 0, CallEnd::served_here));
  end(call(11, 0, CallEnd::served_by_peer));
  end(call(12, 1, CallEnd::refused));
  end(call(13, 1, CallEnd::lost));
  const RunFigures f = figures();
  EXPECT_EQ(f.counts.offered, 4U);
  EXPECT_EQ(f.counts.served(), 2U);
  EXPECT_DOUBLE_EQ(f.success_ratio, 0.5);
  EXPECT_DOUBLE_EQ(f.forwarded_ratio, 0.25);
  EXPECT_DOUBLE_EQ(f.wasted_tries_ratio, 0.25);
  EXPECT_EQ(f.worst_node, "b");
  EXPECT_DOUBLE_EQ(f.worst_node_success_ratio, 0);
  EXPECT_DOUBLE_EQ(f.fairness_ratio, 0.5) << "one of two nodes has it all";
}

TEST_F(FiguresTest, CountsWhoServedWhomAfterTheWarmUp) {
  end(call(9, 0, CallEnd::served_by_peer));
  for (const double at : {10.0, 11.0, 12.0}) end(call(at, 0, CallEnd::served_by_peer));
  end(call(13, 0, CallEnd::served_here));
  end(call(14, 1, CallEnd::refused));
  ASSERT_EQ(tally_.forwards()[0].size(), 1U);
  EXPECT_EQ(tally_.forwards()[0][0].to, 1U);
  EXPECT_EQ(tally_.forwards()[0][0].calls, 3U);
  EXPECT_TRUE(tally_.forwards()[1].empty());
}

TEST_F(FiguresTest, AnAnswerThatComesTooLateIsWorthNothing) {
  CallRecord late = call(12, 0, CallEnd::served_here, 3);
  late.is_late = true;
  end(late);
  end(call(13, 0, CallEnd::served_here));
  const RunFigures f = figures();
  EXPECT_DOUBLE_EQ(f.success_ratio, 0.5);
  EXPECT_EQ(f.counts.late, 1U);
  EXPECT_NEAR(f.work_success_ratio, 0.1 / 3.1, 1e-12);
  EXPECT_NEAR(to_millis(f.latency_p50), 100, 2) << "only answers in time have a latency";
}

TEST_F(FiguresTest, PowerFollowsBusySlots) {
  end(call(12, 0, CallEnd::served_here));
  const RunFigures f = figures();
  // 2 W idle, 10 W at most: 6 W at half load, 2 W at none.
  EXPECT_DOUBLE_EQ(f.power_watts, 4);
  EXPECT_DOUBLE_EQ(f.original.max_node_power_watts, 6);
  EXPECT_DOUBLE_EQ(f.messages_per_node_per_second, 1);
}

TEST_F(FiguresTest, RecoveryIsTenGoodSecondsInARow) {
  scenario_.stress_until = 12 * second;
  for (int at = 10; at < 30; ++at) {
    end(call(at, 0, at < 15 || at == 17 ? CallEnd::refused : CallEnd::served_here));
  }
  EXPECT_DOUBLE_EQ(*figures().recovery_seconds, 6) << "second 18 is the first of ten";
}

TEST_F(FiguresTest, TheOriginalsIndexesAreOverFunctionsAndWindows) {
  // Windows of 10 s after the warm-up: 1 of 2 served in the first, 2 of 2 in the second.
  end(call(11, 0, CallEnd::served_here));
  end(call(12, 0, CallEnd::refused));
  end(call(21, 0, CallEnd::served_here));
  end(call(22, 0, CallEnd::served_here));
  const OriginalIndexes indexes = figures().original;
  EXPECT_DOUBLE_EQ(indexes.mean_success_percent, 75);
  EXPECT_DOUBLE_EQ(indexes.success_variance, 625);
  EXPECT_DOUBLE_EQ(indexes.median_success_percent, 75);
  EXPECT_DOUBLE_EQ(indexes.percentile_90_success_percent, 95);
  EXPECT_DOUBLE_EQ(indexes.total_rejected, 1);
}

TEST_F(FiguresTest, JsonAndCsvHaveTheSameFigures) {
  end(call(12, 0, CallEnd::served_here));
  const RunFigures f = figures();
  const auto json = json_of(f);
  EXPECT_EQ(json["family"], "two");
  EXPECT_EQ(json["seed"], 7);
  EXPECT_TRUE(json["served_over_oracle_ratio"].is_null()) << "nobody asked the oracle";
  const std::string csv = csv_of({f});
  EXPECT_EQ(csv.substr(0, csv.find('\n')).find("family,strategy,seed,served_over_oracle_ratio"),
            0U);
  EXPECT_NE(csv.find("\ntwo,all_local,7,,1.0000,"), std::string::npos) << csv;
}

}  // namespace
}  // namespace dfaas
