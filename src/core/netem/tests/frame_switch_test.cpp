// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who gets a frame: three nodes, of which the first two and the last two are linked.
#include "core/netem/frame_switch.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

Scenario chain() {
  Scenario scenario;
  for (const char* name : {"a", "b", "c"}) {
    scenario.nodes.push_back({.name = NodeName::parse(name).value()});
  }
  scenario.links = {{.a = 0, .b = 1, .rtt = Micros{2000}}, {.a = 1, .b = 2, .rtt = Micros{30'000}}};
  return scenario;
}

std::string frame(const HardwareAddress& to, const HardwareAddress& from, char type = '\x00') {
  std::string bytes(to.begin(), to.end());
  bytes.append(from.begin(), from.end());
  bytes += std::string{'\x08', type};
  bytes.append(46, 'x');
  return bytes;
}

std::string frame(NodeIndex from, NodeIndex to) {
  return frame(hardware_address_of(to), hardware_address_of(from));
}

constexpr HardwareAddress everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

std::vector<NodeIndex> receivers(FrameSwitch& tested, NodeIndex from, const std::string& bytes) {
  std::vector<NodeIndex> nodes;
  for (const FrameDelivery& delivery : tested.accept(Instant{}, from, bytes)) {
    nodes.push_back(delivery.to);
  }
  return nodes;
}

using Nodes = std::vector<NodeIndex>;

TEST(FrameSwitch, CarriesAFrameOverTheLinkOfTheTwo) {
  FrameSwitch tested(chain(), 1);
  const auto deliveries = tested.accept(Instant{Micros{5}}, 1, frame(1, 2));
  ASSERT_EQ(deliveries.size(), 1U);
  EXPECT_EQ(deliveries[0].to, 2U);
  EXPECT_EQ(deliveries[0].at, Instant{Micros{15'005}});
}

TEST(FrameSwitch, CarriesNothingBetweenNodesWithoutALink) {
  FrameSwitch tested(chain(), 1);
  EXPECT_EQ(receivers(tested, 0, frame(0, 2)), Nodes{});
}

TEST(FrameSwitch, BroadcastsToNeighboursAlone) {
  FrameSwitch tested(chain(), 1);
  EXPECT_EQ(receivers(tested, 0, frame(everybody, hardware_address_of(0), '\x06')), Nodes{1});
  EXPECT_EQ(receivers(tested, 1, frame(everybody, hardware_address_of(1), '\x06')), (Nodes{0, 2}));
}

TEST(FrameSwitch, DropsWhatIsBroken) {
  FrameSwitch tested(chain(), 1);
  EXPECT_EQ(receivers(tested, 0, ""), Nodes{});
  EXPECT_EQ(receivers(tested, 0, frame(0, 1).substr(0, 13)), Nodes{});
  EXPECT_EQ(receivers(tested, 0, frame(1, 0)), Nodes{}) << "another node's address";
  EXPECT_EQ(receivers(tested, 0, frame(hardware_address_of(1), hardware_address_of(0), '\x42')),
            Nodes{})
      << "neither ARP nor IPv4";
}

TEST(FrameSwitch, CutsAsFaultsSayAndHealsAfterwards) {
  FrameSwitch tested(chain(), 1);
  const ScenarioFault one_way{.kind = FaultKind::one_way_cut, .nodes = {0, 1}};
  tested.begin(one_way);
  EXPECT_EQ(receivers(tested, 0, frame(0, 1)), Nodes{});
  EXPECT_EQ(receivers(tested, 1, frame(1, 0)), Nodes{0});
  tested.end(one_way);
  const ScenarioFault both{.kind = FaultKind::link_cut, .nodes = {1, 0}};
  tested.begin(both);
  EXPECT_EQ(receivers(tested, 0, frame(0, 1)), Nodes{});
  EXPECT_EQ(receivers(tested, 1, frame(1, 0)), Nodes{});
  EXPECT_EQ(receivers(tested, 1, frame(1, 2)), Nodes{2});
  tested.end(both);
  const ScenarioFault partition{.kind = FaultKind::partition, .nodes = {0, 1}};
  tested.begin(partition);
  EXPECT_EQ(receivers(tested, 0, frame(0, 1)), Nodes{1});
  EXPECT_EQ(receivers(tested, 1, frame(1, 2)), Nodes{});
  EXPECT_EQ(receivers(tested, 2, frame(2, 1)), Nodes{});
  tested.end(partition);
  EXPECT_EQ(receivers(tested, 2, frame(2, 1)), Nodes{1});
  const ScenarioFault other{.kind = FaultKind::node_crash, .nodes = {0}};
  tested.begin(other);
  EXPECT_EQ(receivers(tested, 0, frame(0, 1)), Nodes{1});
}

TEST(FrameSwitch, GivesEveryNodeAddressesOfItsOwn) {
  std::set<std::string> addresses;
  std::set<HardwareAddress> hardware;
  for (NodeIndex node = 0; node < 2000; ++node) {
    addresses.insert(address_of(node));
    hardware.insert(hardware_address_of(node));
  }
  EXPECT_EQ(addresses.size(), 2000U);
  EXPECT_EQ(hardware.size(), 2000U);
  EXPECT_EQ(address_of(0), "10.77.0.1");
}

}  // namespace
}  // namespace dfaas
