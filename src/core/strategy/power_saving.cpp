// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/power_saving.hpp"

#include "core/strategy/margins.hpp"

namespace dfaas {
namespace {

std::vector<double> power(const UsageModel& model, const NodeLoad& load) {
  return {model.power(load) / model.power_cap};
}

std::vector<double> resources_and_power(const UsageModel& model, const NodeLoad& load) {
  std::vector<double> levels = model.resources(load);
  levels.push_back(power(model, load).front());
  return levels;
}

}  // namespace

StrategyResult plan_power_saving_with(const UsageModel& model, const NodeView& view) {
  return plan_by_margins({.watched = resources_and_power, .measured = power}, model, view);
}

StrategyResult plan_power_saving(const NodeView& view, const StrategyMemory& /*memory*/,
                                 Random& /*random*/) {
  return plan_power_saving_with(linear_usage(), view);
}

}  // namespace dfaas
