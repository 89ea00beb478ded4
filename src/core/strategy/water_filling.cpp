// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/water_filling.hpp"

#include <algorithm>
#include <numeric>

namespace dfaas {

std::vector<double> water_fill(std::span<const double> demands, double capacity) {
  std::vector<std::size_t> order(demands.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [demands](std::size_t at) { return demands[at]; });
  std::vector<double> shares(demands.size(), 0);
  double left = std::max(0.0, capacity);
  std::size_t waiting = order.size();
  for (const std::size_t at : order) {
    const double level = left / static_cast<double>(waiting--);
    shares[at] = std::clamp(demands[at], 0.0, level);
    left -= shares[at];
  }
  return shares;
}

}  // namespace dfaas
