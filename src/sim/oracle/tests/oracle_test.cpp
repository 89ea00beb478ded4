// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Windows to check by hand, and what must hold in windows no one would write. An independent maximum
/// flow tells the best of those whose pools run one function each.
#include "sim/oracle/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <queue>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

constexpr double near = 1e-6;

OracleArc home(std::size_t pool, double seconds) {
  return {.pool = pool, .seconds_per_request = seconds};
}
OracleArc away(std::size_t pool, double seconds) {
  return {.pool = pool, .seconds_per_request = seconds, .is_forward = true};
}

struct Case {
  std::string name;
  OracleProblem problem;
  double served, forwarded, work;  ///< Of most_served.
  double work_max, local_first;    ///< Work of most_work, served of local_first.
};

/// Users of nodes 0, 1, ... in order; pool i is at node i unless said otherwise.
std::vector<Case> cases() {
  const OracleDemand cheap{.function = 0, .requests = 100, .work_seconds = 0.1};
  const OracleDemand dear{.function = 1, .requests = 10, .work_seconds = 1};
  const auto with = [](OracleDemand demand, std::vector<OracleArc> arcs) {
    demand.arcs = std::move(arcs);
    return demand;
  };
  const auto amount = [](OracleDemand demand, double requests) {
    demand.requests = requests;
    return demand;
  };
  return {
      {"nothing", {}, 0, 0, 0, 0, 0},
      {"all_fits", {{10}, {with(cheap, {home(0, 0.1)})}}, 100, 0, 10, 10, 100},
      {"too_much", {{4}, {with(cheap, {home(0, 0.1)})}}, 40, 0, 4, 4, 40},
      {"nobody_can", {{10}, {cheap}}, 0, 0, 0, 0, 0},
      {"no_slots", {{0}, {with(cheap, {home(0, 0.1)})}}, 0, 0, 0, 0, 0},
      {"nothing_asked", {{10}, {with(amount(cheap, 0), {home(0, 0.1)})}}, 0, 0, 0, 0, 0},
      {"overflow_goes_to_the_neighbour",
       {{4, 10}, {with(cheap, {home(0, 0.1), away(1, 0.1)})}},
       100,
       60,
       10,
       10,
       100},
      {"a_slower_neighbour_takes_fewer",
       {{4, 10}, {with(cheap, {home(0, 0.1), away(1, 0.5)})}},
       60,
       20,
       6,
       6,
       60},
      {"no_more_forwards_than_needed",
       {{8, 10, 10}, {with(cheap, {away(1, 0.1), away(2, 0.1), home(0, 0.1)})}},
       100,
       20,
       10,
       10,
       100},
      // 5 s for 100 x 0.1 s and 10 x 1 s: all cheap ones, or as much work of either kind.
      {"a_shared_pool_starves_the_dear",
       {{12}, {with(cheap, {home(0, 0.1)}), with(dear, {home(0, 1)})}},
       102,
       0,
       12,
       12,
       102},
      // Pool 0 is slow for cheap calls: by number they win still, by work they do not.
      {"by_work_the_dear_win",
       {{10}, {with(cheap, {home(0, 0.5)}), with(dear, {home(0, 1)})}},
       20,
       0,
       2,
       10,
       20},
      // Node 1's own 40 fill its pool. They could go on to node 2, which node 0 does not reach.
      {"displacement",
       {{4, 4, 10},
        {with(cheap, {home(0, 0.1), away(1, 0.1)}),
         with(amount(cheap, 40), {home(1, 0.1), away(2, 0.1)})}},
       120,
       80,
       12,
       12,
       80},
      // At home, cheap ones first: 20 of them leave room for 8 dear ones; 2 go to the neighbour.
      {"the_dear_travel",
       {{10, 2},
        {with(amount(cheap, 20), {home(0, 0.1), away(1, 0.1)}),
         with(dear, {home(0, 1), away(1, 1)})}},
       30,
       2,
       12,
       12,
       30}};
}

class OracleExamples : public testing::TestWithParam<Case> {};

TEST_P(OracleExamples, ComeOutAsReckonedByHand) {
  const Case& c = GetParam();
  const auto most = solve_oracle(c.problem, OracleObjective::most_served);
  ASSERT_TRUE(most) << most.error().message;
  EXPECT_NEAR(most->served, c.served, near);
  EXPECT_NEAR(most->forwarded, c.forwarded, near);
  EXPECT_NEAR(most->work, c.work, near);
  EXPECT_NEAR(solve_oracle(c.problem, OracleObjective::most_work)->work, c.work_max, near);
  EXPECT_NEAR(solve_oracle(c.problem, OracleObjective::local_first)->served, c.local_first, near);
}

