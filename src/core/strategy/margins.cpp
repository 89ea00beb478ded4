// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/margins.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "core/strategy/capacity.hpp"
#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

constexpr int parts = 100;  ///< Of a function's rate, moved one at a time; as in the prototype.

Rate rate_of_users(const FunctionView& function) { return function.arrivals; }
Rate rate_of_all(const FunctionView& function) {
  return function.arrivals + function.guest_arrivals;
}

/// Rate at which one function alone keeps its pool busy.
double full_rate(const FunctionLoad& function) {
  return function.slots / service_seconds(function.service_time);
}

double largest_growth(const std::vector<double>& before, const std::vector<double>& after) {
  double growth = 0;
  for (std::size_t at = 0; at < before.size(); ++at) {
    growth = std::max(growth, after[at] - before[at]);
  }
  return growth;
}

/// Does it bring down something that is too high?
bool is_relief(const std::vector<double>& before, const std::vector<double>& after) {
  for (std::size_t at = 0; at < before.size(); ++at) {
    if (before[at] > 1 && after[at] < before[at]) return true;
  }
  return false;
}

/// Moves load from here to neighbours, step by step.
class Walk {
 public:
  Walk(const MarginRule& rule, const UsageModel& model, const NodeView& view,
       std::vector<MarginNeighbour> neighbours)
      : rule_(rule),
        model_(model),
        here_(load_of(view, rate_of_all)),
        users_(load_of(view, rate_of_users)),
        kept_(here_.functions.size(), parts) {
    for (MarginNeighbour& neighbour : neighbours) {
      if (neighbour.margin <= 0) continue;
      std::vector<double> before = rule.measured(model, neighbour.load);
      targets_.push_back({std::move(neighbour), std::move(before)});
    }
  }

  void run() {
    std::vector<double> levels = rule_.watched(model_, here_);
    std::size_t turn = 0;
    for (int step = 0; step < margin_steps_max && highest(levels) > 1 && !targets_.empty();
         ++step) {
      turn %= targets_.size();
      Target& target = targets_[turn];
      std::vector<CommonFunction>& common = target.node.common;
      const CommonFunction function = common[target.next];
      if (move(target, function, levels)) {
        target.next = (target.next + 1) % common.size();
        ++turn;
        continue;
      }
      common.erase(common.begin() + static_cast<std::ptrdiff_t>(target.next));
      if (common.empty()) {
        targets_.erase(targets_.begin() + static_cast<std::ptrdiff_t>(turn));
      } else {
        target.next %= common.size();
        ++turn;
      }
    }
  }

  /// Of the users' requests of the function at `here` of our load, the part that goes to the neighbour.
  [[nodiscard]] double share(std::size_t here, const NodeId& id) const {
    const auto found = moved_.find({here, id});
    return found == moved_.end() ? 0 : 1.0 * found->second / parts;
  }

 private:
  struct Target {
    MarginNeighbour node;
    std::vector<double> before;  ///< What is measured there, without us.
    std::size_t next = 0;        ///< Of the common functions.
  };

  /// One step, if it helps here and fits there.
  bool move(Target& target, const CommonFunction& function, std::vector<double>& levels) {
    const Rate quantum = users_.functions[function.here].rate * (1.0 / parts);
    if (kept_[function.here] == 0 || quantum <= Rate{}) return false;
    Rate& from = here_.functions[function.here].rate;
    Rate& to = target.node.load.functions[function.there].rate;
    const Rate from_before = std::exchange(from, from - quantum);
    const Rate to_before = std::exchange(to, to + quantum);
    std::vector<double> relieved = rule_.watched(model_, here_);
    if (!is_relief(levels, relieved) || !fits(target)) {
      from = from_before;
      to = to_before;
      return false;
    }
    levels = std::move(relieved);
    --kept_[function.here];
    ++moved_[{function.here, target.node.view->id}];
    return true;
  }

