// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What an outside model said to the nodes of a scenario (strategy external_model), as a file that a
/// simulation replays.
///
/// Input   JSON lines, one answer each, in order of time:
///             {"at_s": 5, "node": "light", "function": "figlet", "local": 0.6, "reject": 0.1,
///              "neighbours": {"mid": 0.3}}
///         at_s counts from the start of the scenario, 0 to 86400. `local`, `reject` and the shares are
///         those of the model's own answer (core/strategy/external_codec.hpp), where nodes have names in
///         place of ids; a neighbour that is left out, and all of them with `neighbours`, gets nothing.
/// Output  An answer holds until the next one of its node and function.
/// Errors  invalid_input with the line: "line 4: at_s 0.5 is before the 0.7 of line 3". Whoever is named must
///         be of the scenario, and able to take such calls.
/// Limits  model_trace_answers_max answers; 64 KiB a line.
#pragma once

#include <cstddef>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

inline constexpr std::size_t model_trace_answers_max = 1'000'000;  ///< Guessed: some 100 MB.

struct RecordedAnswer {
  Micros at{0};
  double local = 1;
  double refused = 0;
  std::map<NodeIndex, double> neighbours;  ///< With the others, parts of 1.

  friend bool operator==(const RecordedAnswer&, const RecordedAnswer&) = default;
};

struct ModelTrace {
  /// Of each node and function, ascending.
  std::map<std::pair<NodeIndex, FunctionIndex>, std::vector<RecordedAnswer>> answers;

  /// Null before the first.
  [[nodiscard]] const RecordedAnswer* in_force(NodeIndex node, FunctionIndex function,
                                               Micros at) const;
};

/// `scenario` must be valid.
Result<ModelTrace> parse_model_trace(std::string_view text, const Scenario& scenario);

}  // namespace dfaas
