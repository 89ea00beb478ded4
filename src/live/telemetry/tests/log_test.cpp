// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/telemetry/log.hpp"

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Log, QuotesWhatWouldBreakALine) {
  EXPECT_EQ(log_line(LogFormat::text, "t", LogLevel::warn, "gateway", "light", "refused",
                     {{"why", "a b"}, {"who", "x"}, {"raw", "1\n2\x1b"}, {"empty", ""}}),
            "time=t level=warn program=gateway node=light event=refused why=\"a b\" who=x "
            "raw=\"1\\n2\\u001b\" empty=\"\"");
}

TEST(Log, WritesJsonForMachines) {
  EXPECT_EQ(
      log_line(LogFormat::json, "t", LogLevel::info, "agent", "", "started", {{"a", "\"\xff"}}),
      "{\"time\":\"t\",\"level\":\"info\",\"program\":\"agent\",\"event\":\"started\","
      "\"a\":\"\\\"\xef\xbf\xbd\"}");
}

TEST(Log, NamesTheAllowedWords) {
  EXPECT_TRUE(parse_log_level("debug"));
  EXPECT_FALSE(parse_log_level("loud"));
  EXPECT_NE(parse_log_format("xml").error().message.find("json"), std::string::npos);
}

}  // namespace
}  // namespace dfaas
