// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Recordings of several nodes as one: on a common clock, with the federation that they show.
///
/// Use         join_traces() with one trace for each file; scenario_of() where nobody wrote a scenario;
///             then apply_trace() with the joined one.
/// Input       Traces of any kind where there is one; several must be recordings (recording.hpp).
/// Output      The time that all recordings cover: only then does the replay know of every user. A call that
///             ran at another recorded node has the service time that it had there. Before it all, its first
///             seconds are played once without being counted: a real federation had been at work when its
///             recording began, knew how long calls take and had its plans. (Without that lead-in, twenty
///             seconds of 48 calls/s with a period of 2 s had 0.3 points less success than in reality.)
/// Limits      The clocks of the nodes are believed: recordings of machines whose clocks differ by more
///             than a call takes join wrongly by as much. A call takes as long wherever it is replayed.
/// Errors      invalid_input in one sentence naming the files: two recordings of one node, a trace without
///             a clock among several, recordings of different times.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"
#include "core/scenario/trace.hpp"

namespace dfaas {

struct TraceFile {
  std::string name;
  Trace trace;
};

struct JoinedTrace {
  Trace trace;                        ///< Its `recording` is unset, its runs are in the calls.
  std::vector<Recording> recordings;  ///< In the order of the files; empty where there are none.
  Micros lead_in{0};   ///< What comes first and does not count; its calls have no result.
  Micros duration{0};  ///< Of it all.
  std::vector<std::string> notes;  ///< What a reader of the result should know, one sentence each.
};

/// `files` is not empty.
Result<JoinedTrace> join_traces(std::vector<TraceFile> files);

/// The federation that recordings show: their nodes and neighbours, without load. Lead-in and a tenth of the
/// rest, at most 5 s, are warm-up. Errors: invalid_input where `joined` has no recordings, or shows what cannot be.
Result<Scenario> scenario_of(const JoinedTrace& joined);

/// How the recorded calls really ended, of those that arrived from `warm_up` on and whose end is known.
struct RecordedFigures {
  std::uint64_t offered = 0;
  std::uint64_t served_here = 0;
  std::uint64_t served_by_peers = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;

  [[nodiscard]] double success_ratio() const;    ///< 1 where nothing was offered.
  [[nodiscard]] double forwarded_ratio() const;  ///< Of all calls: served by neighbours.
};
RecordedFigures recorded_figures(const Trace& trace, Micros warm_up, Micros duration);

}  // namespace dfaas
