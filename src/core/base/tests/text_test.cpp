// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/text.hpp"

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Base64, RoundTripsAndRefusesNonsense) {
  for (const char* text : {"", "f", "fo", "foo", "foob", "user:pass\xff"}) {
    EXPECT_EQ(base64_decode(base64_encode(text)), text);
  }
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  EXPECT_FALSE(base64_decode("Zm9"));
  EXPECT_FALSE(base64_decode("Zm9*"));
}

TEST(Numbers, AreWholeOrNothing) {
  EXPECT_EQ(parse_unsigned("17"), 17U);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "1x", "99999999999999999999"}) {
    EXPECT_FALSE(parse_unsigned(bad)) << bad;
  }
  EXPECT_EQ(parse_number("0.5"), 0.5);
  EXPECT_FALSE(parse_number("nan"));
  EXPECT_FALSE(parse_number("inf"));
}

TEST(InQuotes, ShowsUntrustedTextHarmlessly) {
  EXPECT_EQ(in_quotes("a\r\nb"), "\"a??b\"");
  EXPECT_EQ(in_quotes("abcdef", 3), "\"abc...\"");
}

TEST(Text, TrimsSplitsAndComparesHeaders) {
  EXPECT_EQ(trim(" \ta b "), "a b");
  EXPECT_EQ(trim("  "), "");
  EXPECT_EQ(split("a,,b", ',').size(), 3U);
  EXPECT_TRUE(equal_ignoring_case("Content-Length", "content-length"));
}

}  // namespace
}  // namespace dfaas
