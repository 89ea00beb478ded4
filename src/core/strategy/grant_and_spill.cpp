// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/grant_and_spill.hpp"

#include <algorithm>
#include <cmath>

#include "core/strategy/water_filling.hpp"

namespace dfaas {
namespace {

constexpr double usable_ratio =
    0.95;                            ///< rho: of the slots; flat between 0.85 and 1 when simulated.
constexpr double floor_ratio = 0.1;  ///< Of a neighbour's capacity, shared among its neighbours.
constexpr double floor_weight_min = 0.001;
constexpr double quality_min = 0.02;
constexpr double quality_recovery = 0.05;  ///< Per 2 s: a bad name is forgotten in about a minute.
constexpr double guest_burst_per_second = 2;

/// The neighbours that offer one function, in the order of the view.
struct Offer {
  const NeighbourView* node;
  const NeighbourFunction* function;
};

std::vector<Offer> offers_of(const NodeView& view, const FunctionName& name) {
  std::vector<Offer> offers;
  for (const NeighbourView& neighbour : view.neighbours) {
    const auto found =
        std::ranges::lower_bound(neighbour.functions, name, {}, &NeighbourFunction::function);
    if (neighbour.up && found != neighbour.functions.end() && found->function == name) {
      offers.push_back({&neighbour, &*found});
    }
  }
  return offers;
}

/// What we believe of a neighbour, after what it did with our forwards since the last plan.
PeerMemory learn(PeerMemory memory, const NeighbourFunction& seen, double period_seconds) {
  const auto accepted = static_cast<double>(seen.accepted);
  const double tries = accepted + static_cast<double>(seen.refused);
  if (tries > 0) {
    const double ratio = accepted / tries;
    memory.quality += std::min(0.5, 0.1 * tries) * (ratio - memory.quality);
  }
  memory.quality += quality_recovery * (period_seconds / 2) * (1 - memory.quality);
  memory.quality = std::clamp(memory.quality, quality_min, 1.0);
  double& clamp = memory.trust_clamp;
  if (tries <= 3) {
    clamp = 1.2 * clamp + 1;
  } else if (accepted / tries < 0.5) {
    clamp = std::max(1.0, 1.5 * accepted / period_seconds);
  } else {
    clamp = std::max(2 * clamp, 2 * accepted / period_seconds + 5);
  }
  clamp = std::min(clamp, 1e9);
  return memory;
}

PeerMemory recall(const StrategyMemory& memory, const NodeId& id, const FunctionName& name) {
  const auto found = memory.peers.find({id, name});
  return found == memory.peers.end() ? PeerMemory{} : found->second;
}

/// Requests per second that our own slots cannot serve.
double own_excess(const FunctionView& function) {
  const double arrivals = function.arrivals.per_second;
  if (!function.deployed) return arrivals;
  const double used = arrivals * to_seconds(function.service_time);
  const double usable = usable_ratio * function.slots;
  return used <= usable ? 0 : arrivals * (1 - usable / used);
}

FunctionPlan plan_function(const FunctionView& function, const std::vector<Offer>& offers,
                           StrategyMemory& memory, const StrategyMemory& before, double period) {
  FunctionPlan plan{.function = function.function};
  const auto degree = static_cast<double>(offers.size());
  for (const auto& [node, offer] : offers) {
    const PeerMemory learnt = learn(recall(before, node->id, function.function), *offer, period);
    memory.peers[{node->id, function.function}] = learnt;
    const double service = to_seconds(offer->service_time);
    const double believed = std::min(
        (offer->granted.per_second + offer->left.per_second) * learnt.quality, learnt.trust_clamp);
    const double floor =
        floor_ratio * (offer->slots / service) / degree * learnt.quality + floor_weight_min;
    const double weight = believed + floor;
    const double held = 2 * weight * (service + to_seconds(node->rtt)) + 2;
    plan.peers.push_back({.id = node->id,
                          .weight = weight,
                          .window = static_cast<int>(std::clamp(std::ceil(held), 1.0, 1e6)),
                          .floor_weight = floor,
                          .service_time = offer->service_time});
  }
  return plan;
}

/// Our excess, split where grants and leftovers were.
void add_asks(const FunctionView& function, const std::vector<Offer>& offers,
              const StrategyMemory& memory, StrategyResult& result) {
  const double excess = own_excess(function);
  if (excess <= 0 || offers.empty()) return;
  std::vector<double> pull;
  double sum = 0;
  for (const auto& [node, offer] : offers) {
    const PeerMemory learnt = recall(memory, node->id, function.function);
    pull.push_back((offer->granted.per_second + offer->left.per_second) * learnt.quality + 1e-6);
    sum += pull.back();
  }
  for (std::size_t at = 0; at < offers.size(); ++at) {
    result.asks[offers[at].node->id].push_back(
        {.function = function.function, .rate = Rate{excess * pull[at] / sum}});
  }
}

/// Headroom beyond our own users, max-min fairly among those who asked; the rest as a gift ahead.
void add_grants(const FunctionView& function, const std::vector<Offer>& offers, FunctionPlan& plan,
                StrategyResult& result) {
  if (!function.deployed || offers.empty()) return;
  const double service = to_seconds(function.service_time);
  const double headroom =
      std::max(0.0, usable_ratio * function.slots / service - function.arrivals.per_second);
  std::vector<double> asks;
  asks.reserve(offers.size());
  for (const Offer& offer : offers) asks.push_back(offer.function->asked.per_second);
  const std::vector<double> granted = water_fill(asks, headroom);
  double sum = 0;
  for (const double share : granted) sum += share;
  const double left = std::max(0.0, headroom - sum) / static_cast<double>(offers.size());
  for (std::size_t at = 0; at < offers.size(); ++at) {
    const NodeId& id = offers[at].node->id;
    result.grants[id].push_back(
        {.function = function.function, .granted = Rate{granted[at]}, .left = Rate{left}});
    plan.guests.push_back(
        {.id = id, .rate = Rate{2 * granted[at] + left + guest_burst_per_second}});
  }
}

}  // namespace

StrategyResult plan_grant_and_spill(const NodeView& view, const StrategyMemory& memory,
                                    Random& /*random*/) {
  StrategyResult result;
  const double period = std::max(0.1, to_seconds(view.period));
  for (const FunctionView& function : view.functions) {
    const std::vector<Offer> offers = offers_of(view, function.function);
    FunctionPlan plan = plan_function(function, offers, result.memory, memory, period);
    add_asks(function, offers, result.memory, result);
    add_grants(function, offers, plan, result);
    result.functions.push_back(std::move(plan));
  }
  return result;
}

}  // namespace dfaas
