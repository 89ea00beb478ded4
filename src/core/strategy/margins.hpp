// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What strategies have in common that tell each other how much usage they have left, and move load in
/// small steps while a model of the neighbour says that it fits there.
///
/// Guarantees  No step where it would not bring down what is too high here, or would bring the neighbour
///             beyond its margin or above its limits, all steps towards it together.
/// Cost        At most 20 000 steps of O(functions) each.
#pragma once

#include <cstddef>
#include <vector>

#include "core/strategy/strategy.hpp"
#include "core/strategy/usage_model.hpp"

namespace dfaas {

using Levels = std::vector<double> (*)(const UsageModel& model, const NodeLoad& load);

struct MarginRule {
  Levels watched;   ///< As parts of their limits: one above 1, and the node is overloaded.
  Levels measured;  ///< A margin is 1 less the highest of them.
};

StrategyResult plan_by_margins(const MarginRule& rule, const UsageModel& model,
                               const NodeView& view);

// --- for the published form of node_margin

inline constexpr int margin_steps_max = 20'000;

/// A function that runs here and there, as positions in both loads.
struct CommonFunction {
  std::size_t here;
  std::size_t there;
};

/// A neighbour that is up and runs functions that run here, too.
struct MarginNeighbour {
  const NeighbourView* view;
  NodeLoad load;  ///< Of its own users.
  std::vector<CommonFunction> common;
  double margin = 0;  ///< As it told, in [0, 1].
};

/// In the order of the view.
std::vector<MarginNeighbour> margin_neighbours(const NodeView& view, const NodeLoad& own);

/// Messages carry rates: each neighbour is told how much of each common function would fill the margin.
void tell_margin(const NodeLoad& own, const std::vector<MarginNeighbour>& neighbours, double margin,
                 StrategyResult& result);

double highest(const std::vector<double>& levels);

}  // namespace dfaas
