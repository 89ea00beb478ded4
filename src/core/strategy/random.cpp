// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/random.hpp"

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

constexpr std::size_t weight_max = 100;  ///< As in the prototype.

}  // namespace

StrategyResult plan_random(const NodeView& view, const StrategyMemory& /*memory*/, Random& random) {
  StrategyResult result;
  const std::vector<double> excess = excess_ratios(view);
  for (std::size_t at = 0; at < view.functions.size(); ++at) {
    const FunctionView& function = view.functions[at];
    const std::vector<Sharer> runners = runners_of(view, function.function);
    std::vector<double> weights(runners.size());
    for (double& weight : weights) weight = static_cast<double>(1 + below(random, weight_max));
    result.functions.push_back(
        plan_by_shares(view, function, runners, in_proportion(weights, excess[at])));
  }
  return result;
}

}  // namespace dfaas
