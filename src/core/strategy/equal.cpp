// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/equal.hpp"

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

constexpr int steps_max = 100;  ///< Of 1 % each.

/// Usage of a pool: what stays whatever we do, and what may go.
struct PoolUse {
  double fixed = 0;
  double movable = 0;

  /// The fewest steps after which the pool is not overloaded; all of them if it always is.
  [[nodiscard]] int steps() const {
    int steps = 0;
    const auto usage = [this](int after) {
      return fixed + movable * (steps_max - after) / steps_max;
    };
    while (steps < steps_max && usage(steps) > 1) ++steps;
    return steps;
  }
};

}  // namespace

StrategyResult plan_equal(const NodeView& view, const StrategyMemory& /*memory*/,
                          Random& /*random*/) {
  std::vector<std::vector<Sharer>> runners;
  runners.reserve(view.functions.size());
  for (const FunctionView& function : view.functions) {
    runners.push_back(runners_of(view, function.function));
  }
  std::vector<double> away(view.functions.size(), 1);  // As for what does not run here.
  for (const std::vector<std::size_t>& pool : pools_of(view)) {
    PoolUse use;
    for (const std::size_t at : pool) {
      const FunctionView& function = view.functions[at];
      use.fixed += function.guest_arrivals / max_rate(function);
      (runners[at].empty() ? use.fixed : use.movable) += function.arrivals / max_rate(function);
    }
    for (const std::size_t at : pool) {
      away[at] = view.functions[at].arrivals > Rate{} ? 1.0 * use.steps() / steps_max : 0;
    }
  }
  StrategyResult result;
  for (std::size_t at = 0; at < view.functions.size(); ++at) {
    const std::vector<double> equal(runners[at].size(), 1);
    result.functions.push_back(
        plan_by_shares(view, view.functions[at], runners[at], in_proportion(equal, away[at])));
  }
  return result;
}

}  // namespace dfaas
