// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What operators may write about other members, and what it means.
#include "core/policy/policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using testing::HasSubstr;

NodeId node(char letter) { return *NodeId::parse(std::string(32, letter)); }
std::string id(char letter) { return std::string(32, letter); }

struct Welcome {
  const char* what;
  std::string allow;
  std::string deny;
  char node;
  const char* organisation;
  const char* complaint;  ///< A part of it; empty: welcome.
};

class PolicyWelcome : public testing::TestWithParam<Welcome> {};

TEST_P(PolicyWelcome, SaysWhoIsANeighbour) {
  const Welcome& c = GetParam();
  const Policy policy{.allow = *parse_partners(c.allow), .deny = *parse_partners(c.deny)};
  const std::string complaint = policy.complaint_of(node(c.node), c.organisation);
  if (*c.complaint == '\0') {
    EXPECT_EQ(complaint, "");
  } else {
    EXPECT_THAT(complaint, HasSubstr(c.complaint));
    EXPECT_THAT(complaint, HasSubstr(id(c.node)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, PolicyWelcome,
    testing::Values(Welcome{"nothing said", "", "", 'a', "globex", ""},
                    Welcome{"blanks only", "  ", " ", 'a', "globex", ""},
                    Welcome{"organisation denied", "", "globex", 'a', "globex", "policy.deny"},
                    Welcome{"another denied", "", "globex", 'a', "acme", ""},
                    Welcome{"node denied", "", "acme2, " + id('a'), 'a', "acme", "policy.deny"},
                    Welcome{"its sibling", "", id('a'), 'b', "acme", ""},
                    Welcome{"allowed", "acme, globex", "", 'a', "globex", ""},
                    Welcome{"not allowed", "acme", "", 'a', "globex", "policy.allow"},
                    Welcome{"node allowed", "acme," + id('a'), "", 'a', "globex", ""},
                    Welcome{"deny wins", "globex", id('a'), 'a', "globex", "policy.deny"},
                    Welcome{"deny wins over a node", id('a'), "globex", 'a', "globex",
                            "policy.deny"}),
    [](const auto& param) {
      std::string name = param.param.what;
      for (char& letter : name) letter = letter == ' ' ? '_' : letter;
      return name;
    });

TEST(Policy, LimitsOrganisationsByNameAndTheOthersEach) {
  const Policy policy{.limits = *parse_guest_slots("globex=4, initech = 0 ,*=8")};
  EXPECT_EQ(policy.slots_for("globex", "acme"), 4);
  EXPECT_EQ(policy.slots_for("initech", "acme"), 0);
  EXPECT_EQ(policy.slots_for("umbrella", "acme"), 8);
}

TEST(Policy, LimitsTheOwnOrganisationOnlyByItsName) {
  const Policy others{.limits = *parse_guest_slots("*=0")};
  EXPECT_EQ(others.slots_for("acme", "acme"), std::nullopt);
  const Policy named{.limits = *parse_guest_slots("acme=2")};
  EXPECT_EQ(named.slots_for("acme", "acme"), 2);
  EXPECT_EQ(named.slots_for("globex", "acme"), std::nullopt);
}

struct Wrong {
  const char* text;
  const char* words;
};

class WrongPartners : public testing::TestWithParam<Wrong> {};
TEST_P(WrongPartners, AreNamed) {
  const auto list = parse_partners(GetParam().text);
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, ErrorCode::invalid_input);
  EXPECT_THAT(list.error().message, HasSubstr(GetParam().words));
}
INSTANTIATE_TEST_SUITE_P(Table, WrongPartners,
                         testing::Values(Wrong{"acme,,globex", "\"\" is neither"},
                                         Wrong{"acme,", "\"\" is neither"},
                                         Wrong{"Acme", "\"Acme\" is neither"},
                                         Wrong{"a b", "\"a b\" is neither"},
                                         Wrong{"*", "\"*\" is neither"}));

class WrongLimits : public testing::TestWithParam<Wrong> {};
TEST_P(WrongLimits, AreNamed) {
  const auto limits = parse_guest_slots(GetParam().text);
  ASSERT_FALSE(limits);
  EXPECT_EQ(limits.error().code, ErrorCode::invalid_input);
  EXPECT_THAT(limits.error().message, HasSubstr(GetParam().words));
}
INSTANTIATE_TEST_SUITE_P(
    Table, WrongLimits,
    testing::Values(Wrong{"globex", "\"globex\" is not ORGANISATION=SLOTS"},
                    Wrong{"globex=", "0 to 100000"}, Wrong{"globex=-1", "\"globex=-1\" is not"},
                    Wrong{"globex=1.5", "0 to 100000"}, Wrong{"globex=100001", "0 to 100000"},
                    Wrong{"=4", "\"=4\" is not"}, Wrong{"**=4", "\"**=4\" is not"},
                    Wrong{"globex=4,globex=5", "\"globex\" comes twice"},
                    Wrong{"*=4,*=5", "\"*\" comes twice"}, Wrong{"globex=4;*=5", "is not"}));

TEST(Policy, IsReadBackAsItWasWritten) {
  const std::string partners = "acme,globex," + id('a');
  EXPECT_EQ(to_text(*parse_partners(partners)), partners);
  EXPECT_EQ(to_text(*parse_guest_slots("*=8,globex=4,acme=0")), "acme=0,globex=4,*=8");
  EXPECT_EQ(to_text(PartnerList{}) + to_text(GuestSlots{}), "");
}

TEST(Policy, ListsHaveALimit) {
  std::string text = "a0";
  for (std::size_t at = 1; at <= policy_entries_max; ++at) text += ",a" + std::to_string(at);
  EXPECT_FALSE(parse_partners(text));
}

}  // namespace
}  // namespace dfaas
