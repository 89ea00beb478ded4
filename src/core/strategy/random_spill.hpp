// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Overflow spills per request to any neighbour, drawn blindly; it tells of itself by refusing.
///
/// Output  All neighbours that run the function, with equal weights. No asks, no grants: nothing is
///         known of the neighbours but that they are there.
/// Source  LL(1, T) of P2PFaaS with the threshold at saturation (R. Beraldi, G. Proietti Mattia, "Power of
///         random choices made efficient for fog computing", IEEE TCC, 2020), with a second try.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_random_spill(const NodeView& view, const StrategyMemory& memory,
                                 Random& random);

}  // namespace dfaas
