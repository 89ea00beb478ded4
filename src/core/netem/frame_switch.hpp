// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The network of an emulated scenario: Ethernet frames of a node in, who gets them and when out.
///
/// A node has one port, one hardware address and one address of IPv4. A frame goes to the node it names, over
/// the link of the two; a broadcast goes over every link of its sender. Nodes without a link hear nothing of
/// each other.
///
/// Input       Frames as they come from a tap device: untrusted bytes. What is too short, not from the
///             sender's own address, or neither ARP nor IPv4, goes nowhere.
/// Guarantees  Same seed, faults and frames, same result.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/instant.hpp"
#include "core/netem/link_model.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

using HardwareAddress = std::array<std::uint8_t, 6>;

/// Locally administered, and different for each node.
HardwareAddress hardware_address_of(NodeIndex node);
/// "10.77.0.1" for the first node. All are in 10.77.0.0/16.
std::string address_of(NodeIndex node);
inline constexpr int network_prefix_bits = 16;

struct FrameDelivery {
  NodeIndex to = 0;
  Instant at;
};

class FrameSwitch {
 public:
  /// `scenario` must be valid. Duplicates are not made: they are of messages, not of frames.
  FrameSwitch(const Scenario& scenario, std::uint64_t seed);

  /// Who gets a frame that `from` sent. `now` never falls.
  std::vector<FrameDelivery> accept(Instant now, NodeIndex from, std::span<const char> frame);

  /// From `from` to `to`; null where no link is.
  [[nodiscard]] LinkModel* direction(NodeIndex from, NodeIndex to);
  [[nodiscard]] const LinkModel* direction(NodeIndex from, NodeIndex to) const;
  /// Nodes with a link to this one, ascending.
  [[nodiscard]] std::vector<NodeIndex> neighbours_of(NodeIndex node) const;

  /// A fault of links begins. Nothing for faults of other kinds.
  void begin(const ScenarioFault& fault);
  void end(const ScenarioFault& fault);

 private:
  struct Direction {
    NodeIndex to = 0;
    LinkModel model;
  };
  template <class Change>
  void for_directions_of(const ScenarioFault& fault, Change change);

  std::vector<std::vector<Direction>> ports_;  ///< By sender, then by receiver.
};

}  // namespace dfaas
