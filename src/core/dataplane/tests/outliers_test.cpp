// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who is an outlier and who is not; and what the dispatcher does with one.
#include "core/dataplane/outliers.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/dataplane/dispatcher.hpp"

namespace dfaas {
namespace {

using dataplane::AnswerRecord;
using dataplane::OutlierState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using Kind = Decision::Kind;

Instant at(double seconds) { return Instant{} + from_seconds(1000 + seconds); }
NodeId node(char letter) { return *NodeId::parse(std::string(32, letter)); }
const FunctionName work = *FunctionName::parse("work");

/// So many good answers of a length, with errors among them, evenly spread.
AnswerRecord record(int answers, int errors, double seconds = 0.1) {
  AnswerRecord result;
  for (int at = 0; at < answers; ++at) {
    const bool is_error = (at + 1) * errors / answers > at * errors / answers;
    if (is_error) {
      result.failed();
    } else {
      result.answered(from_seconds(seconds));
    }
  }
  return result;
}

struct JudgeCase {
  const char* name;
  AnswerRecord one;
  std::vector<AnswerRecord> others;
  Ejection verdict;
  AnswerRecord own = {};
};

class Judge : public testing::TestWithParam<JudgeCase> {};

TEST_P(Judge, HoldsOneAgainstTheOthers) {
  const JudgeCase& c = GetParam();
  std::vector<const AnswerRecord*> others;
  others.reserve(c.others.size());
  for (const AnswerRecord& other : c.others) others.push_back(&other);
  EXPECT_EQ(dataplane::judge(c.one, others, &c.own, {}), c.verdict);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Judge,
    testing::Values(
        JudgeCase{"fails_always", record(6, 6), {record(60, 0)}, Ejection::errors},
        JudgeCase{"few_answers_of_the_others", record(6, 6), {record(4, 0)}, Ejection::none},
        JudgeCase{"fails_half_the_time", record(40, 20), {record(60, 0)}, Ejection::errors},
        JudgeCase{"fails_now_and_then", record(60, 6), {record(60, 0)}, Ejection::none},
        JudgeCase{"as_the_others", record(60, 40), {record(60, 40)}, Ejection::none},
        JudgeCase{"another_is_as_bad",
                  record(40, 40),
                  {record(40, 40), record(60, 0), record(60, 0)},
                  Ejection::errors},
        JudgeCase{"no_other_is_known", record(40, 40), {AnswerRecord{}}, Ejection::none},
        JudgeCase{"our_own_runs_are_known",
                  record(40, 40),
                  {AnswerRecord{}},
                  Ejection::errors,
                  record(40, 0)},
        JudgeCase{"our_own_runs_fail_too",
                  record(40, 40),
                  {AnswerRecord{}},
                  Ejection::none,
                  record(40, 40)},
        JudgeCase{"ten_times_as_long", record(20, 0, 1), {record(20, 0, 0.1)}, Ejection::slow},
        JudgeCase{"twice_as_long", record(60, 0, 2), {record(60, 0, 1)}, Ejection::none},
        JudgeCase{"longer_but_short", record(60, 0, 0.05), {record(60, 0, 0.005)}, Ejection::none},
        JudgeCase{"one_other_is_fast",
                  record(60, 0, 1),
                  {record(60, 0, 0.01), record(60, 0, 1), record(60, 0, 1)},
                  Ejection::none},
        JudgeCase{"longer_than_our_own_runs",
                  record(60, 0, 2),
                  {AnswerRecord{}},
                  Ejection::none,
                  record(60, 0, 0.1)}),
    [](const auto& tested) { return tested.param.name; });

TEST(AnswerRecord, IsHardlyChangedByOneVeryLongAnswer) {
  AnswerRecord one = record(60, 0, 0.1);
  one.answered(from_seconds(60));
  EXPECT_LT(one.typical_seconds(), 0.15);
}

TEST(OutlierState, IsAwayTwiceAsLongWithEachRepeatAndIsForgiven) {
  const OutlierSettings settings;
  OutlierState state;
  double time = 0;
  double expected = 5;
  for (int repeat = 0; repeat < 10; ++repeat) {
    state.eject(Ejection::errors, at(time), settings);
    EXPECT_EQ(state.trial_at, at(time + expected)) << repeat;
    time += expected;
    state.reinstate(at(time));
    expected = std::min(2 * expected, 300.0);
  }
  time += 60 * 11;
  state.eject(Ejection::errors, at(time), settings);
  EXPECT_EQ(state.trial_at, at(time + 5)) << "as the first time";
}

// --- in the dispatcher

RoutingPlan plan_with(std::string_view peers, std::string_view down = "", double seconds = 0.1) {
  RoutingPlan plan{.version = 1, .strategy = "test", .lifetime = Millis{3'600'000}};
  FunctionPlan function{.function = work};
  for (const char letter : peers) {
    const bool is_down = down.find(letter) != std::string_view::npos;
    plan.peers.push_back({.id = node(letter), .slot = letter - 'a' + 1, .up = !is_down});
    function.peers.push_back({.id = node(letter),
                              .weight = 10,
                              .window = 1000,
                              .floor_weight = 1,
                              .service_time = from_seconds(seconds)});
  }
  plan.functions.push_back(function);
  return plan;
}

/// A node without slots, whose every call goes to neighbours; and neighbours that behave as told.
class Outliers : public testing::Test {
 protected:
  struct Behaviour {
    double error_ratio = 0;
    double seconds = 0.1;
    bool is_exponential = false;
  };

