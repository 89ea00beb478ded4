// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Overflow spills per request to the less busy of two neighbours drawn at random.
///
/// Output  All neighbours that run the function, with the rate that they can serve as weight; of two
///         drawn, the one with fewer of our calls outstanding for its weight is taken. No asks, no
///         grants.
/// Limits  Our own outstanding calls stand for how busy a neighbour is. To ask two neighbours first, as the
///         theory has it, costs every spilled call a round trip before it starts, and each node as
///         many probes as calls; what others send there shows in longer calls, and in refusals.
/// Source  M. Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS
///         12(10), 2001; with old news two choices stay good where the best choice herds: "How useful is
///         old information?", IEEE TPDS 11(1), 2000.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_power_of_two(const NodeView& view, const StrategyMemory& memory,
                                 Random& random);

}  // namespace dfaas
