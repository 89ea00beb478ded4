// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The rules one by one, in cases small enough to follow by hand. What must hold whatever happens is
/// in dispatcher_property_test.cpp.
#include "core/dataplane/dispatcher.hpp"

#include <algorithm>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kind = Decision::Kind;

NodeId node(char letter) { return *NodeId::parse(std::string(32, letter)); }
FunctionName named(std::string_view name) { return *FunctionName::parse(name); }

Instant at(double seconds) { return Instant{} + from_seconds(1000 + seconds); }

const FunctionName work = named("work");

/// A plan with peers a, b, c ... for `work`, all of one weight, all of them admitted as guests.
RoutingPlan plan_with(std::string_view peers, int window = 10) {
  RoutingPlan plan{.version = 1, .strategy = "test"};
  FunctionPlan function{.function = work};
  for (const char letter : peers) {
    plan.peers.push_back({.id = node(letter), .slot = letter - 'a' + 1, .up = true});
    function.peers.push_back(
        {.id = node(letter), .weight = 10, .window = window, .floor_weight = 1});
    function.guests.push_back({.id = node(letter), .rate = Rate{100}});
  }
  plan.functions.push_back(function);
  return plan;
}

/// One node with `slots` for `work`, whose runs take 100 ms as far as it knows.
class DispatcherTest : public testing::Test {
 protected:
  void start(int slots, const RoutingPlan& plan, DispatcherSettings settings = {}) {
    dispatcher_ = Dispatcher(settings, Random{1});
    if (slots > 0) dispatcher_.deploy(work, slots, "digest", {}, at(0));
    dispatcher_.install(plan, at(0));
  }

  Kind user(double seconds) { return dispatcher_.arrive_user(++last_, work, at(seconds)).kind; }

  Decision guest(char from, double seconds) {
    return dispatcher_.arrive_guest(++last_, work, "digest", node(from), std::nullopt, at(seconds));
  }

  /// Lets so many requests of own users run here from now on.
  void fill(int count, double seconds = 0) {
    for (int run = 0; run < count; ++run) ASSERT_EQ(user(seconds), Kind::serve);
  }

  FunctionObservation seen() {
    const GatewayObservation observation = dispatcher_.observe(at(0));
    const auto found =
        std::ranges::find(observation.functions, work, &FunctionObservation::function);
    return found == observation.functions.end() ? FunctionObservation{} : *found;
  }

  Dispatcher dispatcher_{{}, Random{1}};
  RequestId last_ = 0;
};

// --- users

TEST_F(DispatcherTest, ServesUsersHereWhileASlotIsFree) {
  start(2, plan_with("ab"));
  EXPECT_EQ(user(0), Kind::serve);
  EXPECT_EQ(user(0), Kind::serve);
  EXPECT_EQ(user(0), Kind::try_peer);
}

TEST_F(DispatcherTest, QueuesAUserAtOnceWhereTheWaitIsShort) {
  start(12, plan_with("ab"));
  fill(12);
  // One place ahead frees after 100 ms / 12 = 8 ms, below the 10 ms of the rule; two do not.
  EXPECT_EQ(user(0), Kind::queue);
  EXPECT_EQ(user(0), Kind::try_peer);
}

TEST_F(DispatcherTest, QueuesAUserWhomNoNeighbourTookAndRefusesBeyondTwoServiceTimes) {
  start(2, plan_with(""));
  fill(2);
  // The fourth in line waits 4 x 100 ms / 2 = 200 ms, two service times.
  for (int line = 0; line < 4; ++line) EXPECT_EQ(user(0), Kind::queue);
  const Decision fifth = dispatcher_.arrive_user(99, work, at(0));
  EXPECT_EQ(fifth.kind, Kind::refuse);
  EXPECT_EQ(fifth.reason, Outcome::busy);
}

TEST_F(DispatcherTest, KeepsTheQueueWithinItsMaximumHoweverShortTheWait) {
  start(1, plan_with(""), {.queue_length_max = 2, .service_time_default = Micros{10}});
  fill(1);
  EXPECT_EQ(user(0), Kind::queue);
  EXPECT_EQ(user(0), Kind::queue);
  EXPECT_EQ(user(0), Kind::refuse);
}