  void start(const RoutingPlan& plan, std::uint64_t seed = 1) {
    dispatcher_ = Dispatcher({.tries_burst = 1000}, Random{seed});
    random_ = Random{seed + 1000};
    dispatcher_.install(plan, at(now_));
  }

  /// One call to its end; the clock does not move on meanwhile but for `pause`. Returns who had it.
  NodeId call(std::map<char, Behaviour>& behaviours, double pause = 0.01) {
    const RequestId id = ++last_;
    const Decision decision = dispatcher_.arrive_user(id, work, at(now_));
    if (decision.kind != Kind::try_peer) return {};
    const Behaviour& how = behaviours[decision.peer.text().front()];
    dispatcher_.accepted(id, at(now_));
    const double seconds =
        how.is_exponential ? -how.seconds * std::log(1 - uniform(random_, 0, 1)) : how.seconds;
    ends_[now_ + seconds].push_back({id, uniform(random_, 0, 1) < how.error_ratio});
    now_ += pause;
    settle();
    return decision.peer;
  }

  void settle() {
    while (!ends_.empty() && ends_.begin()->first <= now_) {
      for (const auto& [id, is_error] : ends_.begin()->second) {
        dispatcher_.finished(id, std::nullopt, at(ends_.begin()->first),
                             is_error ? Answer::failed : Answer::good);
      }
      ends_.erase(ends_.begin());
    }
  }

  std::map<char, int> calls(int count, std::map<char, Behaviour> behaviours, double pause = 0.01) {
    std::map<char, int> got;
    for (int at = 0; at < count; ++at) {
      const NodeId to = call(behaviours, pause);
      ++got[to.empty() ? '-' : to.text().front()];
    }
    return got;
  }

  Dispatcher dispatcher_{{}, Random{1}};
  Random random_{1};
  RequestId last_ = 0;
  double now_ = 0;
  std::map<double, std::vector<std::pair<RequestId, bool>>> ends_;
};

TEST_F(Outliers, ANeighbourThatErrsGetsNoCallsAndOthersDo) {
  start(plan_with("abc"));
  calls(60, {{'a', {.error_ratio = 1}}});
  EXPECT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::errors)));
  EXPECT_EQ(calls(200, {{'a', {.error_ratio = 1}}}).count('a'), 0U);
}

TEST_F(Outliers, ANeighbourThatIsSlowGetsNoCallsAndOthersDo) {
  start(plan_with("abc"));
  calls(400, {{'a', {.seconds = 2}}});
  EXPECT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::slow)));
  EXPECT_EQ(calls(100, {{'a', {.seconds = 2}}}).count('a'), 0U);
}

