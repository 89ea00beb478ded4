// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The default strategy: overflow spills per request; neighbours ask and grant to steer where.
///
/// Input       A NodeView: own functions with arrival rates and slots; neighbours with what they
///             granted us and asked of us.
/// Output      Per function the neighbours with weight and window; what to ask of each neighbour;
///             what to grant each. Functions that name one pool share its headroom.
/// Guarantees  Grants and leftovers together never exceed 0.95 of the slots less our own users'
///             load. A grant never exceeds the ask. Every usable neighbour keeps a floor weight, so
///             that it is explored.
/// Cost        O(functions x neighbours).
/// Source      docs/reference/strategies.md, "grant_and_spill".
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

/// Defaults from simulation: docs/reference/strategies.md.
struct GrantAndSpillKnobs {
  double usable_ratio = 0.95;  ///< rho: of the slots, what is planned with.
  double floor_ratio = 0.1;  ///< Of a neighbour's capacity, shared among its neighbours: explored.
  /// Of our slots, the part that any neighbour may fill from the line, without a grant.
  double guest_cap_ratio = 0.5;
  /// phi: most of our own demand that we send away to make room for others, in [0, 1]; 0: never.
  double displaced_ratio_max = 0;
};

StrategyResult plan_grant_and_spill_with(const GrantAndSpillKnobs& knobs, const NodeView& view,
                                         const StrategyMemory& memory);

/// With the defaults.
StrategyResult plan_grant_and_spill(const NodeView& view, const StrategyMemory& memory,
                                    Random& random);

}  // namespace dfaas
