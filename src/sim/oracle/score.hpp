// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a run is measured against: the best possible results of its windows, added up.
///
/// Use         The score of a run is its successes after the warm-up over served_max.
/// Guarantees  A window that cannot be solved makes the whole an error; none is left out.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"
#include "sim/oracle/arrival_counts.hpp"

namespace dfaas {

struct OracleSum {
  double offered = 0;
  double served_max = 0;
  double forwarded_min = 0;  ///< Forwards of the best result that has fewest.
  double work_max = 0;       ///< Slot-seconds, where nothing slows them, when work is what counts.
  std::optional<double> local_first_max;  ///< Served where every pool serves its own users first.
};

struct OracleWindowScore {
  OracleSpan span;
  OracleSum sum;
};

struct OracleScore {
  OracleSum total;
  std::vector<OracleWindowScore> windows;
};

enum class LocalFirst : std::uint8_t { leave_out, work_out };

struct OracleOptions {
  LocalFirst local_first = LocalFirst::leave_out;  ///< About as costly as all the rest.
  std::function<void(std::size_t done, std::size_t windows)> on_window;  ///< May be empty.
};

/// `arrivals`: those of a run of this scenario. Errors: invalid_input for a scenario that is not valid, else
/// as solve_oracle(), naming the window.
Result<OracleScore> score_oracle(const Scenario& scenario, const ArrivalCounts& arrivals,
                                 const OracleOptions& options = {});

}  // namespace dfaas