TEST_F(Outliers, ASlowNeighbourIsBetterThanNone) {
  start(plan_with("ab"));
  calls(400, {{'a', {.seconds = 2}}});
  ASSERT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::slow)));
  const RequestId id = ++last_;
  ASSERT_EQ(dispatcher_.arrive_user(id, work, at(now_)).peer, node('b'));
  EXPECT_EQ(dispatcher_.not_started(id, Outcome::busy, at(now_)).peer, node('a'));
}

TEST_F(Outliers, ANeighbourThatSwallowsCallsIsSetAsideBeforeAnyOfThemIsGivenUp) {
  start(plan_with("abc"));
  std::map<char, Behaviour> behaviours{{'a', {.seconds = 1e6}}};
  calls(300, behaviours);  // Three seconds.
  EXPECT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::stalled)));
  EXPECT_EQ(calls(100, behaviours).count('a'), 0U);
}

TEST_F(Outliers, CallsThatMayRunTwiceLeaveAStalledNeighbour) {
  start(plan_with("abc"));
  dispatcher_.deploy(work, 1, "code", {.retry_safe = true}, at(now_));
  const RequestId here = ++last_;
  ASSERT_EQ(dispatcher_.arrive_user(here, work, at(now_)).kind, Kind::serve);
  std::map<char, Behaviour> behaviours{{'a', {.seconds = 1e6}}};
  std::vector<RequestId> at_a;
  std::vector<RequestId> left;
  for (int count = 0; count < 300 && left.empty(); ++count) {
    if (call(behaviours) == node('a')) at_a.push_back(last_);
    left = dispatcher_.stalled();
  }
  EXPECT_EQ(left, at_a);
  ends_.clear();
  for (const RequestId id : left) {
    const Decision decision = dispatcher_.lost(id, true, at(now_));
    EXPECT_NE(decision.kind, Kind::refuse);
    EXPECT_NE(decision.peer, node('a'));
  }
}

TEST_F(Outliers, ATrialThatHangsIsTakenBackSoonAndTheNextOneIsLater) {
  start(plan_with("abc"));
  dispatcher_.deploy(work, 1, "code", {.retry_safe = true}, at(now_));
  ASSERT_EQ(dispatcher_.arrive_user(++last_, work, at(now_)).kind, Kind::serve);
  std::map<char, Behaviour> behaviours{{'a', {.seconds = 1e6}}};
  std::vector<double> trials;
  bool is_found = false;
  for (int count = 0; count < 8000; ++count) {
    if (call(behaviours) == node('a') && is_found) trials.push_back(now_);
    for (const RequestId id : dispatcher_.stalled()) {
      is_found = true;
      EXPECT_NE(dispatcher_.lost(id, true, at(now_)).peer, node('a'));
      dispatcher_.abandoned(id, at(now_));
      for (auto& [end, requests] : ends_) {
        std::erase_if(requests, [&](const auto& entry) { return entry.first == id; });
      }
    }
  }
  ASSERT_TRUE(is_found);
  // 80 s: after about 5, 10, 20 and 40 s.
  EXPECT_GE(trials.size(), 3U);
  EXPECT_LE(trials.size(), 4U);
}

TEST_F(Outliers, AStalledNeighbourThatAnswersAgainIsUsedAtOnce) {
  start(plan_with("ab"));
  calls(12, {{'a', {.seconds = 12}}}, 0.7);
  ASSERT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::stalled)));
  now_ += 12;
  settle();
  EXPECT_THAT(dispatcher_.ejected(work), IsEmpty());
}

TEST_F(Outliers, OneCallTriesItAfterAWhileAndAGoodAnswerBringsItBack) {
  start(plan_with("ab"));
  calls(100, {{'a', {.error_ratio = 1}}});
  ASSERT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::errors)));
  now_ += 5;
  settle();
  // Still bad: one call each time, and the pauses grow.
  EXPECT_EQ(calls(400, {{'a', {.error_ratio = 1}}})['a'], 1);
  now_ += 10;
  settle();
  calls(100, {});
  EXPECT_THAT(dispatcher_.ejected(work), IsEmpty());
  EXPECT_GT(calls(100, {})['a'], 20);
}

