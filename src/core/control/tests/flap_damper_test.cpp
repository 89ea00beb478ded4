// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who comes and goes waits longer each time, and is forgiven when it stays.
#include "core/control/flap_damper.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

Instant at(double seconds) { return Instant{} + from_seconds(1000 + seconds); }

TEST(FlapDamper, CostsNothingTheFirstTime) {
  FlapDamper damper;
  EXPECT_EQ(damper.held_for(at(0)), Micros{0});
  damper.returned(at(0));
  damper.lost(at(1));
  damper.returned(at(2));
  EXPECT_EQ(damper.held_for(at(2)), Micros{0});
}

TEST(FlapDamper, HoldsBackTwiceAsLongWithEachLossUpToABound) {
  const DampingRules rules;
  FlapDamper damper(rules);
  Micros before{0};
  double time = 0;
  for (int loss = 1; loss <= 12; ++loss, time += 0.1) {
    damper.lost(at(time));
    damper.returned(at(time));
    const Micros held = damper.held_for(at(time));
    if (loss >= 2) {
      EXPECT_NEAR(to_seconds(held), std::min(30.0, std::exp2(loss - 2)), 3) << loss;
      EXPECT_GE(held, before);
    }
    before = held;
  }
  EXPECT_EQ(before, rules.hold_max);
}

TEST(FlapDamper, HoldsFromTheReturnHoweverLongItWasAway) {
  FlapDamper damper;
  for (double time = 0; time < 0.5; time += 0.1) damper.lost(at(time));
  damper.returned(at(20));
  EXPECT_GT(damper.held_for(at(20)), Micros{1'000'000});
  EXPECT_EQ(damper.held_for(at(60)), Micros{0});
}

TEST(FlapDamper, ForgivesWhoStays) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Random random{seed};
    const DampingRules rules;
    FlapDamper damper(rules);
    double time = 0;
    for (std::uint64_t loss = 0; loss < 1 + below(random, 30); ++loss) {
      damper.lost(at(time));
      time += uniform(random, 0, 5);
      damper.returned(at(time));
      ASSERT_LE(damper.held_for(at(time)), rules.hold_max);
      time += uniform(random, 0, 5);
    }
    double penalty = damper.penalty(at(time));
    for (int half_life = 0; half_life < 6; ++half_life) {
      time += to_seconds(rules.half_life);
      ASSERT_NEAR(damper.penalty(at(time)), penalty / 2, 1e-6) << "seed " << seed;
      penalty = damper.penalty(at(time));
    }
    damper.lost(at(time));
    damper.returned(at(time));
    EXPECT_EQ(damper.held_for(at(time)), Micros{0}) << "as the first time, seed " << seed;
  }
}

}  // namespace
}  // namespace dfaas
