// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/grant_and_spill.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"
#include "core/strategy/water_filling.hpp"

namespace dfaas {
namespace {

constexpr double quality_min = 0.02;
constexpr double quality_recovery = 0.05;  ///< Per 2 s: a bad name is forgotten in about a minute.
constexpr double guest_burst_per_second = 2;
constexpr double floor_weight_min = 0.001;
constexpr double displaced_ratio_min = 0.001;  ///< Below, the bookkeeping is not worth it.
constexpr double damping =
    0.5;  ///< Of displacement: half a step per period keeps neighbours in step.

/// One function of the view with the neighbours that share it, and what becomes of it.
struct Part {
  const FunctionView* view;
  std::vector<Sharer> sharers;  ///< In the order of the view.
  std::vector<Sharer> offers;   ///< Those of them to whom requests may go now.
  double service = 0;           ///< Seconds of one run here.
  double excess = 0;            ///< Own requests/s that our slots cannot serve.
  FunctionMemory memory;
  FunctionPlan plan;
};

/// Slots of ours that some functions share.
struct Pool {
  std::vector<Part*> parts;
  double usable = 0;     ///< Slot-seconds per second that we plan with.
  double used = 0;       ///< By our own users.
  double displaced = 0;  ///< Of that, what we send away to make room.

  [[nodiscard]] double headroom() const {
    return std::clamp(usable - used + displaced, 0.0, rate_max);
  }
};

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

template <class Map, class Key>
typename Map::mapped_type recall(const Map& memory, const Key& key) {
  const auto found = memory.find(key);
  return found == memory.end() ? typename Map::mapped_type{} : found->second;
}

class Planner {
 public:
  Planner(const GrantAndSpillKnobs& knobs, const NodeView& view, const StrategyMemory& memory)
      : knobs_(knobs), before_(memory), period_(std::max(0.1, to_seconds(view.period))) {
    for (const FunctionView& function : view.functions) {
      Part part{.view = &function,
                .sharers = sharers_of(view, function.function),
                .service = to_seconds(function.service_time),
                .memory = recall(memory.functions, function.function),
                .plan = {.function = function.function}};
      part.offers = runners_among(part.sharers);
      parts_.push_back(std::move(part));
    }
    gather_pools();
  }

  StrategyResult plan() {
    for (Part& part : parts_) add_peers(part);
    for (auto& [key, pool] : pools_) {
      add_grants(pool);
      if (knobs_.displaced_ratio_max > 0) displace(pool);
    }
    for (Part& part : parts_) {
      add_asks(part);
      result_.functions.push_back(std::move(part.plan));
    }
    // They came pool by pool; messages want them by function.
    for (auto& [id, grants] : result_.grants) {
      std::ranges::sort(grants, {}, &FunctionGrant::function);
    }
    return std::move(result_);
  }

 private:
  void gather_pools() {
    for (Part& part : parts_) {
      const FunctionView& function = *part.view;
      if (!function.deployed) continue;
      const bool is_shared = !function.traits.pool.empty();
      Pool& pool = pools_[{function.traits.pool, is_shared ? FunctionName{} : function.function}];
      pool.parts.push_back(&part);
      pool.usable = std::max(pool.usable, knobs_.usable_ratio * function.slots);
      pool.used += function.arrivals.per_second * part.service;
      pool.displaced += part.memory.displaced * part.service;
    }
    for (Part& part : parts_) {
      if (!part.view->deployed) part.excess = part.view->arrivals.per_second;
    }
    for (auto& [key, pool] : pools_) {
      const double excess_ratio = pool.used <= pool.usable ? 0 : 1 - pool.usable / pool.used;
      for (Part* part : pool.parts) part->excess = part->view->arrivals.per_second * excess_ratio;
    }
  }

  void add_peers(Part& part) {
    const auto degree = static_cast<double>(part.offers.size());
    for (const Sharer& offer : part.offers) {
      const NodeId& id = offer.node->id;
      const std::pair key(id, part.view->function);
      const PeerMemory learnt = learn(recall(before_.peers, key), *offer.function, period_);
      result_.memory.peers.insert_or_assign(key, learnt);
      const double service = to_seconds(offer.function->service_time);
      const double believed =
          std::min(offer.promised().per_second * learnt.quality, learnt.trust_clamp);
      // The clamp holds for the floor, too: slots are claimed, and a claim must not draw work that
      // is then refused.
      const double explored =
          knobs_.floor_ratio * (offer.function->slots / service) / degree * learnt.quality;
      const double floor = std::min(explored, learnt.trust_clamp) + floor_weight_min;
      const double weight = std::min(believed + floor, rate_max);
      // Without grants a window must not be narrower than what the neighbour may well have free, or
      // a node that lost touch would refuse its users beside idle slots; the neighbour's own
      // admission protects it. Who refuses most has a narrow one.
      const double held =
          std::max(2 * weight * (service + to_seconds(offer.node->rtt)) + 2,
                   std::min<double>(offer.function->slots, learnt.trust_clamp * service));
      part.plan.peers.push_back({.id = id,
                                 .weight = weight,
                                 .window = static_cast<int>(std::clamp(std::ceil(held), 1.0, 1e6)),
                                 .floor_weight = std::min(floor, rate_max),
                                 .service_time = offer.function->service_time});
    }
  }

