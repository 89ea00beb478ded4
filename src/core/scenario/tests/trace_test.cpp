// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Traces come back as they were written, drive a scenario exactly, and are refused by line and column.
#include "core/scenario/trace.hpp"

#include <gmock/gmock.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using testing::ElementsAre;

RecordedCall call(std::int64_t micros, const char* node, const char* function,
                  std::optional<Micros> service_time = {}) {
  return {.at = Micros{micros},
          .node = *NodeName::parse(node),
          .function = *FunctionName::parse(function),
          .service_time = service_time};
}

TEST(Trace, ReadsCsvWithAndWithoutServiceTimes) {
  const auto trace = parse_trace(
      "at_s,node,function,service_ms\r\n0,light,figlet,101.5\r\n\r\n0.25, mid ,figlet,\r\n");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_THAT(trace->calls, ElementsAre(call(0, "light", "figlet", Micros{101'500}),
                                        call(250'000, "mid", "figlet")));
  const auto bare = parse_trace("at_s,node,function\n1e-3,light,ocr.other\n");
  ASSERT_TRUE(bare) << bare.error().message;
  EXPECT_THAT(bare->calls, ElementsAre(call(1000, "light", "ocr.other")));
}

TEST(Trace, ReadsJsonLines) {
  const auto trace = parse_trace(R"(
{"rtt": {"from": "light", "to": "mid", "ms": 2.1}}
{"at_s": 0.5, "node": "light", "function": "figlet", "service_ms": 20}
{"at_s": 0.5, "node": "mid", "function": "figlet"}
)");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_THAT(trace->calls, ElementsAre(call(500'000, "light", "figlet", Micros{20'000}),
                                        call(500'000, "mid", "figlet")));
  ASSERT_EQ(trace->rtts.size(), 1U);
  EXPECT_EQ(trace->rtts[0].to.text(), "mid");
  EXPECT_EQ(trace->rtts[0].rtt, Micros{2100});
}

struct Bad {
  const char* name;
  const char* text;
  const char* sentence;
};

class BadTrace : public testing::TestWithParam<Bad> {};

TEST_P(BadTrace, IsRefusedByLineAndColumn) {
  const auto trace = parse_trace(GetParam().text);
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(trace.error().message, GetParam().sentence);
}

#define DFAAS_HEAD "at_s,node,function,service_ms\n"

INSTANTIATE_TEST_SUITE_P(
    Texts, BadTrace,
    testing::Values(
        Bad{"empty", "",
            "line 1: a trace begins with the line at_s,node,function,service_ms, where the last "
            "column may be missing, or is JSON lines"},
        Bad{"header", "time,node\n",
            "line 1: a trace begins with the line at_s,node,function,service_ms, where the last "
            "column may be missing, or is JSON lines"},
        Bad{"text_in_number", DFAAS_HEAD "soon,light,figlet,\n",
            "line 2, column 1 (\"at_s\"): \"soon\" is not a number from 0 to 86400"},
        Bad{"gap", DFAAS_HEAD "0,light,figlet,\n,light,figlet,\n",
            "line 3, column 1 (\"at_s\"): \"\" is not a number from 0 to 86400"},
        Bad{"negative", DFAAS_HEAD "-1,light,figlet,\n",
            "line 2, column 1 (\"at_s\"): \"-1\" is not a number from 0 to 86400"},
        Bad{"endless", DFAAS_HEAD "inf,light,figlet,\n",
            "line 2, column 1 (\"at_s\"): \"inf\" is not a number from 0 to 86400"},
        Bad{"negative_service", DFAAS_HEAD "1,light,figlet,-3\n",
            "line 2, column 4 (\"service_ms\"): \"-3\" is not a number from 0 to 86400000"},
        Bad{"order", DFAAS_HEAD "0.7,light,figlet,\n0.5,light,figlet,\n",
            "line 3: at_s 0.5 is before the 0.7 of line 2: a trace is in order of time"},
        Bad{"short_row", DFAAS_HEAD "0.7,light\n", "line 2: 2 cells are not the 4 of the header"},
        Bad{"json_number", "{\"at_s\": \"1\", \"node\": \"a\", \"function\": \"f\"}",
            "line 1: at_s: \"\"1\"\" is not a number from 0 to 86400"},
        Bad{"json_order",
            "{\"at_s\": 1, \"node\": \"a\", \"function\": \"f\"}\n"
            "{\"at_s\": 0, \"node\": \"a\", \"function\": \"f\"}",
            "line 2: at_s 0 is before the 1 of line 1: a trace is in order of time"},
        Bad{"json_unknown", "{\"at\": 1}",
            "line 1: \"at\": is not known: at_s, node, function, service_ms, call, ended, rtt, "
            "run, "
            "recording, neighbour, end are"},
        Bad{"json_missing", "{\"at_s\": 1}", "line 1: node: is missing"},
        Bad{"json_rtt", "\n{\"rtt\": {\"from\": \"a\", \"to\": \"b\", \"ms\": -1}}",
            "line 2: rtt.ms: \"-1\" is not a number from 0 to 60000"}),
    [](const auto& tested) { return tested.param.name; });

#undef DFAAS_HEAD

TEST(TraceProperty, ComesBackAsItWasWritten) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    Trace trace;
    Micros at{0};
    for (std::size_t count = below(random, 20); count > 0; --count) {
      at += Micros{static_cast<Micros::rep>(below(random, 3) * random.next() % 1'000'000'007)};
      std::optional<Micros> service_time;
      if (below(random, 2) == 0) {
        service_time = Micros{static_cast<Micros::rep>(random.next() % 9'999'999)};
      }
      trace.calls.push_back(call(at.count(), below(random, 2) == 0 ? "light" : "mid",
                                 below(random, 2) == 0 ? "figlet" : "ocr.other", service_time));
    }
    EXPECT_EQ(parse_trace(trace_to_text(trace, TraceFormat::csv)), trace);
    trace.rtts.push_back({.from = *NodeName::parse("light"),
                          .to = *NodeName::parse("mid"),
                          .rtt = Micros{static_cast<Micros::rep>(random.next() % 60'000'000)}});
    EXPECT_EQ(parse_trace(trace_to_text(trace, TraceFormat::json_lines)), trace);
  }
}

constexpr const char* recording_head =
    R"({"recording": {"node": "light", "node_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "began_unix_us": 5}})"
    "\n";

Recording recording() {
  Recording made{.node = *NodeName::parse("light"),
                 .id = *NodeId::parse(std::string(32, 'a')),
                 .organisation = "Zürich \"1\"",
                 .version = "0.1.0",
                 .began_unix = 1'764'075'000'123'456,
                 .strategy = "grant_and_spill",
                 .period = Millis{2000},
                 .heartbeat = Millis{500},
                 .dispatcher = {.spill_wait_ratio = 0.3,
                                .attempts_max = 1,
                                .full_memory_min = Micros{7},
                                .queue_length_max = 9}};
  const FunctionName figlet = *FunctionName::parse("figlet");
  const FunctionName ocr = *FunctionName::parse("ocr.other");
  made.functions.emplace(figlet, RecordedFunction{.name = figlet,
                                                  .slots = 3,
                                                  .pool = "cpu",
                                                  .deadline = Micros{2'500'001},
                                                  .share = Sharing::node,
                                                  .retry_safe = true,
                                                  .max_rate = {1.25}});
  const NodeId mid = *NodeId::parse(std::string(32, 'b'));
  made.neighbours.emplace(mid, RecordedNeighbour{.node = *NodeName::parse("mid"),
                                                 .id = mid,
                                                 .organisation = "x",
                                                 .functions = {{figlet, 1}, {ocr, 2}}});
  made.end = RecordingEnd{.at = Micros{2'000'001}, .calls = 2};
  return made;
}

TEST(Trace, OfARecordingComesBackAsItWasWritten) {
  Trace trace{.calls = {call(1'000'001, "light", "figlet", Micros{101'501}),
                        call(1'000'001, "light", "ocr.other")},
              .rtts = {},
              .runs = {{.origin = *NodeId::parse(std::string(32, 'b')),
                        .call_id = "c-7",
                        .function = *FunctionName::parse("ocr.other"),
                        .service_time = Micros{7}}},
              .recording = recording()};
  trace.calls[0].call_id = "say \"c1\"";
  trace.calls[0].result = RecordedResult::served_here;
  trace.calls[1].result = RecordedResult::failed;
  const auto read = parse_trace(trace_to_text(trace, TraceFormat::json_lines));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, trace);
}

TEST(Trace, TakesWhatARecordingTellsLast) {
  const auto trace =
      parse_trace(std::string(recording_head) +
                  R"({"function": {"name": "figlet", "slots": 2, "deadline_ms": 1}})"
                  "\n"
                  R"({"function": {"name": "figlet", "slots": 5, "deadline_ms": 1}})");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->recording->functions.at(*FunctionName::parse("figlet")).slots, 5);
  EXPECT_FALSE(trace->recording->end);
}

struct BadRecording {
  const char* name;
  const char* lines;
  const char* sentence;
};

class BadRecordings : public testing::TestWithParam<BadRecording> {};

TEST_P(BadRecordings, AreRefusedInASentence) {
  const auto trace = parse_trace(std::string(recording_head) + GetParam().lines);
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().message, GetParam().sentence);
}

#define DFAAS_CALL "{\"at_s\": 1, \"node\": \"light\", \"function\": \"f\"}\n"

INSTANTIATE_TEST_SUITE_P(
    Lines, BadRecordings,
    testing::Values(
        BadRecording{"gap", DFAAS_CALL "{\"end\": {\"at_s\": 2, \"calls\": 2}}",
                     "line 3: the recording of light holds 1 of its 2 calls: lines are missing"},
        BadRecording{"early_end", DFAAS_CALL "{\"end\": {\"at_s\": 0.5, \"calls\": 1}}",
                     "line 3: the end, 0.5, is before the 1 of line 2"},
        BadRecording{"after_the_end", "{\"end\": {\"at_s\": 0, \"calls\": 0}}\n" DFAAS_CALL,
                     "line 3: the recording ended in the line before"},
        BadRecording{"other_node", "{\"at_s\": 1, \"node\": \"mid\", \"function\": \"f\"}",
                     "line 2: a call of mid in the recording of light"},
        BadRecording{"two_in_one",
                     "{\"recording\": {\"node\": \"mid\", \"node_id\": "
                     "\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\", \"began_unix_us\": 1}}",
                     "line 2: light and mid are recorded in one file: give each a file of its own"},
        BadRecording{"text", "7", "line 2: \"7\" is not an object"},
        BadRecording{
            "result",
            "{\"at_s\": 1, \"node\": \"light\", \"function\": \"f\", \"ended\": \"well\"}",
            "line 2: ended: \"well\" is not served_here, served_by_peer, refused or failed"},
        BadRecording{"slots", "{\"function\": {\"name\": \"f\", \"slots\": 0, \"deadline_ms\": 1}}",
                     "line 2: function.slots: \"0\" is not an integer from 1 to 100000"},
        BadRecording{
            "node_id", "{\"neighbour\": {\"node\": \"mid\", \"node_id\": \"b\"}}",
            "line 2: neighbour.node_id: node id \"b\" is not 32 characters of a-z and 2-7"}),
    [](const auto& tested) { return tested.param.name; });

#undef DFAAS_CALL

TEST(Trace, RefusesLinesOfARecordingThatIsNone) {
  const auto trace = parse_trace(R"({"end": {"at_s": 0, "calls": 0}})");
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().message, "line 1: the end comes before the line of the recording");
}

Scenario two_nodes() {
  Scenario scenario{.name = "small"};
  scenario.functions.push_back({.name = *FunctionName::parse("figlet")});
  for (const char* name : {"light", "mid"}) {
    scenario.nodes.push_back({.name = *NodeName::parse(name),
                              .pools = {{.name = "cpu", .slots = 2}},
                              .functions = {{.function = 0, .pool = 0}}});
    scenario.loads.push_back({.node = scenario.nodes.size() - 1, .rates = {Rate{10}}});
  }
  scenario.links.push_back({.a = 0, .b = 1});
  return scenario;
}

TEST(ApplyTrace, ReplacesTheLoadsOfTheNodesThatWereRecorded) {
  Scenario scenario = two_nodes();
  const Trace trace{
      .calls = {call(1000, "mid", "figlet", Micros{7}), call(2000, "mid", "figlet")},
      .rtts = {
          {.from = *NodeName::parse("mid"), .to = *NodeName::parse("light"), .rtt = Micros{2100}}}};
  const auto applied = apply_trace(scenario, trace);
  ASSERT_TRUE(applied) << applied.error().message;
  ASSERT_EQ(scenario.loads.size(), 2U);
  EXPECT_EQ(scenario.loads[0], two_nodes().loads[0]);
  EXPECT_EQ(scenario.loads[1].node, 1U);
  EXPECT_EQ(scenario.loads[1].arrivals, ArrivalKind::trace);
  EXPECT_THAT(scenario.loads[1].calls,
              ElementsAre(TraceCall{.at = Micros{1000}, .service_time = Micros{7}},
                          TraceCall{.at = Micros{2000}}));
  EXPECT_EQ(scenario.links[0].rtt, Micros{2100});
}

TEST(ApplyTrace, ChangesNothingWhereSomethingIsUnknown) {
  const Trace unknown_node{.calls = {call(0, "heavy", "figlet")}};
  const Trace unknown_function{.calls = {call(0, "mid", "figlet"), call(0, "mid", "ocr")}};
  const Trace unknown_link{
      .rtts = {{.from = *NodeName::parse("mid"), .to = *NodeName::parse("mid"), .rtt = Micros{1}}}};
  const std::vector<std::pair<Trace, const char*>> cases{
      {unknown_node, "node \"heavy\" of the trace is not in the scenario"},
      {unknown_function, "function \"ocr\" of the trace is not in the scenario"},
      {unknown_link, "link \"mid to mid\" of the trace is not in the scenario"}};
  for (const auto& [trace, sentence] : cases) {
    Scenario scenario = two_nodes();
    const auto applied = apply_trace(scenario, trace);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().message, sentence);
    EXPECT_EQ(scenario, two_nodes());
  }
}

}  // namespace
}  // namespace dfaas
