// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Views to test strategies with: small ones to check by hand, and hostile ones.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "core/base/random.hpp"
#include "core/model/node_view.hpp"
#include "core/strategy/strategy.hpp"

namespace dfaas::views {

/// Ids in the order of their numbers, below 32 x 26.
inline NodeId node(std::size_t number) {
  std::string text(NodeId::length, 'a');
  text[0] = static_cast<char>('a' + number / 26);
  text[1] = static_cast<char>('a' + number % 26);
  return *NodeId::parse(text);
}

inline FunctionName named(std::string_view name) { return *FunctionName::parse(name); }

inline const FunctionName work = named("work");

/// Ten slots of 100 ms each: 100 requests/s at most.
inline FunctionView own(double arrivals, const FunctionName& name = work) {
  return {.function = name,
          .digest = "d",
          .deployed = true,
          .slots = 10,
          .service_time = Micros{100'000},
          .arrivals = Rate{arrivals},
          .arrivals_latest = Rate{arrivals}};
}

/// A function that only neighbours run.
inline FunctionView foreign(double arrivals, const FunctionName& name = work) {
  return {.function = name,
          .digest = "d",
          .service_time = Micros{100'000},
          .arrivals = Rate{arrivals},
          .arrivals_latest = Rate{arrivals}};
}

/// Ten slots of 100 ms, too, where nothing else is said.
inline NeighbourFunction theirs(NeighbourFunction function = {.slots = 10}) {
  if (function.function.empty()) function.function = work;
  if (function.service_time.count() == 0) function.service_time = Micros{100'000};
  return function;
}

inline NeighbourView neighbour(std::size_t number, NeighbourFunction function = {.slots = 10}) {
  return {.id = node(number),
          .slot = static_cast<int>(number),
          .up = true,
          .functions = {theirs(std::move(function))}};
}

inline const FunctionPeer* peer(const FunctionPlan& plan, std::size_t number) {
  const auto found = std::ranges::find(plan.peers, node(number), &FunctionPeer::id);
  return found == plan.peers.end() ? nullptr : &*found;
}

/// Its share or weight, 0 where it has none.
inline double weight(const FunctionPlan& plan, std::size_t number) {
  const FunctionPeer* found = peer(plan, number);
  return found == nullptr ? 0 : found->weight;
}

inline StrategyResult plan(std::string_view strategy, const NodeView& view,
                           std::uint64_t seed = 1) {
  Random random{seed};
  return find_strategy(strategy)->plan(view, {}, random);
}

/// Numbers as extreme as messages and labels may carry, mixed with ordinary ones.
inline NodeView hostile_view(Random& random) {
  const auto rate = [&random] {
    const std::size_t kind = below(random, 10);
    return Rate{kind < 2 ? 0 : kind == 2 ? 1e9 : kind == 3 ? 1e-9 : uniform(random, 0, 300)};
  };
  const auto service_time = [&random] {
    const std::size_t kind = below(random, 10);
    return Micros{kind == 0   ? 1
                  : kind == 1 ? 86'400'000'000
                              : 1 + static_cast<Micros::rep>(below(random, 1'000'000))};
  };
  const auto slots = [&random] {
    const std::size_t kind = below(random, 10);
    return kind < 2 ? 0 : kind == 2 ? 100'000 : 1 + static_cast<int>(below(random, 20));
  };
  const auto pool = [&random] {
    const std::size_t kind = below(random, 4);
    return kind < 2 ? std::string() : std::string(kind == 2 ? "a" : "b");
  };
  NodeView view{.self = node(0)};
  const std::size_t functions = 1 + below(random, 6);
  for (std::size_t at = 0; at < functions; ++at) {
    FunctionView function = own(0, named("f" + std::to_string(at)));
    function.deployed = below(random, 4) > 0;
    function.slots = function.deployed ? std::max(1, slots()) : 0;
    function.service_time = service_time();
    function.arrivals = rate();
    function.arrivals_latest = rate();
    function.guest_arrivals = rate();
    function.traits.pool = pool();
    if (below(random, 3) == 0) function.traits.max_rate = rate();
    view.functions.push_back(function);
  }
  const std::size_t neighbours = below(random, 4) == 0 ? 64 : below(random, 6);
  for (std::size_t number = 1; number <= neighbours; ++number) {
    NeighbourView sharer{.id = node(number),
                         .slot = static_cast<int>(number),
                         .up = below(random, 4) > 0,
                         .rtt = service_time()};
    for (const FunctionView& function : view.functions) {
      if (below(random, 3) == 0) continue;
      sharer.functions.push_back({.function = function.function,
                                  .slots = slots(),
                                  .pool = pool(),
                                  .arrivals = rate(),
                                  .service_time = service_time(),
                                  .granted = rate(),
                                  .left = rate(),
                                  .asked = rate(),
                                  .accepted = below(random, 100),
                                  .refused = below(random, 100)});
    }
    view.neighbours.push_back(std::move(sharer));
  }
  for (const FunctionView& function : view.functions) {
    ExternalShares told{.local = uniform(random, 0, 0.5), .refused = uniform(random, 0, 0.2)};
    const double rest = 1 - told.local - told.refused;
    if (below(random, 3) == 0) told.local = -1;
    if (below(random, 2) == 0) told.neighbours[node(1 + below(random, 70))] = rest;
    view.external[function.function] = told;
  }
  return view;
}

/// What a view promises not to hold: times of 0, and no slots where a function is deployed.
inline NodeView broken_view(Random& random) {
  NodeView view = hostile_view(random);
  for (FunctionView& function : view.functions) {
    if (below(random, 2) == 0) function.service_time = Micros{0};
    if (below(random, 2) == 0) function.slots = 0;
  }
  for (NeighbourView& neighbour : view.neighbours) {
    for (NeighbourFunction& function : neighbour.functions) {
      if (below(random, 2) == 0) function.service_time = Micros{0};
    }
  }
  return view;
}

}  // namespace dfaas::views
