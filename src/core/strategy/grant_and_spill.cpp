// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/grant_and_spill.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

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

constexpr double rate_max = 1e9;  ///< What messages and plans can carry.

/// A neighbour and what it has to do with one function.
struct Offer {
  const NeighbourView* node;
  const NeighbourFunction* function;
};

/// The neighbours that share the function with us, in the order of the view.
std::vector<Offer> sharers_of(const NodeView& view, const FunctionName& name) {
  std::vector<Offer> sharers;
  for (const NeighbourView& neighbour : view.neighbours) {
    const auto found =
        std::ranges::lower_bound(neighbour.functions, name, {}, &NeighbourFunction::function);
    if (found != neighbour.functions.end() && found->function == name) {
      sharers.push_back({&neighbour, &*found});
    }
  }
  return sharers;
}

/// Those of them to whom requests may go now.
std::vector<Offer> offers_among(const std::vector<Offer>& sharers) {
  std::vector<Offer> offers;
  std::ranges::copy_if(sharers, std::back_inserter(offers), [](const Offer& sharer) {
    return sharer.node->up && sharer.function->slots > 0;
  });
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
    // The clamp holds for the floor, too: slots are claimed, and a claim must not draw work that is
    // then refused.
    const double explored = floor_ratio * (offer->slots / service) / degree * learnt.quality;
    const double floor = std::min(explored, learnt.trust_clamp) + floor_weight_min;
    const double weight = std::min(believed + floor, rate_max);
    // Without grants a window must not be narrower than what the neighbour may well have free, or a
    // node that lost touch would refuse its users beside idle slots; the neighbour's own admission
    // protects it. Who refuses most has a narrow one.
    const double held = std::max(2 * weight * (service + to_seconds(node->rtt)) + 2,
                                 std::min<double>(offer->slots, learnt.trust_clamp * service));
    plan.peers.push_back({.id = node->id,
                          .weight = weight,
                          .window = static_cast<int>(std::clamp(std::ceil(held), 1.0, 1e6)),
                          .floor_weight = std::min(floor, rate_max),
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
        {.function = function.function, .rate = Rate{std::min(excess * pull[at] / sum, rate_max)}});
  }
}

/// Headroom beyond our own users, max-min fairly among those who asked; the rest as a gift ahead to
/// those who asked or run the function themselves, whose overflow may come at any time. Whoever shares
/// the function is admitted, before it first asks, too.
void add_grants(const FunctionView& function, const std::vector<Offer>& sharers, FunctionPlan& plan,
                StrategyResult& result) {
  if (!function.deployed) return;
  const double service = to_seconds(function.service_time);
  const double headroom = std::clamp(
      usable_ratio * function.slots / service - function.arrivals.per_second, 0.0, rate_max);
  std::vector<double> asks;
  asks.reserve(sharers.size());
  double takers = 0;
  const auto is_taker = [](const Offer& sharer) {
    return sharer.function->asked.per_second > 0 || (sharer.node->up && sharer.function->slots > 0);
  };
  for (const Offer& sharer : sharers) {
    asks.push_back(sharer.function->asked.per_second);
    takers += is_taker(sharer) ? 1 : 0;
  }
  const std::vector<double> granted = water_fill(asks, headroom);
  double sum = 0;
  for (const double share : granted) sum += share;
  const double left = takers > 0 ? std::max(0.0, headroom - sum) / takers : 0;
  for (std::size_t at = 0; at < sharers.size(); ++at) {
    const NodeId& id = sharers[at].node->id;
    const double gift = is_taker(sharers[at]) ? left : 0;
    if (is_taker(sharers[at])) {
      result.grants[id].push_back(
          {.function = function.function, .granted = Rate{granted[at]}, .left = Rate{gift}});
    }
    const double cap = 2 * granted[at] + gift + guest_burst_per_second;
    plan.guests.push_back({.id = id, .rate = Rate{std::min(cap, rate_max)}});
  }
}

}  // namespace

StrategyResult plan_grant_and_spill(const NodeView& view, const StrategyMemory& memory,
                                    Random& /*random*/) {
  StrategyResult result;
  const double period = std::max(0.1, to_seconds(view.period));
  for (const FunctionView& function : view.functions) {
    const std::vector<Offer> sharers = sharers_of(view, function.function);
    const std::vector<Offer> offers = offers_among(sharers);
    FunctionPlan plan = plan_function(function, offers, result.memory, memory, period);
    add_asks(function, offers, result.memory, result);
    add_grants(function, sharers, plan, result);
    result.functions.push_back(std::move(plan));
  }
  return result;
}

}  // namespace dfaas
