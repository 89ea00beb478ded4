// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/spill.hpp"

#include <algorithm>
#include <cmath>

#include "core/strategy/capacity.hpp"

namespace dfaas {
namespace {

int window_at(const Sharer& runner) {
  const double service = service_seconds(runner.function->service_time);
  const double held = runner.function->slots * (1 + to_seconds(runner.node->rtt) / service);
  return static_cast<int>(std::clamp(std::ceil(2 * held + 2), 1.0, 1e6));
}

}  // namespace

StrategyResult plan_spill_with(const SpillKnobs& knobs, const NodeView& view) {
  StrategyResult result;
  for (const FunctionView& function : view.functions) {
    FunctionPlan plan{.function = function.function,
                      .draws = knobs.draws,
                      .guests = guests_without_cap(view, function.function)};
    for (const Sharer& runner : runners_of(view, function.function)) {
      plan.peers.push_back(peer_without_window(runner, knobs.weight(runner)));
      plan.peers.back().window = window_at(runner);
    }
    result.functions.push_back(std::move(plan));
  }
  return result;
}

}  // namespace dfaas
