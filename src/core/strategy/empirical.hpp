// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What exceeds our slots goes to the neighbours that look most able, by six figures of equal weight.
///
/// Input   Of each neighbour that runs the function and is not overloaded itself: slots, margin
///         (the more the better); rate by largest rate, service time, usage of its pool, usage by this
///         function alone (the less the better).
/// Output  Each figure divides 1 among them; the sums, disturbed by noise and normalised, are the
///         shares of the excess. Without such a neighbour everything stays here.
/// Source  The strategy "empirical" of the DFaaS prototype's simulator, which had memory usage, by node
///         and by function, as seventh and eighth figure, and lost the excess where nobody could help.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_empirical(const NodeView& view, const StrategyMemory& memory, Random& random);

}  // namespace dfaas
