// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Small cases by hand, then the promise of the header against exact percentiles of seeded samples.
#include "core/workload/latency_histogram.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

LatencyHistogram histogram_of(const std::vector<std::int64_t>& micros) {
  LatencyHistogram histogram;
  for (const std::int64_t value : micros) histogram.record(Micros{value});
  return histogram;
}

struct Case {
  const char* name;
  std::vector<std::int64_t> recorded;
  double percent;
  std::int64_t expected;
};

class LatencyHistogramCase : public testing::TestWithParam<Case> {};

TEST_P(LatencyHistogramCase, GivesTheNearestRank) {
  const Case& c = GetParam();
  EXPECT_EQ(histogram_of(c.recorded).percentile(c.percent), Micros{c.expected});
}

INSTANTIATE_TEST_SUITE_P(
    Examples, LatencyHistogramCase,
    testing::Values(Case{"nothing", {}, 99, 0}, Case{"one", {7}, 50, 7},
                    Case{"median_of_four", {1, 2, 3, 4}, 50, 2}, Case{"lowest", {1, 2, 3, 4}, 0, 1},
                    Case{"highest", {1, 2, 3, 4}, 100, 4},
                    Case{"just_above_a_rank", {1, 2, 3, 4}, 50.1, 3},
                    Case{"small_values_are_exact", {254, 255}, 50, 254},
                    Case{"never_above_the_largest", {1'000'000}, 50, 1'000'000},
                    Case{"negative_is_zero", {-5, -1}, 100, 0},
                    // 257 shares its counter with 256: the highest of both is given.
                    Case{"first_shared_counter", {256, 1000}, 50, 257},
                    Case{"beyond_the_range", {1, 5'000'000'000}, 99, 5'000'000'000}),
    [](const auto& tested) { return tested.param.name; });

TEST(LatencyHistogram, NeverTakesMoreThanItSays) {
  LatencyHistogram histogram;
  for (std::int64_t value = 1; value < std::int64_t{1} << 40; value = value * 9 / 8 + 1) {
    histogram.record(Micros{value});
  }
  EXPECT_LE(histogram.bytes(), LatencyHistogram::counters_max * sizeof(std::uint64_t));
}

/// Latencies as they occur: most short, a few very long.
std::vector<std::int64_t> sample(Random& random, std::size_t count) {
  std::vector<std::int64_t> values;
  const double spread = uniform(random, 1, 18);
  for (std::size_t index = 0; index < count; ++index) {
    values.push_back(std::llround(std::exp(uniform(random, 0, spread))));
  }
  return values;
}

TEST(LatencyHistogramProperty, StaysWithinOneHundredTwentyEighthOfTheExactPercentile) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    auto values = sample(random, 1 + below(random, 2000));
    const LatencyHistogram histogram = histogram_of(values);
    std::ranges::sort(values);
    EXPECT_EQ(histogram.count(), values.size());
    EXPECT_EQ(histogram.max(), Micros{values.back()});
    for (const double percent : {0.0, 1.0, 10.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0}) {
      const auto rank = static_cast<std::size_t>(
          std::max(1.0, std::ceil(percent * static_cast<double>(values.size()) / 100)));
      const auto exact = static_cast<double>(values[rank - 1]);
      const auto got = static_cast<double>(histogram.percentile(percent).count());
      EXPECT_GE(got, exact) << percent;
      EXPECT_LE(got, exact * (1 + 1.0 / 128)) << percent;
    }
  }
}

TEST(LatencyHistogramProperty, MergingIsRecordingEverythingInOne) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const auto left = sample(random, below(random, 500));
    const auto right = sample(random, below(random, 500));
    LatencyHistogram merged = histogram_of(left);
    merged.merge(histogram_of(right));
    auto both = left;
    both.insert(both.end(), right.begin(), right.end());
    const LatencyHistogram whole = histogram_of(both);
    EXPECT_EQ(merged.count(), whole.count());
    EXPECT_EQ(merged.max(), whole.max());
    for (double percent = 0; percent <= 100; percent += 2.5) {
      EXPECT_EQ(merged.percentile(percent), whole.percentile(percent)) << percent;
    }
  }
}

}  // namespace
}  // namespace dfaas
