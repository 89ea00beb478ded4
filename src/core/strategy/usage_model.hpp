// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How busy a node is under a load: the forecast on which the margin strategies decide.
///
/// Use     linear_usage() while nothing is learnt; another model is another UsageModel.
/// Source  In place of the prototype's regression trees of CPU, memory and power, which were trained
///         on three machines and six functions.
#pragma once

#include <cstddef>
#include <vector>

#include "core/base/names.hpp"
#include "core/base/units.hpp"
#include "core/model/node_view.hpp"

namespace dfaas {

/// One function that runs at a node.
struct FunctionLoad {
  FunctionName function;
  Rate rate;
  Micros service_time{0};
  int slots = 0;         ///< Of its pool.
  std::size_t pool = 0;  ///< Functions with one number share their slots.
};

struct NodeLoad {
  std::vector<FunctionLoad> functions;  ///< Those that run there, in the order of the view.
  std::size_t pools = 0;                ///< Their numbers are below.
};

/// Of this node, with the rates that `rate` takes of its functions.
NodeLoad load_of(const NodeView& view, Rate (*rate)(const FunctionView& function));
/// By its own users, as far as they call functions that both sides know.
NodeLoad load_of(const NeighbourView& neighbour);

struct UsageModel {
  /// Usage of each resource as a part of its limit; above 1 is too much. In the same order for loads of
  /// the same functions.
  std::vector<double> (*resources)(const NodeLoad& load);
  /// Power as a part of the most that the node draws.
  double (*power)(const NodeLoad& load);
  double power_cap = 0.7;  ///< Of it, the part that power_saving wants to keep below.
};

/// Each pool is a resource, in use by rate x service time / slots. Power rises from 0.2 when idle
/// with the slots in use of all pools together.
UsageModel linear_usage();

}  // namespace dfaas
