// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Recorded calls and round-trip times, as files that a node writes and a simulation replays.
///
/// Input   Either CSV with the header `at_s,node,function,service_ms` (the last column may be missing,
///         and its cells empty), or JSON lines:
///             {"at_s": 0.5, "node": "light", "function": "figlet", "service_ms": 101.5}
///             {"rtt": {"from": "light", "to": "mid", "ms": 2.1}}
///         of which the second kind exists in JSON alone. at_s counts from the start of the recording,
///         never falls, and is 0 to 86400; service_ms is 0 to 86400000. A recording of `dfaas node record`
///         tells more: what recording.hpp says of its node, how its calls ended, and what its slots did
///         for calls of others:
///             {"at_s": 0.5, "node": "light", "function": "figlet", "call": "c1", "ended": "served_by_peer"}
///             {"run": {"node_id": "...", "call": "c1", "function": "figlet", "service_ms": 101.5}}
/// Errors  invalid_input with line and column: "line 4: at_s 0.5 is before the 0.7 of line 3". A recording
///         of which lines are missing, or that is not of one node alone, is one.
/// Limits  trace_calls_max calls, and as many runs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/scenario/recording.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

inline constexpr std::size_t trace_calls_max = 10'000'000;  ///< Guessed: about 1 GB of memory.

/// How a recorded call ended, at the node whose user made it.
enum class RecordedResult : std::uint8_t {
  unknown,  ///< Not told, or the recording ended first.
  served_here,
  served_by_peer,
  refused,
  failed,  ///< Its deadline passed, its user left, or the neighbour that had it was lost.
};

std::string_view to_text(RecordedResult result);  ///< "unknown", "served_here", ...
/// Errors: invalid_input naming the words; "unknown" is none of them.
Result<RecordedResult> parse_recorded_result(std::string_view text);

/// A call as it came to a node from its users.
struct RecordedCall {
  Micros at{0};
  NodeName node;
  FunctionName function;
  std::optional<Micros> service_time;  ///< How long it held its slot, where it ran.
  std::string call_id;                 ///< Empty: not told.
  RecordedResult result = RecordedResult::unknown;

  friend bool operator==(const RecordedCall&, const RecordedCall&) = default;
};

/// A run of a neighbour's call in a slot of the node that recorded.
struct RecordedRun {
  NodeId origin;  ///< Whose user made the call.
  std::string call_id;
  FunctionName function;
  Micros service_time{0};

  friend bool operator==(const RecordedRun&, const RecordedRun&) = default;
};

/// A round trip as `from` saw it; the last one of a pair counts.
struct RecordedRtt {
  NodeName from;
  NodeName to;
  Micros rtt{0};

  friend bool operator==(const RecordedRtt&, const RecordedRtt&) = default;
};

struct Trace {
  std::vector<RecordedCall> calls;  ///< Ascending.
  std::vector<RecordedRtt> rtts;
  std::vector<RecordedRun> runs;
  std::optional<Recording> recording;  ///< Of `dfaas node record`.

  friend bool operator==(const Trace&, const Trace&) = default;
};

enum class TraceFormat : std::uint8_t { csv, json_lines };

/// The format shows in the first letter: "{" begins JSON lines.
Result<Trace> parse_trace(std::string_view text);

/// The whole file; CSV leaves out all but the calls, and of those how they ended.
std::string trace_to_text(const Trace& trace, TraceFormat format);
/// One line of JSON with its line feed, for a recorder that writes as it goes.
std::string trace_line(const RecordedCall& call);
std::string trace_line(const RecordedRun& run);
std::string trace_line(const RecordedRtt& rtt);

/// Each node that has calls in `trace` gets those instead of its loads; other nodes keep theirs. Round
/// trips become those of the links they name. Errors: not_found where the scenario has no such node,
/// function or link, invalid_input where the function is deployed nowhere; then nothing has changed.
Result<void> apply_trace(Scenario& scenario, const Trace& trace);

}  // namespace dfaas
