// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/report/run_tally.hpp"

#include <algorithm>

#include "sim/world/node_ids.hpp"

namespace dfaas {
namespace {

/// Calls that a load brings, expected or recorded.
double calls_of(const ScenarioLoad& load) {
  if (load.arrivals == ArrivalKind::trace) return static_cast<double>(load.calls.size());
  double sum = 0;
  for (const Rate rate : load.rates) sum += rate.per_second * to_seconds(load.step);
  return sum;
}

void count_forward(std::vector<ForwardCount>& counts, NodeIndex to) {
  const auto place = std::ranges::lower_bound(counts, to, {}, &ForwardCount::to);
  if (place != counts.end() && place->to == to) {
    ++place->calls;
  } else {
    counts.insert(place, {.to = to, .calls = 1});
  }
}

}  // namespace

double CallCounts::success_ratio() const {
  return offered == 0 ? 1 : static_cast<double>(served()) / static_cast<double>(offered);
}

void CallCounts::count(const CallRecord& call) {
  const double work = to_seconds(call.service_time);
  ++offered;
  work_offered += work;
  if (call.is_late) {
    ++late;
    return;
  }
  switch (call.how) {
    case CallEnd::served_here:
      ++served_here;
      work_served += work;
      return;
    case CallEnd::served_by_peer:
      ++served_by_peers;
      work_served += work;
      return;
    case CallEnd::refused:
      ++refused;
      return;
    case CallEnd::lost:
      ++lost;
      return;
  }
}

RunTally::RunTally(const Scenario& scenario)
    : scenario_(&scenario),
      nodes_(scenario.nodes.size()),
      functions_(scenario.functions.size()),
      forwards_(scenario.nodes.size()) {
  std::vector<double> asked(scenario.nodes.size());
  double most_of_one = -1;
  for (const ScenarioLoad& load : scenario.loads) asked[load.node] += calls_of(load);
  watched_ = static_cast<NodeIndex>(std::ranges::max_element(asked) - asked.begin());
  for (const ScenarioLoad& load : scenario.loads) {
    if (load.node != watched_ || calls_of(load) <= most_of_one) continue;
    most_of_one = calls_of(load);
    watched_function_ = load.function;
  }
  for (const ScenarioLink& link : scenario.links) {
    if (link.a == watched_) neighbours_.push_back(link.b);
    if (link.b == watched_) neighbours_.push_back(link.a);
  }
  std::ranges::sort(neighbours_);
}

void RunTally::on_end(const CallRecord& call) {
  if (each_call) each_call(call);
  const auto second = static_cast<std::size_t>(call.arrival / Micros{1'000'000});
  if (seconds_.size() <= second) seconds_.resize(second + 1);
  seconds_[second].count(call);
  if (call.arrival < scenario_->warm_up) return;
  total_.count(call);
  nodes_[call.node].count(call);
  functions_[call.function].count(call);
  tries_ += call.tries;
  if (call.how == CallEnd::served_by_peer) count_forward(forwards_[call.node], call.server);
  const auto window =
      static_cast<std::size_t>((call.arrival - scenario_->warm_up) / scenario_->window);
  if (windows_.size() <= window) {
    windows_.resize(window + 1, std::vector<CallCounts>(scenario_->functions.size()));
  }
  windows_[window][call.function].count(call);
  const bool is_in_stress = call.arrival >= scenario_->stress_from.value_or(scenario_->warm_up) &&
                            call.arrival < scenario_->stress_until.value_or(scenario_->duration);
  if (is_in_stress) stress_.count(call);
  if (call.is_success()) latency_.record(call.end - call.arrival);
}

void RunTally::on_plan(Micros at, NodeIndex node, const RoutingPlan& plan) {
  if (node != watched_) return;
  WeightSample sample{.at = at, .shares = std::vector<double>(neighbours_.size())};
  const FunctionName& name = scenario_->functions[watched_function_].name;
  double sum = 0;
  for (const FunctionPlan& function : plan.functions) {
    if (function.function != name) continue;
    for (const FunctionPeer& peer : function.peers) {
      const auto place = std::ranges::lower_bound(neighbours_, index_of(peer.id));
      sample.shares[static_cast<std::size_t>(place - neighbours_.begin())] = peer.weight;
      sum += peer.weight;
    }
  }
  for (double& share : sample.shares) share = sum > 0 ? share / sum : 0;
  weights_.push_back(std::move(sample));
}

void RunTally::on_progress(Micros at, Micros duration) {
  if (progress) progress(at, duration);
}

}  // namespace dfaas
