// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/power_of_two.hpp"

#include "core/strategy/capacity.hpp"
#include "core/strategy/spill.hpp"

namespace dfaas {

StrategyResult plan_power_of_two(const NodeView& view, const StrategyMemory& /*memory*/,
                                 Random& /*random*/) {
  const auto capacity = [](const Sharer& runner) { return max_rate(*runner.function).per_second; };
  return plan_spill_with({.draws = 2, .weight = capacity}, view);
}

}  // namespace dfaas
