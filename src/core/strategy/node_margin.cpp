// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/node_margin.hpp"

#include <cmath>
#include <map>
#include <utility>

#include "core/strategy/capacity.hpp"
#include "core/strategy/margins.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

std::vector<double> resources(const UsageModel& model, const NodeLoad& load) {
  return model.resources(load);
}

// --- as published

bool is_overloaded(const UsageModel& model, const NodeLoad& load) {
  return highest(model.resources(load)) > 1 || model.power(load) > 1;
}

double mean_usage(const UsageModel& model, const NodeLoad& load) {
  return (highest(model.resources(load)) + model.power(load)) / 2;
}

/// What the published walk leaves here and sends to whom, in requests/s.
struct Moved {
  NodeLoad kept;
  std::map<std::pair<std::size_t, NodeId>, double> sent;  ///< By position in `kept`.
};

Moved walk_as_published(const UsageModel& model, NodeLoad own, std::vector<MarginNeighbour> targets,
                        Random& random) {
  Moved moved{.kept = std::move(own), .sent = {}};
  std::erase_if(targets, [](const MarginNeighbour& target) { return target.margin <= 0; });
  std::map<const NeighbourView*, std::pair<double, std::size_t>> progress;
  for (const MarginNeighbour& target : targets) {
    progress[target.view] = {mean_usage(model, target.load), 0};
  }
  for (int step = 0;
       step < margin_steps_max && is_overloaded(model, moved.kept) && !targets.empty(); ++step) {
    const std::size_t turn = below(random, targets.size());
    MarginNeighbour& target = targets[turn];
    auto& [before, next] = progress[target.view];
    next %= target.common.size();
    const CommonFunction function = target.common[next];
    Rate& kept = moved.kept.functions[function.here].rate;
    Rate& there = target.load.functions[function.there].rate;
    const Rate quantum = kept * 0.01;
    const Rate there_before = std::exchange(there, there + quantum);
    if (quantum > Rate{} && mean_usage(model, target.load) - before < target.margin) {
      kept = kept - quantum;
      moved.sent[{function.here, target.view->id}] += quantum.per_second;
      ++next;
      continue;
    }
    there = there_before;
    target.common.erase(target.common.begin() + static_cast<std::ptrdiff_t>(next));
    if (target.common.empty()) targets.erase(targets.begin() + static_cast<std::ptrdiff_t>(turn));
  }
  return moved;
}

/// In whole percents.
double rounded(double part) { return std::round(part * 100) / 100; }

FunctionPlan published_plan(const NodeView& view, const FunctionView& function, const Moved& moved,
                            std::size_t here) {
  FunctionPlan plan{.function = function.function,
                    .rule = RoutingRule::shares,
                    .guest_rule = GuestRule::as_users,
                    .guests = guests_without_cap(view, function.function)};
  const double rate = function.arrivals_latest.per_second;
  if (!runs_here(function) || rate <= 0) return plan;
  plan.local_share = rounded(moved.kept.functions[here].rate.per_second / rate);
  for (const Sharer& runner : runners_of(view, function.function)) {
    const auto sent = moved.sent.find({here, runner.node->id});
    const double share = sent == moved.sent.end() ? 0 : rounded(sent->second / rate);
    if (share > 0) plan.peers.push_back(peer_without_window(runner, share));
  }
  return plan;
}

}  // namespace

StrategyResult plan_node_margin_with(const UsageModel& model, const NodeView& view) {
  return plan_by_margins({.watched = resources, .measured = resources}, model, view);
}

StrategyResult plan_node_margin(const NodeView& view, const StrategyMemory& /*memory*/,
                                Random& /*random*/) {
  return plan_node_margin_with(linear_usage(), view);
}

StrategyResult plan_node_margin_as_published(const NodeView& view, const StrategyMemory& /*memory*/,
                                             Random& random) {
  StrategyResult result;
  const UsageModel model = linear_usage();
  NodeLoad own =
      load_of(view, [](const FunctionView& function) { return function.arrivals_latest; });
  std::vector<MarginNeighbour> neighbours = margin_neighbours(view, own);
  if (!neighbours.empty() && !is_overloaded(model, own)) {
    const double margin = (1 - mean_usage(model, own)) / static_cast<double>(neighbours.size());
    tell_margin(own, neighbours, margin, result);
  }
  const Moved moved = walk_as_published(model, std::move(own), std::move(neighbours), random);
  std::size_t here = 0;
  for (const FunctionView& function : view.functions) {
    result.functions.push_back(published_plan(view, function, moved, here));
    if (runs_here(function)) ++here;
  }
  return result;
}

}  // namespace dfaas
