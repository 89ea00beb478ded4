// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The links of a world: who reaches whom, how long a message takes, which are cut.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/random.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

class Links {
 public:
  Links(const Scenario& scenario, std::uint64_t seed);

  struct Neighbour {
    NodeIndex node = 0;
    std::size_t link = 0;
  };
  /// Sorted by node.
  [[nodiscard]] const std::vector<Neighbour>& neighbours_of(NodeIndex node) const {
    return neighbours_[node];
  }
  /// The link of two neighbours.
  [[nodiscard]] std::size_t between(NodeIndex from, NodeIndex to) const;

  [[nodiscard]] Micros rtt(std::size_t link) const { return links_[link].spec->rtt; }

  /// How long a message takes; nothing where it is lost, or the direction cut.
  std::optional<Micros> delay(NodeIndex from, NodeIndex to, std::size_t link);
  /// How long one takes that is sent again until it arrives; nothing where the direction is cut.
  std::optional<Micros> delay_repeated(NodeIndex from, NodeIndex to, std::size_t link);
  bool is_duplicated(std::size_t link);
  [[nodiscard]] bool is_cut(NodeIndex from, NodeIndex to, std::size_t link) const;

  /// A fault of links begins (+1) or ends (-1). Requires partition, link_cut or one_way_cut.
  void apply(const ScenarioFault& fault, int change);

 private:
  struct Link {
    const ScenarioLink* spec;
    int cuts_forth = 0;  ///< From a to b.
    int cuts_back = 0;
    Random random;
  };
  void cut(NodeIndex from, NodeIndex to, int change);
  void cut_both(NodeIndex a, NodeIndex b, int change);
  /// All between a group and others.
  void cut_off(const std::vector<NodeIndex>& group, int change);

  std::vector<Link> links_;
  std::vector<std::vector<Neighbour>> neighbours_;
};

}  // namespace dfaas