TEST_F(Outliers, ATrialThatTheNeighbourRefusesIsNoTrial) {
  start(plan_with("ab"));
  calls(100, {{'a', {.error_ratio = 1}}});
  now_ += 6;
  settle();
  for (int at_call = 0; at_call < 50; ++at_call) {
    const RequestId id = ++last_;
    Decision decision = dispatcher_.arrive_user(id, work, at(now_));
    if (decision.peer == node('a')) decision = dispatcher_.not_started(id, Outcome::busy, at(now_));
    ASSERT_EQ(decision.peer, node('b'));
    dispatcher_.finished(id, std::nullopt, at(now_ + 0.1));
    now_ += 0.2;
  }
  EXPECT_GT(calls(50, {})['a'], 0) << "the trial is still to be had";
  EXPECT_THAT(dispatcher_.ejected(work), IsEmpty());
}

TEST_F(Outliers, TheLastNeighbourIsUsedWhateverItDoes) {
  start(plan_with("a"));
  const auto got = calls(200, {{'a', {.error_ratio = 1}}});
  EXPECT_EQ(got.at('a'), 200);
  EXPECT_THAT(dispatcher_.ejected(work), IsEmpty());
}

TEST_F(Outliers, OneThatIsSetAsideIsUsedWhenNobodyElseIsUp) {
  start(plan_with("ab"));
  calls(100, {{'a', {.error_ratio = 1}}});
  ASSERT_THAT(dispatcher_.ejected(work), ElementsAre(Pair(node('a'), Ejection::errors)));
  dispatcher_.install(plan_with("ab", "b"), at(now_));
  EXPECT_EQ(calls(10, {}).at('a'), 10);
}

TEST_F(Outliers, OneThatWasAwayBeginsAnew) {
  start(plan_with("ab"));
  calls(100, {{'a', {.error_ratio = 1}}});
  dispatcher_.install(plan_with("ab", "a"), at(now_));
  dispatcher_.install(plan_with("ab"), at(now_));
  EXPECT_THAT(dispatcher_.ejected(work), IsEmpty());
}

TEST_F(Outliers, OnlyTheRuleSpillGoesByIt) {
  RoutingPlan plan = plan_with("ab");
  plan.functions[0].rule = RoutingRule::shares;
  plan.functions[0].local_share = 0;
  start(plan);
  const auto got = calls(400, {{'a', {.error_ratio = 1}}});
  EXPECT_GT(got.at('a'), 100);
}

TEST_F(Outliers, NeverAreMoreThanHalfOfThoseThatAreUpSetAside) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random{seed};
    const std::string peers = std::string("abcdefgh").substr(0, 1 + below(random, 8));
    start(plan_with(peers), seed);
    std::map<char, Behaviour> behaviours;
    for (int round = 0; round < 20; ++round) {
      for (const char peer : peers) {
        behaviours[peer] = {.error_ratio = below(random, 2) == 0 ? uniform(random, 0, 1) : 0,
                            .seconds = below(random, 3) == 0 ? uniform(random, 0.01, 5) : 0.1,
                            .is_exponential = below(random, 2) == 0};
      }
      for (int count = 0; count < 50; ++count) {
        ASSERT_FALSE(call(behaviours).empty()) << "somebody is always tried, seed " << seed;
        ASSERT_LE(2 * dispatcher_.ejected(work).size(), peers.size()) << "seed " << seed;
      }
      now_ += uniform(random, 0, 20);
      settle();
    }
    ends_.clear();
  }
}

TEST_F(Outliers, AHealthySetLosesNobodyToChance) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random{seed};
    const std::string peers = std::string("abcdefgh").substr(0, 2 + below(random, 7));
    const Behaviour same{.error_ratio = uniform(random, 0, 0.6),
                         .seconds = uniform(random, 0.01, 3),
                         .is_exponential = true};
    start(plan_with(peers, "", same.seconds), seed);
    std::map<char, Behaviour> behaviours;
    for (const char peer : peers) behaviours[peer] = same;
    for (int count = 0; count < 3000; ++count) {
      call(behaviours, 0.2);
      ASSERT_THAT(dispatcher_.ejected(work), IsEmpty())
          << "seed " << seed << " after " << count << " calls, errors " << same.error_ratio
          << " seconds " << same.seconds;
    }
    ends_.clear();
  }
}

}  // namespace
}  // namespace dfaas
