// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The best possible result of a window: what a federation could serve at most, had it known every
/// arrival and shared its slots without delay.
///
/// Input       Of one window: requests per node and function, the pools that could run them, slot-seconds
///             per pool. Within it nothing changes.
/// Output      A vertex of the linear program
///                 maximise  sum x[d,a]
///                 subject to sum over arcs of d: x[d,a] <= requests[d]            for every demand d
///                            sum over arcs into p: seconds[a] * x[d,a] <= slot_seconds[p] for every pool p
///             and among the best one with the fewest forwards: a forward costs 1e-4 of a request first,
///             then nothing. Requests are a fluid: a part of one counts as that part.
/// Guarantees  Same problem, same bytes. served is the optimum within 1e-7 of it. Forwards are the fewest
///             unless one more served request takes over 10000 more of them.
/// Limits      A bound, not a plan: it knows no queue, deadline, delay or chance, and nothing is carried
///             over from one window to the next. Where a queue is, a run may serve a little of the next
///             window's best; with windows of 10 s that is below 1 %.
/// Cost        None where everything fits at home, else a simplex: 1 ms for 100 nodes with 8 neighbours
///             and one function, 50 ms for 1000, 230 ms for 3000. docs/decisions/0015.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

/// A pool that may serve a demand.
struct OracleArc {
  std::size_t pool = 0;            ///< Into OracleProblem::pools.
  double seconds_per_request = 0;  ///< Of a slot of this pool, > 0.
  bool is_forward = false;         ///< The pool is not at the node that the user asked.
};

/// Requests for one function by the users of one node.
struct OracleDemand {
  NodeIndex node = 0;
  FunctionIndex function = 0;
  double requests = 0;
  double work_seconds = 0;  ///< What one is worth by work: its service time where nothing slows it.
  std::vector<OracleArc> arcs;  ///< None: nobody can serve it.
};

struct OracleProblem {
  std::vector<double> pools;  ///< Slot-seconds of the window.
  std::vector<OracleDemand> demands;
};

enum class OracleObjective : std::uint8_t {
  most_served,  ///< Requests. Where a pool is short, cheap functions win.
  most_work,    ///< Requests times their work_seconds: of use where functions differ.
  local_first,  ///< As many requests at home as each pool can; then, of the rest, most_served.
};

struct OracleWindow {
  double offered = 0;
  double served = 0;
  double forwarded = 0;           ///< Part of `served`.
  double work = 0;                ///< Seconds: served requests times their work_seconds.
  std::vector<double> served_of;  ///< By demand.
};

/// Errors: invalid_input for numbers that are not finite, negative or above 1e12, a time of 0, a pool that
/// does not exist; else as maximise(): never a guess.
Result<OracleWindow> solve_oracle(const OracleProblem& problem, OracleObjective objective);

}  // namespace dfaas
