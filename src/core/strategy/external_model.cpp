// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/external_model.hpp"

#include <vector>

#include "core/strategy/capacity.hpp"
#include "core/strategy/external_codec.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

bool is_share(double value) { return value >= 0 && value <= 1; }

/// As told, among those who are there.
FunctionPlan plan_as_told(const NodeView& view, const FunctionView& function,
                          const ExternalShares& told) {
  const std::vector<Sharer> runners = runners_of(view, function.function);
  std::vector<double> shares;
  const double local = runs_here(function) ? told.local : 0;
  double sum = local + told.refused;
  for (const Sharer& runner : runners) {
    const auto found = told.neighbours.find(runner.node->id);
    sum += shares.emplace_back(found == told.neighbours.end() ? 0 : found->second);
  }
  if (sum <= 0) return plan_by_shares(view, function, {}, {});
  for (double& share : shares) share /= sum;
  return plan_by_shares(view, function, runners, shares, told.refused / sum);
}

}  // namespace

bool is_usable(const ExternalShares& told) {
  double sum = told.local + told.refused;
  bool are_shares = is_share(told.local) && is_share(told.refused);
  for (const auto& [id, share] : told.neighbours) {
    are_shares = are_shares && is_share(share);
    sum += share;
  }
  return are_shares && sums_to_one(sum);
}

StrategyResult plan_external_model(const NodeView& view, const StrategyMemory& /*memory*/,
                                   Random& /*random*/) {
  StrategyResult result;
  for (const FunctionView& function : view.functions) {
    const auto told = view.external.find(function.function);
    const bool is_told = told != view.external.end() && is_usable(told->second);
    result.functions.push_back(is_told ? plan_as_told(view, function, told->second)
                                       : plan_by_shares(view, function, {}, {}));
  }
  return result;
}

}  // namespace dfaas
