// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What must hold in every run, and a few runs whose outcome can be reckoned by hand.
#include "sim/world/run.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "sim/world/node_ids.hpp"

namespace dfaas {
namespace {

constexpr Micros second{1'000'000};

/// Keeps every call.
class Log : public RunListener {
 public:
  void on_end(const CallRecord& call) override { calls.push_back(call); }
  void on_plan(Micros /*at*/, NodeIndex /*node*/, const RoutingPlan& /*plan*/) override { ++plans; }

  [[nodiscard]] std::size_t count(CallEnd how) const {
    return static_cast<std::size_t>(std::ranges::count(calls, how, &CallRecord::how));
  }
  [[nodiscard]] double success() const {
    const auto good = std::ranges::count_if(calls, &CallRecord::is_success);
    return static_cast<double>(good) / static_cast<double>(calls.size());
  }
  /// Everything, as text: two runs are the same if and only if this is.
  [[nodiscard]] std::string text() const {
    std::string text;
    for (const CallRecord& call : calls) {
      text +=
          fmt::format("{} {} {} {} {} {} {}\n", call.arrival.count(), call.end.count(), call.node,
                      call.function, call.server, call.tries, static_cast<int>(call.how));
    }
    return text;
  }

  std::vector<CallRecord> calls;
  std::uint64_t plans = 0;
};

struct NodeSpec {
  int slots = 2;
  double rate = 0;
};

/// A full mesh of nodes that all run one function of 100 ms.
Scenario mesh(const std::vector<NodeSpec>& nodes, Micros duration = 20 * second) {
  Scenario scenario{.name = "mesh", .duration = duration};
  scenario.functions.push_back({.name = *FunctionName::parse("work")});
  for (std::size_t at = 0; at < nodes.size(); ++at) {
    scenario.nodes.push_back({.name = *NodeName::parse(fmt::format("node-{}", at)),
                              .pools = {{.name = "", .slots = nodes[at].slots}},
                              .functions = {{.function = 0, .pool = 0}}});
    for (std::size_t other = 0; other < at; ++other) {
      scenario.links.push_back({.a = other, .b = at});
    }
    if (nodes[at].rate > 0) {
      scenario.loads.push_back(
          {.node = at, .function = 0, .step = duration, .rates = {Rate{nodes[at].rate}}});
    }
  }
  return scenario;
}

RunOptions with(std::string_view strategy, std::uint64_t seed = 1) {
  return {.strategy = *find_strategy(strategy), .seed = seed};
}

Log run(const Scenario& scenario, const RunOptions& options) {
  Log log;
  const auto totals = run_scenario(scenario, options, log);
  EXPECT_TRUE(totals) << totals.error().message;
  EXPECT_EQ(totals->calls, log.calls.size()) << "every call ends exactly once";
  return log;
}

TEST(NodeIds, SortAsIndexesDo) {
  for (const NodeIndex index : {0U, 1U, 5U, 6U, 31U, 32U, 1000U, 99'999U}) {
    EXPECT_EQ(index_of(node_id_of(index)), index);
    EXPECT_LT(node_id_of(index), node_id_of(index + 1));
  }
}

TEST(World, AnIdleNodeServesAtHome) {
  const Log log = run(mesh({{.slots = 8, .rate = 10}, {.slots = 8}}), with("grant_and_spill"));
  EXPECT_NEAR(static_cast<double>(log.calls.size()), 200, 60);
  EXPECT_EQ(log.count(CallEnd::served_here), log.calls.size());
}

TEST(World, OverflowGoesToTheNeighbourAndComesBack) {
  const Log log =
      run(mesh({{.slots = 2, .rate = 60}, {.slots = 20}}, 60 * second), with("grant_and_spill"));
  EXPECT_GT(log.success(), 0.995);
  EXPECT_GT(log.count(CallEnd::served_by_peer), log.calls.size() / 2);
  for (const CallRecord& call : log.calls) {
    if (call.how == CallEnd::served_by_peer) {
      EXPECT_GE(call.end - call.arrival, call.service_time + Micros{2000}) << "there and back";
    }
  }
}

TEST(World, AloneItServesWhatErlangSays) {
  // 2 slots, 40 erlang/s x 100 ms = 4 offered: M/M/2 with a short line serves nearly 2 slots' worth.
  const Log log =
      run(mesh({{.slots = 2, .rate = 40}, {.slots = 20}}, 100 * second), with("all_local"));
  EXPECT_NEAR(log.success(), 0.5, 0.03);
  EXPECT_EQ(log.count(CallEnd::served_by_peer), 0U);
}

TEST(World, OmniLosesNothingThatFits) {
  RunOptions options = with("all_local");
  options.is_omni = true;
  const Log log = run(mesh({{.slots = 2, .rate = 60}, {.slots = 20}}), options);
  EXPECT_GT(log.success(), 0.999);
}

TEST(World, StrategiesMeetTheSameCalls) {
  const Scenario scenario = mesh({{.slots = 2, .rate = 30}, {.slots = 4, .rate = 10}});
  const auto arrivals = [&](const RunOptions& options) {
    std::map<std::pair<std::int64_t, std::uint32_t>, Micros> calls;
    for (const CallRecord& call : run(scenario, options).calls) {
      calls[{call.arrival.count(), call.node}] = call.service_time;
    }
    return calls;
  };
  EXPECT_EQ(arrivals(with("all_local", 5)), arrivals(with("grant_and_spill", 5)));
  EXPECT_NE(arrivals(with("all_local", 5)), arrivals(with("all_local", 6)));
}

TEST(World, ACrashLosesWhatRanThereAndNoMore) {
  Scenario scenario = mesh({{.slots = 2, .rate = 40}, {.slots = 8}, {.slots = 8}}, 30 * second);
  scenario.functions[0].retry_safe = true;
  scenario.faults.push_back({.at = 10 * second, .until = 20 * second, .nodes = {1}});
  const Log log = run(scenario, with("grant_and_spill"));
  EXPECT_GT(log.success(), 0.99);
}

TEST(World, APartitionLeavesEachSideAlone) {
  Scenario scenario = mesh({{.slots = 2, .rate = 40}, {.slots = 20}}, 30 * second);
  scenario.faults.push_back(
      {.kind = FaultKind::partition, .at = 10 * second, .until = 20 * second, .nodes = {0}});
  const Log log = run(scenario, with("grant_and_spill"));
  const auto served_from = [&](Micros from, Micros to) {
    std::size_t offered = 0;
    std::size_t served = 0;
    for (const CallRecord& call : log.calls) {
      if (call.arrival < from || call.arrival >= to) continue;
      ++offered;
      served += call.is_success() ? 1 : 0;
    }
    return static_cast<double>(served) / static_cast<double>(offered);
  };
  EXPECT_GT(served_from(2 * second, 9 * second), 0.98);
  EXPECT_LT(served_from(13 * second, 19 * second), 0.75) << "nobody to spill to";
  EXPECT_GT(served_from(22 * second, 30 * second), 0.98) << "healed";
}

TEST(World, RefusesAStrategyWithoutAPublishedForm) {
  RunOptions options = with("grant_and_spill");
  options.as_published = true;
  Log log;
  const auto totals = run_scenario(mesh({{.slots = 1, .rate = 1}}), options, log);
  ASSERT_FALSE(totals);
  EXPECT_EQ(totals.error().message, "strategy grant_and_spill has no published form");
}

/// A federation that nobody would think of, with faults.
Scenario wild(std::uint64_t seed, bool with_faults) {
  Random random{seed};
  Scenario scenario{.name = "wild", .duration = 12 * second};
  const std::size_t functions = 1 + below(random, 3);
  for (std::size_t at = 0; at < functions; ++at) {
    scenario.functions.push_back(
        {.name = *FunctionName::parse(fmt::format("f{}", at)),
         .service_time = {.kind = static_cast<ServiceKind>(below(random, 3)),
                          .mean =
                              Micros{static_cast<Micros::rep>(10'000 + below(random, 200'000))}},
         .retry_safe = below(random, 2) == 0});
  }
  const std::size_t nodes = 1 + below(random, 6);
  for (std::size_t at = 0; at < nodes; ++at) {
    ScenarioNode node{.name = *NodeName::parse(fmt::format("n{}", at)),
                      .pools = {{.name = "cpu", .slots = 1 + static_cast<int>(below(random, 4))}}};
    for (std::size_t function = 0; function < functions; ++function) {
      if (at == 0 || below(random, 3) > 0) node.functions.push_back({.function = function});
    }
    if (below(random, 5) == 0) node.joins_at = 3 * second;
    if (below(random, 6) == 0) node.lie = Lie{.advertise_factor = 50, .refuses_guests = true};
    if (below(random, 6) == 0 && !node.functions.empty()) {
      node.functions[0].cold_start = Micros{300'000};
      node.functions[0].idle_timeout = second;
    }
    scenario.nodes.push_back(std::move(node));
    for (std::size_t other = 0; other < at; ++other) {
      if (below(random, 3) == 0) continue;
      scenario.links.push_back({.a = other,
                                .b = at,
                                .rtt = Micros{static_cast<Micros::rep>(below(random, 30'000))},
                                .jitter = Micros{static_cast<Micros::rep>(below(random, 5'000))},
                                .loss_ratio = with_faults ? uniform(random, 0, 0.1) : 0,
                                .duplicate_ratio = with_faults ? uniform(random, 0, 0.1) : 0});
    }
    for (std::size_t function = 0; function < functions; ++function) {
      scenario.loads.push_back(
          {.node = at,
           .function = function,
           .step = 4 * second,
           .rates = {Rate{uniform(random, 0, 40)}, Rate{uniform(random, 0, 40)},
                     Rate{uniform(random, 0, 40)}}});
    }
  }
  for (std::size_t fault = 0; with_faults && fault < 1 + below(random, 4); ++fault) {
    const auto kind = static_cast<FaultKind>(below(random, 6));
    const bool is_pair = kind == FaultKind::link_cut || kind == FaultKind::one_way_cut;
    if (is_pair && nodes < 2) continue;
    ScenarioFault what{.kind = kind,
                       .at = Micros{static_cast<Micros::rep>(1'000'000 + below(random, 5'000'000))},
                       .nodes = {below(random, nodes)},
                       .factor = 3};
    if (is_pair) what.nodes = {0, 1};
    if (below(random, 3) > 0) what.until = what.at + 2 * second;
    scenario.faults.push_back(std::move(what));
  }
  return scenario;
}

class EveryStrategy : public testing::TestWithParam<std::string> {};

TEST_P(EveryStrategy, EndsEveryCallOnceWhateverHappens) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    for (const bool with_faults : {false, true}) {
      SCOPED_TRACE(testing::Message() << "seed=" << seed << " faults=" << with_faults);
      const Scenario scenario = wild(seed, with_faults);
      RunOptions options{.seed = seed};
      options.is_omni = GetParam() == omni_name;
      if (!options.is_omni) options.strategy = *find_strategy(GetParam());
      Micros last{0};
      class Checker : public RunListener {
       public:
        explicit Checker(Micros& last_end) : last_(last_end) {}
        void on_end(const CallRecord& call) override {
          ++ended;
          EXPECT_GE(call.end, last_) << "time never falls";
          last_ = call.end;
          EXPECT_GE(call.end, call.arrival);
          EXPECT_LE(call.tries, DispatcherSettings{}.attempts_max);
          EXPECT_EQ(call.how == CallEnd::served_by_peer, call.server != call.node);
        }
        std::uint64_t ended = 0;

       private:
        Micros& last_;
      } checker(last);
      const auto totals = run_scenario(scenario, options, checker);
      ASSERT_TRUE(totals) << totals.error().message;
      EXPECT_EQ(totals->calls, checker.ended);
      if (!with_faults && !options.is_omni) {
        EXPECT_LT(totals->ended, scenario.duration + 20 * second) << "nothing hangs";
      }
    }
  }
}

TEST_P(EveryStrategy, SameSeedSameBytes) {
  RunOptions options{.seed = 3};
  options.is_omni = GetParam() == omni_name;
  if (!options.is_omni) options.strategy = *find_strategy(GetParam());
  EXPECT_EQ(run(wild(7, true), options).text(), run(wild(7, true), options).text());
}

std::vector<std::string> all_names() {
  std::vector<std::string> names{std::string(omni_name)};
  for (const Strategy& strategy : strategies()) names.emplace_back(strategy.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryStrategy, testing::ValuesIn(all_names()),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace dfaas
