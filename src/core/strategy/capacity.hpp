// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the functions of a node can serve, and how much of it is in use: the measure of the strategies
/// that decide by rates.
///
/// Output  Usages are parts of a pool's capacity: 1 is full, above is too much. All results are finite
///         and >= 0, whatever the view says.
#pragma once

#include <cstddef>
#include <vector>

#include "core/base/units.hpp"
#include "core/model/node_view.hpp"

namespace dfaas {

inline constexpr double rate_max = 1e9;  ///< What messages and plans can carry, requests/s.

/// Never 0, so that it may be divided by.
double service_seconds(Micros service_time);

/// Deployed, with slots. One without is for its neighbours to run.
bool runs_here(const FunctionView& function);

/// Most that the function can serve with all slots of its pool: label `dfaas.maxrate`, else
/// slots / service time. Never 0.
Rate max_rate(const FunctionView& function);
/// A neighbour does not announce its label.
Rate max_rate(const NeighbourFunction& function);

/// The functions that run here, as positions in `view.functions`, by the slots that they share: each in
/// exactly one pool.
std::vector<std::vector<std::size_t>> pools_of(const NodeView& view);

/// Of each function of the view, the part of its users' requests that exceeds what its pool serves: 0
/// where there is room, 1 where the function does not run here.
std::vector<double> excess_ratios(const NodeView& view);

/// How full the pool of each function of the neighbour is by the neighbour's own users, as far as they
/// call functions that both sides know. In the order of `neighbour.functions`; 0 for one that does not
/// run there.
std::vector<double> pool_usages(const NeighbourView& neighbour);

}  // namespace dfaas
