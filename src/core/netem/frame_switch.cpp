// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/netem/frame_switch.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace dfaas {
namespace {

constexpr std::size_t header_bytes = 14;  ///< Receiver, sender, type. IEEE 802.3, clause 3.1.
constexpr std::uint16_t type_ipv4 = 0x0800;
constexpr std::uint16_t type_arp = 0x0806;
constexpr HardwareAddress broadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

HardwareAddress address_at(std::span<const char> frame, std::size_t place) {
  HardwareAddress address{};
  for (std::size_t at = 0; at < address.size(); ++at) {
    address.at(at) = static_cast<std::uint8_t>(frame[place + at]);
  }
  return address;
}

bool is_carried(std::span<const char> frame, NodeIndex from) {
  if (frame.size() < header_bytes) return false;
  const auto high = static_cast<std::uint8_t>(frame[12]);
  const auto low = static_cast<std::uint8_t>(frame[13]);
  const auto type = static_cast<std::uint16_t>(high << 8U | low);
  return (type == type_ipv4 || type == type_arp) &&
         address_at(frame, 6) == hardware_address_of(from);
}

LinkShape shape_of(const ScenarioLink& link) {
  return {.delay = link.rtt / 2,
          .jitter = link.jitter,
          .loss_ratio = link.loss_ratio,
          .bits_per_second = link.bandwidth_mbps * 1e6};
}

}  // namespace

HardwareAddress hardware_address_of(NodeIndex node) {
  const auto low = static_cast<std::uint8_t>(node & 0xffU);
  const auto high = static_cast<std::uint8_t>(node >> 8U & 0xffU);
  return {0x02, 0xdf, 0xaa, 0x00, high, low};
}

std::string address_of(NodeIndex node) {
  const std::size_t number = node + 1;
  return fmt::format("10.77.{}.{}", number / 256, number % 256);
}

FrameSwitch::FrameSwitch(const Scenario& scenario, std::uint64_t seed)
    : ports_(scenario.nodes.size()) {
  Random seeds{seed};
  for (const ScenarioLink& link : scenario.links) {
    const LinkShape shape = shape_of(link);
    ports_[link.a].push_back({.to = link.b, .model = {shape, Random{seeds.next()}}});
    ports_[link.b].push_back({.to = link.a, .model = {shape, Random{seeds.next()}}});
  }
  for (auto& directions : ports_) std::ranges::sort(directions, {}, &Direction::to);
}

std::vector<FrameDelivery> FrameSwitch::accept(Instant now, NodeIndex from,
                                               std::span<const char> frame) {
  std::vector<FrameDelivery> deliveries;
  if (!is_carried(frame, from)) return deliveries;
  const HardwareAddress receiver = address_at(frame, 0);
  for (Direction& direction : ports_[from]) {
    if (receiver != broadcast && receiver != hardware_address_of(direction.to)) continue;
    const std::optional<Instant> at = direction.model.carry(now, frame.size());
    if (at) deliveries.push_back({.to = direction.to, .at = *at});
  }
  return deliveries;
}

const LinkModel* FrameSwitch::direction(NodeIndex from, NodeIndex to) const {
  const auto found = std::ranges::find(ports_[from], to, &Direction::to);
  return found == ports_[from].end() ? nullptr : &found->model;
}

LinkModel* FrameSwitch::direction(NodeIndex from, NodeIndex to) {
  const auto found = std::ranges::find(ports_[from], to, &Direction::to);
  return found == ports_[from].end() ? nullptr : &found->model;
}

std::vector<NodeIndex> FrameSwitch::neighbours_of(NodeIndex node) const {
  std::vector<NodeIndex> neighbours;
  for (const Direction& direction : ports_[node]) neighbours.push_back(direction.to);
  return neighbours;
}

template <class Change>
void FrameSwitch::for_directions_of(const ScenarioFault& fault, Change change) {
  const auto is_inside = [&fault](NodeIndex node) {
    return std::ranges::find(fault.nodes, node) != fault.nodes.end();
  };
  for (NodeIndex from = 0; from < ports_.size(); ++from) {
    for (Direction& direction : ports_[from]) {
      const bool is_forth = from == fault.nodes[0] && direction.to == fault.nodes.back();
      const bool is_back = direction.to == fault.nodes[0] && from == fault.nodes.back();
      const bool is_meant =
          (fault.kind == FaultKind::partition && is_inside(from) != is_inside(direction.to)) ||
          (fault.kind == FaultKind::link_cut && (is_forth || is_back)) ||
          (fault.kind == FaultKind::one_way_cut && is_forth);
      if (is_meant) change(direction.model);
    }
  }
}

void FrameSwitch::begin(const ScenarioFault& fault) {
  for_directions_of(fault, [](LinkModel& model) { model.cut(); });
}

void FrameSwitch::end(const ScenarioFault& fault) {
  for_directions_of(fault, [](LinkModel& model) { model.heal(); });
}

}  // namespace dfaas
