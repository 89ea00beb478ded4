// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A federation that was asked for three times what it can serve is itself again within seconds. Two bounds
/// see to it, each sufficient by itself: how often a call is tried at neighbours, and how many calls may be
/// at one neighbour at a time. Without both it stays down: nodes are busy with each other's tries. Setting aside
/// neighbours from which nothing comes back brings it up again, but slowly.
#include <algorithm>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "core/scenario/scenario_file.hpp"
#include "sim/compare/comparison.hpp"

namespace dfaas {
namespace {

constexpr std::size_t warmed_up = 10;  ///< Seconds of scenarios/overload.toml.
constexpr std::size_t begins = 30;
constexpr std::size_t ends = 90;
constexpr std::size_t over = 180;

/// What came of the calls that arrived in one second.
struct Second {
  double calls = 0;
  double good = 0;
  double tries = 0;
};

struct Outcome {
  std::vector<Second> seconds;
  std::optional<double> recovery_seconds;

  [[nodiscard]] double success(std::size_t from, std::size_t until) const {
    double calls = 0;
    double good = 0;
    for (std::size_t at = from; at < until; ++at) {
      calls += seconds.at(at).calls;
      good += seconds.at(at).good;
    }
    return good / calls;
  }
  [[nodiscard]] double tries_per_call_max() const {
    double most = 0;
    for (const Second& second : seconds) most = std::max(most, second.tries / second.calls);
    return most;
  }
};

Scenario overload(std::uint64_t seed) {
  std::ifstream file(DFAAS_SCENARIOS "/overload.toml");
  std::stringstream text;
  text << file.rdbuf();
  auto parsed = parse_scenario_file(text.str(), seed, {});
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? *parsed : Scenario{};
}

/// The same with an overload of 20 s: enough to bring down what does not hold, in less time.
constexpr std::size_t short_end = 50;
constexpr std::size_t short_over = 80;
Scenario short_overload(std::uint64_t seed) {
  Scenario scenario = overload(seed);
  for (ScenarioLoad& load : scenario.loads) {
    load.rates.erase(load.rates.begin() + short_end, load.rates.begin() + ends);
    load.rates.resize(short_over);
  }
  scenario.stress_until = std::chrono::seconds{short_end};
  scenario.duration = std::chrono::seconds{short_over};
  return scenario;
}

/// Random spill to neighbours that may have any number of our calls.
StrategyResult plan_without_windows(const NodeView& view, const StrategyMemory& memory,
                                    Random& random) {
  StrategyResult result = find_strategy("random_spill")->plan(view, memory, random);
  for (FunctionPlan& function : result.functions) {
    for (FunctionPeer& peer : function.peers) peer.window = 1'000'000;
  }
  return result;
}

Strategy without_windows() { return {.name = "without_windows", .plan = plan_without_windows}; }

/// Every neighbour is tried, and again for the next call, whatever it said of its room.
DispatcherSettings without_retry_bounds() {
  return {.attempts_max = 8,
          .retry_ratio = 10,
          .tries_burst = 1e6,
          .full_memory_ratio = 0,
          .full_memory_min = Micros{0}};
}

/// Nobody is set aside, whatever comes back from it.
OutlierSettings without_ejections() {
  constexpr double never = 1e9;
  return {.error_ratio_min = never,
          .slow_factor = never,
          .stalled_factor = never,
          .stalled_waits = never};
}

class Overload : public testing::TestWithParam<std::uint64_t> {
 protected:
  static Outcome run(const Scenario& scenario, const Strategy& strategy,
                     const DispatcherSettings& dispatcher, const OutlierSettings& outliers = {}) {
    RunTally tally(scenario);
    Outcome outcome;
    outcome.seconds.resize(over);
    tally.each_call = [&outcome](const CallRecord& call) {
      Second& second = outcome.seconds.at(static_cast<std::size_t>(to_seconds(call.arrival)));
      ++second.calls;
      second.good += call.is_success() ? 1 : 0;
      second.tries += call.tries;
    };
    std::optional<OracleScore> oracle;
    const auto figures = run_scored(
        {.strategy = strategy, .seed = GetParam(), .dispatcher = dispatcher, .outliers = outliers},
        tally, oracle, false);
    EXPECT_TRUE(figures) << figures.error().message;
    if (figures) outcome.recovery_seconds = figures->recovery_seconds;
    return outcome;
  }
};

TEST_P(Overload, IsOverWithinFiveSecondsAndCostsAtMostSixFifthsOfATryPerCall) {
  const Outcome outcome = run(overload(GetParam()), *find_strategy("grant_and_spill"), {});
  EXPECT_GE(outcome.success(ends + 5, over), 0.999);
  ASSERT_TRUE(outcome.recovery_seconds);
  EXPECT_LE(*outcome.recovery_seconds, 5);
  EXPECT_LE(outcome.tries_per_call_max(), 1.2) << "in the worst second";
  EXPECT_GE(outcome.success(begins + 1, ends), 0.97 / 3) << "no slot may be wasted meanwhile";
  EXPECT_GE(outcome.success(warmed_up, begins), 0.999);
}

TEST_P(Overload, IsOverSoonByEitherBoundAlone) {
  const Scenario scenario = short_overload(GetParam());
  for (const Outcome& outcome : {run(scenario, without_windows(), {}, without_ejections()),
                                 run(scenario, *find_strategy("grant_and_spill"),
                                     without_retry_bounds(), without_ejections())}) {
    EXPECT_GE(outcome.success(short_end + 5, short_over), 0.999);
    EXPECT_GE(outcome.success(begins + 1, short_end), 0.97 / 3);
  }
}

TEST_P(Overload, GoesOnByItselfWithoutBounds) {
  const Outcome outcome = run(short_overload(GetParam()), without_windows(), without_retry_bounds(),
                              without_ejections());
  EXPECT_GE(outcome.success(warmed_up, begins), 0.999) << "nothing shows before";
  EXPECT_LE(outcome.success(begins + 5, short_end), 0.1);
  EXPECT_LE(outcome.success(short_end + 5, short_over), 0.1)
      << "although all of it could be served again";
}

TEST_P(Overload, IsOverInTheEndByEjectionsAlone) {
  const Outcome outcome =
      run(short_overload(GetParam()), without_windows(), without_retry_bounds());
  EXPECT_GE(outcome.success(short_end + 15, short_over), 0.95);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Overload, testing::Values(1, 2, 3));

}  // namespace
}  // namespace dfaas
