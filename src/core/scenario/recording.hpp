// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a recording tells of its node: whom it knows, what it runs, how it decides.
///
/// Beside the calls of a trace (trace.hpp), `dfaas node record` writes lines of these kinds, so that a
/// replay needs nothing written by hand:
///     {"recording": {"node": "light", "node_id": "...", "began_unix_us": 1764075000123456, ...}}
///     {"function": {"name": "figlet", "slots": 2, "pool": "cpu", "deadline_ms": 60000, ...}}
///     {"neighbour": {"node": "mid", "node_id": "...", "functions": [{"name": "figlet", "slots": 4}]}}
///     {"end": {"at_s": 60, "calls": 1234}}
/// A function or neighbour that is told of again replaces what was told before; one that went away stays.
///
/// Guarantees  What is written is read back the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/units.hpp"
#include "core/dataplane/dispatcher.hpp"
#include "core/json/fields.hpp"
#include "core/model/function.hpp"

namespace dfaas {

namespace recording_limits {
inline constexpr std::size_t functions_max = 1000;
inline constexpr std::size_t neighbours_max = 1000;  ///< Over time; at one time a node has 64.
inline constexpr Micros duration_max = std::chrono::hours{24};
}  // namespace recording_limits

/// A function as one node has it deployed.
struct RecordedFunction {
  FunctionName name;
  int slots = 1;
  std::string pool;    ///< Label dfaas.pool; empty: slots of its own.
  Micros deadline{0};  ///< > 0, at most a day: the time limit in force, with the node's default.
  Sharing share = Sharing::organisation;
  bool retry_safe = false;
  Rate max_rate;  ///< 0: not told.

  friend bool operator==(const RecordedFunction&, const RecordedFunction&) = default;
};

/// Slots that a neighbour tells to have.
struct RecordedOffer {
  FunctionName function;
  int slots = 1;

  friend bool operator==(const RecordedOffer&, const RecordedOffer&) = default;
};

struct RecordedNeighbour {
  NodeName node;
  NodeId id;
  std::string organisation;
  std::vector<RecordedOffer> functions;

  friend bool operator==(const RecordedNeighbour&, const RecordedNeighbour&) = default;
};

/// Where a whole recording ends.
struct RecordingEnd {
  Micros at{0};  ///< From its beginning.
  std::uint64_t calls = 0;

  friend bool operator==(const RecordingEnd&, const RecordingEnd&) = default;
};

struct Recording {
  NodeName node;
  NodeId id;
  std::string organisation;
  std::string version;          ///< Of dfaas, for people.
  std::int64_t began_unix = 0;  ///< Microseconds by the node's clock: what joins recordings.
  std::string strategy;         ///< In force at the beginning.
  Millis period{0};             ///< Of control; 0: not told.
  Millis heartbeat{0};          ///< 0: not told.
  DispatcherSettings dispatcher;
  std::map<FunctionName, RecordedFunction> functions;
  std::map<NodeId, RecordedNeighbour> neighbours;
  std::optional<RecordingEnd> end;  ///< Unset: the recorder was killed.

  friend bool operator==(const Recording&, const Recording&) = default;
};

/// One line each, with its line feed. Of a recording its head alone.
std::string trace_line(const Recording& recording);
std::string trace_line(const RecordedFunction& function);
std::string trace_line(const RecordedNeighbour& neighbour);
std::string trace_line(const RecordingEnd& end);
/// Head, functions, neighbours.
std::string trace_lines(const Recording& recording);

/// What stands in such a line. To be called inside parse_json_object(), whose errors they raise.
Recording read_recording(const Fields& fields);
RecordedFunction read_recorded_function(const Fields& fields);
RecordedNeighbour read_recorded_neighbour(const Fields& fields);
RecordingEnd read_recording_end(const Fields& fields);

/// Raises BadField where there is a field that is not `known`.
void allow_only(const Fields& fields, std::initializer_list<std::string_view> known);

}  // namespace dfaas
