// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/spec.hpp"

#include <gtest/gtest.h>

#include "live/sandbox/packet.hpp"

namespace dfaas {
namespace {

/// As it arrives on the other side of a socket.
std::vector<const char*> sent(std::string& packet, const std::vector<std::string>& texts) {
  packet = make_packet({.verb = Verb::create}, texts);
  PacketHead head;
  std::vector<const char*> arrived;
  EXPECT_TRUE(parse_packet(packet.data(), packet.size(), head, arrived));
  EXPECT_EQ(head.verb, Verb::create);
  return arrived;
}

TEST(Spec, ArrivesAsItWasSent) {
  const ReplicaSpec spec{.name = "ocr.team-a",
                         .root = "/var/lib/dfaas/images/x",
                         .user = 7,
                         .memory_bytes = 1ULL << 33U,
                         .cpu_millis = 500,
                         .processes = 256,
                         .tmp_bytes = 64U << 20U,
                         .host_network = true,
                         .port = 8080,
                         .secrets = {{"key", "/s/a=b"}, {"empty", ""}}};
  std::string packet;
  EXPECT_EQ(spec_from_texts(sent(packet, to_texts(spec))), spec);
}

TEST(Spec, ReportArrivesAsItWasSent) {
  for (const LimitsBy limits : {LimitsBy::cgroup_v2, LimitsBy::cgroup_v1, LimitsBy::rlimits}) {
    const SandboxReport report{.tier = SandboxTier::landlock,
                               .limits = limits,
                               .memory = true,
                               .notes = {"one=1", "two"},
                               .failure = "why"};
    std::string packet;
    const SandboxReport arrived = report_from_texts(sent(packet, to_texts(report)));
    EXPECT_EQ(arrived.tier, report.tier);
    EXPECT_EQ(arrived.limits, report.limits);
    EXPECT_EQ(arrived.memory, true);
    EXPECT_EQ(arrived.cpu, false);
    EXPECT_EQ(arrived.notes, report.notes);
    EXPECT_EQ(arrived.failure, report.failure);
  }
}

TEST(Spec, SettingsArriveAsTheyWereSent) {
  const SandboxSettings settings{.tier = SandboxTier::none,
                                 .hidden = {"/opt/node"},
                                 .readable = {"/srv/a", "/srv/b"},
                                 .writable = {"/data"},
                                 .scratch = "/run/x",
                                 .first_user = 1'900'000'000};
  std::string packet;
  const SandboxSettings arrived = settings_from_texts(sent(packet, to_texts(settings)));
  EXPECT_EQ(arrived.tier, settings.tier);
  EXPECT_EQ(arrived.hidden, settings.hidden);
  EXPECT_EQ(arrived.readable, settings.readable);
  EXPECT_EQ(arrived.writable, settings.writable);
  EXPECT_EQ(arrived.scratch, settings.scratch);
  EXPECT_EQ(arrived.first_user, settings.first_user);
}

TEST(Spec, WhatAKeeperSaysArrivesAsItWasSent) {
  const ReplicaReady ready{
      .temporary = "/tmp/x",
      .usage = {
          .keeper = 77, .memory_group = "/groups/memory/a/1", .cpu_group = "/groups/cpu/a/1"}};
  std::string packet;
  const ReplicaReady arrived = ready_from_texts(sent(packet, to_texts(ready)));
  EXPECT_EQ(arrived.temporary, ready.temporary);
  EXPECT_EQ(arrived.usage, ready.usage);
  EXPECT_EQ(ready_from_texts({}).usage, UsagePlaces{});
}

TEST(Spec, OnlySystemAndListedPathsAreVisibleAndNothingHidden) {
  const SandboxSettings settings{
      .hidden = {"/opt/node"}, .readable = {"/srv/a"}, .writable = {"/data"}};
  for (const char* path :
       {"/usr/bin/figlet", "/opt/tool", "/opt/nodes", "/srv/a", "/srv/a/b/c", "/data/x"}) {
    EXPECT_TRUE(is_visible(settings, path)) << path;
  }
  for (const char* path : {"/opt/node", "/opt/node/pki/node.key", "/srv/ab", "/home/me/x",
                           "/usrlocal", "/root/x", "/"}) {
    EXPECT_FALSE(is_visible(settings, path)) << path;
  }
}

TEST(Packet, CutOffPacketsAreNoPackets) {
  const std::string packet = make_packet({.verb = Verb::spawn}, {"/", "program"});
  PacketHead head;
  std::vector<const char*> texts;
  EXPECT_FALSE(parse_packet(packet.data(), sizeof(PacketHead) - 1, head, texts));
  EXPECT_FALSE(parse_packet(packet.data(), packet.size() - 1, head, texts));
}

}  // namespace
}  // namespace dfaas
