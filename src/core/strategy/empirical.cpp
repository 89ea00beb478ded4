// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/empirical.hpp"

#include <algorithm>
#include <map>

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

// As in the prototype: the noise, and what stands in for a figure of 0 that is divided by.
constexpr double calm_probability = 0.4;
constexpr double noise_max = 0.4;
constexpr double service_seconds_min = 0.001;
constexpr double usage_min = 0.01;

struct Helper {
  Sharer runner;
  double pool_usage = 0;
};

/// Adds a division of 1 in proportion to `figure`; nothing where it is 0 for all.
template <class Figure>
void add_votes(std::vector<double>& votes, const std::vector<Helper>& helpers, Figure figure) {
  std::vector<double> weights;
  double sum = 0;
  for (const Helper& helper : helpers) sum += weights.emplace_back(figure(helper));
  if (sum <= 0) return;
  for (std::size_t at = 0; at < votes.size(); ++at) votes[at] += weights[at] / sum;
}

/// Requests/s for which the neighbour has room beside its own users.
double margin(const Helper& helper) {
  return max_rate(*helper.runner.function).per_second * (1 - helper.pool_usage);
}

std::vector<double> votes_for(const std::vector<Helper>& helpers) {
  std::vector<double> votes(helpers.size(), 0);
  const auto own_usage = [](const Helper& helper) {
    return helper.runner.function->arrivals / max_rate(*helper.runner.function);
  };
  add_votes(votes, helpers, [](const Helper& helper) { return helper.runner.function->slots; });
  add_votes(votes, helpers, margin);
  add_votes(votes, helpers, [&](const Helper& helper) {
    const double usage = own_usage(helper);
    // One request per second stands in for none.
    return usage > 0 ? 1 / usage : max_rate(*helper.runner.function).per_second;
  });
  add_votes(votes, helpers, [](const Helper& helper) {
    return 1 / std::max(service_seconds_min, to_seconds(helper.runner.function->service_time));
  });
  add_votes(votes, helpers,
            [](const Helper& helper) { return 1 / std::max(usage_min, helper.pool_usage); });
  add_votes(votes, helpers,
            [&](const Helper& helper) { return 1 / std::max(usage_min, own_usage(helper)); });
  return votes;
}

void disturb(std::vector<double>& votes, Random& random) {
  for (double& vote : votes) {
    if (uniform(random, 0, 1) < calm_probability) continue;
    const double noise = uniform(random, 0, noise_max) * vote;
    vote += uniform(random, 0, 1) < 0.5 ? noise : -noise;
  }
}

}  // namespace

StrategyResult plan_empirical(const NodeView& view, const StrategyMemory& /*memory*/,
                              Random& random) {
  std::map<const NeighbourView*, std::vector<double>> usages;
  for (const NeighbourView& neighbour : view.neighbours) {
    usages.emplace(&neighbour, pool_usages(neighbour));
  }
  StrategyResult result;
  const std::vector<double> excess = excess_ratios(view);
  for (std::size_t at = 0; at < view.functions.size(); ++at) {
    const FunctionView& function = view.functions[at];
    std::vector<Helper> helpers;
    std::vector<Sharer> runners;
    for (const Sharer& runner : runners_of(view, function.function)) {
      const auto place = runner.function - runner.node->functions.data();
      const double usage = usages[runner.node][static_cast<std::size_t>(place)];
      // What does not run here goes to somebody, be they all busy.
      if (usage >= 1 && runs_here(function)) continue;
      helpers.push_back({runner, std::min(usage, 1.0)});
      runners.push_back(runner);
    }
    std::vector<double> votes = votes_for(helpers);
    disturb(votes, random);
    result.functions.push_back(
        plan_by_shares(view, function, runners, in_proportion(votes, excess[at])));
  }
  return result;
}

}  // namespace dfaas
