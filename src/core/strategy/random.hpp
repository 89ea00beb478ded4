// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What exceeds our slots goes to neighbours by weights drawn anew with every plan.
///
/// Source  The strategy "random" of the DFaaS prototype's simulator: whole weights from 1 to 100. There
///         a neighbour got its share of functions that it did not run, too.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_random(const NodeView& view, const StrategyMemory& memory, Random& random);

}  // namespace dfaas