INSTANTIATE_TEST_SUITE_P(Examples, OracleExamples, testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(Oracle, SaysWhomItServed) {
  const OracleProblem problem{
      .pools = {4, 1},
      .demands = {{.requests = 100, .work_seconds = 0.1, .arcs = {home(0, 0.1), away(1, 0.1)}},
                  {.node = 1, .requests = 10, .work_seconds = 0.1, .arcs = {home(1, 0.1)}}}};
  const auto window = solve_oracle(problem, OracleObjective::most_served);
  EXPECT_THAT(window->served_of,
              testing::ElementsAre(testing::DoubleNear(40, near), testing::DoubleNear(10, near)))
      << "as many as any other, and nobody travels";
  EXPECT_EQ(window->offered, 110);
}

TEST(Oracle, RefusesWhatIsNoNumber) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const OracleProblem good{.pools = {4}, .demands = {{.requests = 9, .arcs = {home(0, 1)}}}};
  ASSERT_TRUE(solve_oracle(good, OracleObjective::most_served));
  const auto refuses = [](const OracleProblem& problem) {
    const auto result = solve_oracle(problem, OracleObjective::most_served);
    return !result && result.error().code == ErrorCode::invalid_input;
  };
  for (const double bad : {nan, infinity, -1.0, 1e13}) {
    OracleProblem problem = good;
    problem.pools[0] = bad;
    EXPECT_TRUE(refuses(problem)) << bad;
    problem = good;
    problem.demands[0].requests = bad;
    EXPECT_TRUE(refuses(problem)) << bad;
    problem = good;
    problem.demands[0].work_seconds = bad;
    EXPECT_TRUE(refuses(problem)) << bad;
    problem = good;
    problem.demands[0].arcs[0].seconds_per_request = bad;
    EXPECT_TRUE(refuses(problem)) << bad;
  }
  OracleProblem problem = good;
  problem.demands[0].arcs[0].seconds_per_request = 0;
  EXPECT_TRUE(refuses(problem));
  problem = good;
  problem.demands[0].arcs[0].pool = 1;
  EXPECT_TRUE(refuses(problem));
}

// --- properties

struct Size {
  std::size_t nodes = 6;
  std::size_t functions = 2;
  double link_ratio = 0.4;
  bool is_shared = true;  ///< One pool a node, else one a function.
};

/// Whole numbers of requests; where pools are not shared, each takes a whole number of them.
OracleProblem draw(Random& random, const Size& size) {
  OracleProblem problem;
  std::vector<double> seconds;
  for (std::size_t f = 0; f < size.functions; ++f) seconds.push_back(uniform(random, 0.01, 1));
  const auto pool_of = [&size](std::size_t node, std::size_t function) {
    return size.is_shared ? node : node * size.functions + function;
  };
  const std::size_t pools = size.nodes * (size.is_shared ? 1 : size.functions);
  for (std::size_t pool = 0; pool < pools; ++pool) {
    const auto room = static_cast<double>(below(random, 60));
    problem.pools.push_back(size.is_shared ? room : room * seconds[pool % size.functions]);
  }
  std::vector<std::vector<bool>> is_linked(size.nodes, std::vector<bool>(size.nodes));
  for (std::size_t a = 0; a < size.nodes; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      is_linked[a][b] = is_linked[b][a] = uniform(random, 0, 1) < size.link_ratio;
    }
  }
  for (std::size_t node = 0; node < size.nodes; ++node) {
    for (std::size_t f = 0; f < size.functions; ++f) {
      OracleDemand demand{.node = node,
                          .function = f,
                          .requests = static_cast<double>(below(random, 100)),
                          .work_seconds = seconds[f]};
      if (uniform(random, 0, 1) < 0.9) demand.arcs.push_back(home(pool_of(node, f), seconds[f]));
      for (std::size_t other = 0; other < size.nodes; ++other) {
        if (is_linked[node][other]) demand.arcs.push_back(away(pool_of(other, f), seconds[f]));
      }
      problem.demands.push_back(std::move(demand));
    }
  }
  return problem;
}

OracleWindow solved(const OracleProblem& problem, OracleObjective objective) {
  auto window = solve_oracle(problem, objective);
  EXPECT_TRUE(window) << window.error().message;
  return window.value_or(OracleWindow{});
}

OracleWindow most_served(const OracleProblem& problem) {
  return solved(problem, OracleObjective::most_served);
}

TEST(OracleProperty, ServesNoMoreThanIsAskedOrThanSlotsAllow) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const OracleProblem problem = draw(random, {.is_shared = seed % 2 == 0});
    double slot_seconds = 0;
    for (const double pool : problem.pools) slot_seconds += pool;
    const OracleWindow most = most_served(problem);
    const OracleWindow work = solved(problem, OracleObjective::most_work);
    const OracleWindow local = solved(problem, OracleObjective::local_first);
    for (const OracleWindow& window : {most, work, local}) {
      EXPECT_LE(window.work, slot_seconds + near);
      EXPECT_LE(window.forwarded, window.served + near);
      double sum = 0;
      for (std::size_t at = 0; at < problem.demands.size(); ++at) {
        EXPECT_LE(window.served_of[at], problem.demands[at].requests + near);
        sum += window.served_of[at];
      }
      EXPECT_NEAR(window.served, sum, near);
    }
    EXPECT_LE(work.served, most.served + near);
    EXPECT_LE(most.work, work.work + near);
    EXPECT_LE(local.served, most.served + near);
  }
}

