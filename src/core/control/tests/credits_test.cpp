// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What balances are worth, how they fade, and how they are kept.
#include "core/control/credits.hpp"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using testing::HasSubstr;

struct WeightCase {
  const char* name;
  double for_us;
  double for_them;
  double weight;
};

class CreditWeight : public testing::TestWithParam<WeightCase> {};

TEST_P(CreditWeight, FollowsTheBalance) {
  CreditLedger ledger;
  ledger.add("globex", {.for_us = GetParam().for_us, .for_them = GetParam().for_them});
  EXPECT_NEAR(ledger.weight_of("globex"), GetParam().weight, 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Table, CreditWeight,
                         testing::Values(WeightCase{"newcomer", 0, 0, 1},
                                         WeightCase{"even", 5000, 5000, 1},
                                         WeightCase{"gave_ten_minutes_more", 600, 0, 2},
                                         WeightCase{"gave_for_hours", 1e6, 10, 5},
                                         WeightCase{"within_the_allowance", 0, 300, 1},
                                         WeightCase{"beyond_the_allowance", 0, 600, 0.5},
                                         WeightCase{"took_for_hours", 10, 1e6, 0.1}),
                         [](const auto& tested) { return tested.param.name; });

TEST(CreditLedger, ForgetsInDays) {
  CreditLedger ledger;
  ledger.add("globex", {.for_us = 600, .for_them = 0});
  ledger.forget(std::chrono::hours{24});
  EXPECT_NEAR(ledger.weight_of("globex"), 1 + std::exp(-1), 1e-6);
  ledger.forget(std::chrono::hours{24 * 30});
  EXPECT_TRUE(ledger.accounts().empty());
}

TEST(CreditLedger, StaysWithinBoundsWhateverIsAdded) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Random random{seed};
    CreditLedger ledger;
    for (int step = 0; step < 200; ++step) {
      const std::string organisation(1, static_cast<char>('a' + below(random, 5)));
      ledger.add(organisation,
                 {.for_us = uniform(random, -10, 1e4), .for_them = uniform(random, -10, 1e4)});
      if (step % 10 == 0)
        ledger.forget(Micros{static_cast<Micros::rep>(below(random, 10'000'000'000))});
      const double weight = ledger.weight_of(organisation);
      ASSERT_GE(weight, 0.1 - 1e-12);
      ASSERT_LE(weight, 5);
    }
  }
}

TEST(Credits, AreReadBackAsTheyWereKept) {
  const SavedCredits saved{.unix_seconds = 1'790'000'000,
                           .accounts = {{"acme", {.for_us = 1.5, .for_them = 2.25}},
                                        {"globex", {.for_us = 0, .for_them = 1e9}}}};
  const auto again = credits_from_json(credits_to_json(saved));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->unix_seconds, saved.unix_seconds);
  EXPECT_EQ(again->accounts, saved.accounts);
}

TEST(Credits, ThatAreNoneAreNamed) {
  for (const auto& [text, words] :
       {std::pair{"", "credits"}, std::pair{"[]", "credits"}, std::pair{"{}", "unix_s"},
        std::pair{R"({"unix_s":1,"accounts":[{"organisation":"a","for_us_s":-1,"for_them_s":0}]})",
                  "for_us_s"},
        std::pair{R"({"unix_s":1,"accounts":[{"organisation":"a","for_us_s":1}]})",
                  "for_them_s"}}) {
    const auto read = credits_from_json(text);
    ASSERT_FALSE(read) << text;
    EXPECT_THAT(read.error().message, HasSubstr(words));
  }
}

}  // namespace
}  // namespace dfaas
