// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Recordings of several nodes become one replay on a common clock, and show their federation.
#include "core/scenario/replay.hpp"

#include <gmock/gmock.h>

#include "core/scenario/scenario_file.hpp"

namespace dfaas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const FunctionName figlet = *FunctionName::parse("figlet");
const FunctionName ocr = *FunctionName::parse("ocr");

NodeName name(const char* text) { return *NodeName::parse(text); }
NodeId id(char letter) { return *NodeId::parse(std::string(32, letter)); }

RecordedCall call(std::int64_t at_ms, const char* node, const char* call_id,
                  std::optional<Micros> service_time = {},
                  RecordedResult result = RecordedResult::served_here) {
  return {.at = Millis{at_ms},
          .node = name(node),
          .function = figlet,
          .service_time = service_time,
          .call_id = call_id,
          .result = result};
}

/// light has two slots and a neighbour, mid; it began at 1000 s and lasted for 10 s.
TraceFile light() {
  Recording recording{.node = name("light"), .id = id('a'), .organisation = "acme"};
  recording.began_unix = 1'000'000'000;
  recording.end = RecordingEnd{.at = Millis{10'000}, .calls = 3};
  recording.functions.emplace(
      figlet, RecordedFunction{.name = figlet, .slots = 2, .deadline = Millis{5'000}});
  recording.neighbours.emplace(id('b'), RecordedNeighbour{.node = name("mid"),
                                                          .id = id('b'),
                                                          .organisation = "acme",
                                                          .functions = {{figlet, 4}, {ocr, 1}}});
  Trace trace{.calls = {call(500, "light", "c1", Millis{100}),
                        call(2500, "light", "c2", {}, RecordedResult::served_by_peer),
                        call(9500, "light", "c3", {}, RecordedResult::refused)},
              .rtts = {{name("light"), name("mid"), Millis{3}},
                       {name("light"), name("mid"), Millis{9}},
                       {name("light"), name("mid"), Millis{5}}},
              .recording = std::move(recording)};
  return {.name = "light.jsonl", .trace = std::move(trace)};
}

/// mid began 2 s later, lasted for 6 s, and ran c2.
TraceFile mid() {
  Recording recording{.node = name("mid"), .id = id('b'), .organisation = "acme"};
  recording.began_unix = 1'002'000'000;
  recording.end = RecordingEnd{.at = Millis{6'000}, .calls = 1};
  recording.functions.emplace(figlet, RecordedFunction{.name = figlet,
                                                       .slots = 4,
                                                       .pool = "cpu",
                                                       .deadline = Millis{4'000},
                                                       .share = Sharing::federation});
  recording.functions.emplace(
      ocr, RecordedFunction{.name = ocr, .slots = 3, .pool = "cpu", .deadline = Millis{4'000}});
  Trace trace{.calls = {call(1000, "mid", "c2", Millis{80})},
              .runs = {{.origin = id('a'),
                        .call_id = "c2",
                        .function = figlet,
                        .service_time = Millis{120}}},
              .recording = std::move(recording)};
  return {.name = "mid.jsonl", .trace = std::move(trace)};
}

TEST(JoinTraces, PutsRecordingsOnOneClockForTheTimeTheyShare) {
  const auto joined = join_traces({light(), mid()});
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_EQ(joined->lead_in, Millis{5'000});
  EXPECT_EQ(joined->duration, Millis{11'000});
  ASSERT_THAT(joined->trace.calls, SizeIs(4));
  EXPECT_EQ(joined->trace.calls[2].at, Millis{5'500});
  EXPECT_EQ(joined->trace.calls[2].node, name("light"));
  EXPECT_EQ(joined->trace.calls[3].at, Millis{6'000});
  EXPECT_EQ(joined->trace.calls[3].node, name("mid"));
  EXPECT_THAT(joined->notes, ElementsAre(HasSubstr("2 calls outside of the 6.0 s")));
}

TEST(JoinTraces, TakesTheServiceTimeFromWhereACallRan) {
  const auto joined = join_traces({light(), mid()});
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->trace.calls[2].service_time, Millis{120});
  // A call of the same id by a user of another node is another call.
  EXPECT_EQ(joined->trace.calls[3].service_time, Millis{80});
}

TEST(JoinTraces, LeadsInWithTheBeginningAndDoesNotCountIt) {
  const auto joined = join_traces({light()});
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->duration, Millis{15'000});
  ASSERT_THAT(joined->trace.calls, SizeIs(5));
  for (std::size_t at = 0; at < 2; ++at) {
    RecordedCall copy = joined->trace.calls[at + 2];
    copy.at -= joined->lead_in;
    copy.result = RecordedResult::unknown;
    EXPECT_EQ(joined->trace.calls[at], copy);
  }
  EXPECT_EQ(recorded_figures(joined->trace, Micros{0}, joined->duration).offered, 3U);
  TraceFile slow = light();
  slow.trace.recording->period = Millis{2'000};
  EXPECT_EQ(join_traces({slow})->lead_in, Millis{8'000});
  slow.trace.recording->period = Millis{20'000};
  EXPECT_EQ(join_traces({slow})->lead_in, Millis{10'000});  // All of it.
}

TEST(JoinTraces, KeepsTheMiddleRoundTripOfAPair) {
  const auto joined = join_traces({light()});
  ASSERT_TRUE(joined);
  ASSERT_THAT(joined->trace.rtts, SizeIs(1));
  EXPECT_EQ(joined->trace.rtts[0].rtt, Millis{5});
}

TEST(JoinTraces, TakesAnyTraceAlone) {
  const auto joined = join_traces({{.name = "calls.csv", .trace = {.calls = {call(7, "x", "")}}}});
  ASSERT_TRUE(joined);
  EXPECT_THAT(joined->trace.calls, SizeIs(1));
  EXPECT_THAT(joined->recordings, IsEmpty());
  const auto scenario = scenario_of(*joined);
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().message, HasSubstr("name a scenario"));
}

TEST(JoinTraces, TellsOfUsersWhoWereNotRecorded) {
  const auto joined = join_traces({mid()});
  ASSERT_TRUE(joined);
  EXPECT_THAT(joined->notes, ElementsAre(HasSubstr("mid ran 1 calls of")));
}

TEST(JoinTraces, RefusesWhatDoesNotBelongTogether) {
  const auto refusal = [](std::vector<TraceFile> files) {
    const auto joined = join_traces(std::move(files));
    return joined ? std::string() : joined.error().message;
  };
  TraceFile again = light();
  again.name = "again.jsonl";
  EXPECT_EQ(refusal({light(), again}),
            "light.jsonl and again.jsonl are both recordings of node light "
            "(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa): give one of them");
  again.trace.recording->id = id('c');
  EXPECT_EQ(refusal({light(), again}),
            "light.jsonl and again.jsonl are of two nodes that are both called light: rename one");
  EXPECT_THAT(refusal({light(), {.name = "calls.csv", .trace = {}}}),
              HasSubstr("calls.csv does not say when it began"));
  TraceFile later = mid();
  later.trace.recording->began_unix = 1'015'000'000;
  EXPECT_EQ(refusal({light(), later}),
            "mid.jsonl began 5.0 s after light.jsonl had ended: recordings are joined for the time "
            "that they have in common");
  TraceFile empty = mid();
  empty.trace.recording->end = RecordingEnd{};
  EXPECT_THAT(refusal({empty}), HasSubstr("mid.jsonl is of no time at all"));
}

TEST(ScenarioOf, ShowsTheFederationThatWasRecorded) {
  const auto joined = join_traces({light(), mid()});
  ASSERT_TRUE(joined);
  auto scenario = scenario_of(*joined);
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_THAT(scenario->nodes, SizeIs(2));
  EXPECT_EQ(scenario->nodes[0].pools, (std::vector<ScenarioPool>{{"figlet.openfaas-fn", 2}}));
  // One pool for both, as large as the larger of them says.
  EXPECT_EQ(scenario->nodes[1].pools, (std::vector<ScenarioPool>{{"cpu", 4}}));
  EXPECT_THAT(scenario->nodes[1].functions, SizeIs(2));
  EXPECT_EQ(scenario->nodes[0].organisation, "acme");
  ASSERT_THAT(scenario->functions, SizeIs(2));
  EXPECT_EQ(scenario->functions[0].deadline, Millis{5'000});  // The longer one.
  EXPECT_EQ(scenario->functions[0].share, Sharing::organisation);
  EXPECT_EQ(scenario->functions[0].service_time.samples,
            (std::vector<Micros>{Millis{80}, Millis{120}}));
  ASSERT_THAT(scenario->links, SizeIs(1));
  EXPECT_EQ(scenario->links[0].rtt, Millis{5});
  EXPECT_EQ(scenario->duration, Millis{11'000});
  EXPECT_EQ(scenario->warm_up, Millis{5'600});
  EXPECT_THAT(scenario->loads, IsEmpty());

  const auto read = parse_scenario_file(scenario_to_toml(*scenario), 1, {});
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(apply_trace(*scenario, joined->trace));
  EXPECT_THAT(scenario->loads, SizeIs(2));
}

TEST(ScenarioOf, TakesNeighboursThatWereNotRecordedByWhatTheyOffer) {
  const auto joined = join_traces({light()});
  ASSERT_TRUE(joined);
  const auto scenario = scenario_of(*joined);
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_THAT(scenario->nodes, SizeIs(2));
  EXPECT_EQ(scenario->nodes[1].name, name("mid"));
  EXPECT_EQ(scenario->nodes[1].pools,
            (std::vector<ScenarioPool>{{"figlet.openfaas-fn", 4}, {"ocr.openfaas-fn", 1}}));
}

TEST(ScenarioOf, RefusesTwoNodesOfOneName) {
  TraceFile file = light();
  file.trace.recording->neighbours.at(id('b')).node = name("light");
  const auto joined = join_traces({file});
  ASSERT_TRUE(joined);
  const auto scenario = scenario_of(*joined);
  ASSERT_FALSE(scenario);
  EXPECT_EQ(scenario.error().message, "two recorded nodes are called light: rename one");
}

TEST(RecordedFigures, CountCallsOfWhichTheEndIsKnown) {
  Trace trace{.calls = {call(0, "a", "", {}, RecordedResult::failed),
                        call(10, "a", "", {}, RecordedResult::served_here),
                        call(11, "a", "", {}, RecordedResult::served_by_peer),
                        call(12, "a", "", {}, RecordedResult::refused),
                        call(13, "a", "", {}, RecordedResult::failed),
                        call(14, "a", "", {}, RecordedResult::unknown),
                        call(20, "a", "", {}, RecordedResult::refused)}};
  const RecordedFigures figures = recorded_figures(trace, Millis{10}, Millis{20});
  EXPECT_EQ(figures.offered, 4U);
  EXPECT_DOUBLE_EQ(figures.success_ratio(), 0.5);
  EXPECT_DOUBLE_EQ(figures.forwarded_ratio(), 0.25);
  EXPECT_DOUBLE_EQ(recorded_figures({}, {}, {}).success_ratio(), 1);
}

}  // namespace
}  // namespace dfaas
