// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The default strategy: overflow spills per request; neighbours ask and grant to steer where.
///
/// Input       A NodeView: own functions with arrival rates and slots; neighbours with what they
///             granted us and asked of us.
/// Output      Per function the neighbours with weight and window; what to ask of each neighbour;
///             what to grant each. Each function is its own pool of slots.
/// Guarantees  Grants and leftovers together never exceed 0.95 of the slots less our own users'
///             load. A grant never exceeds the ask. Every usable neighbour keeps a floor weight, so
///             that it is explored.
/// Cost        O(functions x neighbours).
/// Source      docs/reference/strategies.md, "grant_and_spill".
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_grant_and_spill(const NodeView& view, const StrategyMemory& memory,
                                    Random& random);

}  // namespace dfaas