  static bool is_taker(const Sharer& sharer) {
    if (sharer.node->is_refused) return false;
    return sharer.function->asked.per_second > 0 || (sharer.node->up && sharer.function->slots > 0);
  }

  /// Headroom beyond our own users, max-min fairly among those who asked; the rest as a gift ahead to
  /// those who asked or run the function themselves, whose overflow may come at any time. Whoever
  /// shares the function is admitted, before it first asks, too.
  void add_grants(const Pool& pool) {
    std::vector<double> asks;  // Slot-seconds per second.
    std::vector<double> weights;
    double takers = 0;
    for (const Part* part : pool.parts) {
      for (const Sharer& sharer : part->sharers) {
        asks.push_back(sharer.function->asked.per_second * part->service);
        weights.push_back(sharer.node->weight);
        takers += is_taker(sharer) ? sharer.node->weight : 0;
      }
    }
    const std::vector<double> granted = water_fill(asks, weights, pool.headroom());
    double sum = 0;
    for (const double share : granted) sum += share;
    const double left = takers > 0 ? std::max(0.0, pool.headroom() - sum) / takers : 0;
    auto share = granted.begin();
    for (Part* part : pool.parts) {
      for (const Sharer& sharer : part->sharers) {
        const NodeId& id = sharer.node->id;
        // What was asked, to the last digit: a grant never exceeds the ask.
        const Rate grant{std::min(*share++ / part->service, sharer.function->asked.per_second)};
        const Rate gift{
            is_taker(sharer) ? std::min(left * sharer.node->weight / part->service, rate_max) : 0};
        if (is_taker(sharer)) {
          result_.grants[id].push_back(
              {.function = part->view->function, .granted = grant, .left = gift});
        }
        // Slots come free faster than grants are told: so anybody may have a part of the pool. Own
        // users come first whatever the cap; it keeps one neighbour from taking what others need.
        const double cap = 2 * grant.per_second + gift.per_second + guest_burst_per_second +
                           knobs_.guest_cap_ratio * std::min(1.0, sharer.node->weight) *
                               pool.usable / part->service;
        part->plan.guests.push_back({.id = id, .rate = Rate{std::min(cap, rate_max)}});
      }
    }
  }

  /// Demand of neighbours beyond our headroom is met by sending as much of our own load on, as far as
  /// others have room for it. Measured against the headroom without displacement, or it would undo
  /// itself.
  void displace(const Pool& pool) {
    double asked = 0;
    for (const Part* part : pool.parts) {
      for (const Sharer& sharer : part->sharers) {
        asked += sharer.function->asked.per_second * part->service;
      }
    }
    const double unmet = std::max(0.0, asked - std::max(0.0, pool.usable - pool.used));
    for (Part* part : pool.parts) {
      const double arrivals = part->view->arrivals.per_second;
      const double share = pool.used > 0 ? unmet * arrivals / pool.used : 0;
      FunctionMemory& memory = part->memory;
      const double most = knobs_.displaced_ratio_max * arrivals;
      memory.relayed += damping * (std::min(most, share) - memory.relayed);
      double promised = 0;
      for (const Sharer& offer : part->offers) {
        promised +=
            offer.promised().per_second *
            recall(result_.memory.peers, std::pair(offer.node->id, part->view->function)).quality;
      }
      const double possible = std::max(0.0, promised - part->excess);
      memory.displaced += damping * (std::min(memory.relayed, possible) - memory.displaced);
      const double ratio = arrivals > 0 ? memory.displaced / arrivals : 0;
      if (ratio >= displaced_ratio_min) {
        part->plan.displaced_ratio = std::min(ratio, knobs_.displaced_ratio_max);
      }
      result_.memory.functions[part->view->function] = memory;
    }
  }

  /// Our excess, and what we relay, split where grants and leftovers were.
  void add_asks(const Part& part) {
    const double wanted = part.excess + part.memory.relayed;
    if (wanted <= 0 || part.offers.empty()) return;
    std::vector<double> pull;
    double sum = 0;
    for (const Sharer& offer : part.offers) {
      const PeerMemory learnt =
          recall(result_.memory.peers, std::pair(offer.node->id, part.view->function));
      pull.push_back(offer.promised().per_second * learnt.quality + 1e-6);
      sum += pull.back();
    }
    for (std::size_t at = 0; at < part.offers.size(); ++at) {
      result_.asks[part.offers[at].node->id].push_back(
          {.function = part.view->function,
           .rate = Rate{std::min(wanted * pull[at] / sum, rate_max)}});
    }
  }

  const GrantAndSpillKnobs& knobs_;
  const StrategyMemory& before_;
  double period_;
  std::vector<Part> parts_;
  std::map<std::pair<std::string_view, FunctionName>, Pool> pools_;
  StrategyResult result_;
};

}  // namespace

StrategyResult plan_grant_and_spill_with(const GrantAndSpillKnobs& knobs, const NodeView& view,
                                         const StrategyMemory& memory) {
  return Planner(knobs, view, memory).plan();
}

StrategyResult plan_grant_and_spill(const NodeView& view, const StrategyMemory& memory,
                                    Random& /*random*/) {
  return plan_grant_and_spill_with({}, view, memory);
}

}  // namespace dfaas
