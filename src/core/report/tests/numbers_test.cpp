// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/numbers.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using testing::ElementsAre;
using testing::Ge;
using testing::Le;
using testing::SizeIs;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(Numbers, AreWrittenForPeople) {
  const std::vector<std::pair<double, std::string>> cases{
      {0, "0"},
      {-0.0, "0"},
      {1, "1"},
      {-3, "−3"},
      {21.44, "21.4"},
      {9.999, "10"},
      {99.96, "100"},
      {0.0312, "0.0312"},
      {0.03, "0.03"},
      {220.4, "220"},
      {999.6, "1\u202F000"},
      {1920, "1\u202F920"},
      {-1234567.8, "−1\u202F234\u202F568"},
      {123456789, "123\u202F456\u202F789"},
      {1.5e12, "1.5e12"},
      {2e9, "2e9"},
      {-0.0000123, "−1.23e-5"},
      {nan, "–"},
      {infinity, "–"},
      {-infinity, "–"},
  };
  for (const auto& [value, text] : cases) EXPECT_EQ(format_number(value), text) << value;
}

TEST(Numbers, SharesNeverRoundAFailureAway) {
  const std::vector<std::pair<double, std::string>> cases{
      {1, "100\u00A0%"},
      {0, "0\u00A0%"},
      {0.21, "21\u00A0%"},
      {0.2083, "20.8\u00A0%"},
      {0.999, "99.9\u00A0%"},
      {0.99996, "> 99.99\u00A0%"},
      {0.99949, "99.94\u00A0%"},
      {0.9999, "99.99\u00A0%"},
      {1 - 1e-9, "> 99.99\u00A0%"},
      {1e-9, "< 0.01\u00A0%"},
      {0.0005, "0.05\u00A0%"},
      {0.98999, "99\u00A0%"},
      {1.25, "125\u00A0%"},
      {nan, "–"},
  };
  for (const auto& [ratio, text] : cases) EXPECT_EQ(format_share(ratio), text) << ratio;
}

TEST(Ticks, AreRoundNumbers) {
  EXPECT_THAT(ticks_covering(0, 48).at, ElementsAre(0, 10, 20, 30, 40, 50));
  EXPECT_THAT(ticks_covering(0, 1).at, ElementsAre(0, 0.2, 0.4, 0.6, 0.8, 1));
  EXPECT_THAT(ticks_covering(0, 0.3).at, ElementsAre(0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3));
  EXPECT_THAT(ticks_covering(-7, 12).at, ElementsAre(-10, -5, 0, 5, 10, 15));
  EXPECT_THAT(ticks_covering(0, 403).at, ElementsAre(0, 100, 200, 300, 400, 500));
  EXPECT_THAT(ticks_covering(97, 103).at, ElementsAre(97, 98, 99, 100, 101, 102, 103));
  EXPECT_THAT(ticks_within(0, 40, 8).at, ElementsAre(0, 10, 20, 30, 40));
  EXPECT_THAT(ticks_within(3, 17, 8).at, ElementsAre(4, 6, 8, 10, 12, 14, 16));
  EXPECT_THAT(log_ticks_covering(12, 180).at, ElementsAre(10, 20, 50, 100, 200));
  EXPECT_THAT(log_ticks_covering(0.02, 5000).at, ElementsAre(0.01, 0.1, 1, 10, 100, 1000, 10000));
  EXPECT_THAT(log_ticks_covering(4, 900).at, ElementsAre(3, 10, 30, 100, 300, 1000));
}

TEST(Ticks, HaveLabelsThatTellThemApart) {
  const Ticks fine = ticks_covering(0, 0.3);
  EXPECT_EQ(format_tick(fine.at[1], fine), "0.05");
  EXPECT_EQ(format_tick(fine.at[2], fine), "0.10");
  const Ticks coarse = ticks_covering(0, 12000);
  EXPECT_EQ(format_tick(coarse.at.back(), coarse), "12\u202F000");
}

/// A range whose ends have any magnitude the axes accept.
std::pair<double, double> any_range(Random& random) {
  const auto any_value = [&] {
    const double magnitude = std::pow(10.0, uniform(random, -12, 15));
    return below(random, 2) == 0 ? magnitude : -magnitude;
  };
  double low = any_value();
  double high = 0;
  switch (below(random, 4)) {
    case 0:
      high = any_value();
      break;
    case 1:
      high = low;
      break;
    case 2:
      high = low * (1 + uniform(random, 0, 1e-14));  // Neighbouring doubles.
      break;
    default:
      high = low + std::abs(low) * uniform(random, 0, 2);
      high = std::min(high, 1e15);
  }
  if (high < low) std::swap(low, high);
  return {low, high};
}

TEST(Ticks, CoverAnyRangeWithThreeToEight) {
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const auto [low, high] = any_range(random);
    const Ticks ticks = ticks_covering(low, high);
    ASSERT_THAT(ticks.at, SizeIs(testing::AllOf(Ge(3U), Le(8U))));
    const double step = ticks.at[1] - ticks.at[0];
    ASSERT_GT(step, 0);
    ASSERT_LE(ticks.at.front(), low + step * 1e-6);
    ASSERT_GE(ticks.at.back(), high - step * 1e-6);
    for (std::size_t i = 1; i < ticks.at.size(); ++i) {
      ASSERT_NEAR(ticks.at[i] - ticks.at[i - 1], step, step * 1e-6);
    }
    // Where the range is not a point, no tick beyond the first on either side.
    if (high - low > std::max(std::abs(low), std::abs(high)) * 1e-5 && high - low > 1e-10) {
      ASSERT_GT(ticks.at[1], low);
      ASSERT_LT(ticks.at[ticks.at.size() - 2], high);
    }
  }
}

TEST(Ticks, CoverAnyLogarithmicRangeWithThreeToEight) {
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const double low = std::pow(10.0, uniform(random, -12, 15));
    const double high = std::min(1e15, low * std::pow(10.0, uniform(random, 0, 27)));
    const Ticks ticks = log_ticks_covering(low, high);
    ASSERT_THAT(ticks.at, SizeIs(testing::AllOf(Ge(3U), Le(8U))));
    ASSERT_LE(ticks.at.front(), low * (1 + 1e-8));
    ASSERT_GE(ticks.at.back(), high * (1 - 1e-8));
    for (std::size_t i = 1; i < ticks.at.size(); ++i) ASSERT_GT(ticks.at[i], ticks.at[i - 1]);
  }
}

TEST(Ticks, StayWithinARange) {
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const double low = uniform(random, -1000, 1000);
    const double high = low + std::pow(10.0, uniform(random, -2, 9));
    const std::size_t count_max = 3 + below(random, 10);
    const Ticks ticks = ticks_within(low, high, count_max);
    ASSERT_THAT(ticks.at, SizeIs(testing::AllOf(Ge(1U), Le(count_max))));
    const double tolerance = (high - low) * 1e-6;
    for (const double tick : ticks.at) {
      ASSERT_GE(tick, low - tolerance);
      ASSERT_LE(tick, high + tolerance);
    }
  }
}

}  // namespace
}  // namespace dfaas