TEST_F(DispatcherTest, TriesAtMostSoManyDifferentNeighbours) {
  start(0, plan_with("abc"), {.attempts_max = 2});
  const Decision first = dispatcher_.arrive_user(1, work, at(0));
  ASSERT_EQ(first.kind, Kind::try_peer);
  const Decision second = dispatcher_.not_started(1, Outcome::busy, at(0));
  ASSERT_EQ(second.kind, Kind::try_peer);
  EXPECT_NE(second.peer, first.peer);
  EXPECT_EQ(dispatcher_.not_started(1, Outcome::busy, at(0)).kind, Kind::refuse);
}

TEST_F(DispatcherTest, TriesNoFurtherNeighbourEvenForALostRequest) {
  start(0, plan_with("abc"), {.attempts_max = 2});
  dispatcher_.deploy(work, 1, "digest", {.retry_safe = true}, at(0));
  fill(1);
  ASSERT_EQ(dispatcher_.arrive_user(2, work, at(0)).kind, Kind::try_peer);
  ASSERT_EQ(dispatcher_.not_started(2, Outcome::busy, at(0)).kind, Kind::try_peer);
  dispatcher_.accepted(2, at(0));
  EXPECT_EQ(dispatcher_.lost(2, true, at(0)).kind, Kind::queue);
}

TEST_F(DispatcherTest, WaitsHereForALostRequestHoweverLongTheLine) {
  start(1, plan_with("a"));
  dispatcher_.deploy(work, 1, "digest", {.retry_safe = true}, at(0));
  fill(1);
  ASSERT_EQ(dispatcher_.arrive_user(50, work, at(0)).kind, Kind::try_peer);
  dispatcher_.install(plan_with(""), at(0));
  EXPECT_EQ(user(0), Kind::queue);
  EXPECT_EQ(user(0), Kind::queue);
  EXPECT_EQ(user(0), Kind::refuse);  // Newcomers: the line is two service times long.
  EXPECT_EQ(dispatcher_.lost(50, true, at(0)).kind, Kind::queue);
}

TEST_F(DispatcherTest, NeverRunsALostRequestTwiceUnlessThatIsSafe) {
  start(0, plan_with("ab"));
  ASSERT_EQ(dispatcher_.arrive_user(1, work, at(0)).kind, Kind::try_peer);
  dispatcher_.accepted(1, at(0));
  const Decision lost = dispatcher_.lost(1, true, at(0));
  EXPECT_EQ(lost.kind, Kind::refuse);
  EXPECT_EQ(lost.reason, Outcome::unreachable);
}

