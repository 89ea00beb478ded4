// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Shapes mean the rates that a person would work out, and bursts keep their promises on average.
#include "core/scenario/load_shape.hpp"

#include <gmock/gmock.h>

namespace dfaas {
namespace {

using std::chrono::seconds;
using testing::DoubleNear;
using testing::ElementsAre;

std::vector<double> numbers(const std::vector<Rate>& rates) {
  std::vector<double> numbers;
  for (const Rate rate : rates) numbers.push_back(rate.per_second);
  return numbers;
}

constexpr Steps four{.start = seconds{10}, .step = seconds{2}, .count = 4};

TEST(LoadShape, IsFlatWithoutMore) {
  EXPECT_THAT(numbers(rates_of({.rate = {5}}, four, Random{1})), ElementsAre(5, 5, 5, 5));
}

TEST(LoadShape, CountsAFlashByWhatOfAStepItTakes) {
  const LoadShape shape{.rate = {10},
                        .flash = Flash{.at = seconds{13}, .duration = seconds{3}, .factor = 3}};
  EXPECT_THAT(numbers(rates_of(shape, four, Random{1})), ElementsAre(10, 20, 30, 10));
}

TEST(LoadShape, GoesUpAndDownOverADay) {
  const LoadShape shape{
      .rate = {10},
      .diurnal = Diurnal{.period = seconds{8}, .amplitude = 0.5, .phase = seconds{5}}};
  // The middles are 11, 13, 15 and 17 s; with the phase at 16, 18, 20 and 22 s: 0, 1/4, 1/2, 3/4.
  EXPECT_THAT(numbers(rates_of(shape, four, Random{1})),
              ElementsAre(DoubleNear(10, 1e-9), DoubleNear(15, 1e-9), DoubleNear(10, 1e-9),
                          DoubleNear(5, 1e-9)));
}

TEST(LoadShape, BurstsStayBetweenTheirRatesAndMeetTheirMean) {
  const LoadShape shape{
      .bursts =
          Bursts{.high = {100}, .low = {10}, .mean_high = seconds{5}, .mean_low = seconds{15}}};
  const Steps steps{.step = seconds{1}, .count = 100'000};
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    double sum = 0;
    for (const Rate rate : rates_of(shape, steps, Random{seed})) {
      ASSERT_GE(rate.per_second, 10 - 1e-9);
      ASSERT_LE(rate.per_second, 100 + 1e-9);
      sum += rate.per_second;
    }
    EXPECT_NEAR(sum / 100'000, (100.0 * 5 + 10.0 * 15) / 20, 1.5);
  }
}

TEST(RandomFor, IsFixedByItsNameAndSeedAlone) {
  EXPECT_EQ(random_for(1, "load/a").next(), random_for(1, "load/a").next());
  EXPECT_NE(random_for(1, "load/a").next(), random_for(1, "load/b").next());
  EXPECT_NE(random_for(1, "load/a").next(), random_for(2, "load/a").next());
}

}  // namespace
}  // namespace dfaas
