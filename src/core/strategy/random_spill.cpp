// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/random_spill.hpp"

#include "core/strategy/spill.hpp"

namespace dfaas {

StrategyResult plan_random_spill(const NodeView& view, const StrategyMemory& /*memory*/,
                                 Random& /*random*/) {
  return plan_spill_with({.draws = 1, .weight = [](const Sharer&) { return 1.0; }}, view);
}

}  // namespace dfaas
