// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A model outside of the node, say a trained agent, says what part of each function's requests stays
/// here, goes to which neighbour, or is refused.
///
/// Input   view.external: its newest answers. core/strategy/external_codec.hpp reads them.
/// Output  The rule `shares`, as told. The share of a neighbour that is away, or does not run the function
///         any more, is divided in proportion. Without an answer, or with one that names nobody who
///         is there, everything stays here.
/// Source  The RL agent of the DFaaS prototype, for any number of neighbours and functions.
#pragma once

#include <string_view>

#include "core/model/node_view.hpp"
#include "core/strategy/strategy.hpp"

namespace dfaas {

inline constexpr std::string_view external_model_name = "external_model";

/// Whether they are parts of 1, as they must be: by others nobody goes.
bool is_usable(const ExternalShares& told);

StrategyResult plan_external_model(const NodeView& view, const StrategyMemory& memory,
                                   Random& random);

}  // namespace dfaas
