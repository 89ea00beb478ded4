// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Nodes tell each other what part of their busiest resource is free; an overloaded one moves its load
/// in steps of 1 % to neighbours whose margin, by a model of their usage, still holds it.
///
/// Output  Overloaded is a node one of whose resources is in use above its limit, by users and guests.
///         The margin is what the users leave of the busiest one, in equal parts for the neighbours
///         that run a function of ours. Steps go round the neighbours, then round their functions.
///         The margin travels as `left`: margin x slots / service time.
/// Cost    core/strategy/margins.hpp.
/// Source  F. Filippini et al., the node margin strategy of the DFaaS prototype and its simulator, with
///         linear_usage() in place of trained models. The margin is that of the busiest resource, not of
///         the mean; steps are of one size; no load moves that would not help.
#pragma once

#include "core/strategy/strategy.hpp"
#include "core/strategy/usage_model.hpp"

namespace dfaas {

StrategyResult plan_node_margin_with(const UsageModel& model, const NodeView& view);

/// With linear_usage().
StrategyResult plan_node_margin(const NodeView& view, const StrategyMemory& memory, Random& random);

/// As published: rates of the last second, of users alone; margins by the mean of usage and power;
/// steps of 1 % of what is left, to a neighbour drawn at random; weights in whole percents, which may not
/// sum to 100. What does not run here is refused. Not so here: that a message's low rate was read as its
/// medium rate, since there are no classes of functions.
StrategyResult plan_node_margin_as_published(const NodeView& view, const StrategyMemory& memory,
                                             Random& random);

}  // namespace dfaas
