// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Plans, observations and exchange messages keep their meaning on the way, and what is not one of
/// them is refused with the field that is wrong.
#include <algorithm>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/model/exchange_message.hpp"
#include "core/model/membership_summary.hpp"
#include "core/model/observation.hpp"
#include "core/model/routing_plan.hpp"

namespace dfaas {
namespace {

NodeId node(std::size_t index) {
  std::string text(32, 'a');
  text[0] = static_cast<char>('a' + index % 26);
  text[1] = static_cast<char>('a' + index / 26 % 26);
  return *NodeId::parse(text);
}
NodeId by_order(std::size_t index) {
  return *NodeId::parse(std::string(1, static_cast<char>('a' + index)) + std::string(31, 'q'));
}
FunctionName function_at(std::size_t index) {
  return *FunctionName::parse("f" + std::to_string(1000 + index));
}

Rate any_rate(Random& random) { return Rate{uniform(random, 0, 1e4)}; }

RoutingPlan any_plan(Random& random) {
  RoutingPlan plan{.version = random.next() >> 1U,
                   .strategy = "grant_and_spill",
                   .lifetime = Millis{static_cast<Millis::rep>(below(random, 10'000))}};
  for (std::size_t peer = 0; peer < below(random, 6); ++peer) {
    plan.peers.push_back({.id = by_order(peer),
                          .name = *NodeName::parse("n" + std::to_string(peer)),
                          .organisation = "Org \"Ü\" & sons",
                          .slot = 1 + static_cast<int>(below(random, 64)),
                          .up = below(random, 2) == 0,
                          .rtt = Micros{static_cast<Micros::rep>(below(random, 1'000'000))}});
  }
  if (!plan.peers.empty()) plan.limits.push_back({.organisation = "Org \"Ü\" & sons", .slots = 4});
  for (std::size_t at = 0; at < below(random, 5); ++at) {
    FunctionPlan function{.function = function_at(at)};
    for (const PeerPlan& peer : plan.peers) {
      function.peers.push_back({.id = peer.id,
                                .weight = uniform(random, 0.001, 1e9),
                                .window = 1 + static_cast<int>(below(random, 1'000'000)),
                                .floor_weight = uniform(random, 0.001, 10),
                                .service_time = Micros{7}});
      function.guests.push_back({.id = peer.id, .rate = any_rate(random)});
    }
    plan.functions.push_back(std::move(function));
  }
  return plan;
}

ExchangeMessage any_message(Random& random) {
  ExchangeMessage message{.boot = "b00t",
                          .sequence = random.next() >> 1U,
                          .lifetime = Millis{static_cast<Millis::rep>(below(random, 86'400'001))},
                          .name = *NodeName::parse("node-1"),
                          .draining = below(random, 2) == 0};
  for (std::size_t at = 0; at < below(random, 9); ++at) {
    message.functions.edit().push_back(
        {.function = function_at(at),
         .digest = below(random, 2) == 0 ? "" : "abc",
         .slots = static_cast<int>(below(random, 100'001)),
         .service_time = Millis{static_cast<Millis::rep>(below(random, 9))},
         .share = static_cast<Sharing>(below(random, 3)),
         .share_with = below(random, 3) == 0 ? std::vector<std::string>{"acme", "globex"}
                                             : std::vector<std::string>{}});
    if (below(random, 2) == 0) {
      message.asks.push_back({.function = function_at(at), .rate = any_rate(random)});
    }
    if (below(random, 2) == 0) {
      message.grants.push_back({.function = function_at(at),
                                .granted = below(random, 2) == 0 ? Rate{} : any_rate(random),
                                .left = below(random, 2) == 0 ? Rate{} : any_rate(random)});
    }
  }
  return message;
}

GatewayObservation any_observation(Random& random) {
  GatewayObservation seen{
      .boot = "g1", .plan_version = random.next() >> 1U, .plan_strategy = "all_local"};
  for (std::size_t at = 0; at < below(random, 6); ++at) {
    FunctionObservation function{.function = function_at(at),
                                 .digest = "d",
                                 .deployed = below(random, 2) == 0,
                                 .slots = static_cast<int>(below(random, 100)),
                                 .in_flight = static_cast<int>(below(random, 100)),
                                 .queued = static_cast<int>(below(random, 100)),
                                 .service_time = Micros{123'456},
                                 .user_arrivals = random.next() >> 1U,
                                 .guest_arrivals = random.next() >> 1U};
    if (below(random, 2) == 0) {
      function.traits = {.slots = 3,
                         .max_rate = Rate{2.5},
                         .timeout = Millis{77},
                         .share = Sharing::organisation,
                         .share_with = {"acme", "globex"},
                         .match_by_name = true,
                         .retry_safe = true};
    }
    for (std::size_t peer = 0; peer < below(random, 3); ++peer) {
      function.peers.push_back(
          {.id = by_order(peer), .accepted = 1, .refused = 2, .unreachable = 3, .served = 4});
    }
    seen.functions.push_back(std::move(function));
  }
  return seen;
}

TEST(Codec, KeepsWhatItCarries) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    const RoutingPlan plan = any_plan(random);
    EXPECT_EQ(plan_from_json(plan_to_json(plan)), plan);
    const ExchangeMessage message = any_message(random);
    EXPECT_EQ(exchange_from_json(exchange_to_json(message)), message);
    // Observations have no equality; their text is one form of them.
    const std::string text = observation_to_json(any_observation(random));
    const auto seen = observation_from_json(text);
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(observation_to_json(*seen), text);
  }
}

TEST(ExchangeCodec, ReadsTheDocumentedFormAndIgnoresWhatItDoesNotKnow) {
  const auto message = exchange_from_json(R"({
    "version": 1, "boot": "x1", "seq": 3, "lifetime_ms": 6000, "name": "heavy", "future": [1],
    "functions": [{"function": "figlet.openfaas-fn", "digest": "ab", "slots": 6, "service_ms": 20,
                   "share": "federation", "future": true}],
    "asks": [{"function": "figlet.openfaas-fn", "rate": 2.5}],
    "grants": [{"function": "figlet.openfaas-fn", "granted": 1, "left": 0.5}]})");
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->functions[0].function, FunctionName::parse("figlet"));
  EXPECT_EQ(message->functions[0].share, Sharing::federation);
  EXPECT_EQ(message->asks.at(0).rate, Rate{2.5});
  EXPECT_EQ(message->grants.at(0).left, Rate{0.5});
  EXPECT_FALSE(message->draining);
}

TEST(ExchangeCodec, NeverWritesMoreThanReceiversTake) {
  for (const std::size_t count : {300U, 700U, 1500U}) {
    ExchangeMessage message{.boot = "b", .sequence = 1, .name = *NodeName::parse("n")};
    for (std::size_t at = 0; at < count; ++at) {
      message.functions.edit().push_back({.function = function_at(at),
                                          .digest = std::string(64, 'd'),
                                          .slots = 4,
                                          .service_time = Millis{100}});
      message.asks.push_back({.function = function_at(at), .rate = Rate{1.0 / 3}});
      message.grants.push_back({.function = function_at(at),
                                .granted = at % 50 == 0 ? Rate{2.0 / 3} : Rate{},
                                .left = Rate{1.0 / 3}});
    }
    const std::string text = exchange_to_json(message);
    EXPECT_LE(text.size(), exchange_bytes_max);
    EXPECT_GE(text.size(), exchange_bytes_max - 1000) << "room was wasted";
    const auto read = exchange_from_json(text);
    ASSERT_TRUE(read) << read.error().message;
    const std::size_t functions = read->functions.size();
    EXPECT_GE(functions, std::min<std::size_t>(count, 400));
    EXPECT_EQ(read->functions[functions - 1].function, function_at(functions - 1))
        << "cut at the end";
  }
  // Where asks and functions leave some room, grants that answer an ask take it first.
  ExchangeMessage message{.boot = "b", .sequence = 1, .name = *NodeName::parse("n")};
  for (std::size_t at = 0; at < 1000; ++at) {
    const std::string name = function_at(at).name() + std::string(50, 'x');
    message.grants.push_back({.function = *FunctionName::parse(name),
                              .granted = at >= 900 ? Rate{1.0 / 3} : Rate{},
                              .left = Rate{1.0 / 3}});
  }
  const auto read = exchange_from_json(exchange_to_json(message));
  ASSERT_TRUE(read);
  EXPECT_LT(read->grants.size(), 1000U);
  EXPECT_EQ(read->grants.back(), message.grants.back());
}

TEST(PlanCodec, CarriesBytesThatAreNoText) {
  RoutingPlan plan{.version = 1};
  plan.peers.push_back({.id = node(1), .organisation = "caf\xe9", .slot = 1});
  const auto read = plan_from_json(plan_to_json(plan));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->peers[0].id, node(1));
}

TEST(PlanCodec, CarriesAPlanOfTheLargestFederation) {
  RoutingPlan plan{.version = 1};
  for (std::size_t peer = 0; peer < 64; ++peer) {
    plan.peers.push_back({.id = node(peer), .slot = 1});
  }
  std::ranges::sort(plan.peers, {}, &PeerPlan::id);
  for (std::size_t at = 0; at < 1000; ++at) {
    FunctionPlan function{.function = function_at(at)};
    for (const PeerPlan& peer : plan.peers) {
      function.peers.push_back(
          {.id = peer.id, .weight = 1.0 / 3, .window = 100, .floor_weight = 1.0 / 7});
      function.guests.push_back({.id = peer.id, .rate = Rate{1.0 / 3}});
    }
    plan.functions.push_back(std::move(function));
  }
  const auto read = plan_from_json(plan_to_json(plan));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->functions.size(), 1000U);
}

struct Refused {
  const char* name;
  const char* json;
  const char* expected;
};

class BadExchange : public testing::TestWithParam<Refused> {};
class BadPlan : public testing::TestWithParam<Refused> {};
class BadObservation : public testing::TestWithParam<Refused> {};

template <class T>
void expect_refused(const Result<T>& read, const Refused& refused) {
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::invalid_input);
  EXPECT_NE(read.error().message.find(refused.expected), std::string::npos) << read.error().message;
}

TEST_P(BadExchange, IsRefusedWithTheField) {
  expect_refused(exchange_from_json(GetParam().json), GetParam());
}
TEST_P(BadPlan, IsRefusedWithTheField) {
  expect_refused(plan_from_json(GetParam().json), GetParam());
}
TEST_P(BadObservation, IsRefusedWithTheField) {
  expect_refused(observation_from_json(GetParam().json), GetParam());
}

const auto by_name = [](const auto& tested) { return tested.param.name; };

INSTANTIATE_TEST_SUITE_P(
    Messages, BadExchange,
    testing::Values(
        Refused{"no_json", "hello", "not JSON"}, Refused{"no_object", "[1]", "not an object"},
        Refused{"no_version", R"({"boot":"a","seq":1,"name":"n"})", "version: is missing"},
        Refused{"other_version", R"({"version":2,"boot":"a","seq":1,"name":"n"})",
                "version: 2 is not 1"},
        Refused{"boot", R"({"version":1,"boot":"A B","seq":1,"name":"n"})", "boot: \"A B\""},
        Refused{"sequence", R"({"version":1,"boot":"a","seq":-1,"name":"n"})", "seq: \"-1\""},
        Refused{"name", R"({"version":1,"boot":"a","seq":1,"name":"N/"})",
                "name: node name \"N/\""},
        Refused{"lifetime", R"({"version":1,"boot":"a","seq":1,"name":"n","lifetime_ms":1e9})",
                "lifetime_ms"},
        Refused{"function",
                R"({"version":1,"boot":"a","seq":1,"name":"n","functions":[{"function":"../x"}]})",
                "functions[0].function"},
        Refused{
            "slots",
            R"({"version":1,"boot":"a","seq":1,"name":"n","functions":[{"function":"x","slots":-4}]})",
            "functions[0].slots: \"-4\" is not an integer from 0 to 100000"},
        Refused{
            "share",
            R"({"version":1,"boot":"a","seq":1,"name":"n","functions":[{"function":"x","slots":4,"share":"all"}]})",
            "functions[0].share: \"all\" is not node, organisation or federation"},
        Refused{
            "rate",
            R"({"version":1,"boot":"a","seq":1,"name":"n","asks":[{"function":"x","rate":-1}]})",
            "asks[0].rate"},
        Refused{
            "grant",
            R"({"version":1,"boot":"a","seq":1,"name":"n","grants":[{"function":"x","granted":1e10}]})",
            "grants[0].granted"},
        Refused{
            "twice",
            R"({"version":1,"boot":"a","seq":1,"name":"n","asks":[{"function":"x","rate":1},{"function":"x","rate":1}]})",
            "asks: entries are not in order"}),
    by_name);

INSTANTIATE_TEST_SUITE_P(
    Plans, BadPlan,
    testing::Values(
        Refused{"no_json", "", "not JSON"}, Refused{"version", R"({"version":-1})", "version"},
        Refused{"peer_id", R"({"peers":[{"id":"x","slot":1}]})", "peers[0].id: node id \"x\""},
        Refused{"peer_slot", R"({"peers":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","slot":65}]})",
                "peers[0].slot: \"65\" is not an integer from 1 to 64"},
        Refused{
            "weight",
            R"({"functions":[{"function":"f","peers":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","weight":0,"window":1}]}]})",
            "functions[0].peers[0].weight"},
        Refused{
            "window",
            R"({"functions":[{"function":"f","peers":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","weight":1,"window":0}]}]})",
            "functions[0].peers[0].window"},
        Refused{"order", R"({"functions":[{"function":"g"},{"function":"f"}]})",
                "functions: entries are not in order"}),
    by_name);