TEST(OracleProperty, MoreSlotsOrLinksNeverServeFewer) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    OracleProblem problem = draw(random, {});
    const double before = most_served(problem).served;
    problem.pools[below(random, problem.pools.size())] += 10;
    const double with_slots = most_served(problem).served;
    EXPECT_GE(with_slots, before - near);
    OracleDemand& demand = problem.demands[below(random, problem.demands.size())];
    demand.arcs.push_back(away(below(random, problem.pools.size()), demand.work_seconds));
    EXPECT_GE(most_served(problem).served, with_slots - near);
  }
}

TEST(OracleProperty, IsGreedyOnAStar) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    // All leaves may send to the hub, and nowhere else.
    OracleProblem problem{.pools = {static_cast<double>(below(random, 200))}};
    double excess = 0;
    double at_home = 0;
    for (std::size_t leaf = 1; leaf < 8; ++leaf) {
      const auto room = static_cast<double>(below(random, 50));
      const auto requests = static_cast<double>(below(random, 100));
      problem.pools.push_back(room);
      problem.demands.push_back({.node = leaf,
                                 .requests = requests,
                                 .work_seconds = 1,
                                 .arcs = {home(leaf, 1), away(0, 1)}});
      excess += std::max(0.0, requests - room);
      at_home += std::min(requests, room);
    }
    const OracleWindow window = most_served(problem);
    EXPECT_NEAR(window.forwarded, std::min(excess, problem.pools[0]), near);
    EXPECT_NEAR(window.served, at_home + window.forwarded, near);
  }
}

/// Edmonds and Karp over whole requests: source, demands, pools, sink.
std::int64_t maximum_flow(const OracleProblem& problem) {
  const std::size_t demands = problem.demands.size();
  const std::size_t sink = 1 + demands + problem.pools.size();
  std::vector<std::vector<std::int64_t>> room(sink + 1, std::vector<std::int64_t>(sink + 1));
  for (std::size_t d = 0; d < demands; ++d) {
    room[0][1 + d] = std::llround(problem.demands[d].requests);
    for (const OracleArc& arc : problem.demands[d].arcs) {
      const std::size_t pool = 1 + demands + arc.pool;
      room[1 + d][pool] = room[0][1 + d];
      room[pool][sink] = std::llround(problem.pools[arc.pool] / arc.seconds_per_request);
    }
  }
  std::int64_t flow = 0;
  for (;;) {
    std::vector<std::size_t> before(sink + 1, sink + 1);
    std::queue<std::size_t> reached({0});
    before[0] = 0;
    while (!reached.empty() && before[sink] > sink) {
      const std::size_t at = reached.front();
      reached.pop();
      for (std::size_t to = 0; to <= sink; ++to) {
        if (before[to] <= sink || room[at][to] == 0) continue;
        before[to] = at;
        reached.push(to);
      }
    }
    if (before[sink] > sink) return flow;
    std::int64_t most = std::numeric_limits<std::int64_t>::max();
    for (std::size_t at = sink; at != 0; at = before[at]) {
      most = std::min(most, room[before[at]][at]);
    }
    for (std::size_t at = sink; at != 0; at = before[at]) {
      room[before[at]][at] -= most;
      room[at][before[at]] += most;
    }
    flow += most;
  }
}

TEST(OracleProperty, IsTheMaximumFlowWherePoolsAreNotShared) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const OracleProblem problem =
        draw(random, {.nodes = 2 + below(random, 12), .is_shared = false});
    const OracleWindow window = most_served(problem);
    EXPECT_NEAR(window.served, static_cast<double>(maximum_flow(problem)), near);
    EXPECT_NEAR(window.forwarded, std::round(window.forwarded), near);
    for (const double served : window.served_of) EXPECT_NEAR(served, std::round(served), near);
  }
}

TEST(OracleProperty, IsTheSameEachTime) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random first{seed};
    Random second{seed};
    EXPECT_EQ(most_served(draw(first, {})).served_of, most_served(draw(second, {})).served_of);
  }
}

TEST(OracleProperty, CopesWithNumbersFarApart) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    OracleProblem problem = draw(random, {});
    for (double& pool : problem.pools) pool *= std::pow(10, uniform(random, -6, 6));
    for (OracleDemand& demand : problem.demands) {
      demand.requests *= std::pow(10, uniform(random, -3, 6));
      for (OracleArc& arc : demand.arcs) {
        arc.seconds_per_request *= std::pow(10, uniform(random, -3, 3));
      }
    }
    const OracleWindow most = most_served(problem);
    EXPECT_LE(most.served, most.offered * (1 + near));
    const OracleWindow local = solved(problem, OracleObjective::local_first);
    EXPECT_LE(local.served, most.served * (1 + near) + near);
    solved(problem, OracleObjective::most_work);
  }
}

}  // namespace
}  // namespace dfaas
