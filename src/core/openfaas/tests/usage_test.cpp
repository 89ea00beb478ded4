// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Figures out of what Linux says, and out of what it might say for a process that names itself to deceive.
#include "core/openfaas/usage.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Instant at_ms(int ms) { return Instant(Micros{1'000LL * ms}); }
Micros ms(int amount) { return Micros{1'000LL * amount}; }

TEST(CpuMeter, CountsFromTheStartAtFirst) {
  CpuMeter meter(at_ms(1'000));
  EXPECT_DOUBLE_EQ(meter.read(at_ms(5'000), ms(1'000)), 250);
}

TEST(CpuMeter, CountsFromTheReadingBefore) {
  CpuMeter meter(at_ms(0));
  meter.read(at_ms(10'000), ms(10'000));
  EXPECT_DOUBLE_EQ(meter.read(at_ms(20'000), ms(10'000)), 0);
  EXPECT_DOUBLE_EQ(meter.read(at_ms(22'000), ms(13'000)), 1'500);
}

TEST(CpuMeter, LooksBackFurtherWhenReadTwiceInASecond) {
  CpuMeter meter(at_ms(0));
  meter.read(at_ms(10'000), ms(0));
  EXPECT_DOUBLE_EQ(meter.read(at_ms(12'000), ms(1'000)), 500);
  // Nothing was used in this millisecond, and yet it is as busy as it was.
  EXPECT_NEAR(meter.read(at_ms(12'001), ms(1'000)), 500, 1);
}

TEST(CpuMeter, ForgetsWhatIsPastHoweverOftenItIsRead) {
  CpuMeter meter(at_ms(0));
  for (int at = 100; at <= 10'000; at += 100) meter.read(at_ms(at), ms(at));
  for (int at = 10'100; at <= 15'000; at += 100) meter.read(at_ms(at), ms(10'000));
  EXPECT_EQ(meter.read(at_ms(15'100), ms(10'000)), 0);
}

TEST(CpuMeter, IsNeverNegativeNorInfinite) {
  CpuMeter meter(at_ms(1'000));
  EXPECT_EQ(meter.read(at_ms(1'000), ms(5)), 0);
  EXPECT_GT(meter.read(at_ms(9'000), ms(5)), 0);
  EXPECT_EQ(meter.read(at_ms(19'000), ms(1)), 0);
}

TEST(CpuMeterProperty, GivesBackASteadyRateHoweverItIsRead) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const double rate = uniform(random, 0, 64);
    CpuMeter meter(at_ms(0));
    Micros passed{0};
    for (int reading = 0; reading < 50; ++reading) {
      passed += Micros{static_cast<std::int64_t>(uniform(random, 10'000, 4'000'000))};
      const Micros used{static_cast<std::int64_t>(rate * static_cast<double>(passed.count()))};
      EXPECT_NEAR(meter.read(Instant(passed), used), 1'000 * rate, 1);
    }
  }
}

TEST(GroupFiles, AreReadByNumberAndByName) {
  EXPECT_EQ(number_in("123456789\n"), 123'456'789U);
  EXPECT_EQ(number_in("max\n"), std::nullopt);
  EXPECT_EQ(number_in("-1"), std::nullopt);
  EXPECT_EQ(number_in(""), std::nullopt);
  const std::string stat = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n";
  EXPECT_EQ(number_of(stat, "usage_usec"), 1'500U);
  EXPECT_EQ(number_of(stat, "usec"), std::nullopt);
  EXPECT_EQ(number_of("usage_usec many\n", "usage_usec"), std::nullopt);
}

TEST(GroupFiles, FilesThatNobodyUsesAreNoMemoryInUse) {
  EXPECT_EQ(memory_in_use(1'000, "anon 600\ninactive_file 300\n"), 700U);
  EXPECT_EQ(memory_in_use(1'000, "inactive_file 1\ntotal_inactive_file 400\n"), 600U);
  EXPECT_EQ(memory_in_use(1'000, ""), 1'000U);
  EXPECT_EQ(memory_in_use(10, "inactive_file 300\n"), 0U);
}

constexpr const char* fields =
    " S 1 77 77 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 99 5000000 812 18446744073709551615 1 "
    "1\n";

TEST(ProcessFiles, CountWithTheChildrenThatEnded) {
  const auto usage = process_usage(std::string("77 (cat)") + fields);
  ASSERT_TRUE(usage.has_value());
  EXPECT_EQ(usage->ticks, 4'330U);
  EXPECT_EQ(usage->pages, 812U);
}

TEST(ProcessFiles, AreNotDeceivedByAName) {
  const auto usage = process_usage(std::string("77 (a) S 9 9 9 9 9 9 9 9\n9 9 9 9) 9 )") + fields);
  ASSERT_TRUE(usage.has_value());
  EXPECT_EQ(usage->ticks, 4'330U);
}

TEST(ProcessFiles, AreNothingWhenCutOff) {
  const std::string whole = std::string("77 (cat)") + fields;
  const std::size_t resident = whole.find(" 812");
  for (std::size_t size = 0; size <= resident; ++size) {
    EXPECT_EQ(process_usage(whole.substr(0, size)), std::nullopt) << size;
  }
}

TEST(ProcessFiles, ListChildren) {
  EXPECT_THAT(process_ids("12 345 \n"), ElementsAre(12, 345));
  EXPECT_THAT(process_ids(""), IsEmpty());
  EXPECT_THAT(process_ids("12 x 13"), ElementsAre(12));
  EXPECT_THAT(process_ids("-1 5"), IsEmpty());
}

}  // namespace
}  // namespace dfaas
