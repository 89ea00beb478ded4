// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/duration.hpp"

#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

TEST(Duration, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_duration("500ms").value(), Millis{500});
  EXPECT_EQ(parse_duration("30s").value(), std::chrono::seconds{30});
  EXPECT_EQ(parse_duration("5m").value(), std::chrono::minutes{5});
  EXPECT_EQ(parse_duration("1m30s").value(), std::chrono::seconds{90});
  EXPECT_EQ(parse_duration("0.25s").value(), Millis{250});
  EXPECT_EQ(parse_duration("2h").value(), std::chrono::hours{2});
  EXPECT_EQ(parse_duration("0s").value(), Micros{0});
  EXPECT_EQ(parse_duration("7us").value(), Micros{7});
}

TEST(Duration, NamesWhatItCannotRead) {
  for (const char* bad : {"", "s", "10", "-1s", "1 s", "1x", "1s5", "1..2s", "1e3s", "9999999h"}) {
    const auto duration = parse_duration(bad);
    ASSERT_FALSE(duration) << bad;
    EXPECT_EQ(duration.error().code, ErrorCode::invalid_input);
    EXPECT_NE(duration.error().message.find(std::string("\"") + bad), std::string::npos);
  }
}

TEST(DurationProperty, IsReadBackFromItsText) {
  Random random{1};
  for (int count = 0; count < 1000; ++count) {
    const std::array<std::int64_t, 4> steps{1, 1000, 1'000'000, 60'000'000};
    const Micros duration{static_cast<std::int64_t>(below(random, 10'000)) *
                          steps.at(below(random, 4))};
    SCOPED_TRACE(duration_text(duration));
    EXPECT_EQ(parse_duration(duration_text(duration)).value(), duration);
  }
}

}  // namespace
}  // namespace dfaas
