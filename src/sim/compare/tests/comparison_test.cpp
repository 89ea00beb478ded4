// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Comparisons do not depend on the number of jobs, and their means are those of their rows.
#include "sim/compare/comparison.hpp"

#include <map>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/scenario/families.hpp"

namespace dfaas {
namespace {

ComparisonPlan small(int jobs) {
  ComparisonPlan plan{.seeds = {1, 2}, .jobs = jobs};
  for (const char* name : {"seedsim_n5_p0.5", "test1"}) {
    const Family family = *find_family(name);
    plan.scenarios.push_back(
        {name, [family](std::uint64_t seed) -> Result<Scenario> { return family.make(seed); }});
  }
  plan.contenders = {{.strategy = *find_strategy("all_local")},
                     {.strategy = *find_strategy("grant_and_spill")},
                     {.strategy = {}, .is_omni = true}};
  return plan;
}

std::string text_of(const std::vector<ComparedRun>& runs) {
  std::string text;
  for (const ComparedRun& run : runs) text += json_of(run.figures).dump() + "\n";
  return text;
}

TEST(Comparison, IsTheSameWithTwoJobs) {
  const auto one = compare(small(1), {});
  const auto two = compare(small(2), {});
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(text_of(*one), text_of(*two));
}

TEST(Comparison, ScoresAgainstTheOracleAndOmni) {
  const ComparisonPlan plan = small(2);
  std::size_t told = 0;
  const auto runs = compare(plan, [&told](const RunFigures&, std::size_t, std::size_t) { ++told; });
  ASSERT_TRUE(runs) << runs.error().message;
  EXPECT_EQ(told, 12U);
  ASSERT_EQ(runs->size(), 12U);
  for (const ComparedRun& run : *runs) {
    ASSERT_TRUE(run.figures.served_over_oracle_ratio);
    EXPECT_LE(*run.figures.served_over_oracle_ratio, 1.001)
        << "a bound, but for what queues carry over";
  }
  const auto means = means_of(plan, *runs);
  ASSERT_EQ(means.size(), 3U);
  EXPECT_EQ(means[2].strategy, "omni");
  EXPECT_DOUBLE_EQ(*means[2].behind_omni, 0);
  EXPECT_LT(means[0].served_over_oracle_ratio, means[1].served_over_oracle_ratio);
  EXPECT_LT(*means[0].behind_omni + *means[0].behind_omni_error, 0);
  EXPECT_EQ(*means[0].nodes_worse_off, 0U);
  double sum = 0;
  for (std::size_t at = 1; at < runs->size(); at += 3) {
    sum += *(*runs)[at].figures.served_over_oracle_ratio;
  }
  EXPECT_NEAR(means[1].served_over_oracle_ratio, sum / 4, 1e-12);
}

TEST(Comparison, SaysWhichRunFailed) {
  ComparisonPlan plan = small(1);
  plan.scenarios[1] = {"broken", [](std::uint64_t) -> Result<Scenario> { return Scenario{}; }};
  const auto runs = compare(plan, {});
  ASSERT_FALSE(runs);
  EXPECT_EQ(runs.error().message.find("broken seed 1: "), 0U) << runs.error().message;
}

/// Recorded with seed 1; a change that costs more than half a point must say why.
TEST(Comparison, KeepsTheScoresThatWereReached) {
  const std::map<std::string, double> recorded{{"seedsim_n5_p0.5", 1.000},
                                               {"seedfw_n10_p0.3", 0.975},
                                               {"flash", 0.999},
                                               {"hetero", 1.000},
                                               {"mmpp", 0.989},
                                               {"liar2", 0.994},
                                               {"liar3", 0.988},
                                               {"sparse100", 0.963}};
  ComparisonPlan plan{.seeds = {1}, .jobs = 2};
  for (const auto& [name, score] : recorded) {
    const Family family = *find_family(name);
    plan.scenarios.push_back(
        {name, [family](std::uint64_t seed) -> Result<Scenario> { return family.make(seed); }});
  }
  plan.contenders = {{.strategy = *find_strategy("grant_and_spill")}};
  const auto runs = compare(plan, {});
  ASSERT_TRUE(runs) << runs.error().message;
  for (std::size_t at = 0; at < plan.scenarios.size(); ++at) {
    const std::string& name = plan.scenarios[at].name;
    EXPECT_GE(*(*runs)[at].figures.served_over_oracle_ratio, recorded.at(name) - 0.005) << name;
  }
}

}  // namespace
}  // namespace dfaas
