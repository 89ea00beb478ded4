// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/world/links.hpp"

#include <algorithm>

#include "core/base/assert.hpp"
#include "sim/world/arrivals.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t links_purpose = 3;
/// Until a lost segment is sent again. Source: RFC 6298 asks for 1 s; Linux starts with 200 ms.
constexpr Micros retransmission{200'000};

}  // namespace

Links::Links(const Scenario& scenario, std::uint64_t seed) : neighbours_(scenario.nodes.size()) {
  for (const ScenarioLink& spec : scenario.links) {
    const std::size_t number = links_.size();
    neighbours_[spec.a].push_back({spec.b, number});
    neighbours_[spec.b].push_back({spec.a, number});
    links_.push_back({.spec = &spec, .random = random_stream(seed, links_purpose, number)});
  }
  for (auto& list : neighbours_) std::ranges::sort(list, {}, &Neighbour::node);
}

std::size_t Links::between(NodeIndex from, NodeIndex to) const {
  const auto& list = neighbours_[from];
  const auto found = std::ranges::lower_bound(list, to, {}, &Neighbour::node);
  DFAAS_ASSERT(found != list.end() && found->node == to, "only neighbours talk");
  return found->link;
}

bool Links::is_cut(NodeIndex from, NodeIndex /*to*/, std::size_t link) const {
  const Link& l = links_[link];
  return (from == l.spec->a ? l.cuts_forth : l.cuts_back) > 0;
}

std::optional<Micros> Links::delay(NodeIndex from, NodeIndex to, std::size_t link) {
  Link& l = links_[link];
  if (is_cut(from, to, link)) return std::nullopt;
  if (l.spec->loss_ratio > 0 && uniform(l.random, 0, 1) < l.spec->loss_ratio) return std::nullopt;
  Micros delay = l.spec->rtt / 2;
  if (l.spec->jitter.count() > 0) {
    delay += from_seconds(uniform(l.random, 0, to_seconds(l.spec->jitter)));
  }
  return delay;
}

std::optional<Micros> Links::delay_repeated(NodeIndex from, NodeIndex to, std::size_t link) {
  constexpr int times_max = 10;
  Micros waited{0};
  for (int time = 0; time < times_max; ++time) {
    if (is_cut(from, to, link)) return std::nullopt;
    if (const auto once = delay(from, to, link)) return waited + *once;
    waited += retransmission;
  }
  return std::nullopt;
}

bool Links::is_duplicated(std::size_t link) {
  Link& l = links_[link];
  return l.spec->duplicate_ratio > 0 && uniform(l.random, 0, 1) < l.spec->duplicate_ratio;
}

void Links::apply(const ScenarioFault& fault, int change) {
  switch (fault.kind) {
    case FaultKind::partition:
      return cut_off(fault.nodes, change);
    case FaultKind::link_cut:
      return cut_both(fault.nodes[0], fault.nodes[1], change);
    case FaultKind::one_way_cut:
      return cut(fault.nodes[0], fault.nodes[1], change);
    case FaultKind::node_crash:
    case FaultKind::agent_crash:
    case FaultKind::slowdown:
      DFAAS_ASSERT(false, "only faults of links cut them");
  }
}

void Links::cut(NodeIndex from, NodeIndex to, int change) {
  for (const Neighbour& neighbour : neighbours_[from]) {
    if (neighbour.node != to) continue;
    Link& l = links_[neighbour.link];
    (from == l.spec->a ? l.cuts_forth : l.cuts_back) += change;
  }
}

void Links::cut_both(NodeIndex a, NodeIndex b, int change) {
  cut(a, b, change);
  cut(b, a, change);
}

void Links::cut_off(const std::vector<NodeIndex>& group, int change) {
  for (const NodeIndex inside : group) {
    for (const Neighbour& neighbour : neighbours_[inside]) {
      if (std::ranges::find(group, neighbour.node) != group.end()) continue;
      cut_both(inside, neighbour.node, change);
    }
  }
}

}  // namespace dfaas
