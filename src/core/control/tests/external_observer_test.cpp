// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The model is asked about what the gateway counted, window by window; its answers hold for their time.
#include "core/control/external_observer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dfaas {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

NodeId node(char letter) { return *NodeId::parse(std::string(32, letter)); }
std::string key(char letter) { return "node_" + node(letter).text(); }
Instant at(double seconds) { return Instant{} + from_seconds(100 + seconds); }

const FunctionName work = *FunctionName::parse("work");

/// `work` runs here and at two neighbours, of which one is down.
NodeView view() {
  NodeView view{.self = node('a'), .organisation = "org"};
  view.functions.push_back({.function = work, .deployed = true, .slots = 2});
  for (const char letter : {'b', 'c'}) {
    NeighbourView neighbour{.id = node(letter), .up = letter == 'b'};
    neighbour.functions.push_back({.function = work, .slots = 2});
    view.neighbours.push_back(std::move(neighbour));
  }
  return view;
}

/// What the gateway counted after `step` steps, each of which brought the same.
GatewayObservation counted(std::uint64_t step, std::string boot = "gateway1") {
  GatewayObservation seen{.boot = std::move(boot)};
  seen.functions.push_back(
      {.function = work,
       .deployed = true,
       .slots = 2,
       .user_arrivals = 40 * step,
       .kept = 20 * step,
       .kept_good = 15 * step,
       .served_here = 16 * step,
       .served_here_time = Micros{16 * 50'000} * static_cast<Micros::rep>(step),
       .peers = {{.id = node('b'),
                  .accepted = 12 * step,
                  .refused = 6 * step,
                  .unreachable = 2 * step,
                  .served = 10 * step,
                  .good = 8 * step,
                  .answer_time = Micros{10 * 70'000} * static_cast<Micros::rep>(step)}}});
  return seen;
}

json seen_in(const ExternalQuestion& question) {
  return json::parse(question.json).at("observation").at(key('a'));
}

TEST(ExternalObserver, AsksOfTheNeighboursThatMayHelp) {
  ExternalObserver observer;
  const auto questions = observer.questions(at(0), counted(0), view(), 0, true);
  ASSERT_THAT(questions, SizeIs(1));
  EXPECT_EQ(questions[0].function, work);
  EXPECT_THAT(questions[0].neighbours, ElementsAre(node('b')));
  EXPECT_TRUE(json::parse(questions[0].json).at("agent_parameters").at("explore").get<bool>());
}

TEST(ExternalObserver, TellsOfTheWindowAndOfTheOneBefore) {
  ExternalObserver observer;
  // What came before the first question is no rate of ours.
  const json first = seen_in(observer.questions(at(0), counted(7), view(), 0, false)[0]);
  EXPECT_EQ(first.at("input_rate"), 0);
  const json second = seen_in(observer.questions(at(2), counted(8), view(), 0.25, false)[0]);
  EXPECT_DOUBLE_EQ(second.at("input_rate").get<double>(), 20);
  EXPECT_DOUBLE_EQ(second.at("reject_rate").get<double>(), 0.25);
  EXPECT_DOUBLE_EQ(second.at("avg_resp_time_loc").get<double>(), 50);
  EXPECT_DOUBLE_EQ(second.at("cpu_utilization").get<double>(), 0.25);
  EXPECT_EQ(second.at("n_replicas"), 1);
  EXPECT_EQ(second.at("previous_fwd_to_" + key('b')), 0) << "of the window before";
  const json third = seen_in(observer.questions(at(6), counted(9), view(), 0.5, false)[0]);
  EXPECT_DOUBLE_EQ(third.at("input_rate").get<double>(), 10) << "twice the time";
  EXPECT_DOUBLE_EQ(third.at("previous_input_rate").get<double>(), 20);
  EXPECT_DOUBLE_EQ(third.at("previous_cpu_utilization").get<double>(), 0.25);
  EXPECT_DOUBLE_EQ(third.at("previous_fwd_to_" + key('b')).get<double>(), 10);
  EXPECT_DOUBLE_EQ(third.at("previous_fwd_to_" + key('b') + "_rejected").get<double>(), 6);
  EXPECT_DOUBLE_EQ(third.at("previous_avg_resp_time_fwd_to_" + key('b')).get<double>(), 70);
}

TEST(ExternalObserver, BeginsAnewWithANewGateway) {
  ExternalObserver observer;
  std::ignore = observer.questions(at(0), counted(1), view(), 0, false);
  std::ignore = observer.questions(at(2), counted(2), view(), 0, false);
  const json anew = seen_in(observer.questions(at(4), counted(9, "gateway2"), view(), 0, false)[0]);
  EXPECT_EQ(anew.at("input_rate"), 0);
  EXPECT_EQ(anew.at("previous_input_rate"), 0);
}

TEST(ExternalObserver, AsksNothingOfAFunctionThatRunsNowhere) {
  NodeView lonely = view();
  lonely.functions[0].deployed = false;
  lonely.functions[0].slots = 0;
  lonely.neighbours[0].up = false;
  ExternalObserver observer;
  EXPECT_THAT(observer.questions(at(0), counted(0), lonely, 0, false), IsEmpty());
  lonely.neighbours[0].up = true;
  // One that no user has asked for yet is not among the counters.
  EXPECT_THAT(observer.questions(at(0), {.boot = "gateway1"}, lonely, 0, false), SizeIs(1));
}

TEST(ExternalAnswers, HoldForTheirTimeAndTellOnceWhenItIsOver) {
  ExternalAnswers answers(std::chrono::seconds{10});
  answers.take(work, {.local = 0.5, .refused = 0.5, .neighbours = {}}, at(0));
  EXPECT_THAT(answers.in_force(at(10)).shares, SizeIs(1));
  answers.take(work, {.local = 1, .refused = 0, .neighbours = {}}, at(11));
  EXPECT_EQ(answers.in_force(at(20)).shares.at(work).local, 1);
  const auto over = answers.in_force(at(22));
  EXPECT_THAT(over.shares, IsEmpty());
  EXPECT_THAT(over.expired, ElementsAre(work));
  EXPECT_THAT(answers.in_force(at(23)).expired, IsEmpty());
}

}  // namespace
}  // namespace dfaas
