// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Every family makes scenarios that are valid, connected and the same for the same seed.
#include "core/scenario/families.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace dfaas {
namespace {

/// All that families set, as text: two scenarios are the same if and only if this is.
std::string text_of(const Scenario& scenario) {
  std::string text = fmt::format("{} {}\n", scenario.name, scenario.duration.count());
  for (const ScenarioNode& node : scenario.nodes) {
    text += fmt::format("{} {}", node.name.text(), node.type);
    for (const ScenarioPool& pool : node.pools) text += fmt::format(" {}", pool.slots);
    for (const ScenarioDeployment& deployment : node.functions) {
      text += fmt::format(" {} {}", deployment.function, deployment.pool);
    }
    text += node.lie ? " lies\n" : "\n";
  }
  for (const ScenarioLink& link : scenario.links) {
    text += fmt::format("{} {} {}\n", link.a, link.b, link.rtt.count());
  }
  for (const ScenarioLoad& load : scenario.loads) {
    text += fmt::format("{} {}:", load.node, load.function);
    for (const Rate rate : load.rates) text += fmt::format(" {}", rate.per_second);
    text += "\n";
  }
  for (const ScenarioFault& fault : scenario.faults) {
    text += fmt::format("{} {}\n", fault.at.count(), fault.nodes.at(0));
  }
  return text;
}

std::vector<std::size_t> degrees(const Scenario& scenario) {
  std::vector<std::size_t> degree(scenario.nodes.size());
  for (const ScenarioLink& link : scenario.links) {
    ++degree[link.a];
    ++degree[link.b];
  }
  return degree;
}

bool is_connected(const Scenario& scenario) {
  std::vector<std::vector<NodeIndex>> neighbours(scenario.nodes.size());
  for (const ScenarioLink& link : scenario.links) {
    neighbours[link.a].push_back(link.b);
    neighbours[link.b].push_back(link.a);
  }
  std::vector<bool> is_reached(scenario.nodes.size());
  std::vector<NodeIndex> open{0};
  is_reached[0] = true;
  while (!open.empty()) {
    const NodeIndex at = open.back();
    open.pop_back();
    for (const NodeIndex next : neighbours[at]) {
      if (!is_reached[next]) open.push_back(next);
      is_reached[next] = true;
    }
  }
  return std::ranges::all_of(is_reached, [](bool reached) { return reached; });
}

/// Of all nodes, at the given second.
double rate_at(const Scenario& scenario, Micros at) {
  double sum = 0;
  for (const ScenarioLoad& load : scenario.loads) {
    const auto step = static_cast<std::size_t>((at - load.start) / load.step);
    if (at >= load.start && step < load.rates.size()) sum += load.rates[step].per_second;
  }
  return sum;
}

double calls_expected(const Scenario& scenario) {
  double sum = 0;
  for (const ScenarioLoad& load : scenario.loads) {
    for (const Rate rate : load.rates) sum += rate.per_second * to_seconds(load.step);
  }
  return sum;
}

Scenario made(std::string_view name, std::uint64_t seed = 1) {
  return find_family(name).value().make(seed);
}

class EachFamily : public testing::TestWithParam<Family> {};

TEST_P(EachFamily, IsValidConnectedAndBoundedForAnySeed) {
  const bool is_large = GetParam().make(1).nodes.size() > 300;
  for (std::uint64_t seed = 1; seed <= (is_large ? 1U : 10U); ++seed) {
    const Scenario scenario = GetParam().make(seed);
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const auto valid = validate(scenario);
    EXPECT_TRUE(valid) << valid.error().message;
    EXPECT_EQ(scenario.name, GetParam().name);
    EXPECT_TRUE(is_connected(scenario));
    EXPECT_LE(std::ranges::max(degrees(scenario)), scenario_limits::neighbours_max);
    EXPECT_EQ(scenario.warm_up, std::chrono::seconds{10});
    EXPECT_GE(scenario.duration, std::chrono::seconds{60});
    EXPECT_LE(scenario.duration, std::chrono::seconds{240});
    if (GetParam().in_comparison) {
      EXPECT_LT(calls_expected(scenario), 400'000);
    }
  }
}

TEST_P(EachFamily, IsTheSameForTheSameSeedOnly) {
  const std::string first = text_of(GetParam().make(1));
  EXPECT_EQ(first, text_of(GetParam().make(1)));
  EXPECT_NE(first, text_of(GetParam().make(2)));
}

INSTANTIATE_TEST_SUITE_P(All, EachFamily, testing::ValuesIn(families().begin(), families().end()),
                         [](const auto& each) {
                           std::string name(each.param.name);
                           std::ranges::replace(name, '.', '_');
                           return name;
                         });

TEST(Families, AreTheEighteenOfTheTableInItsOrder) {
  std::vector<std::string_view> names;
  for (const Family& family : families()) {
    if (family.in_comparison) names.push_back(family.name);
  }
  EXPECT_THAT(names, testing::ElementsAre("seedsim_n5_p0.5", "seedsim_n20_p0.3", "seedsim_n50_p0.8",
                                          "seedfw_n10_p0.3", "seedfw_n30_p0.5", "test1", "test2",
                                          "test3", "flash", "diurnal", "failure", "hetero", "mmpp",
                                          "liar1", "liar2", "liar3", "sparse100", "sparse300"));
}

TEST(Families, SayWhichThereAreWhereOneIsNotKnown) {
  const auto found = find_family("tset1");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::invalid_input);
  EXPECT_THAT(found.error().message,
              testing::StartsWith("family \"tset1\" is not known: seedsim_n5_p0.5, "));
}

TEST(Test1, AsksTheLightNodeForMoreThanItHas) {
  const Scenario scenario = made("test1");
  ASSERT_EQ(scenario.nodes.size(), 3U);
  EXPECT_EQ(scenario.nodes[0].name.text(), "light");
  EXPECT_EQ(scenario.nodes[0].pools[0].slots, 20);  // x 10 calls a second: 200.
  EXPECT_EQ(scenario.nodes[0].functions[0].max_rate, Rate{200});
  EXPECT_EQ(scenario.nodes[2].functions[0].max_rate, Rate{700});
  ASSERT_EQ(scenario.loads.size(), 1U);
  EXPECT_EQ(scenario.loads[0].node, 0U);
  EXPECT_EQ(scenario.loads[0].rates, std::vector{Rate{250}});
}

TEST(Test2, HalvesTheNodeByItsLabelsOnly) {
  const Scenario scenario = made("test2");
  EXPECT_EQ(scenario.nodes[1].pools[0].slots, 45);
  EXPECT_EQ(scenario.nodes[1].functions[0].max_rate, Rate{225});
  EXPECT_EQ(rate_at(scenario, std::chrono::seconds{1}), 150);
  EXPECT_EQ(rate_at(scenario, scenario.duration - Micros{1}), 350);
}

TEST(Test3, EndsWithAllNodesBusy) {
  const Scenario scenario = made("test3");
  EXPECT_EQ(rate_at(scenario, std::chrono::seconds{1}), 350);
  EXPECT_EQ(rate_at(scenario, scenario.duration / 2), 550);
  EXPECT_EQ(rate_at(scenario, scenario.duration - Micros{1}), 1050);
}

TEST(Seedsim, HasNoUsersInItsFirstMinute) {
  const Scenario scenario = made("seedsim_n20_p0.3");
  EXPECT_EQ(rate_at(scenario, Micros{0}), 0);
  EXPECT_GT(rate_at(scenario, *scenario.stress_from), 0);
}

TEST(Seedfw, SharesOnePoolANodeAndPeaksInTheMiddle) {
  const Scenario scenario = made("seedfw_n30_p0.5");
  for (const ScenarioNode& node : scenario.nodes) EXPECT_EQ(node.pools.size(), 1U);
  const double peak = rate_at(scenario, scenario.duration / 2);
  EXPECT_GT(peak, rate_at(scenario, Micros{0}));
  EXPECT_GT(peak, rate_at(scenario, scenario.duration - Micros{1}));
}

TEST(Failure, TakesTheUsersOfTheCrashedNodeAway) {
  const Scenario scenario = made("failure");
  ASSERT_EQ(scenario.faults.size(), 1U);
  const ScenarioFault& fault = scenario.faults[0];
  EXPECT_EQ(fault.kind, FaultKind::node_crash);
  for (const ScenarioLoad& load : scenario.loads) {
    if (load.node != fault.nodes[0]) continue;
    EXPECT_EQ(load.rates.at(static_cast<std::size_t>(fault.at / load.step)), Rate{0});
  }
}

TEST(Liars, AreTwoOfTen) {
  for (const char* name : {"liar1", "liar2", "liar3"}) {
    const Scenario scenario = made(name);
    EXPECT_EQ(scenario.nodes.size(), 10U);
    EXPECT_EQ(std::ranges::count_if(scenario.nodes,
                                    [](const ScenarioNode& node) { return node.lie.has_value(); }),
              2);
  }
}

TEST(Sparse, HasAboutEightNeighboursANode) {
  for (const char* name : {"sparse100", "sparse300", "sparse1000", "speed1000"}) {
    const Scenario scenario = made(name);
    const double mean = 2.0 * static_cast<double>(scenario.links.size()) /
                        static_cast<double>(scenario.nodes.size());
    EXPECT_NEAR(mean, 8, 1) << name;
  }
}

TEST(Speed, AsksForTwentyCallsASecondAndNode) {
  const Scenario scenario = made("speed100");
  EXPECT_EQ(scenario.duration, std::chrono::seconds{60});
  EXPECT_NEAR(calls_expected(scenario), 100 * 60 * 20, 100);
}

}  // namespace
}  // namespace dfaas
