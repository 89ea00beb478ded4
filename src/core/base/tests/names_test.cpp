// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/names.hpp"

#include <array>
#include <string>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(NodeId, IsThirtyTwoBase32Characters) {
  EXPECT_TRUE(NodeId::parse("abcdefghijklmnopqrstuvwxyz234567"));
  EXPECT_FALSE(NodeId::parse("abcdefghijklmnopqrstuvwxyz23456"));
  EXPECT_FALSE(NodeId::parse("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));
  EXPECT_FALSE(NodeId::parse("abcdefghijklmnopqrstuvwxyz234518"));
}

TEST(NodeId, ComesFromTheFirstTwentyBytesOfTheDigest) {
  std::array<std::uint8_t, 32> digest{};
  const NodeId zeros = NodeId::from_key_digest(digest);
  EXPECT_EQ(zeros.text(), std::string(32, 'a'));
  digest[31] = 9;
  EXPECT_EQ(NodeId::from_key_digest(digest), zeros);
  digest[0] = 0xff;
  EXPECT_NE(NodeId::from_key_digest(digest), zeros);
  EXPECT_TRUE(NodeId::parse(NodeId::from_key_digest(digest).text()));
}

TEST(NodeName, RefusesWhatWouldHurtInPathsAndHeaders) {
  EXPECT_TRUE(NodeName::parse("edge-7"));
  for (const char* bad : {"", "-a", "a-", "A", "a.b", "a/b", "a b", "a\n", "\xc3\xa9"}) {
    const Result<NodeName> name = NodeName::parse(bad);
    ASSERT_FALSE(name) << bad;
    EXPECT_EQ(name.error().code, ErrorCode::invalid_input);
  }
  EXPECT_FALSE(NodeName::parse(std::string(64, 'a')));
}

TEST(FunctionName, SplitsAtTheLastDot) {
  EXPECT_EQ(FunctionName::parse("figlet")->full(), "figlet.openfaas-fn");
  EXPECT_EQ(FunctionName::parse("figlet.openfaas-fn"), FunctionName::parse("figlet"));
  EXPECT_EQ(FunctionName::parse("figlet.team")->space(), "team");
  EXPECT_FALSE(FunctionName::parse("a.b.c"));
}

TEST(FunctionName, RefusesIllegalCharactersNamingThem) {
  for (const char* bad : {"", "a/b", "..", "a.", ".b", "a b", "a%2Fb", "a\r\nX: y"}) {
    const Result<FunctionName> name = FunctionName::parse(bad);
    ASSERT_FALSE(name) << bad;
    EXPECT_EQ(name.error().message.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace dfaas
