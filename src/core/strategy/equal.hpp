// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// An overloaded node sends as much of every function away as it must, in equal parts to the neighbours.
///
/// Output  Where a pool is in use by more than all its slots, its functions that a neighbour runs give
///         up 1 % of their users' requests after the other until it is not.
/// Source  The strategy "equal" of the DFaaS prototype's simulator. There neighbours got functions that
///         they did not run, requests from neighbours did not count, and a node without neighbours
///         divided by zero.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_equal(const NodeView& view, const StrategyMemory& memory, Random& random);

}  // namespace dfaas