  [[nodiscard]] bool fits(const Target& target) const {
    const std::vector<double> after = rule_.measured(model_, target.node.load);
    return largest_growth(target.before, after) < target.node.margin &&
           highest(rule_.watched(model_, target.node.load)) <= 1;
  }

  const MarginRule& rule_;
  const UsageModel& model_;
  NodeLoad here_;
  NodeLoad users_;
  std::vector<int> kept_;  ///< Parts of each function of here_.
  std::vector<Target> targets_;
  std::map<std::pair<std::size_t, NodeId>, int> moved_;  ///< Parts.
};

/// The margin for each of our neighbours. Requests of neighbours do not lessen it: they come by the
/// margins that they would lessen, and a node would take back its room as soon as somebody used it.
double margin_for_each(const MarginRule& rule, const UsageModel& model, const NodeLoad& users,
                       std::size_t neighbours) {
  if (neighbours == 0 || highest(rule.watched(model, users)) > 1) return 0;
  const double margin = 1 - highest(rule.measured(model, users));
  return std::max(0.0, margin) / static_cast<double>(neighbours);
}

}  // namespace

double highest(const std::vector<double>& levels) {
  return levels.empty() ? 0 : *std::ranges::max_element(levels);
}

std::vector<MarginNeighbour> margin_neighbours(const NodeView& view, const NodeLoad& own) {
  std::vector<MarginNeighbour> neighbours;
  for (const NeighbourView& neighbour : view.neighbours) {
    if (!neighbour.up) continue;
    MarginNeighbour found{.view = &neighbour, .load = load_of(neighbour), .common = {}};
    std::size_t told = 0;  // Place among all that the neighbour has to do with.
    for (std::size_t there = 0; there < found.load.functions.size(); ++there) {
      const FunctionLoad& function = found.load.functions[there];
      while (neighbour.functions[told].function != function.function) ++told;
      const auto here =
          std::ranges::lower_bound(own.functions, function.function, {}, &FunctionLoad::function);
      if (here == own.functions.end() || here->function != function.function) continue;
      found.common.push_back({static_cast<std::size_t>(here - own.functions.begin()), there});
      const Sharer sharer{&neighbour, &neighbour.functions[told]};
      const double margin = sharer.promised().per_second / full_rate(function);
      found.margin = std::clamp(margin, found.margin, 1.0);
    }
    if (!found.common.empty()) neighbours.push_back(std::move(found));
  }
  return neighbours;
}

void tell_margin(const NodeLoad& own, const std::vector<MarginNeighbour>& neighbours, double margin,
                 StrategyResult& result) {
  if (margin <= 0) return;
  for (const MarginNeighbour& neighbour : neighbours) {
    for (const CommonFunction& common : neighbour.common) {
      const FunctionLoad& function = own.functions[common.here];
      const Rate left{std::min(margin * full_rate(function), rate_max)};
      result.grants[neighbour.view->id].push_back(
          {.function = function.function, .granted = {}, .left = left});
    }
  }
}

StrategyResult plan_by_margins(const MarginRule& rule, const UsageModel& model,
                               const NodeView& view) {
  StrategyResult result;
  const NodeLoad users = load_of(view, rate_of_users);
  const std::vector<MarginNeighbour> neighbours = margin_neighbours(view, users);
  tell_margin(users, neighbours, margin_for_each(rule, model, users, neighbours.size()), result);
  Walk walk(rule, model, view, neighbours);
  walk.run();
  std::size_t here = 0;
  for (const FunctionView& function : view.functions) {
    const std::vector<Sharer> runners = runners_of(view, function.function);
    // What does not run here has no usage to go by.
    std::vector<double> shares(runners.size(), 1.0 / static_cast<double>(runners.size()));
    for (std::size_t at = 0; runs_here(function) && at < runners.size(); ++at) {
      shares[at] = walk.share(here, runners[at].node->id);
    }
    if (runs_here(function)) ++here;
    result.functions.push_back(plan_by_shares(view, function, runners, shares));
  }
  return result;
}

}  // namespace dfaas
