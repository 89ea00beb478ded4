// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/water_filling.hpp"

#include <algorithm>
#include <numeric>

#include "core/base/assert.hpp"

namespace dfaas {

std::vector<double> water_fill(std::span<const double> demands, double capacity) {
  const std::vector<double> equal(demands.size(), 1);
  return water_fill(demands, equal, capacity);
}

std::vector<double> water_fill(std::span<const double> demands, std::span<const double> weights,
                               double capacity) {
  DFAAS_ASSERT(demands.size() == weights.size(), "each demand has a weight");
  std::vector<std::size_t> order(demands.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t at) { return demands[at] / weights[at]; });
  std::vector<double> shares(demands.size(), 0);
  double left = std::max(0.0, capacity);
  // Summed from the end, so that the last one gets what is left to the last digit.
  std::vector<double> waiting(order.size());
  double sum = 0;
  for (std::size_t place = order.size(); place-- > 0;) {
    sum += weights[order[place]];
    waiting[place] = sum;
  }
  for (std::size_t place = 0; place < order.size(); ++place) {
    const std::size_t at = order[place];
    const double level = left * weights[at] / waiting[place];
    shares[at] = std::clamp(demands[at], 0.0, level);
    left -= shares[at];
  }
  return shares;
}

}  // namespace dfaas
