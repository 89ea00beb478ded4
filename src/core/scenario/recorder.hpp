// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// From what a gateway tells while it works to the lines of a trace: calls in order, each with its end.
///
/// A gateway tells things as they happen: a call came, it ran, it ended. A trace has one line a call, in
/// order of arrival. Between the two, calls wait here until all before them have ended.
///
/// Use         The gateway writes the events with event_line(); the recorder feeds each line to a
///             CallRecorder and writes what take() gives, until is_complete(), then finish().
/// Input       JSON lines of the same program version. Unlike traces, they are nobody's file format:
///                 {"call": {"n": 7, "at_us": 500000, "function": "figlet", "id": "c1"}}
///                 {"ran": {"n": 7, "us": 101500}}
///                 {"ended": {"n": 7, "how": "served_here"}}
///                 {"now_us": 700000}
///             and the lines `run` and `function` of a trace, which pass as they are.
/// Guarantees  Calls come out in order of arrival. What began before the recording is left out.
/// Cost        Memory grows with the calls that came after the oldest one under way.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/scenario/trace.hpp"

namespace dfaas {

namespace recorded_event {

/// A user's call has arrived. Times count from the beginning of the recording.
struct Called {
  std::uint64_t number = 0;  ///< Grows with each call that its gateway tells of.
  Micros at{0};
  FunctionName function;
  std::string call_id;
};

/// It held a slot here for so long.
struct Ran {
  std::uint64_t number = 0;
  Micros service_time{0};
};

struct Ended {
  std::uint64_t number = 0;
  RecordedResult result = RecordedResult::unknown;
};

/// All that happened before has been told.
struct Now {
  Micros at{0};
};

}  // namespace recorded_event

std::string event_line(const recorded_event::Called& event);
std::string event_line(const recorded_event::Ran& event);
std::string event_line(const recorded_event::Ended& event);
std::string event_line(const recorded_event::Now& event);

class CallRecorder {
 public:
  explicit CallRecorder(NodeName node) : node_(std::move(node)) {}

  /// Errors: invalid_input for a line that no gateway of this version writes.
  Result<void> feed(std::string_view line);

  /// Calls that arrive later are not of the recording; a day at most. May be brought forward alone.
  void end_at(Micros end);

  /// Has the end passed, and has every call of the recording ended?
  [[nodiscard]] bool is_complete() const { return now_ >= end_ && open_ == 0; }
  [[nodiscard]] bool is_past(Micros at) const { return now_ >= at; }

  /// The lines that are ready since the last time.
  std::string take();
  /// The rest: calls that have not ended, without a result, then the end.
  std::string finish();

  [[nodiscard]] Micros now() const { return now_; }  ///< What the gateway told last.
  [[nodiscard]] Micros end() const { return end_; }
  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  [[nodiscard]] std::size_t under_way() const { return open_; }

 private:
  struct Waiting {
    RecordedCall call;
    bool has_ended = false;
  };

  void begin(const recorded_event::Called& event);
  void note_run(const recorded_event::Ran& event);
  void note_end(const recorded_event::Ended& event);

  NodeName node_;
  std::map<std::uint64_t, Waiting> waiting_;  ///< By number, which grows with arrival.
  Micros last_at_{0};
  Micros now_{0};
  Micros end_ = recording_limits::duration_max;
  std::uint64_t calls_ = 0;
  std::size_t open_ = 0;
  std::string ready_;
};

}  // namespace dfaas
