// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Rates and limits: each node serves up to its largest rate and tells its neighbours in advance how
/// much of the rest they may send.
///
/// Output      The rule `rate`: local_rate is what the function's pool can serve. Weights are the limits
///             received. Each neighbour that runs the function, or asks for it because it does not, is
///             granted an equal part of the margin as `left`, and may send no more.
/// Guarantees  The limits of a pool's functions together never exceed what its users leave of it.
/// Cost        O(functions x neighbours).
/// Source      M. Ciavotta et al., "DFaaS: Decentralized Function-as-a-Service for Federated Edge
///             Computing", IEEE CloudNet 2021; the prototype's "recalc". Ours keeps weights ready
///             before the node is overloaded, and limits as they are, not in whole requests.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_recalc(const NodeView& view, const StrategyMemory& memory, Random& random);

/// The published loop measures and announces at the start of its period, and weighs half a period
/// later: so often it is to be called per period.
inline constexpr int recalc_published_plans_per_period = 2;

/// As published. First call and every second one after it: rate of the last second, limits in whole
/// requests, announced; weights and limits in force stay. The others: weights in whole percents, but
/// only for functions that were overloaded at the first; limits as announced come into force. A call
/// between two periods changes nothing. Before the second call there is no plan, so nobody forwards.
StrategyResult plan_recalc_as_published(const NodeView& view, const StrategyMemory& memory,
                                        Random& random);

}  // namespace dfaas
