// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/water_filling.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

struct Case {
  const char* name;
  std::vector<double> demands;
  double capacity;
  std::vector<double> shares;
};

class WaterFilling : public testing::TestWithParam<Case> {};

TEST_P(WaterFilling, DividesAsExpected) {
  EXPECT_EQ(water_fill(GetParam().demands, GetParam().capacity), GetParam().shares);
}

INSTANTIATE_TEST_SUITE_P(
    Examples, WaterFilling,
    testing::Values(Case{"nobody_asks", {}, 10, {}},
                    Case{"enough_for_all", {1, 2, 3}, 10, {1, 2, 3}},
                    Case{"equal_shares_when_all_want_more", {9, 9, 9}, 6, {2, 2, 2}},
                    Case{"the_modest_first", {9, 1, 9}, 7, {3, 1, 3}},
                    Case{"two_levels", {1, 2, 9, 9}, 9, {1, 2, 3, 3}},
                    Case{"nothing_to_give", {1, 2}, 0, {0, 0}},
                    Case{"less_than_nothing_to_give", {1, 2}, -3, {0, 0}},
                    Case{"negative_wishes_count_as_none", {-1, 4}, 3, {0, 3}}),
    [](const auto& tested) { return tested.param.name; });

TEST(WaterFillingProperty, IsMaxMinFairWhateverIsAsked) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    std::vector<double> demands(1 + below(random, 12));
    for (double& demand : demands) demand = below(random, 4) == 0 ? 0 : uniform(random, 0, 100);
    const double capacity = uniform(random, 0, 400);

    const std::vector<double> shares = water_fill(demands, capacity);

    const double wanted = std::accumulate(demands.begin(), demands.end(), 0.0);
    const double given = std::accumulate(shares.begin(), shares.end(), 0.0);
    EXPECT_NEAR(given, std::min(capacity, wanted), 1e-9) << "neither wasted nor invented";
    for (std::size_t at = 0; at < demands.size(); ++at) {
      EXPECT_GE(shares[at], 0);
      EXPECT_LE(shares[at], demands[at]);
      // Who got less than asked has the largest share of all.
      if (shares[at] < demands[at] - 1e-9) {
        EXPECT_NEAR(shares[at], *std::ranges::max_element(shares), 1e-9);
      }
    }
    // The order does not matter, nor the unit; more capacity takes from nobody.
    std::vector<double> reversed(demands.rbegin(), demands.rend());
    std::vector<double> mirrored = water_fill(reversed, capacity);
    std::ranges::reverse(mirrored);
    EXPECT_THAT(mirrored, testing::Pointwise(testing::DoubleNear(1e-9), shares));
    std::vector<double> doubled = demands;
    for (double& demand : doubled) demand *= 2;
    std::vector<double> twice = water_fill(doubled, 2 * capacity);
    for (double& share : twice) share /= 2;
    EXPECT_THAT(twice, testing::Pointwise(testing::DoubleNear(1e-9), shares));
    const std::vector<double> richer = water_fill(demands, capacity + 10);
    for (std::size_t at = 0; at < demands.size(); ++at) EXPECT_GE(richer[at], shares[at] - 1e-9);
  }
}

TEST(WaterFilling, DividesByWeight) {
  const std::vector<double> demands{100, 100, 1};
  const std::vector<double> weights{1, 3, 0.1};
  const std::vector<double> shares = water_fill(demands, weights, 41);
  EXPECT_NEAR(shares[0] + shares[1] + shares[2], 41, 1e-9);
  EXPECT_NEAR(shares[1] / shares[0], 3, 1e-9);
  EXPECT_NEAR(shares[2], 1, 1e-9);
}

TEST(WaterFilling, ByWeightIsFairAndWastesNothing) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Random random{seed};
    std::vector<double> demands;
    std::vector<double> weights;
    for (std::size_t at = 0; at < 1 + below(random, 8); ++at) {
      demands.push_back(uniform(random, 0, 50));
      weights.push_back(uniform(random, 0.1, 5));
    }
    const double capacity = uniform(random, 0, 200);
    const std::vector<double> shares = water_fill(demands, weights, capacity);
    double wanted = 0;
    double given = 0;
    for (std::size_t at = 0; at < demands.size(); ++at) {
      wanted += demands[at];
      given += shares[at];
      ASSERT_LE(shares[at], demands[at] + 1e-9);
      for (std::size_t other = 0; other < demands.size(); ++other) {
        if (shares[at] > demands[at] - 1e-9) continue;
        // Who wants more has no less for its weight than anybody else.
        ASSERT_GE(shares[at] / weights[at], shares[other] / weights[other] - 1e-9) << seed;
      }
    }
    ASSERT_NEAR(given, std::min(wanted, capacity), 1e-9) << seed;
  }
}

}  // namespace
}  // namespace dfaas
