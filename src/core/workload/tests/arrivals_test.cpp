// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/arrivals.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "core/workload/schedule.hpp"

namespace dfaas {
namespace {

std::vector<Micros> arrivals_of(std::string_view process, Rate rate, Micros duration,
                                std::uint64_t seed) {
  ArrivalStream stream(find_arrival_process(process).value(), rate, duration, Random{seed});
  std::vector<Micros> arrivals;
  while (const auto at = stream.next()) arrivals.push_back(*at);
  return arrivals;
}

TEST(Arrivals, AreSortedByNameAndFoundByIt) {
  EXPECT_TRUE(std::ranges::is_sorted(arrival_processes(), {}, &ArrivalProcess::name));
  for (const ArrivalProcess& process : arrival_processes()) {
    EXPECT_EQ(find_arrival_process(process.name)->name, process.name);
  }
  const auto unknown = find_arrival_process("bursty");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "arrival process \"bursty\" is not known: constant, poisson are");
}

TEST(Arrivals, AreEvenlySpacedAtAConstantRate) {
  const std::vector<Micros> expected{Millis{125}, Millis{375}, Millis{625}, Millis{875}};
  EXPECT_EQ(arrivals_of("constant", Rate{4}, std::chrono::seconds{1}, 1), expected);
}

TEST(ArrivalsProperty, EverySecondOfAConstantRateHoldsTheSameNumber) {
  for (const double rate : {1.0, 3.0, 7.0, 100.0, 333.0, 4096.0}) {
    constexpr std::size_t seconds = 60;
    std::vector<int> counts(seconds);
    for (const Micros at : arrivals_of("constant", Rate{rate}, std::chrono::seconds{seconds}, 1)) {
      ++counts.at(static_cast<std::size_t>(at / std::chrono::seconds{1}));
    }
    EXPECT_TRUE(std::ranges::all_of(counts, [rate](int count) { return count == rate; })) << rate;
  }
}

TEST(ArrivalsProperty, PoissonCountsHaveTheMeanAndVarianceOfTheirRate) {
  constexpr std::size_t seconds = 20'000;
  constexpr double rate = 20;
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    std::vector<double> counts(seconds);
    for (const Micros at :
         arrivals_of("poisson", Rate{rate}, std::chrono::seconds{seconds}, seed)) {
      ++counts.at(static_cast<std::size_t>(at / std::chrono::seconds{1}));
    }
    double sum = 0;
    double squares = 0;
    for (const double count : counts) {
      sum += count;
      squares += (count - rate) * (count - rate);
    }
    // Five standard errors: of the mean sqrt(rate / n), of the variance about rate * sqrt(2 / n).
    EXPECT_NEAR(sum / seconds, rate, 5 * std::sqrt(rate / seconds)) << seed;
    EXPECT_NEAR(squares / seconds, rate, 5 * rate * std::sqrt(2.1 / seconds)) << seed;
  }
}

TEST(ArrivalsProperty, AreOrderedWithinTheDurationAndFixedByTheSeed) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    for (const ArrivalProcess& process : arrival_processes()) {
      Random random{seed};
      const Rate rate{uniform(random, 0.1, 500)};
      const Micros duration = from_seconds(uniform(random, 0.01, 20));
      const auto arrivals = arrivals_of(process.name, rate, duration, seed);
      EXPECT_TRUE(std::ranges::is_sorted(arrivals));
      if (!arrivals.empty()) {
        EXPECT_GE(arrivals.front(), Micros{0});
        EXPECT_LT(arrivals.back(), duration);
      }
      EXPECT_EQ(arrivals, arrivals_of(process.name, rate, duration, seed));
    }
  }
}

LoadPhase phase_of(std::string name, Micros start, Micros duration, double rate) {
  return {.name = std::move(name),
          .start = start,
          .duration = duration,
          .rate = {rate},
          .arrivals = "poisson",
          .target = {.host = "h"}};
}

std::vector<LoadArrival> schedule_of(const LoadPlan& plan) {
  LoadSchedule schedule(plan);
  std::vector<LoadArrival> arrivals;
  while (const auto arrival = schedule.next()) arrivals.push_back(*arrival);
  return arrivals;
}

TEST(Schedule, MergesOverlappingPhasesInOrderOfTime) {
  LoadPlan plan{.phases = {phase_of("a", Millis{0}, Millis{1000}, 4),
                           phase_of("b", Millis{500}, Millis{1000}, 2)}};
  plan.phases[0].arrivals = plan.phases[1].arrivals = "constant";
  const std::vector<LoadArrival> expected{{0, Millis{125}, 0}, {0, Millis{375}, 1},
                                          {0, Millis{625}, 2}, {1, Millis{750}, 0},
                                          {0, Millis{875}, 3}, {1, Millis{1250}, 1}};
  EXPECT_EQ(schedule_of(plan), expected);
}

TEST(Schedule, HasExactlyTheRequestsOfAPhaseWhoseTimesAreKnown) {
  LoadPlan plan{.phases = {phase_of("a", Millis{100}, Millis{1000}, 0),
                           phase_of("b", Millis{0}, Millis{1000}, 2)}};
  plan.phases[0].requests = {{.at = Millis{0}, .body = "x"}, {.at = Millis{500}, .body = "y"}};
  plan.phases[1].arrivals = "constant";
  const std::vector<LoadArrival> expected{
      {0, Millis{100}, 0}, {1, Millis{250}, 0}, {0, Millis{600}, 1}, {1, Millis{750}, 1}};
  EXPECT_EQ(schedule_of(plan), expected);
}

TEST(Schedule, APhaseAddedBehindChangesNothingBeforeIt) {
  LoadPlan plan{.phases = {phase_of("a", Millis{0}, std::chrono::seconds{5}, 50)}};
  const auto alone = schedule_of(plan);
  plan.phases.push_back(phase_of("b", Millis{0}, std::chrono::seconds{5}, 50));
  auto both = schedule_of(plan);
  EXPECT_TRUE(std::ranges::is_sorted(both, {}, &LoadArrival::at));
  std::erase_if(both, [](const LoadArrival& arrival) { return arrival.phase != 0; });
  EXPECT_EQ(both, alone);
}

}  // namespace
}  // namespace dfaas