TEST_F(DispatcherTest, ComesHomeWhenASlotBecameFreeDuringTheTry) {
  start(1, plan_with("a"));
  fill(1);
  ASSERT_EQ(dispatcher_.arrive_user(2, work, at(0)).kind, Kind::try_peer);
  dispatcher_.finished(1, Micros{100'000}, at(0.1));
  EXPECT_EQ(dispatcher_.not_started(2, Outcome::busy, at(0.1)).kind, Kind::serve);
}

TEST_F(DispatcherTest, StaysWithinTheWindowOfANeighbour) {
  start(0, plan_with("a", 2));
  EXPECT_EQ(user(0), Kind::try_peer);
  EXPECT_EQ(user(0), Kind::try_peer);
  EXPECT_EQ(user(0), Kind::refuse);
  dispatcher_.finished(1, std::nullopt, at(0));
  EXPECT_EQ(user(0), Kind::try_peer);
}

TEST_F(DispatcherTest, MakesNoMoreTriesThanTheBudgetHasForEachCall) {
  const DispatcherSettings settings{.full_memory_ratio = 0, .full_memory_min = Micros{0}};
  start(0, plan_with("abcd", 1000), settings);
  int tries = 0;
  for (RequestId id = 1; id <= 1000; ++id) {
    Decision decision = dispatcher_.arrive_user(id, work, at(0));
    ASSERT_EQ(decision.kind, Kind::try_peer) << "the first try is paid by the call itself";
    while (decision.kind == Kind::try_peer) {
      ++tries;
      decision = dispatcher_.not_started(id, Outcome::busy, at(0));
    }
  }
  EXPECT_LE(tries, 1150 + 10);
  EXPECT_GE(tries, 1150);
}

TEST_F(DispatcherTest, LeavesANeighbourThatRefusedAloneForAServiceTime) {
  RoutingPlan plan = plan_with("a");
  plan.functions[0].peers[0].service_time = Micros{200'000};
  start(0, plan);
  ASSERT_EQ(user(0), Kind::try_peer);
  ASSERT_EQ(user(0), Kind::try_peer);
  dispatcher_.not_started(last_, Outcome::busy, at(0));
  EXPECT_EQ(user(0.19), Kind::refuse);
  EXPECT_EQ(user(0.2), Kind::try_peer);
  dispatcher_.not_started(last_, Outcome::limit, at(0.2));
  EXPECT_EQ(user(0.3), Kind::refuse);
  dispatcher_.accepted(1, at(0.3));  // It took one that was under way.
  EXPECT_EQ(user(0.3), Kind::try_peer);
}

TEST_F(DispatcherTest, LeavesASilentNeighbourAloneForASecondThenAsksItOnce) {
  start(0, plan_with("a"));
  for (int failure = 0; failure < 2; ++failure) {
    ASSERT_EQ(user(0), Kind::try_peer);
    dispatcher_.not_started(last_, Outcome::unreachable, at(0));
  }
  EXPECT_EQ(user(0.9), Kind::refuse);
  EXPECT_EQ(user(1.1), Kind::try_peer);
  EXPECT_EQ(user(1.1), Kind::refuse) << "until the first one tells, all others stay away";
  dispatcher_.accepted(last_ - 1, at(1.2));
  EXPECT_EQ(user(1.2), Kind::try_peer);
}

TEST_F(DispatcherTest, FallsToTheFloorWeightsWhenThePlanIsTooOld) {
  RoutingPlan plan = plan_with("ab", 1000);
  plan.functions[0].peers[0].weight = 1e6;
  plan.functions[0].peers[0].floor_weight = 1e-6;
  plan.lifetime = Millis{6000};
  start(0, plan);
  for (int draw = 0; draw < 100; ++draw) ASSERT_EQ(user(5), Kind::try_peer);
  for (int draw = 0; draw < 100; ++draw) ASSERT_EQ(user(7), Kind::try_peer);
  int to_a_in_time = 0;
  int to_a_too_late = 0;
  // Where they went shows in what each neighbour accepted.
  dispatcher_.install(plan, at(7));
  for (RequestId id = 1; id <= 100; ++id) dispatcher_.accepted(id, at(7));
  for (const PeerCounters& peer : seen().peers) {
    if (peer.id == node('a')) to_a_in_time = static_cast<int>(peer.accepted);
  }
  for (RequestId id = 101; id <= 200; ++id) dispatcher_.accepted(id, at(7));
  for (const PeerCounters& peer : seen().peers) {
    if (peer.id == node('a')) to_a_too_late = static_cast<int>(peer.accepted) - to_a_in_time;
  }
  EXPECT_EQ(to_a_in_time, 100);
  EXPECT_EQ(to_a_too_late, 0);
}

TEST_F(DispatcherTest, TellsUnknownFromBusy) {
  start(0, plan_with("a", 1));
  EXPECT_EQ(dispatcher_.arrive_user(1, named("other"), at(0)).reason, Outcome::unknown);
  EXPECT_FALSE(dispatcher_.knows(named("other")));
  ASSERT_EQ(user(0), Kind::try_peer);
  EXPECT_EQ(dispatcher_.arrive_user(50, work, at(0)).reason, Outcome::busy);
  // A function whose neighbours are all down for now is not unknown: it may come back.
  RoutingPlan plan = plan_with("a");
  plan.functions[0].peers.clear();
  start(0, plan);
  EXPECT_EQ(dispatcher_.arrive_user(51, work, at(0)).reason, Outcome::busy);
  EXPECT_TRUE(dispatcher_.knows(work));
}

TEST_F(DispatcherTest, ForgetsAFunctionWithItsLastRequest) {
  start(1, plan_with(""));
  dispatcher_.install({}, at(0));
  fill(1);
  dispatcher_.remove(work, at(0));
  EXPECT_EQ(seen().in_flight, 1);
  EXPECT_EQ(dispatcher_.arrive_user(50, work, at(0)).reason, Outcome::unknown);
  dispatcher_.finished(1, Micros{1000}, at(1));
  EXPECT_THAT(dispatcher_.observe(at(1)).functions, IsEmpty());
}

// --- guests

TEST_F(DispatcherTest, AdmitsOnlyGuestsOfThePlan) {
  RoutingPlan plan = plan_with("ab");
  plan.functions[0].guests.pop_back();
  start(2, plan);
  EXPECT_EQ(guest('a', 0).kind, Kind::serve);
  EXPECT_EQ(guest('b', 0).reason, Outcome::limit);
  EXPECT_EQ(guest('z', 0).reason, Outcome::limit);
}

TEST_F(DispatcherTest, RefusesAGuestWithOtherCodeUnderTheSameName) {
  start(3, plan_with("a"));
  const auto offer = [&](std::string_view digest) {
    return dispatcher_.arrive_guest(++last_, work, digest, node('a'), std::nullopt, at(0));
  };
  EXPECT_EQ(offer("digest").kind, Kind::serve);
  EXPECT_EQ(offer("other").reason, Outcome::unknown);
  EXPECT_EQ(offer("").kind, Kind::serve) << "a node without the function takes whose code we run";
  dispatcher_.deploy(work, 3, "digest", {.match_by_name = true}, at(0));
  EXPECT_EQ(offer("other").kind, Kind::serve);
}

TEST_F(DispatcherTest, RefusesAGuestWhomItCouldOnlyServeTooLate) {
  start(1, plan_with("a"));
  EXPECT_EQ(dispatcher_.arrive_guest(1, work, "digest", node('a'), Micros{50'000}, at(0)).reason,
            Outcome::late);
}

TEST_F(DispatcherTest, AdmitsAGuestInTheFirstSecondOfTheWorld) {
  Dispatcher young({}, Random{1});
  young.deploy(work, 4, "digest", {}, Instant{});
  young.install(plan_with("a"), Instant{});
  for (RequestId id = 1; id <= 4; ++id) {
    EXPECT_EQ(young.arrive_guest(id, work, "", node('a'), std::nullopt, Instant{}).kind,
              Kind::serve);
  }
  EXPECT_EQ(young.arrive_guest(5, work, "", node('a'), std::nullopt, Instant{}).kind, Kind::queue);
}

TEST_F(DispatcherTest, KeepsSlotsForOwnUsersWhoKeepComing) {
  start(4, plan_with("a"), {.home_reserve_ratio = 1});
  // 20 requests/s of 100 ms need two slots on average.
  for (int step = 0; step < 200; ++step) {
    const double now = step * 0.05;
    ASSERT_EQ(user(now), Kind::serve);
    dispatcher_.finished(last_, Micros{100'000}, at(now));
  }
  EXPECT_EQ(dispatcher_.room(work, at(10)), 2);
  EXPECT_EQ(guest('a', 10).kind, Kind::serve);
  EXPECT_EQ(guest('a', 10).kind, Kind::serve);
  EXPECT_EQ(guest('a', 10).reason, Outcome::busy);
  EXPECT_EQ(guest('a', 30).kind, Kind::serve) << "users stopped coming";
}

TEST_F(DispatcherTest, StartsAWaitingGuestOnceNobodyElseRuns) {
  start(2, plan_with("a"));
  // A burst of own users raises the reserve to both slots; the guest came in before that.
  fill(2);
  ASSERT_EQ(guest('a', 0).kind, Kind::queue);
  for (int burst = 0; burst < 200; ++burst) user(0);
  for (const auto& function : dispatcher_.observe(at(0)).functions) {
    ASSERT_GE(function.queued, 1);
  }
  // All users leave or finish: nothing else will ever happen here.
  for (RequestId id = 1; id <= last_; ++id) {
    if (id != 3) dispatcher_.abandoned(id, at(0.01));
  }
  EXPECT_THAT(dispatcher_.started(), testing::Contains(3U));
}

TEST_F(DispatcherTest, StartsAWaitingGuestWhenTheReserveHasFadedAndAnotherComes) {
  start(2, plan_with("a"), {.home_reserve_ratio = 1});
  fill(2);
  ASSERT_EQ(guest('a', 0).kind, Kind::queue);
  for (int burst = 0; burst < 200; ++burst) {
    user(0);
    dispatcher_.abandoned(last_, at(0));
  }
  dispatcher_.finished(1, std::nullopt, at(0));
  EXPECT_THAT(dispatcher_.started(), IsEmpty());
  guest('a', 60);
  EXPECT_THAT(dispatcher_.started(), ElementsAre(3U));
}

TEST_F(DispatcherTest, PutsUsersBeforeGuestsWhoCameFirst) {
  start(2, plan_with("a"));
  fill(1);
  ASSERT_EQ(guest('a', 0).kind, Kind::serve);
  ASSERT_EQ(guest('a', 0).kind, Kind::queue);
  dispatcher_.install(plan_with(""), at(0));
  ASSERT_EQ(user(0), Kind::queue);
  dispatcher_.finished(1, Micros{100'000}, at(0.1));
  EXPECT_THAT(dispatcher_.started(), ElementsAre(4U));
}

TEST_F(DispatcherTest, HoldsGuestsToTheirLimitUnderPressureOnly) {
  RoutingPlan plan = plan_with("ab");
  plan.functions[0].guests[0].rate = Rate{2};
  start(8, plan);
  for (int run = 0; run < 8; ++run) {
    EXPECT_EQ(guest('a', 0).kind, Kind::serve) << "slots are free: beyond its rate, but welcome";
  }
  EXPECT_EQ(guest('a', 0).reason, Outcome::limit) << "over its rate, and others want to wait too";
  EXPECT_EQ(guest('b', 0).kind, Kind::queue);
}

TEST_F(DispatcherTest, TakesNoMoreOfAnOrganisationThanItsLimitWhateverIsFree) {
  RoutingPlan plan = plan_with("abc");
  plan.peers[0].organisation = plan.peers[1].organisation = "globex";
  plan.limits = {{.organisation = "globex", .slots = 2}};
  start(8, plan);
  EXPECT_EQ(guest('a', 0).kind, Kind::serve);
  EXPECT_EQ(guest('b', 0).kind, Kind::serve);
  EXPECT_EQ(guest('a', 0).reason, Outcome::limit);
  EXPECT_EQ(guest('b', 0).reason, Outcome::limit);
  EXPECT_EQ(guest('c', 0).kind, Kind::serve) << "of another organisation, without a limit";
  dispatcher_.finished(1, Micros{100'000}, at(0.1));
  EXPECT_EQ(guest('b', 0.1).kind, Kind::serve) << "one of them has ended";
  dispatcher_.abandoned(2, at(0.1));
  EXPECT_EQ(guest('a', 0.1).kind, Kind::serve) << "one of them has left";
}

TEST_F(DispatcherTest, CountsWhoWaitsTowardsTheLimitOfItsOrganisation) {
  RoutingPlan plan = plan_with("a");
  plan.peers[0].organisation = "globex";
  plan.limits = {{.organisation = "globex", .slots = 1}};
  start(2, plan);
  fill(2);
  EXPECT_EQ(guest('a', 0).kind, Kind::queue);
  EXPECT_EQ(guest('a', 0).reason, Outcome::limit);
}

TEST_F(DispatcherTest, TakesNothingOfAnOrganisationWithoutSlotsAndKeepsWhatItHas) {
  RoutingPlan plan = plan_with("a");
  plan.peers[0].organisation = "globex";
  start(4, plan);
  ASSERT_EQ(guest('a', 0).kind, Kind::serve);
  plan.limits = {{.organisation = "globex", .slots = 0}};
  dispatcher_.install(plan, at(0));
  EXPECT_EQ(guest('a', 0).reason, Outcome::limit);
  EXPECT_EQ(seen().in_flight, 1);
}

TEST_F(DispatcherTest, KeepsAFreedSlotForThoseWithinTheirCapWhileTheyCome) {
  RoutingPlan plan = plan_with("ab");
  plan.functions[0].guests[0].rate = Rate{1};
  start(2, plan, {.guest_wait_ratio = 0.5, .guest_wait_min = Micros{1}});
  ASSERT_EQ(guest('a', 0).kind, Kind::serve);
  ASSERT_EQ(guest('a', 0).kind, Kind::serve) << "beyond its cap, and nobody else comes";
  const Decision other = guest('b', 0);
  ASSERT_EQ(other.kind, Kind::queue);
  dispatcher_.abandoned(3, at(0));
  dispatcher_.finished(1, Micros{100'000}, at(0.01));
  EXPECT_EQ(guest('a', 0.01).reason, Outcome::limit) << "b was here a moment ago";
  EXPECT_EQ(guest('b', 0.02).kind, Kind::serve);
  dispatcher_.finished(5, Micros{100'000}, at(0.12));
  EXPECT_EQ(guest('a', 0.5).kind, Kind::serve) << "b comes no more";
}

/// Under pressure a neighbour that asks all the time gets its rate and its burst, whatever it sends.
TEST(GuestCap, BoundsWhatOneNeighbourTakesOfAFullPoolHoweverMuchItSends) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Random random{seed};
    const double rate = uniform(random, 2, 20);
    RoutingPlan plan = plan_with("ab");
    plan.functions[0].guests[0].rate = Rate{rate};
    Dispatcher dispatcher({.guest_wait_ratio = 10}, Random{seed});
    dispatcher.deploy(work, 2, "digest", {}, at(0));
    dispatcher.install(plan, at(0));
    RequestId last = 0;
    ASSERT_EQ(dispatcher.arrive_user(++last, work, at(0)).kind, Kind::serve);
    ASSERT_EQ(dispatcher.arrive_user(++last, work, at(0)).kind, Kind::serve);
    constexpr double seconds = 20;
    int admitted = 0;
    for (double time = 0; time < seconds; time += uniform(random, 0, 0.01)) {
      const Decision decision =
          dispatcher.arrive_guest(++last, work, "digest", node('a'), std::nullopt, at(time));
      ASSERT_NE(decision.kind, Kind::serve) << "both slots are taken";
      if (decision.kind != Kind::queue) continue;
      ++admitted;
      dispatcher.abandoned(last, at(time));
    }
    EXPECT_LE(admitted, rate * seconds + std::max(1.0, rate) + 1) << "seed " << seed;
    EXPECT_GE(admitted, rate * seconds * 0.8) << "seed " << seed;
    EXPECT_EQ(
        dispatcher.arrive_guest(++last, work, "digest", node('b'), std::nullopt, at(seconds)).kind,
        Kind::queue)
        << "another neighbour is not made to suffer";
  }
}

TEST_F(DispatcherTest, TakesNoGuestWhileDraining) {
  start(2, plan_with("a"));
  dispatcher_.drain();
  EXPECT_EQ(guest('a', 0).reason, Outcome::draining);
  EXPECT_EQ(dispatcher_.room(work, at(0)), 0);
  EXPECT_EQ(user(0), Kind::serve);
}

TEST_F(DispatcherTest, TellsNoRoomWhileOthersWait) {
  start(2, plan_with("a"));
  EXPECT_EQ(dispatcher_.room(work, at(0)), 2);
  EXPECT_EQ(dispatcher_.room(named("other"), at(0)), 0);
  fill(2);
  EXPECT_EQ(dispatcher_.room(work, at(0)), 0);
}

// --- changes under way

TEST_F(DispatcherTest, RefusesWhatWaitsWhenTheFunctionIsRemovedAndLetsTheRestRun) {
  start(1, plan_with("a"), {.guest_wait_ratio = 0, .guest_wait_min = Micros{0}});
  fill(1);
  ASSERT_EQ(guest('a', 0).kind, Kind::refuse);
  dispatcher_.install(plan_with(""), at(0));
  ASSERT_EQ(user(0), Kind::queue);
  dispatcher_.remove(work, at(0));
  EXPECT_THAT(dispatcher_.refused_in_queue(), ElementsAre(3U));
  EXPECT_EQ(seen().in_flight, 1);
  // Deployed anew, it still owes a slot to the old run.
  dispatcher_.deploy(work, 1, "digest", {}, at(0));
  EXPECT_EQ(user(0), Kind::queue);
  dispatcher_.finished(1, Micros{1000}, at(0));
  EXPECT_THAT(dispatcher_.started(), ElementsAre(last_));
}

TEST_F(DispatcherTest, DrainsDownToFewerSlots) {
  start(3, plan_with(""));
  fill(3);
  dispatcher_.deploy(work, 1, "digest", {}, at(0));
  ASSERT_EQ(user(0), Kind::queue);
  dispatcher_.finished(1, std::nullopt, at(0));
  dispatcher_.finished(2, std::nullopt, at(0));
  EXPECT_THAT(dispatcher_.started(), IsEmpty());
  dispatcher_.finished(3, std::nullopt, at(0));
  EXPECT_THAT(dispatcher_.started(), ElementsAre(4U));
}

TEST_F(DispatcherTest, StartsWhoWaitsWhenSlotsAreAdded) {
  start(1, plan_with(""));
  fill(1);
  ASSERT_EQ(user(0), Kind::queue);
  ASSERT_EQ(user(0), Kind::queue);
  dispatcher_.deploy(work, 3, "digest", {}, at(0));
  EXPECT_THAT(dispatcher_.started(), ElementsAre(2U, 3U));
}

TEST_F(DispatcherTest, HandsOutNobodyWhoLeftMeanwhile) {
  start(1, plan_with(""));
  fill(1);
  ASSERT_EQ(user(0), Kind::queue);
  dispatcher_.finished(1, std::nullopt, at(0));
  dispatcher_.abandoned(2, at(0));
  EXPECT_THAT(dispatcher_.started(), IsEmpty());
  EXPECT_EQ(seen().in_flight, 0);
}

TEST_F(DispatcherTest, NamesTheRequestsAtNeighboursThatAreDownAndLetsThoseThatLeftFinishTheirs) {
  start(0, plan_with("ab", 1));
  ASSERT_EQ(user(0), Kind::try_peer);
  ASSERT_EQ(user(0), Kind::try_peer);
  EXPECT_THAT(dispatcher_.requests_at_lost_peers(), IsEmpty());
  RoutingPlan plan = plan_with("ab", 1);
  plan.peers[1].up = false;
  dispatcher_.install(plan, at(0));
  EXPECT_EQ(dispatcher_.requests_at_lost_peers().size(), 1U);
  plan.peers[0].up = false;
  dispatcher_.install(plan, at(0));
  EXPECT_THAT(dispatcher_.requests_at_lost_peers(), ElementsAre(1U, 2U));
  dispatcher_.install(plan_with(""), at(0));
  EXPECT_THAT(dispatcher_.requests_at_lost_peers(), IsEmpty());
}

TEST_F(DispatcherTest, MeasuresNewCodeAnew) {
  start(1, plan_with(""));
  fill(1);
  dispatcher_.finished(1, Micros{5'000'000}, at(5));
  EXPECT_EQ(seen().service_time, Micros{5'000'000});
  dispatcher_.deploy(work, 2, "digest", {}, at(5));
  EXPECT_EQ(seen().service_time, Micros{5'000'000});
  dispatcher_.deploy(work, 2, "new digest", {}, at(5));
  EXPECT_EQ(seen().service_time, Micros{0});
}

TEST_F(DispatcherTest, CountsWhatNeighboursDid) {
  start(0, plan_with("a"));
  for (int call = 0; call < 4; ++call) ASSERT_EQ(user(call), Kind::try_peer);
  dispatcher_.accepted(1, at(4));
  dispatcher_.accepted(1, at(4));
  dispatcher_.finished(1, std::nullopt, at(5));
  dispatcher_.not_started(2, Outcome::busy, at(4));
  dispatcher_.not_started(3, Outcome::unreachable, at(4));
  dispatcher_.accepted(4, at(4));
  dispatcher_.lost(4, false, at(5));
  EXPECT_THAT(seen().peers, ElementsAre(PeerCounters{.id = node('a'),
                                                     .accepted = 2,
                                                     .refused = 1,
                                                     .unreachable = 2,
                                                     .served = 1,
                                                     .work_for_us = Micros{5'000'000}}));
  EXPECT_EQ(seen().user_arrivals, 4U);
}

TEST_F(DispatcherTest, ForgetsNeighboursThatCameAndWent) {
  start(1, plan_with(""));
  fill(1);
  for (int round = 0; round < 20; ++round) {
    const char letter = static_cast<char>('a' + round);
    dispatcher_.install(plan_with(std::string(1, letter)), at(round));
    ASSERT_EQ(user(round), Kind::try_peer);
    dispatcher_.accepted(last_, at(round));
    dispatcher_.finished(last_, std::nullopt, at(round));
    guest(letter, round);
  }
  dispatcher_.install(plan_with("z"), at(30));
  EXPECT_THAT(seen().peers, IsEmpty());
}

TEST_F(DispatcherTest, GivesAFarNeighbourMoreTime) {
  RoutingPlan plan = plan_with("ab");
  plan.peers[1].rtt = Micros{200'000};
  plan.functions[0].peers[0].service_time = Micros{1'000'000};
  start(0, plan);
  // Twice a service time for its queue; four round trips and twice 100 ms.
  EXPECT_EQ(dispatcher_.attempt_time_limit(work, node('a')), Micros{2'000'000});
  EXPECT_EQ(dispatcher_.attempt_time_limit(work, node('b')), Micros{1'000'000});
  EXPECT_EQ(dispatcher_.attempt_time_limit(work, node('z')), Micros{250'000});
}

TEST(OutcomeText, RoundTrips) {
  for (const Outcome outcome : {Outcome::busy, Outcome::limit, Outcome::draining, Outcome::unknown,
                                Outcome::late, Outcome::unreachable}) {
    EXPECT_EQ(parse_outcome(to_text(outcome)), outcome);
  }
  for (const char* bad : {"", "Busy", "busy ", "full"}) EXPECT_FALSE(parse_outcome(bad)) << bad;
}

TEST_F(DispatcherTest, KnowsAFunctionNoMoreOnceItIsRemovedAndNoNeighbourHasIt) {
  start(1, plan_with(""));
  dispatcher_.remove(work, at(0));
  const Decision decision = dispatcher_.arrive_user(1, work, at(0));
  EXPECT_EQ(decision.kind, Kind::refuse);
  EXPECT_EQ(decision.reason, Outcome::unknown);
  start(1, plan_with("a"));
  dispatcher_.remove(work, at(0));
  EXPECT_EQ(user(0), Kind::try_peer) << "a neighbour still has it";
}

// --- functions that are here and cannot run

TEST_F(DispatcherTest, SendsUsersToNeighboursWhileAFunctionHasNoSlot) {
  start(2, plan_with("ab"));
  dispatcher_.deploy(work, 0, "digest", {}, at(0));
  EXPECT_EQ(user(0), Kind::try_peer);
  const Decision refused = guest('a', 0);
  EXPECT_EQ(refused.kind, Kind::refuse);
  EXPECT_EQ(refused.reason, Outcome::busy);
  EXPECT_TRUE(seen().deployed);
  EXPECT_EQ(seen().slots, 0);
  EXPECT_EQ(dispatcher_.digest(work), "digest") << "neighbours must still run the same code";
  dispatcher_.deploy(work, 2, "digest", {}, at(1));
  EXPECT_EQ(user(1), Kind::serve);
}

TEST_F(DispatcherTest, RefusesUsersBusyWithoutSlotsAndNeighbours) {
  start(2, plan_with(""));
  dispatcher_.deploy(work, 0, "digest", {}, at(0));
  const Decision decision = dispatcher_.arrive_user(1, work, at(0));
  EXPECT_EQ(decision.kind, Kind::refuse);
  EXPECT_EQ(decision.reason, Outcome::busy);
}

TEST_F(DispatcherTest, PlacesWhoWaitsAnewWhenTheLastSlotGoes) {
  start(12, plan_with("a", 1));
  fill(12);
  ASSERT_EQ(user(0), Kind::queue);     // 13, at once.
  ASSERT_EQ(user(0), Kind::try_peer);  // 14 fills the window of the only neighbour.
  ASSERT_EQ(user(0), Kind::queue);     // 15
  ASSERT_EQ(guest('a', 0).kind, Kind::queue);
  dispatcher_.finished(14, std::nullopt, at(0));
  dispatcher_.deploy(work, 0, "digest", {}, at(0));
  const auto moved = dispatcher_.moved();
  ASSERT_EQ(moved.size(), 3U);
  EXPECT_EQ(moved[0].first, 13U);
  EXPECT_EQ(moved[0].second.kind, Kind::try_peer);
  EXPECT_EQ(moved[1].first, 15U);
  EXPECT_EQ(moved[1].second.kind, Kind::refuse);
  EXPECT_EQ(moved[1].second.reason, Outcome::busy);
  EXPECT_EQ(moved[2].first, 16U);
  EXPECT_EQ(moved[2].second.kind, Kind::refuse);
  EXPECT_THAT(dispatcher_.moved(), IsEmpty());
  EXPECT_EQ(seen().queued, 0);
  EXPECT_EQ(seen().in_flight, 12);
}

TEST_F(DispatcherTest, SendsWhatCouldNotBeStartedHereToANeighbour) {
  start(1, plan_with("a"));
  fill(1);
  const Decision decision = dispatcher_.not_run(1, at(0));
  EXPECT_EQ(decision.kind, Kind::try_peer);
  EXPECT_EQ(seen().in_flight, 0);
  const Decision next = dispatcher_.not_started(1, Outcome::busy, at(0));
  EXPECT_EQ(next.kind, Kind::serve) << "its slot here is free again, should the reason be gone";
  EXPECT_EQ(dispatcher_.not_run(1, at(0)).kind, Kind::refuse) << "each place is tried once";
  EXPECT_EQ(seen().in_flight, 0);
}

TEST_F(DispatcherTest, RefusesAGuestThatCouldNotBeStarted) {
  start(1, plan_with("ab"));
  ASSERT_EQ(guest('a', 0).kind, Kind::serve);
  const Decision decision = dispatcher_.not_run(1, at(0));
  EXPECT_EQ(decision.kind, Kind::refuse);
  EXPECT_EQ(decision.reason, Outcome::busy);
  EXPECT_EQ(seen().in_flight, 0);
}

TEST_F(DispatcherTest, GivesNoShareToAFunctionWithoutSlots) {
  RoutingPlan plan = plan_with("a");
  plan.functions[0].rule = RoutingRule::shares;
  plan.functions[0].local_share = 1;
  plan.functions[0].peers[0].weight = 0.001;
  start(2, plan);
  dispatcher_.deploy(work, 0, "digest", {}, at(0));
  for (int run = 0; run < 5; ++run) EXPECT_EQ(user(0), Kind::try_peer);
}

}  // namespace
}  // namespace dfaas
