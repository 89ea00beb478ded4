// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/oracle/problems.hpp"

#include <algorithm>
#include <cstdint>

namespace dfaas {

/// What holds from a moment on, until the next window.
struct OracleProblems::State {
  std::vector<bool> is_up;
  std::vector<double> slowdown;
  std::vector<bool> is_cut;  ///< By link.
};

namespace {

bool is_active(const ScenarioFault& fault, Micros at) {
  return fault.at <= at && (!fault.until || at < *fault.until);
}

bool names(const ScenarioFault& fault, NodeIndex node) {
  return std::ranges::find(fault.nodes, node) != fault.nodes.end();
}

bool cuts(const ScenarioFault& fault, const ScenarioLink& link) {
  switch (fault.kind) {
    case FaultKind::partition:
      return names(fault, link.a) != names(fault, link.b);
    case FaultKind::link_cut:
    case FaultKind::one_way_cut:
      return names(fault, link.a) && names(fault, link.b);
    default:
      return false;
  }
}

/// Down or up: the last thing that happened to each machine decides, as in the world, where each fault
/// that ends starts it again.
std::vector<bool> nodes_up(const Scenario& scenario, Micros at) {
  std::vector<Micros> changed(scenario.nodes.size());
  std::vector<bool> is_up(scenario.nodes.size());
  for (NodeIndex node = 0; node < scenario.nodes.size(); ++node) {
    changed[node] = scenario.nodes[node].joins_at;
    is_up[node] = changed[node] <= at;
  }
  const auto change = [&](NodeIndex node, Micros when, bool comes_up) {
    if (when > at || when < changed[node]) return;
    changed[node] = when;
    is_up[node] = comes_up;
  };
  for (const ScenarioFault& fault : scenario.faults) {
    if (fault.kind != FaultKind::node_crash) continue;
    for (const NodeIndex node : fault.nodes) {
      change(node, fault.at, false);
      if (fault.until) change(node, *fault.until, true);
    }
  }
  return is_up;
}

}  // namespace

OracleProblems::OracleProblems(const Scenario& scenario)
    : scenario_(scenario), neighbours_(scenario.nodes.size()) {
  for (std::size_t at = 0; at < scenario.links.size(); ++at) {
    const ScenarioLink& link = scenario.links[at];
    neighbours_[link.a].push_back({link.b, at});
    neighbours_[link.b].push_back({link.a, at});
  }
  for (auto& list : neighbours_) std::ranges::sort(list, {}, &Neighbour::node);
  for (const ScenarioNode& node : scenario.nodes) {
    first_pool_.push_back(slots_.size());
    for (const ScenarioPool& pool : node.pools) {
      slots_.push_back(static_cast<std::size_t>(pool.slots));
    }
  }
}

OracleProblems::State OracleProblems::state_at(Micros at) const {
  State state{.is_up = nodes_up(scenario_, at),
              .slowdown = std::vector<double>(scenario_.nodes.size(), 1),
              .is_cut = std::vector<bool>(scenario_.links.size())};
  for (NodeIndex node = 0; node < scenario_.nodes.size(); ++node) {
    if (const auto& lie = scenario_.nodes[node].lie) state.slowdown[node] = lie->slowdown;
  }
  for (std::size_t link = 0; link < scenario_.links.size(); ++link) {
    state.is_cut[link] = scenario_.links[link].loss_ratio >= 1;
  }
  for (const ScenarioFault& fault : scenario_.faults) {
    if (!is_active(fault, at)) continue;
    if (fault.kind == FaultKind::slowdown) {
      for (const NodeIndex node : fault.nodes) state.slowdown[node] *= fault.factor;
    }
    for (std::size_t link = 0; link < scenario_.links.size(); ++link) {
      if (cuts(fault, scenario_.links[link])) state.is_cut[link] = true;
    }
  }
  return state;
}

OracleProblems::Host OracleProblems::host(NodeIndex node, FunctionIndex function) const {
  const auto& deployments = scenario_.nodes[node].functions;
  const auto found = std::ranges::find(deployments, function, &ScenarioDeployment::function);
  if (found == deployments.end()) return {};
  return {.is_deployed = true, .pool = first_pool_[node] + found->pool};
}

bool OracleProblems::may_forward(NodeIndex home, const Neighbour& to, FunctionIndex function,
                                 const State& state) const {
  const ScenarioNode& from = scenario_.nodes[home];
  const ScenarioNode& peer = scenario_.nodes[to.node];
  const bool is_shared =
      admits(scenario_.functions[function].share, from.organisation, peer.organisation);
  const bool refuses = peer.lie && peer.lie->refuses_guests;
  return is_shared && !refuses && from.runs_agent && peer.runs_agent && state.is_up[to.node] &&
         !state.is_cut[to.link];
}

OracleProblem OracleProblems::at(OracleSpan span, std::span<const ArrivalCount> arrivals) const {
  const State state = state_at(span.from);
  OracleProblem problem;
  for (const std::size_t slots : slots_) {
    problem.pools.push_back(static_cast<double>(slots) * to_seconds(span.until - span.from));
  }
  for (const ArrivalCount& arrival : arrivals) {
    const NodeIndex node = arrival.node;
    const FunctionIndex function = arrival.function;
    const double seconds = to_seconds(scenario_.functions[function].service_time.mean);
    OracleDemand demand{.node = node,
                        .function = function,
                        .requests = static_cast<double>(arrival.requests),
                        .work_seconds = seconds};
    const auto add = [&](NodeIndex at, bool is_forward) {
      const Host host = this->host(at, function);
      if (!host.is_deployed) return;
      demand.arcs.push_back({.pool = host.pool,
                             .seconds_per_request = seconds * state.slowdown[at],
                             .is_forward = is_forward});
    };
    if (state.is_up[node]) {
      add(node, false);
      for (const Neighbour& to : neighbours_[node]) {
        if (may_forward(node, to, function, state)) add(to.node, true);
      }
    }
    problem.demands.push_back(std::move(demand));
  }
  return problem;
}

}  // namespace dfaas
