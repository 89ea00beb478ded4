// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/federation/joining.hpp"

#include <string>

#include <gtest/gtest.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

const NodeId issuer = *NodeId::parse("abcdefghijklmnopqrstuvwxyz234567");

JoinToken example() {
  return {.address = "east.example:8444",
          .issuer = issuer,
          .organisation = "acme",
          .invitation = "abcdefgh23456789",
          .secret = "abcdefghijklmnopqrstuvwxyz012345",
          .expires = 1'764'200'000};
}

TEST(JoinToken, IsOneWordThatComesBack) {
  const std::string text = to_text(example());
  EXPECT_TRUE(text.starts_with("dfaas1."));
  EXPECT_EQ(
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."),
      std::string::npos);
  const auto token = parse_join_token(" " + text + " ");
  ASSERT_TRUE(token) << token.error().message;
  EXPECT_EQ(*token, example());
}

TEST(JoinToken, SaysWhatIsWrongWithIt) {
  const auto with = [](const std::string& json) { return "dfaas1." + base64_encode(json); };
  const struct {
    std::string text;
    const char* words;
  } cases[] = {
      {"", "is not a token"},         {"token", "is not a token"},
      {"dfaas1.%%%", "damaged"},      {to_text(example()).substr(0, 40), "token"},
      {with("{}"), "token: address"}, {with(R"({"address":"a:1","issuer":"x"})"), "issuer"},
      {with("[]"), "token"}};
  for (const auto& [text, words] : cases) {
    const auto token = parse_join_token(text);
    ASSERT_FALSE(token) << text;
    EXPECT_NE(token.error().message.find(words), std::string::npos) << token.error().message;
  }
}

TEST(Joining, MessagesComeBack) {
  const JoinRequest request{.invitation = "abc",
                            .secret = "def",
                            .name = *NodeName::parse("west"),
                            .request = "-----BEGIN CERTIFICATE REQUEST-----",
                            .peer_address = "west.example:8443"};
  EXPECT_EQ(*join_request_from_json(to_json(request)), request);
  const JoinAnswer answer{.certificate = "c",
                          .authorities = "a",
                          .members = {"east.example:8443"},
                          .peer_port = 8443,
                          .settings = {{"membership.kind", "list"}},
                          .secrets = {{"gossip.key", "k"}}};
  EXPECT_EQ(*join_answer_from_json(to_json(answer)), answer);
  EXPECT_EQ(*renew_request_from_json(renew_request_to_json("pem")), "pem");
}

TEST(Joining, MessageThatIsWrongIsNamed) {
  for (const char* text :
       {"", "[]", "{}", R"({"version":2})", R"({"version":1,"invitation":"A B"})",
        R"({"version":1,"invitation":"a","secret":"b","name":"NOT A NAME"})"}) {
    const auto request = join_request_from_json(text);
    ASSERT_FALSE(request) << text;
    EXPECT_TRUE(request.error().message.starts_with("join")) << request.error().message;
  }
  EXPECT_FALSE(join_answer_from_json(R"({"version":1,"certificate":5})"));
  EXPECT_FALSE(renew_request_from_json(R"({"version":1})"));
}

}  // namespace
}  // namespace dfaas
