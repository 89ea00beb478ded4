// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/capacity.hpp"

#include <algorithm>
#include <map>
#include <string_view>

namespace dfaas {
namespace {

constexpr double rate_min = 1e-9;

Rate full_rate(int slots, Micros service_time) {
  return Rate{std::clamp(slots / service_seconds(service_time), rate_min, rate_max)};
}

}  // namespace

double service_seconds(Micros service_time) { return std::max(1e-6, to_seconds(service_time)); }

bool runs_here(const FunctionView& function) { return function.deployed && function.slots > 0; }

Rate max_rate(const FunctionView& function) {
  if (!function.traits.max_rate) return full_rate(function.slots, function.service_time);
  return Rate{std::clamp(function.traits.max_rate->per_second, rate_min, rate_max)};
}

Rate max_rate(const NeighbourFunction& function) {
  return full_rate(function.slots, function.service_time);
}

std::vector<std::vector<std::size_t>> pools_of(const NodeView& view) {
  std::vector<std::vector<std::size_t>> pools;
  std::map<std::string_view, std::size_t> named;
  for (std::size_t at = 0; at < view.functions.size(); ++at) {
    const FunctionView& function = view.functions[at];
    if (!runs_here(function)) continue;
    const std::string& name = function.traits.pool;
    const auto known = name.empty() ? named.end() : named.find(name);
    if (known != named.end()) {
      pools[known->second].push_back(at);
      continue;
    }
    if (!name.empty()) named.emplace(name, pools.size());
    pools.push_back({at});
  }
  return pools;
}

std::vector<double> excess_ratios(const NodeView& view) {
  std::vector<double> ratios(view.functions.size(), 1);
  for (const std::vector<std::size_t>& pool : pools_of(view)) {
    double usage = 0;
    for (const std::size_t at : pool) {
      usage += view.functions[at].arrivals / max_rate(view.functions[at]);
    }
    for (const std::size_t at : pool) ratios[at] = usage > 1 ? 1 - 1 / usage : 0;
  }
  return ratios;
}

std::vector<double> pool_usages(const NeighbourView& neighbour) {
  std::map<std::string_view, double> shared;
  std::vector<double> usages;
  for (const NeighbourFunction& function : neighbour.functions) {
    usages.push_back(function.slots > 0 ? function.arrivals / max_rate(function) : 0);
    if (!function.pool.empty()) shared[function.pool] += usages.back();
  }
  for (std::size_t at = 0; at < usages.size(); ++at) {
    const NeighbourFunction& function = neighbour.functions[at];
    if (function.slots > 0 && !function.pool.empty()) usages[at] = shared[function.pool];
  }
  return usages;
}

}  // namespace dfaas
