// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/random.hpp"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Random, SameSeedSameNumbersForEver) {
  Random random{42};
  // Recorded once: a change here breaks every recorded result and replay.
  EXPECT_EQ(random.next(), 1546998764402558742U);
  EXPECT_EQ(random.next(), 6990951692964543102U);
}

TEST(Random, WeightedFollowsTheWeights) {
  Random random{1};
  const std::array<double, 3> weights{1, 0, 3};
  std::array<int, 3> counts{};
  for (int draw = 0; draw < 40'000; ++draw) ++counts[weighted(random, weights)];
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[2], 30'000, 500);
}

TEST(Random, ExponentialHasItsMean) {
  Random random{1};
  double sum = 0;
  for (int draw = 0; draw < 100'000; ++draw) sum += exponential(random, 2);
  EXPECT_NEAR(sum / 100'000, 2, 0.05);
}

TEST(Random, BelowStaysBelow) {
  Random random{7};
  for (int draw = 0; draw < 10'000; ++draw) EXPECT_LT(below(random, 3), 3U);
}

}  // namespace
}  // namespace dfaas
