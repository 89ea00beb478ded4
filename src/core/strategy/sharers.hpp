// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Neighbours that have to do with a function, and the parts of a plan that many strategies share.
#pragma once

#include <span>
#include <vector>

#include "core/model/node_view.hpp"
#include "core/model/routing_plan.hpp"

namespace dfaas {

/// A neighbour and what it has to do with one function.
struct Sharer {
  const NeighbourView* node;
  const NeighbourFunction* function;

  /// Most that it said it takes from us.
  [[nodiscard]] Rate promised() const { return function->granted + function->left; }
};

/// Whoever may run the function for us, or we for it; in the order of the view.
std::vector<Sharer> sharers_of(const NodeView& view, const FunctionName& function);

/// Of them, those to whom requests may go: up, with slots for it.
std::vector<Sharer> runners_among(std::vector<Sharer> sharers);
/// The same, of all who share the function.
std::vector<Sharer> runners_of(const NodeView& view, const FunctionName& function);

/// `weight` is brought into the bounds of a plan. Holds as many requests as may come, and keeps its
/// weight when no new plan comes.
FunctionPeer peer_without_window(const Sharer& runner, double weight);

/// Everybody who shares the function, without a cap.
std::vector<GuestLimit> guests_without_cap(const NodeView& view, const FunctionName& function);

/// The rule `shares`: shares[k] of our users' requests go to runners[k], `refused_share` nowhere, the
/// rest stays here. Where the function does not run here, nothing stays: what would is divided in
/// proportion. Requests of neighbours run as those of our users.
/// Requires shares >= 0 whose sum with `refused_share` is at most 1. One too small for a plan is left
/// out.
FunctionPlan plan_by_shares(const NodeView& view, const FunctionView& function,
                            std::span<const Sharer> runners, std::span<const double> shares,
                            double refused_share = 0);

/// A total of `share`, in proportion to `weights`; equal parts where all of them are 0.
std::vector<double> in_proportion(std::span<const double> weights, double share);

}  // namespace dfaas
