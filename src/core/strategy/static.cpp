// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/static.hpp"

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

constexpr double away_share = 0.4;  ///< As in the prototype.

}  // namespace

StrategyResult plan_static(const NodeView& view, const StrategyMemory& /*memory*/,
                           Random& /*random*/) {
  StrategyResult result;
  for (const FunctionView& function : view.functions) {
    const std::vector<Sharer> runners = runners_of(view, function.function);
    const std::vector<double> equal(runners.size(), 1);
    const double away = runs_here(function) ? away_share : 1;
    result.functions.push_back(plan_by_shares(view, function, runners, in_proportion(equal, away)));
  }
  return result;
}

}  // namespace dfaas
