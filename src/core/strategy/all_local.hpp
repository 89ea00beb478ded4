// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Every node for itself: nothing is forwarded, nothing is taken. The baseline of every comparison.
#pragma once

#include "core/strategy/strategy.hpp"

namespace dfaas {

StrategyResult plan_all_local(const NodeView& view, const StrategyMemory& memory, Random& random);

}  // namespace dfaas
