// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Scripts: events in, expected actions out. What many nodes do together is in closed_loop_test.cpp.
#include "core/control/controller.hpp"

#include <algorithm>
#include <cstdint>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

NodeId node(std::size_t index) {
  std::string text(32, 'a');
  text[0] = static_cast<char>('a' + index % 26);
  text[1] = static_cast<char>('a' + index / 26);
  return *NodeId::parse(text);
}
FunctionName named(std::string_view name) { return *FunctionName::parse(name); }

const FunctionName work = named("work");
const NodeId self = node(0);
const NodeId peer = node(1);

Instant at(double seconds) { return Instant{} + from_seconds(100 + seconds); }

/// A gateway with `work` on ten slots of 100 ms.
GatewayObservation gateway(std::uint64_t arrivals, std::string boot = "gateway1") {
  GatewayObservation seen{.boot = std::move(boot)};
  seen.functions.push_back({.function = work,
                            .digest = "code",
                            .deployed = true,
                            .slots = 10,
                            .service_time = Micros{100'000},
                            .user_arrivals = arrivals});
  return seen;
}

/// What the neighbour says: `work` with the same code on ten slots of 100 ms.
ExchangeMessage says(std::uint64_t sequence, std::string boot = "peer1") {
  ExchangeMessage message{.boot = std::move(boot),
                          .sequence = sequence,
                          .lifetime = Millis{6000},
                          .name = *NodeName::parse("peer")};
  message.functions.edit().push_back(
      {.function = work, .digest = "code", .slots = 10, .service_time = Millis{100}});
  return message;
}

ExchangeMessage asks(std::uint64_t sequence, double rate) {
  ExchangeMessage message = says(sequence);
  message.asks.push_back({.function = work, .rate = Rate{rate}});
  return message;
}

ExchangeMessage grants(std::uint64_t sequence, double granted, double left) {
  ExchangeMessage message = says(sequence);
  message.grants.push_back({.function = work, .granted = Rate{granted}, .left = Rate{left}});
  return message;
}

/// What one step wants done.
struct Wanted {
  std::vector<RoutingPlan> plans;
  std::vector<SendExchange> sends;
  std::vector<ExchangeMessage> answers;
};

class ControllerTest : public testing::Test {
 protected:
  ControllerTest() : controller_(make("agent1")) {}

  static Controller make(std::string boot, Policy policy = {}) {
    return Controller({.self = self,
                       .name = *NodeName::parse("me"),
                       .organisation = "org",
                       .boot = std::move(boot),
                       .policy = std::move(policy)},
                      *find_strategy("grant_and_spill"), Random{1});
  }

  Wanted step(double seconds, const ControllerEvent& event) {
    Wanted wanted;
    for (ControllerAction& action : controller_.step(at(seconds), event)) {
      if (auto* plan = std::get_if<InstallPlan>(&action)) wanted.plans.push_back(plan->plan);
      if (auto* send = std::get_if<SendExchange>(&action)) wanted.sends.push_back(*send);
      if (auto* answer = std::get_if<AnswerExchange>(&action)) {
        wanted.answers.push_back(answer->message);
      }
    }
    return wanted;
  }

  Wanted admit(double seconds, const NodeId& id = peer, std::string organisation = "org",
               int slot = 1) {
    return step(seconds,
                NeighbourAdmitted{.id = id, .organisation = std::move(organisation), .slot = slot});
  }

  Wanted answered(double seconds, ExchangeMessage message) {
    newest_answer_ = message;
    return step(
        seconds,
        ExchangeAnswered{.from = peer, .message = std::move(message), .round_trip = Micros{2000}});
  }

  /// The neighbour answers as it did last.
  void hear(double seconds) {
    ++newest_answer_.sequence;
    answered(seconds, newest_answer_);
  }

  Wanted arrived(double seconds, ExchangeMessage message) {
    return step(seconds, ExchangeArrived{.from = peer, .message = std::move(message)});
  }

  /// A node in its place: a gateway, a neighbour that answers, a plan. Ends at second 0.
  void settle() {
    step(-1, Observed{gateway(0)});
    admit(-0.9);
    answered(-0.8, says(1));
    step(-0.5, HeartbeatElapsed{});
    step(0, HeartbeatElapsed{});
  }

  FunctionPlan planned(const FunctionName& function = work) {
    const auto& functions = controller_.plan().functions;
    const auto found = std::ranges::find(functions, function, &FunctionPlan::function);
    return found == functions.end() ? FunctionPlan{} : *found;
  }

  Controller controller_;
  ExchangeMessage newest_answer_;
};

// --- plans

TEST_F(ControllerTest, PlansAtOnceForAGatewayWithoutAPlanAndThenEveryPeriod) {
  EXPECT_THAT(step(0, Observed{gateway(0)}).plans, SizeIs(1));
  EXPECT_THAT(step(0.1, HeartbeatElapsed{}).plans, SizeIs(1)) << "the first period begins";
  std::vector<double> times;
  for (int beat = 1; beat <= 12; ++beat) {
    // Timers are late or early by a little.
    const double now = 0.1 + 0.5 * beat + (beat % 2 == 0 ? 0.01 : -0.01);
    if (!step(now, HeartbeatElapsed{}).plans.empty()) times.push_back(now);
  }
  EXPECT_THAT(times, testing::Pointwise(testing::DoubleNear(1e-9), {2.11, 4.11, 6.11}));
  EXPECT_EQ(controller_.plan().strategy, "grant_and_spill");
}

TEST_F(ControllerTest, PlansNothingBeforeTheGatewayReported) {
  admit(0);
  EXPECT_THAT(step(0.5, HeartbeatElapsed{}).plans, IsEmpty());
  EXPECT_THAT(answered(0.6, says(1)).plans, IsEmpty());
  EXPECT_THAT(step(1, Observed{gateway(0)}).plans, SizeIs(1));
}

TEST_F(ControllerTest, LeavesAGatewayItsPlanUntilItKnowsTheNeighbours) {
  GatewayObservation seen = gateway(1'000'000);
  seen.plan_version = 70;
  EXPECT_THAT(step(0, Observed{seen}).plans, IsEmpty());
  EXPECT_THAT(admit(0.2).plans, IsEmpty());
  EXPECT_THAT(answered(0.3, grants(1, 0, 30)).plans, IsEmpty());
  EXPECT_THAT(step(1.5, HeartbeatElapsed{}).plans, IsEmpty());
  hear(1.6);
  const Wanted first = step(2, HeartbeatElapsed{});
  ASSERT_THAT(first.plans, SizeIs(1));
  EXPECT_EQ(first.plans[0].version, 71U);
  ASSERT_THAT(first.plans[0].peers, SizeIs(1));
  EXPECT_TRUE(first.plans[0].peers[0].up);
}

TEST_F(ControllerTest, TakesNoOldArrivalsForARateOfItsOwn) {
  // A million requests came before this agent looked; 20 a second come now.
  step(0, Observed{gateway(1'000'000)});
  admit(0);
  answered(0.1, grants(1, 10, 10));
  step(0.1, HeartbeatElapsed{});
  step(2.0, Observed{gateway(1'000'040)});
  hear(2.0);
  step(2.1, HeartbeatElapsed{});
  const Wanted beat = step(2.6, HeartbeatElapsed{});
  ASSERT_THAT(beat.sends, SizeIs(1));
  EXPECT_THAT(beat.sends[0].message.asks, IsEmpty());
  // Ten slots of 100 ms less those 20: 75 are left to give.
  const Wanted given = arrived(2.7, asks(2, 1000));
  ASSERT_THAT(given.answers[0].grants, SizeIs(1));
  EXPECT_NEAR(given.answers[0].grants[0].granted.per_second, 75, 1.5);
}

TEST_F(ControllerTest, SmoothsArrivalsAndAsksForTheExcess) {
  settle();
  answered(0.1, grants(2, 0, 40));
  // 380 in two seconds, 190/s: twice what 9.5 slots serve.
  step(1.9, Observed{gateway(380)});
  hear(1.9);
  step(2, HeartbeatElapsed{});
  Wanted beat = step(2.5, HeartbeatElapsed{});
  ASSERT_THAT(beat.sends, SizeIs(1));
  ASSERT_THAT(beat.sends[0].message.asks, SizeIs(1));
  const double first = beat.sends[0].message.asks[0].rate.per_second;
  EXPECT_GT(first, 10);
  EXPECT_LT(first, 100);
  step(3.9, Observed{gateway(760)});
  hear(3.9);
  step(4, HeartbeatElapsed{});
  beat = step(4.5, HeartbeatElapsed{});
  EXPECT_GT(beat.sends[0].message.asks[0].rate.per_second, first);
}

TEST_F(ControllerTest, CountsOnFromZeroWithANewGateway) {
  settle();
  step(1.9, Observed{gateway(20)});
  step(2, HeartbeatElapsed{});
  const Wanted restarted = step(2.2, Observed{gateway(3, "gateway2")});
  EXPECT_THAT(restarted.plans, SizeIs(1)) << "it has no plan, whatever the old one had";
  step(3.9, Observed{gateway(20, "gateway2")});
  step(4, HeartbeatElapsed{});
  const Wanted given = arrived(4.1, asks(9, 1000));
  EXPECT_NEAR(given.answers[0].grants[0].granted.per_second, 86, 3);
}

TEST_F(ControllerTest, JudgesNeighboursOnlyByWhatTheyDidLately) {
  // The gateway counted thousands of refusals before this agent and this neighbour met.
  GatewayObservation seen = gateway(0);
  seen.functions[0].peers.push_back({.id = peer, .accepted = 10, .refused = 5000});
  step(-1, Observed{seen});
  admit(-0.9);
  answered(-0.8, grants(1, 0, 50));
  step(-0.5, HeartbeatElapsed{});
  step(-0.1, Observed{seen});
  hear(1.5);
  step(1.6, HeartbeatElapsed{});
  ASSERT_THAT(planned().peers, SizeIs(1));
  EXPECT_GT(planned().peers[0].weight, 50);
  seen.functions[0].peers[0].refused += 100;
  step(1.7, Observed{seen});
  hear(3.5);
  step(3.6, HeartbeatElapsed{});
  EXPECT_LT(planned().peers[0].weight, 40);
}

// --- who is up

TEST_F(ControllerTest, CountsANeighbourAsUpFromItsFirstAnswer) {
  step(0, Observed{gateway(0)});
  const Wanted admitted = admit(0.2);
  ASSERT_THAT(admitted.sends, SizeIs(1)) << "asked at once";
  ASSERT_THAT(admitted.plans, SizeIs(1)) << "the gateway admits whom the plan has";
  EXPECT_THAT(planned().peers, IsEmpty()) << "nothing goes there yet";
  EXPECT_EQ(controller_.neighbours(at(0.3))[0].state, "new");
  arrived(0.4, says(1));
  EXPECT_THAT(planned().peers, IsEmpty()) << "it reaches us; do we reach it?";
  ASSERT_THAT(answered(0.6, says(2)).plans, SizeIs(1));
  EXPECT_TRUE(controller_.plan().peers[0].up);
  EXPECT_THAT(planned().peers, SizeIs(1));
  EXPECT_EQ(controller_.plan().peers[0].rtt, Micros{2000});
}

TEST_F(ControllerTest, DropsANeighbourAfterThreeSilentHeartbeatsThoughItsRequestsStillCome) {
  settle();
  answered(0.1, says(2));
  for (int beat = 1; beat <= 3; ++beat) {
    arrived(0.5 * beat, says(static_cast<std::uint64_t>(2 + beat)));
    step(0.5 * beat, ExchangeFailed{.to = peer});
    EXPECT_TRUE(controller_.plan().peers[0].up);
  }
  EXPECT_THAT(step(1.75, ExchangeFailed{.to = peer}).plans, SizeIs(1));
  EXPECT_FALSE(controller_.plan().peers[0].up);
  EXPECT_THAT(planned().peers, IsEmpty());
  EXPECT_EQ(controller_.neighbours(at(2))[0].state, "silent");
  EXPECT_THAT(planned().guests, SizeIs(1)) << "it may still send us work";
  ASSERT_THAT(answered(3, says(9)).plans, SizeIs(1));
  EXPECT_TRUE(controller_.plan().peers[0].up);
}

TEST_F(ControllerTest, SaysWhenANeighbourWillHaveBeenSilentForTooLong) {
  EXPECT_FALSE(controller_.next_silence()) << "there is none";
  settle();
  answered(0.1, says(2));
  const auto due = controller_.next_silence();
  ASSERT_TRUE(due);
  EXPECT_EQ(*due, at(0.1 + 1.625) + Micros{1}) << "three heartbeats and a quarter";
  EXPECT_THAT(step(1.725, SilenceDue{}).plans, IsEmpty()) << "not yet";
  EXPECT_TRUE(controller_.plan().peers[0].up);
  EXPECT_THAT(step(1.7251, SilenceDue{}).plans, SizeIs(1)) << "with no heartbeat between";
  EXPECT_FALSE(controller_.plan().peers[0].up);
  EXPECT_FALSE(controller_.next_silence()) << "nobody is up";
}

TEST_F(ControllerTest, KeepsANeighbourWhoseAgentAloneIsAway) {
  settle();
  answered(0.1, grants(2, 0, 40));
  for (double now = 0.5; now < 12; now += 0.5) {
    step(now, ExchangeFailed{.to = peer, .only_agent_away = true});
    step(now, HeartbeatElapsed{});
  }
  EXPECT_TRUE(controller_.plan().peers[0].up);
  ASSERT_THAT(planned().peers, SizeIs(1));
  EXPECT_EQ(planned().peers[0].weight, planned().peers[0].floor_weight) << "its grants ran out";
  step(13.5, HeartbeatElapsed{});
  EXPECT_FALSE(controller_.plan().peers[0].up) << "now its front door is silent, too";
}

TEST_F(ControllerTest, SendsNothingNewToANeighbourAboutToStop) {
  settle();
  ExchangeMessage goodbye = says(2);
  goodbye.draining = true;
  ASSERT_THAT(arrived(0.2, goodbye).plans, SizeIs(1));
  EXPECT_TRUE(controller_.plan().peers[0].up) << "what runs there may end there";
  EXPECT_THAT(planned().peers, IsEmpty());
  EXPECT_EQ(controller_.neighbours(at(0.3))[0].state, "draining");
}

TEST_F(ControllerTest, LetsANeighbourThatDisownsUsFinishAndSendsItNothingNew) {
  settle();
  ASSERT_THAT(step(0.2, ExchangeFailed{.to = peer, .is_disowned = true}).plans, SizeIs(1));
  for (double now = 0.5; now < 5; now += 0.5) {
    step(now, ExchangeFailed{.to = peer, .is_disowned = true});
    step(now, HeartbeatElapsed{});
    ASSERT_TRUE(controller_.plan().peers[0].up) << now;
    ASSERT_THAT(planned().peers, IsEmpty());
  }
  step(5.2, ExchangeAnswered{.from = peer, .message = says(2), .round_trip = Micros{1000}});
  EXPECT_THAT(planned().peers, SizeIs(1)) << "it took us in again";
}

TEST_F(ControllerTest, LetsANeighbourThatStopsFinishBehindClosedDoors) {
  settle();
  ExchangeMessage goodbye = says(2);
  goodbye.draining = true;
  arrived(0.2, goodbye);
  for (double now = 0.5; now < 25; now += 0.5) {
    step(now, ExchangeFailed{.to = peer});
    step(now, HeartbeatElapsed{});
    ASSERT_TRUE(controller_.plan().peers[0].up) << now;
    ASSERT_THAT(planned().peers, IsEmpty());
  }
  step(31, HeartbeatElapsed{});
  EXPECT_FALSE(controller_.plan().peers[0].up) << "no node takes that long to stop";
}

TEST_F(ControllerTest, LetsANeighbourThatLeftAndCameBackFinishWhatItHas) {
  settle();
  step(0.2, NeighbourGone{peer});
  admit(0.4);
  step(0.6, HeartbeatElapsed{});
  ASSERT_THAT(controller_.plan().peers, SizeIs(1));
  EXPECT_TRUE(controller_.plan().peers[0].up) << "down would end the calls there";
  EXPECT_THAT(planned().peers, IsEmpty());
  step(2.0, ExchangeFailed{.to = peer});
  EXPECT_TRUE(controller_.plan().peers[0].up) << "nobody heard it fall silent";
}

TEST_F(ControllerTest, ForgetsANeighbourThatIsGone) {
  settle();
  ASSERT_THAT(step(0.2, NeighbourGone{peer}).plans, SizeIs(1));
  EXPECT_THAT(controller_.plan().peers, IsEmpty());
  EXPECT_THAT(step(0.3, NeighbourGone{peer}).plans, IsEmpty());
  answered(0.4, says(2));
  EXPECT_EQ(controller_.dropped_events(), 1U);
  EXPECT_THAT(arrived(0.5, says(3)).answers, SizeIs(1)) << "every request has an answer";
  EXPECT_EQ(controller_.dropped_events(), 2U);
}

TEST_F(ControllerTest, PlansANewSlotAtOnce) {
  settle();
  EXPECT_THAT(admit(0.2).plans, IsEmpty()) << "nothing new";
  const Wanted moved = admit(0.3, peer, "org", 7);
  ASSERT_THAT(moved.plans, SizeIs(1));
  EXPECT_EQ(moved.plans[0].peers[0].slot, 7);
}

// --- messages

TEST_F(ControllerTest, TellsWhatItHasAndHidesWhatItKeepsForItself) {
  GatewayObservation seen = gateway(0);
  seen.functions.push_back({.function = named("private"),
                            .digest = "x",
                            .deployed = true,
                            .traits = {.share = Sharing::node},
                            .slots = 3});
  std::ranges::sort(seen.functions, {}, &FunctionObservation::function);
  step(0, Observed{seen});
  const Wanted admitted = admit(0.1);
  const ExchangeMessage& message = admitted.sends[0].message;
  ASSERT_THAT(message.functions, SizeIs(1));
  EXPECT_EQ(message.functions[0].function, work);
  EXPECT_EQ(message.functions[0].slots, 10);
  EXPECT_EQ(message.functions[0].service_time, Millis{100});
  EXPECT_EQ(message.lifetime, Millis{6000});
}

TEST_F(ControllerTest, NumbersItsMessagesUpwards) {
  settle();
  std::uint64_t last = 0;
  for (int beat = 1; beat < 5; ++beat) {
    const Wanted asked = step(0.5 * beat, HeartbeatElapsed{});
    EXPECT_GT(asked.sends[0].message.sequence, last);
    last = asked.sends[0].message.sequence;
    const Wanted answer = arrived(0.5 * beat + 0.1, says(static_cast<std::uint64_t>(beat + 1)));
    EXPECT_GT(answer.answers[0].sequence, last);
    last = answer.answers[0].sequence;
  }
}

TEST_F(ControllerTest, TakesGrantsAndAsksThatOvertookEachOther) {
  settle();
  // The neighbour answered us (2), then asked (3); the two crossed on the way.
  arrived(0.1, asks(3, 12));
  answered(0.11, grants(2, 0, 40));
  EXPECT_EQ(controller_.dropped_events(), 0U);
  step(1.5, HeartbeatElapsed{});
  ASSERT_THAT(planned().peers, SizeIs(1));
  EXPECT_NEAR(planned().peers[0].weight, 40 + 10, 0.1);
  // And the other way round.
  answered(2.55, grants(5, 0, 20));
  const Wanted answer = arrived(2.56, asks(4, 30));
  EXPECT_EQ(controller_.dropped_events(), 0U);
  EXPECT_NEAR(answer.answers[0].grants[0].granted.per_second, 30, 1e-9);
}

TEST_F(ControllerTest, DropsWhatIsOlderThanWhatItKnows) {
  settle();
  answered(0.1, grants(5, 0, 40));
  answered(0.2, grants(4, 0, 90));
  EXPECT_EQ(controller_.dropped_events(), 1U);
  ExchangeMessage older = says(3);
  older.functions = {};
  arrived(0.3, older);  // A request, so not out of order; but its news of functions are old.
  step(1.5, HeartbeatElapsed{});
  ASSERT_THAT(planned().peers, SizeIs(1));
  EXPECT_NEAR(planned().peers[0].weight, 40 + 10, 0.1);
}

TEST_F(ControllerTest, BelievesANewStartOfANeighbourAndNoLateWordOfTheOldOne) {
  settle();
  answered(0.1, grants(500, 0, 40));
  ExchangeMessage anew = says(1, "peer2");
  anew.grants.push_back({.function = work, .granted = Rate{0}, .left = Rate{7}});
  answered(0.2, anew);
  answered(0.3, grants(501, 0, 40));
  EXPECT_EQ(controller_.dropped_events(), 1U);
  step(1.5, HeartbeatElapsed{});
  ASSERT_THAT(planned().peers, SizeIs(1));
  EXPECT_NEAR(planned().peers[0].weight, 7 + 10, 0.1);
}

TEST_F(ControllerTest, PlansAtOnceWhenANeighbourFirstOffersRoom) {
  settle();
  EXPECT_THAT(answered(0.5, grants(2, 0, 40)).plans, SizeIs(1));
  EXPECT_GT(planned().peers[0].weight, 40);
  EXPECT_THAT(answered(1.0, grants(3, 30, 20)).plans, SizeIs(0)) << "more or less can wait";
}

TEST_F(ControllerTest, LetsGrantsRunOutWithTheirLifetime) {
  settle();
  ExchangeMessage brief = grants(2, 0, 40);
  brief.lifetime = Millis{1000};
  answered(0.1, brief);
  step(0.9, HeartbeatElapsed{});
  answered(1.2, says(3));
  step(2, HeartbeatElapsed{});
  ASSERT_THAT(planned().peers, SizeIs(1));
  EXPECT_NEAR(planned().peers[0].weight, 10, 0.1);
}

TEST_F(ControllerTest, GrantsNoMoreThanIsAskedNowNorMoreThanItHas) {
  settle();
  Wanted answer = arrived(0.5, asks(2, 1000));
  ASSERT_THAT(answer.answers[0].grants, SizeIs(1));
  EXPECT_NEAR(answer.answers[0].grants[0].granted.per_second, 95, 1e-6);
  answer = arrived(0.5, asks(3, 5));
  EXPECT_NEAR(answer.answers[0].grants[0].granted.per_second, 5, 1e-6);
  answer = arrived(0.9, says(4));
  EXPECT_EQ(answer.answers[0].grants[0].granted.per_second, 0);
}

TEST_F(ControllerTest, AsksForSilenceWhileDraining) {
  settle();
  const Wanted goodbye = step(0.5, DrainRequested{});
  ASSERT_THAT(goodbye.sends, SizeIs(1));
  EXPECT_TRUE(goodbye.sends[0].message.draining);
  const Wanted answer = arrived(0.6, asks(2, 50));
  EXPECT_TRUE(answer.answers[0].draining);
  EXPECT_THAT(answer.answers[0].grants, IsEmpty());
}

// --- whose function is it

TEST_F(ControllerTest, AdmitsEveryNeighbourThatSharesAFunctionEvenWithoutIt) {
  step(0, Observed{gateway(0)});
  admit(0.1);
  ExchangeMessage bare = says(1);
  bare.functions = {};
  answered(0.3, bare);
  step(0.5, HeartbeatElapsed{});
  ASSERT_THAT(planned().guests, SizeIs(1));
  EXPECT_EQ(planned().guests[0].id, peer);
  EXPECT_THAT(planned().peers, IsEmpty());
  // Its users want it: what it asks for, it gets.
  bare.sequence = 2;
  bare.asks.push_back({.function = work, .rate = Rate{20}});
  const Wanted answer = arrived(0.9, bare);
  ASSERT_THAT(answer.answers[0].grants, SizeIs(1));
  EXPECT_NEAR(answer.answers[0].grants[0].granted.per_second, 20, 1e-9);
}

struct SharingCase {
  const char* name;
  Sharing ours;
  Sharing theirs;
  const char* their_organisation;
  const char* their_digest;
  bool by_name;
  bool goes_out;
  bool comes_in;
  std::vector<std::string> we_name;
  std::vector<std::string> they_name;
};

class SharingRules : public ControllerTest, public testing::WithParamInterface<SharingCase> {};

TEST_P(SharingRules, DecideWhoMayStandIn) {
  const SharingCase& c = GetParam();
  GatewayObservation seen = gateway(0);
  seen.functions[0].traits.share = c.ours;
  seen.functions[0].traits.share_with = c.we_name;
  seen.functions[0].traits.match_by_name = c.by_name;
  step(0, Observed{seen});
  admit(0.1, peer, c.their_organisation);
  ExchangeMessage message = says(1);
  message.functions.edit()[0].share = c.theirs;
  message.functions.edit()[0].share_with = c.they_name;
  message.functions.edit()[0].digest = c.their_digest;
  answered(0.3, message);
  step(0.5, HeartbeatElapsed{});
  EXPECT_EQ(planned().peers.size(), c.goes_out ? 1U : 0U);
  EXPECT_EQ(planned().guests.size(), c.comes_in ? 1U : 0U);
}

constexpr auto to_node = Sharing::node;
constexpr auto to_org = Sharing::organisation;
constexpr auto to_all = Sharing::federation;

INSTANTIATE_TEST_SUITE_P(
    Table, SharingRules,
    testing::Values(
        SharingCase{"same_organisation", to_org, to_org, "org", "code", false, true, true},
        SharingCase{"kept_for_itself", to_node, to_org, "org", "code", false, false, false},
        SharingCase{"other_organisation", to_org, to_org, "else", "code", false, false, false},
        SharingCase{"only_we_share_widely", to_all, to_org, "else", "code", false, false, false},
        SharingCase{"both_share_widely", to_all, to_all, "else", "code", false, true, true},
        SharingCase{"other_code", to_org, to_org, "org", "other", false, false, false},
        SharingCase{"other_code_by_name", to_org, to_org, "org", "other", true, true, true},
        SharingCase{"both_name_each_other",
                    to_org,
                    to_org,
                    "else",
                    "code",
                    false,
                    true,
                    true,
                    {"else"},
                    {"org"}},
        SharingCase{
            "only_we_name_it", to_org, to_org, "else", "code", false, false, false, {"else"}, {}},
        SharingCase{
            "only_it_names_us", to_org, to_org, "else", "code", false, false, false, {}, {"org"}},
        SharingCase{"we_name_it_it_shares_widely",
                    to_org,
                    to_all,
                    "else",
                    "code",
                    false,
                    true,
                    true,
                    {"else"},
                    {}},
        SharingCase{"another_is_named",
                    to_org,
                    to_all,
                    "else",
                    "code",
                    false,
                    false,
                    false,
                    {"third"},
                    {}}),
    [](const auto& tested) { return tested.param.name; });

// --- what the operator decided about others

GatewayObservation shared_gateway() {
  GatewayObservation seen = gateway(0);
  seen.functions[0].traits.share = Sharing::federation;
  return seen;
}

ExchangeMessage asks_widely(std::uint64_t sequence, double rate) {
  ExchangeMessage message = asks(sequence, rate);
  message.functions.edit()[0].share = Sharing::federation;
  return message;
}

TEST_F(ControllerTest, HasNoNeighbourWhomTheOperatorDenies) {
  controller_ = make("agent1", {.deny = *parse_partners("globex")});
  step(0, Observed{shared_gateway()});
  EXPECT_THAT(admit(0.1, peer, "globex").sends, IsEmpty());
  step(0.5, HeartbeatElapsed{});
  EXPECT_FALSE(controller_.knows(peer));
  EXPECT_THAT(controller_.plan().peers, IsEmpty());
  const Wanted wanted = arrived(0.6, asks_widely(1, 10));
  EXPECT_THAT(wanted.answers.at(0).grants, IsEmpty());
  EXPECT_EQ(wanted.answers.at(0).functions.size(), 0U) << "strangers hear of no functions";
}

TEST_F(ControllerTest, DropsANeighbourWhoseOrganisationIsDeniedNow) {
  controller_ = make("agent1", {.deny = *parse_partners("globex")});
  step(0, Observed{shared_gateway()});
  admit(0.1, peer, "acme");
  ASSERT_TRUE(controller_.knows(peer));
  admit(0.2, peer, "globex");
  EXPECT_FALSE(controller_.knows(peer));
}

TEST_F(ControllerTest, TellsAnOrganisationWithoutSlotsOfNoFunctionAndUsesItAllTheSame) {
  controller_ = make("agent1", {.limits = *parse_guest_slots("globex=0")});
  step(0, Observed{shared_gateway()});
  EXPECT_EQ(admit(0.1, peer, "globex").sends.at(0).message.functions.size(), 0U);
  answered(0.3, asks_widely(1, 0));
  step(0.5, HeartbeatElapsed{});
  const Wanted wanted = arrived(0.8, asks_widely(2, 10));
  EXPECT_THAT(wanted.answers.at(0).grants, IsEmpty());
  EXPECT_THAT(planned().peers, SizeIs(1)) << "what it takes of us is its own decision";
  EXPECT_THAT(planned().guests, IsEmpty());
  EXPECT_THAT(controller_.plan().limits,
              ElementsAre(OrganisationLimit{.organisation = "globex", .slots = 0}));
}

TEST_F(ControllerTest, GrantsAnOrganisationNoMoreThanItsSlotsCanRun) {
  controller_ = make("agent1", {.limits = *parse_guest_slots("globex=2")});
  step(0, Observed{shared_gateway()});
  const NodeId sibling = node(2);
  const NodeId other = node(3);
  admit(0.1, peer, "globex", 1);
  admit(0.1, sibling, "globex", 2);
  admit(0.1, other, "initech", 3);
  for (const NodeId& id : {peer, sibling, other}) {
    step(0.2, ExchangeAnswered{.from = id, .message = asks_widely(1, 0)});
    step(0.3, ExchangeArrived{.from = id, .message = asks_widely(2, 40)});
  }
  step(2.5, HeartbeatElapsed{});
  std::map<NodeId, FunctionGrant> got;
  for (const NodeId& id : {peer, sibling, other}) {
    got[id] = step(2.6, ExchangeArrived{.from = id, .message = asks_widely(3, 40)})
                  .answers.at(0)
                  .grants.at(0);
  }
  // Two slots of 100 ms are 20 calls a second, for both nodes of globex together.
  const auto total = [&got](const NodeId& id) {
    return got[id].granted.per_second + got[id].left.per_second;
  };
  EXPECT_NEAR(total(peer) + total(sibling), 20, 1e-6);
  EXPECT_NEAR(got[other].granted.per_second, 40, 1e-6) << "has what globex may not have";
}

TEST_F(ControllerTest, TakesForAFunctionItLacksTheCodeThatMostNeighboursRun) {
  step(0, Observed{GatewayObservation{.boot = "gateway1"}});
  for (std::size_t at = 1; at <= 4; ++at) {
    admit(0.01 * static_cast<double>(at), node(at), at == 4 ? "else" : "org", static_cast<int>(at));
    ExchangeMessage message = says(1);
    message.functions.edit()[0].digest = at == 1 ? "rare" : "common";
    step(0.1, ExchangeAnswered{.from = node(at), .message = message});
  }
  step(0.5, HeartbeatElapsed{});
  std::vector<NodeId> to;
  for (const FunctionPeer& destination : planned().peers) to.push_back(destination.id);
  EXPECT_THAT(to, ElementsAre(node(2), node(3)));
}

TEST_F(ControllerTest, KnowsAFunctionWhoseNeighboursAreSilentForNow) {
  step(0, Observed{GatewayObservation{.boot = "gateway1"}});
  admit(0.1);
  answered(0.2, says(1));
  step(0.5, HeartbeatElapsed{});
  ASSERT_THAT(planned().peers, SizeIs(1));
  step(3, HeartbeatElapsed{});
  EXPECT_EQ(planned().function, work);
  EXPECT_THAT(planned().peers, IsEmpty());
}

TEST_F(ControllerTest, HoldsBackANeighbourThatComesAndGoesAndLetsItInAgain) {
  settle();
  double time = 0;
  const auto flap = [&] {
    for (int beat = 0; beat < 4; ++beat) step(time += 0.5, HeartbeatElapsed{});
    EXPECT_THAT(planned().peers, IsEmpty()) << "silent";
    hear(time += 0.2);
    step(time += 0.2, HeartbeatElapsed{});
  };
  flap();
  EXPECT_THAT(planned().peers, SizeIs(1)) << "the first loss costs nothing";
  flap();
  EXPECT_THAT(planned().peers, IsEmpty()) << "held back";
  EXPECT_GT(controller_.neighbours(at(time)).at(0).held_for.count(), 0);
  EXPECT_THAT(planned().guests, SizeIs(1)) << "its own calls are taken";
  EXPECT_TRUE(controller_.plan().peers.at(0).up) << "what it runs for us goes on";
  double waited = 0;
  for (; planned().peers.empty() && waited < 5; waited += 0.4) {
    hear(time += 0.2);
    step(time += 0.2, HeartbeatElapsed{});
  }
  EXPECT_THAT(planned().peers, SizeIs(1));
  EXPECT_LT(waited, 2);
  flap();
  EXPECT_GT(controller_.neighbours(at(time)).at(0).held_for, Micros{1'000'000}) << "longer";
}

TEST_F(ControllerTest, GivesMoreToWhoGaveMoreIfTheOperatorWantsIt) {
  for (const bool has_credits : {false, true}) {
    controller_ = make("agent1", {.has_credits = has_credits});
    GatewayObservation seen = shared_gateway();
    step(-1, Observed{seen});
    const NodeId giver = node(2);
    admit(-0.9, peer, "taker", 1);
    admit(-0.9, giver, "giver", 2);
    step(-0.5, HeartbeatElapsed{});
    seen.functions[0].peers = {
        {.id = peer, .work_for_it = std::chrono::seconds{1500}},
        {.id = giver, .work_for_us = std::chrono::seconds{1200}, .work_for_it = Micros{0}}};
    step(0, Observed{seen});
    for (const NodeId& id : {peer, giver}) {
      step(0.2, ExchangeAnswered{.from = id, .message = asks_widely(1, 0)});
      step(0.3, ExchangeArrived{.from = id, .message = asks_widely(2, 95)});
    }
    step(2, HeartbeatElapsed{});  // Counts the work; the next plan goes by it.
    step(4, HeartbeatElapsed{});
    const auto granted = [&](const NodeId& id) {
      const auto answer = step(4.1, ExchangeArrived{.from = id, .message = asks_widely(3, 95)});
      return answer.answers.at(0).grants.at(0).granted.per_second;
    };
    const double to_taker = granted(peer);
    const double to_giver = granted(giver);
    EXPECT_NEAR(to_taker + to_giver, 95, 1e-6) << "all of the headroom";
    // 1200 s given: weight 3. 1500 s taken, 300 of them free: down to the least, 0.1.
    EXPECT_NEAR(to_giver / to_taker, has_credits ? 30 : 1, 1.5);
    EXPECT_NEAR(controller_.credits().at("taker").for_them, 1500, 1) << "counted in any case";
  }
}

// --- hostile neighbours

TEST_F(ControllerTest, ListensToNoMoreNamesThanAPlanHolds) {
  GatewayObservation seen = gateway(0);
  step(0, Observed{seen});
  for (std::size_t at = 1; at <= 30; ++at) {
    admit(0.001 * static_cast<double>(at), node(at), "org", static_cast<int>(at));
    ExchangeMessage message = says(1);
    if (at != 30) message.functions = {};
    for (int name = 0; at != 30 && name < 1000; ++name) {
      message.functions.edit().push_back(
          {.function = named("a" + std::to_string(at) + "-" + std::to_string(10000 + name)),
           .digest = "junk",
           .slots = 1});
    }
    if (at == 30) {
      message.functions.edit().push_back(
          {.function = named("zz-honest"), .digest = "x", .slots = 1});
    }
    step(0.1, ExchangeAnswered{.from = node(at), .message = message});
  }
  step(0.5, HeartbeatElapsed{});
  EXPECT_LE(controller_.plan().functions.size(), 1000U);
  EXPECT_EQ(planned().function, work);
  EXPECT_EQ(planned(named("zz-honest")).function, named("zz-honest"));
  EXPECT_TRUE(plan_from_json(plan_to_json(controller_.plan())));
}

TEST_F(ControllerTest, PlansAtMostTenTimesASecondHoweverOftenANeighbourChanges) {
  settle();
  std::size_t plans = 0;
  for (int change = 0; change < 1000; ++change) {
    ExchangeMessage message = says(static_cast<std::uint64_t>(change + 2));
    message.functions.edit()[0].slots = 1 + change % 2;
    plans += arrived(0.001 * change, message).plans.size();
  }
  EXPECT_LE(plans, 11U);
  EXPECT_GE(plans, 5U);
  EXPECT_THAT(step(1.05, HeartbeatElapsed{}).plans, SizeIs(1)) << "the last change is not lost";
}

TEST_F(ControllerTest, SurvivesWildNumbers) {
  settle();
  ExchangeMessage wild = says(2);
  wild.lifetime = Millis{86'400'000};
  wild.functions.edit()[0].slots = 100'000;
  wild.functions.edit()[0].service_time = Millis{1};
  wild.asks.push_back({.function = work, .rate = Rate{1e9}});
  wild.grants.push_back({.function = work, .granted = Rate{1e9}, .left = Rate{1e9}});
  answered(0.1, wild);
  const Wanted answer = arrived(0.2, wild);
  step(2, HeartbeatElapsed{});
  EXPECT_TRUE(plan_from_json(plan_to_json(controller_.plan())));
  EXPECT_TRUE(exchange_from_json(exchange_to_json(answer.answers[0])));
}

TEST_F(ControllerTest, GivesTheSamePlanForTheSameEvents) {
  const auto run = [] {
    Controller controller = make("agent1");
    controller.step(at(0), Observed{gateway(0)});
    controller.step(at(0.1), NeighbourAdmitted{.id = peer, .organisation = "org", .slot = 1});
    controller.step(at(0.2), ExchangeAnswered{.from = peer, .message = grants(1, 3, 40)});
    controller.step(at(0.5), HeartbeatElapsed{});
    controller.step(at(2.4), Observed{gateway(400)});
    controller.step(at(2.5), HeartbeatElapsed{});
    return controller.plan();
  };
  EXPECT_EQ(run(), run());
}

TEST_F(ControllerTest, ChangesTheStrategyAtOnce) {
  settle();
  const Wanted changed = step(0.2, StrategyChosen{*find_strategy("all_local")});
  ASSERT_THAT(changed.plans, SizeIs(1));
  EXPECT_EQ(changed.plans[0].strategy, "all_local");
  EXPECT_THAT(planned().peers, IsEmpty());
  EXPECT_THAT(planned().guests, IsEmpty());
}

TEST_F(ControllerTest, DividesAtOnceAsTheModelOutsideSays) {
  settle();
  step(0.2, StrategyChosen{*find_strategy("external_model")});
  EXPECT_EQ(planned().local_share, 1) << "the model has said nothing yet";
  const ExternalShares told{.local = 0.25, .refused = 0.25, .neighbours = {{peer, 0.5}}};
  const Wanted changed = step(0.4, ExternalSaid{.shares = {{work, told}}});
  ASSERT_THAT(changed.plans, SizeIs(1));
  EXPECT_DOUBLE_EQ(planned().local_share, 0.25);
  EXPECT_DOUBLE_EQ(planned().refused_share, 0.25);
  EXPECT_THAT(step(0.6, ExternalSaid{.shares = {{work, told}}}).plans, IsEmpty()) << "no news";
  step(0.8, ExternalSaid{});
  EXPECT_EQ(planned().local_share, 1) << "it says nothing any more";
}

TEST(ControllerProperty, NoOrderOfEventsMakesAPlanOrMessageThatOthersRefuse) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    Controller controller(
        {.self = self, .name = *NodeName::parse("me"), .organisation = "org", .boot = "a"},
        *find_strategy("grant_and_spill"), Random{seed});
    double now = 0;
    std::uint64_t sequence = 0;
    std::uint64_t arrivals = 0;
    const auto rate = [&random] {
      return Rate{below(random, 5) == 0 ? 1e9 : uniform(random, 0, 300)};
    };
    const auto message = [&] {
      ExchangeMessage out = says(below(random, 10) == 0 ? sequence / 2 : ++sequence,
                                 below(random, 30) == 0 ? "other" : "peer1");
      out.draining = below(random, 20) == 0;
      out.lifetime = Millis{static_cast<Millis::rep>(below(random, 10'000))};
      if (below(random, 5) == 0) out.functions = {};
      if (below(random, 2) == 0) out.asks.push_back({.function = work, .rate = rate()});
      if (below(random, 2) == 0) {
        out.grants.push_back({.function = work, .granted = rate(), .left = rate()});
      }
      return out;
    };
    std::uint64_t version = 0;
    for (int step = 0; step < 300; ++step) {
      now += uniform(random, 0, 0.3);
      const NodeId other = node(1 + below(random, 3));
      ControllerEvent event = HeartbeatElapsed{};
      switch (below(random, 8)) {
        case 0: {
          GatewayObservation seen =
              gateway(arrivals += below(random, 1000), below(random, 20) == 0 ? "g2" : "g1");
          seen.functions[0].peers.push_back({.id = other, .accepted = below(random, 1000)});
          event = Observed{seen};
          break;
        }
        case 1:
          event = ExchangeArrived{.from = other, .message = message()};
          break;
        case 2:
          event = ExchangeAnswered{.from = other, .message = message()};
          break;
        case 3:
          event = ExchangeFailed{.to = other, .only_agent_away = below(random, 2) == 0};
          break;
        case 4:
          event = NeighbourAdmitted{
              .id = other, .organisation = "org", .slot = 1 + static_cast<int>(below(random, 60))};
          break;
        case 5:
          if (below(random, 4) == 0) event = NeighbourGone{other};
          break;
        default:
          break;
      }
      const bool is_request = std::holds_alternative<ExchangeArrived>(event);
      int answers = 0;
      for (const ControllerAction& action : controller.step(at(now), event)) {
        if (const auto* plan = std::get_if<InstallPlan>(&action)) {
          EXPECT_GT(plan->plan.version, version);
          version = plan->plan.version;
          const auto read = plan_from_json(plan_to_json(plan->plan));
          ASSERT_TRUE(read) << read.error().message;
          EXPECT_EQ(*read, plan->plan);
        } else if (const auto* send = std::get_if<SendExchange>(&action)) {
          ASSERT_TRUE(exchange_from_json(exchange_to_json(send->message)));
        } else {
          ++answers;
          const auto& answer = std::get<AnswerExchange>(action).message;
          ASSERT_TRUE(exchange_from_json(exchange_to_json(answer)));
        }
      }
      EXPECT_EQ(answers, is_request ? 1 : 0);
    }
  }
}

// --- changes of our own functions

TEST_F(ControllerTest, TellsAPushedChangeAtOnceAndFlappingOncePerHeartbeat) {
  settle();
  GatewayObservation seen = gateway(0);
  int sends = 0;
  int plans = 0;
  for (int flap = 0; flap < 40; ++flap) {  // Every 50 ms for two seconds.
    seen.functions[0].slots = flap % 2 == 0 ? 5 : 10;
    const Wanted wanted = step(0.2 + 0.05 * flap, Observed{.observation = seen, .is_pushed = true});
    if (flap == 0) {
      ASSERT_THAT(wanted.sends, SizeIs(1));
      ASSERT_THAT(wanted.sends[0].message.functions, SizeIs(1));
      EXPECT_EQ(wanted.sends[0].message.functions[0].slots, 5);
    }
    sends += static_cast<int>(wanted.sends.size());
    plans += static_cast<int>(wanted.plans.size());
  }
  EXPECT_EQ(sends, 4) << "one for each heartbeat of 500 ms";
  EXPECT_LE(plans, 20);
}

TEST_F(ControllerTest, SendsNothingAheadOfTheHeartbeatForWhatNeighboursDoNotCareFor) {
  settle();
  GatewayObservation seen = gateway(500);
  seen.functions[0].in_flight = 7;
  EXPECT_THAT(step(0.2, Observed{.observation = seen, .is_pushed = true}).sends, IsEmpty());
  seen.functions[0].slots = 5;
  EXPECT_THAT(step(0.3, Observed{seen}).sends, IsEmpty()) << "a heartbeat follows anyway";
}

TEST_F(ControllerTest, OffersNothingThatCannotRunButGoesOnForwardingIt) {
  settle();
  GatewayObservation seen = gateway(0);
  seen.functions[0].slots = 0;
  const Wanted wanted = step(0.2, Observed{.observation = seen, .is_pushed = true});
  ASSERT_THAT(wanted.plans, SizeIs(1));
  ASSERT_THAT(planned().peers, SizeIs(1)) << "the neighbour runs the same code";
  ASSERT_THAT(wanted.sends, SizeIs(1));
  EXPECT_THAT(wanted.sends[0].message.functions, IsEmpty());
}

TEST_F(ControllerTest, ForwardsWhatCannotRunHereOnlyToTheSameCodeAndWithinItsShare) {
  settle();
  GatewayObservation seen = gateway(0);
  seen.functions[0].slots = 0;
  seen.functions[0].digest = "other";
  step(0.2, Observed{.observation = seen, .is_pushed = true});
  EXPECT_THAT(planned().peers, IsEmpty());
  seen.functions[0].digest = "code";
  seen.functions[0].traits.share = Sharing::node;
  step(0.4, Observed{.observation = seen, .is_pushed = true});
  EXPECT_THAT(planned().peers, IsEmpty());
}

}  // namespace
}  // namespace dfaas
