// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a gateway tells as it happens becomes a trace in order of arrival.
#include "core/scenario/recorder.hpp"

#include <gmock/gmock.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using recorded_event::Called;
using recorded_event::Ended;
using recorded_event::Now;
using recorded_event::Ran;
using testing::HasSubstr;
using testing::IsEmpty;

const FunctionName figlet = *FunctionName::parse("figlet");
const NodeName light = *NodeName::parse("light");
constexpr const char* head =
    R"({"recording": {"node": "light", "node_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "began_unix_us": 5}})"
    "\n";

Called called(std::uint64_t number, std::int64_t at_ms) {
  return {.number = number,
          .at = Millis{at_ms},
          .function = figlet,
          .call_id = "c" + std::to_string(number)};
}

template <class Event>
void feed(CallRecorder& recorder, const Event& event) {
  const auto fed = recorder.feed(event_line(event));
  ASSERT_TRUE(fed) << fed.error().message;
}

TEST(CallRecorder, HoldsACallBackUntilThoseBeforeItHaveEnded) {
  CallRecorder recorder(light);
  feed(recorder, called(7, 100));
  feed(recorder, called(8, 200));
  feed(recorder, Ran{.number = 8, .service_time = Millis{50}});
  feed(recorder, Ended{.number = 8, .result = RecordedResult::served_here});
  EXPECT_THAT(recorder.take(), IsEmpty());
  EXPECT_EQ(recorder.under_way(), 1U);
  feed(recorder, Ended{.number = 7, .result = RecordedResult::served_by_peer});

  const auto trace = parse_trace(recorder.take());

  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->calls.size(), 2U);
  EXPECT_EQ(trace->calls[0], (RecordedCall{.at = Millis{100},
                                           .node = light,
                                           .function = figlet,
                                           .service_time = {},
                                           .call_id = "c7",
                                           .result = RecordedResult::served_by_peer}));
  EXPECT_EQ(trace->calls[1], (RecordedCall{.at = Millis{200},
                                           .node = light,
                                           .function = figlet,
                                           .service_time = Millis{50},
                                           .call_id = "c8",
                                           .result = RecordedResult::served_here}));
}

TEST(CallRecorder, LeavesOutWhatBeganBeforeOrArrivesAfter) {
  CallRecorder recorder(light);
  recorder.end_at(Millis{1000});
  feed(recorder, Ran{.number = 3, .service_time = Millis{5}});
  feed(recorder, Ended{.number = 3, .result = RecordedResult::served_here});
  feed(recorder, called(4, 1000));
  feed(recorder, called(5, 1001));
  EXPECT_EQ(recorder.calls(), 1U);
  feed(recorder, Now{Millis{1100}});
  EXPECT_FALSE(recorder.is_complete());  // One is under way.
  feed(recorder, Ended{.number = 4, .result = RecordedResult::refused});
  EXPECT_TRUE(recorder.is_complete());
  EXPECT_THAT(recorder.finish(), HasSubstr(R"({"end": {"at_s":1.0,"calls":1}})"));
}

TEST(CallRecorder, EndsWithCallsThatHaveNotEnded) {
  CallRecorder recorder(light);
  feed(recorder, called(1, 10));
  feed(recorder, called(2, 20));
  feed(recorder, Ended{.number = 2, .result = RecordedResult::failed});
  feed(recorder, Now{Millis{30}});

  const auto trace = parse_trace(head + recorder.finish());

  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->calls.size(), 2U);
  EXPECT_EQ(trace->calls[0].result, RecordedResult::unknown);
  EXPECT_EQ(trace->calls[1].result, RecordedResult::failed);
  EXPECT_EQ(trace->recording->end, (RecordingEnd{.at = Millis{30}, .calls = 2}));
}

TEST(CallRecorder, PassesOnWhatATraceHolds) {
  CallRecorder recorder(light);
  const std::string run = trace_line(RecordedRun{.origin = *NodeId::parse(std::string(32, 'b')),
                                                 .call_id = "c9",
                                                 .function = figlet,
                                                 .service_time = Millis{7}});
  const std::string function = trace_line(RecordedFunction{.name = figlet, .deadline = Millis{9}});
  ASSERT_TRUE(recorder.feed(run));
  ASSERT_TRUE(recorder.feed(std::string_view(function).substr(0, function.size() - 1)));
  const auto trace = parse_trace(head + recorder.take());
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->runs.size(), 1U);
  EXPECT_EQ(trace->recording->functions.at(figlet).deadline, Millis{9});
}

TEST(CallRecorder, RefusesWhatNoGatewayWrites) {
  CallRecorder recorder(light);
  for (const char* line : {"", "text", "{}", R"({"call": {"n": 1}})", R"({"call": 7})",
                           R"({"ended": {"n": 1, "how": "well"}})", R"({"now_us": -1})",
                           R"({"call": {"n": 1, "at_us": 1, "function": "a b", "id": ""}})"}) {
    const auto fed = recorder.feed(line);
    ASSERT_FALSE(fed) << line;
    EXPECT_EQ(fed.error().code, ErrorCode::invalid_input);
  }
}

/// Whatever the order in which calls end, the file is in order, complete, and says so itself.
TEST(CallRecorderProperty, EveryCallComesOutOnceInOrder) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    CallRecorder recorder(light);
    std::vector<std::uint64_t> open;
    std::string text = head;
    std::uint64_t number = 0;
    std::int64_t at = 0;
    for (int step = 0; step < 300; ++step) {
      if (open.empty() || below(random, 2) == 0) {
        at += static_cast<std::int64_t>(below(random, 20));
        open.push_back(++number);
        feed(recorder, called(number, at));
      } else {
        const std::size_t which = below(random, open.size());
        feed(recorder, Ended{.number = open[which], .result = RecordedResult::served_here});
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
      }
      if (below(random, 10) == 0) text += recorder.take();
    }
    text += recorder.finish();
    const auto trace = parse_trace(text);
    ASSERT_TRUE(trace) << trace.error().message;
    ASSERT_EQ(trace->calls.size(), number);
    for (std::size_t index = 0; index < trace->calls.size(); ++index) {
      EXPECT_EQ(trace->calls[index].call_id, "c" + std::to_string(index + 1));
    }
  }
}

}  // namespace
}  // namespace dfaas
