// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/usage_model.hpp"

#include <algorithm>
#include <map>
#include <string_view>

#include "core/strategy/capacity.hpp"

namespace dfaas {
namespace {

constexpr double idle_power = 0.2;  ///< Guessed; small servers are between 0.1 and 0.5.

/// Numbers pools in the order in which they come.
class PoolNumbers {
 public:
  std::size_t of(std::string_view name) {
    if (name.empty()) return count_++;
    const auto [place, is_new] = named_.try_emplace(name, count_);
    if (is_new) ++count_;
    return place->second;
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::map<std::string_view, std::size_t> named_;
  std::size_t count_ = 0;
};

double slots_in_use(const FunctionLoad& function) {
  return function.rate.per_second * service_seconds(function.service_time);
}

std::vector<double> linear_resources(const NodeLoad& load) {
  std::vector<double> usages(load.pools, 0);
  for (const FunctionLoad& function : load.functions) {
    usages[function.pool] += slots_in_use(function) / function.slots;
  }
  return usages;
}

double linear_power(const NodeLoad& load) {
  std::vector<int> slots(load.pools, 0);
  double in_use = 0;
  for (const FunctionLoad& function : load.functions) {
    slots[function.pool] = std::max(slots[function.pool], function.slots);
    in_use += slots_in_use(function);
  }
  double all = 0;
  for (const int of_pool : slots) all += of_pool;
  return idle_power + (all > 0 ? (1 - idle_power) * in_use / all : 0);
}

}  // namespace

NodeLoad load_of(const NodeView& view, Rate (*rate)(const FunctionView& function)) {
  NodeLoad load;
  PoolNumbers pools;
  for (const FunctionView& function : view.functions) {
    if (!runs_here(function)) continue;
    load.functions.push_back({.function = function.function,
                              .rate = rate(function),
                              .service_time = function.service_time,
                              .slots = function.slots,
                              .pool = pools.of(function.traits.pool)});
  }
  load.pools = pools.count();
  return load;
}

NodeLoad load_of(const NeighbourView& neighbour) {
  NodeLoad load;
  PoolNumbers pools;
  for (const NeighbourFunction& function : neighbour.functions) {
    if (function.slots <= 0) continue;
    load.functions.push_back({.function = function.function,
                              .rate = function.arrivals,
                              .service_time = function.service_time,
                              .slots = function.slots,
                              .pool = pools.of(function.pool)});
  }
  load.pools = pools.count();
  return load;
}

UsageModel linear_usage() { return {.resources = linear_resources, .power = linear_power}; }

}  // namespace dfaas