INSTANTIATE_TEST_SUITE_P(
    Observations, BadObservation,
    testing::Values(
        Refused{"boot", R"({"boot":""})", "boot"},
        Refused{"traits", R"({"boot":"a","functions":[{"function":"f"}]})",
                "functions[0].traits: is missing"},
        Refused{"counter",
                R"({"boot":"a","functions":[{"function":"f","traits":{},"user_arrivals":-1}]})",
                "functions[0].user_arrivals"},
        Refused{"trait", R"({"boot":"a","functions":[{"function":"f","traits":{"slots":0}}]})",
                "functions[0].traits.slots"},
        Refused{
            "order",
            R"({"boot":"a","functions":[{"function":"g","traits":{}},{"function":"f","traits":{}}]})",
            "functions: entries are not in order"}),
    by_name);

TEST(MembershipSummaryCodec, KeepsWhatItCarries) {
  Random random{7};
  for (const bool has_gossip : {false, true}) {
    MembershipSummary summary;
    for (const auto& [state, member] : neighbour_states) summary.*member = below(random, 1000);
    for (const auto& [state, member] : member_states) summary.*member = below(random, 1000);
    if (has_gossip) {
      GossipSummary& gossip = summary.gossip.emplace();
      gossip = {
          .federation = "\"north\" & co", .is_connected = true, .members = 9999, .not_joined = 3};
      for (const auto& [reason, member] : gossip_ignored) gossip.*member = below(random, 1000);
    }
    EXPECT_EQ(*membership_summary_from_json(membership_summary_to_json(summary)), summary);
  }
}

TEST(MembershipSummaryCodec, RefusesWhatIsNoneWithTheField) {
  const auto wrong =
      membership_summary_from_json(R"({"neighbours": {"up": -1}, "members": {}, "gossip": null})");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("neighbours.up"), std::string::npos)
      << wrong.error().message;
}

TEST(ExchangeCodec, RefusesWhatIsTooLong) {
  const auto read = exchange_from_json(std::string(exchange_bytes_max + 1, ' '));
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("65536"), std::string::npos);
}

}  // namespace
}  // namespace dfaas
