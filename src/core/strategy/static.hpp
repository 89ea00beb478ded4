// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Fixed shares whatever the load: 60 % stay here, 40 % go to the neighbours in equal parts.
///
/// Source  The strategy "static" of the DFaaS prototype. There a neighbour that ran any of our functions
///         got all of them, and shares were rounded to whole percents that did not sum to 100.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_static(const NodeView& view, const StrategyMemory& memory, Random& random);

}  // namespace dfaas
