// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// As node_margin, but a node is also overloaded when it draws more power than a cap, and its margin is
/// what is left of that power alone.
///
/// Output  Power is modelled; the cap is 0.7 of the most that the node draws. The margin, a part of the
///         cap, travels as `left`: margin x slots / service time.
/// Limits  Saves power where it is drawn: a node sheds load, also load that it could serve, to
///         neighbours below their cap.
/// Cost    core/strategy/margins.hpp.
/// Source  The strategy "power saving" of the DFaaS prototype's simulator. There a refused step was
///         counted wrong, so that too much was moved.
#pragma once

#include "core/strategy/strategy.hpp"
#include "core/strategy/usage_model.hpp"

namespace dfaas {

StrategyResult plan_power_saving_with(const UsageModel& model, const NodeView& view);

/// With linear_usage().
StrategyResult plan_power_saving(const NodeView& view, const StrategyMemory& memory,
                                 Random& random);

}  // namespace dfaas
