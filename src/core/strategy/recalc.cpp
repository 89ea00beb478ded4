// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/recalc.hpp"

#include <algorithm>
#include <cmath>

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

constexpr double limit_min = 1e-6;  ///< Requests/s; less is no limit but a refusal.

FunctionPlan empty_plan(const FunctionView& function) {
  return {
      .function = function.function, .rule = RoutingRule::rate, .guest_rule = GuestRule::capped};
}

/// Those who may want to send us requests: they run the function, or said that they need it.
std::vector<Sharer> takers_of(const NodeView& view, const FunctionName& function) {
  std::vector<Sharer> takers = sharers_of(view, function);
  std::erase_if(takers, [](const Sharer& sharer) {
    return !sharer.node->up || (sharer.function->slots <= 0 && sharer.function->asked <= Rate{});
  });
  return takers;
}

void add_limits(const NodeView& view, FunctionPlan& plan, double margin, StrategyResult& result) {
  const std::vector<Sharer> takers = takers_of(view, plan.function);
  const double limit = std::min(margin / static_cast<double>(takers.size()), rate_max);
  if (takers.empty() || limit < limit_min) return;
  for (const Sharer& taker : takers) {
    plan.guests.push_back({.id = taker.node->id, .rate = Rate{limit}});
    result.grants[taker.node->id].push_back(
        {.function = plan.function, .granted = {}, .left = Rate{limit}});
  }
}

/// What a function may use of its pool here, and what of the rest it offers.
struct PoolPart {
  double local_rate = 0;
  double margin = 0;
};

/// Of each function of the view. Requests of neighbours are not taken off the rest: they come under the
/// limits that they would lower, and a node would take back its room as soon as somebody used it.
std::vector<PoolPart> parts_of(const NodeView& view) {
  std::vector<PoolPart> parts(view.functions.size());
  for (const std::vector<std::size_t>& pool : pools_of(view)) {
    double used = 0;  // Of the pool, by our users.
    for (const std::size_t at : pool) {
      used += view.functions[at].arrivals / max_rate(view.functions[at]);
    }
    const double rest = std::max(0.0, 1 - used) / static_cast<double>(pool.size());
    for (const std::size_t at : pool) {
      const double most = max_rate(view.functions[at]).per_second;
      const double own = view.functions[at].arrivals.per_second / most;
      parts[at] = {.local_rate = most * (used >= 1 ? own / used : 1 - (used - own)),
                   .margin = most * rest};
    }
  }
  return parts;
}

/// A neighbour knows that we need what does not run here only if we ask.
void ask_for(const FunctionView& function, const std::vector<Sharer>& runners,
             StrategyResult& result) {
  if (runs_here(function) || function.arrivals <= Rate{}) return;
  for (const Sharer& runner : runners) {
    const double part = function.arrivals.per_second / static_cast<double>(runners.size());
    result.asks[runner.node->id].push_back(
        {.function = function.function, .rate = Rate{std::min(part, rate_max)}});
  }
}

// --- as published

/// A period may end half a heartbeat early.
constexpr double period_ratio_min = 0.75;

/// Limits in whole requests: what is left over in dividing is nobody's.
double published_limit(const FunctionView& function, std::size_t neighbours) {
  if (neighbours == 0 || function.arrivals_latest >= max_rate(function)) return 0;
  const double margin =
      max_rate(function).per_second - std::floor(function.arrivals_latest.per_second);
  return std::floor(std::floor(margin) / static_cast<double>(neighbours));
}

StrategyResult measure_and_announce(const NodeView& view, const StrategyMemory& memory) {
  StrategyResult result{.functions = memory.plan_in_force};
  result.memory.plan_in_force = memory.plan_in_force;
  for (const FunctionView& function : view.functions) {
    if (!runs_here(function)) continue;
    result.memory.functions[function.function].overloaded =
        function.arrivals_latest >= max_rate(function);
    const std::vector<Sharer> runners = runners_of(view, function.function);
    const double limit = published_limit(function, runners.size());
    if (limit <= 0) continue;
    for (const Sharer& runner : runners) {
      result.grants[runner.node->id].push_back(
          {.function = function.function, .granted = {}, .left = Rate{limit}});
    }
  }
  result.memory.announced = result.grants;
  return result;
}

void add_published_weights(const std::vector<Sharer>& runners, FunctionPlan& plan) {
  double sum = 0;
  for (const Sharer& runner : runners) sum += runner.promised().per_second;
  if (sum <= 0) return;
  for (const Sharer& runner : runners) {
    const double weight = std::floor(runner.promised().per_second * 100 / sum);
    if (weight > 0) plan.peers.push_back(peer_without_window(runner, weight));
  }
}

StrategyResult weigh(const NodeView& view, const StrategyMemory& memory) {
  StrategyResult result{.grants = memory.announced};
  for (const FunctionView& function : view.functions) {
    FunctionPlan plan = empty_plan(function);
    if (runs_here(function)) plan.local_rate = max_rate(function);
    const auto measured = memory.functions.find(function.function);
    if (measured != memory.functions.end() && measured->second.overloaded) {
      add_published_weights(runners_of(view, function.function), plan);
    }
    for (const auto& [id, grants] : memory.announced) {
      const auto limit = std::ranges::find(grants, function.function, &FunctionGrant::function);
      if (limit != grants.end()) plan.guests.push_back({.id = id, .rate = limit->left});
    }
    result.functions.push_back(std::move(plan));
  }
  result.memory.plan_in_force = result.functions;
  result.memory.announced = memory.announced;
  result.memory.functions = memory.functions;
  return result;
}

}  // namespace

StrategyResult plan_recalc(const NodeView& view, const StrategyMemory& /*memory*/,
                           Random& /*random*/) {
  StrategyResult result;
  const std::vector<PoolPart> parts = parts_of(view);
  for (std::size_t at = 0; at < view.functions.size(); ++at) {
    const FunctionView& function = view.functions[at];
    FunctionPlan plan = empty_plan(function);
    plan.local_rate = Rate{parts[at].local_rate};
    add_limits(view, plan, parts[at].margin, result);
    const std::vector<Sharer> runners = runners_of(view, function.function);
    for (const Sharer& runner : runners) {
      const double limit = runner.promised().per_second;
      if (limit >= limit_min) plan.peers.push_back(peer_without_window(runner, limit));
    }
    ask_for(function, runners, result);
    result.functions.push_back(std::move(plan));
  }
  return result;
}

StrategyResult plan_recalc_as_published(const NodeView& view, const StrategyMemory& memory,
                                        Random& /*random*/) {
  const bool is_between =
      memory.plans > 0 && to_seconds(view.period) < period_ratio_min * to_seconds(memory.period);
  if (is_between) {
    return {.functions = memory.plan_in_force, .grants = memory.announced, .memory = memory};
  }
  const bool is_first_half = memory.plans % recalc_published_plans_per_period == 0;
  StrategyResult result = is_first_half ? measure_and_announce(view, memory) : weigh(view, memory);
  result.memory.plans = memory.plans + 1;
  result.memory.period = memory.plans == 0 ? view.period : memory.period;
  return result;
}

}  // namespace dfaas
