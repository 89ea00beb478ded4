// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/sharers.hpp"

#include <algorithm>
#include <numeric>

#include "core/base/assert.hpp"
#include "core/strategy/capacity.hpp"

namespace dfaas {
namespace {

constexpr double weight_min = 1e-9;    ///< What a plan can carry.
constexpr int window_max = 1'000'000;  ///< What a plan can carry.

}  // namespace

std::vector<Sharer> sharers_of(const NodeView& view, const FunctionName& function) {
  std::vector<Sharer> sharers;
  for (const NeighbourView& neighbour : view.neighbours) {
    const auto found =
        std::ranges::lower_bound(neighbour.functions, function, {}, &NeighbourFunction::function);
    if (found != neighbour.functions.end() && found->function == function) {
      sharers.push_back({&neighbour, &*found});
    }
  }
  return sharers;
}

std::vector<Sharer> runners_among(std::vector<Sharer> sharers) {
  std::erase_if(sharers, [](const Sharer& sharer) {
    return !sharer.node->up || sharer.function->slots <= 0;
  });
  return sharers;
}

std::vector<Sharer> runners_of(const NodeView& view, const FunctionName& function) {
  return runners_among(sharers_of(view, function));
}

FunctionPeer peer_without_window(const Sharer& runner, double weight) {
  const double bounded = std::clamp(weight, weight_min, rate_max);
  return {.id = runner.node->id,
          .weight = bounded,
          .window = window_max,
          .floor_weight = bounded,
          .service_time = runner.function->service_time};
}

std::vector<GuestLimit> guests_without_cap(const NodeView& view, const FunctionName& function) {
  std::vector<GuestLimit> guests;
  for (const Sharer& sharer : sharers_of(view, function)) {
    guests.push_back({.id = sharer.node->id, .rate = Rate{rate_max}});
  }
  return guests;
}

FunctionPlan plan_by_shares(const NodeView& view, const FunctionView& function,
                            std::span<const Sharer> runners, std::span<const double> shares,
                            double refused_share) {
  DFAAS_ASSERT(runners.size() == shares.size(), "each neighbour has a share");
  FunctionPlan plan{.function = function.function,
                    .rule = RoutingRule::shares,
                    .guest_rule = GuestRule::as_users,
                    .refused_share = refused_share,
                    .guests = guests_without_cap(view, function.function)};
  double sum = 0;
  for (const double share : shares) sum += share >= weight_min ? share : 0;
  const double scale = runs_here(function) || sum <= 0 ? 1 : (1 - refused_share) / sum;
  for (std::size_t at = 0; at < runners.size(); ++at) {
    const double share = shares[at] * scale;
    if (shares[at] >= weight_min && share >= weight_min) {
      plan.peers.push_back(peer_without_window(runners[at], share));
    }
  }
  plan.local_share = std::clamp(1 - refused_share - sum * scale, 0.0, 1.0);
  return plan;
}

std::vector<double> in_proportion(std::span<const double> weights, double share) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> parts;
  for (const double weight : weights) {
    parts.push_back(sum > 0 ? share * (weight / sum) : share / static_cast<double>(weights.size()));
  }
  return parts;
}

}  // namespace dfaas
