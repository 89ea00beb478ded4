// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/http/query.hpp"

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Query, FindsAndDecodesTheFirstValue) {
  const std::string_view query =
      "name=figlet&since=2026-01-01T00%3A00%3A00%2B01%3A00&name=x&flag&a=b=c";
  EXPECT_EQ(query_value(query, "name"), "figlet");
  EXPECT_EQ(query_value(query, "since"), "2026-01-01T00:00:00+01:00");
  EXPECT_EQ(query_value(query, "flag"), "");
  EXPECT_EQ(query_value(query, "a"), "b=c");
  EXPECT_FALSE(query_value(query, "nam"));
  EXPECT_FALSE(query_value("", "name"));
}

TEST(Query, LeavesWhatIsNoCodeAsItIs) {
  EXPECT_EQ(query_value("a=%zz", "a"), "%zz");
  EXPECT_EQ(query_value("a=100%", "a"), "100%");
  EXPECT_EQ(query_value("a=%4", "a"), "%4");
  EXPECT_EQ(percent_decode("a+b%20c"), "a b c");
  EXPECT_EQ(percent_decode("%41"), "A");
}

}  // namespace
}  // namespace dfaas
