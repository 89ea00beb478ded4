// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Answers as HAProxy 2.6 wrote them, shortened.
#include "core/haproxy/runtime_text.hpp"

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(RuntimeText, FindsAValueOfShowInfoByItsWholeName) {
  constexpr std::string_view answer = "Name: HAProxy\nPid: 4681\nPidX: 7\n";
  EXPECT_EQ(info_value(answer, "Pid"), "4681");
  EXPECT_EQ(info_value(answer, "Uptime"), "");
}

TEST(RuntimeText, TellsAComplaintFromAReport) {
  EXPECT_FALSE(is_complaint("\n"));
  EXPECT_FALSE(
      is_complaint("IP changed from '127.0.0.1' to '127.0.0.2' by 'stats socket command'\n"));
  EXPECT_FALSE(is_complaint("no need to change the addr\n"));
  EXPECT_TRUE(is_complaint("No such server.\n"));
}

TEST(RuntimeText, ReadsTheEntriesOfAMap) {
  const auto entries = map_entries("0x7fcb1404b390 p2 dln5\n0x5631616cf8b0 p1 vnnl\n\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0], std::pair(std::string("p2"), std::string("dln5")));
  EXPECT_EQ(entries[1], std::pair(std::string("p1"), std::string("vnnl")));
  EXPECT_TRUE(map_entries("Unknown map identifier. Please use #<id> or <file>.\n").empty());
}

TEST(RuntimeText, ReadsServerStatesByTheNamesOfTheirColumns) {
  constexpr std::string_view answer =
      "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port\n"
      "10 peers 1 p1 127.0.0.1 2 4 8443\n"
      "10 peers 3 p3 127.0.0.1 0 5 1\n"
      "10 peers 4 p4 127.0.0.1 0\n";
  const std::vector<ServerState> states = server_states(answer);
  ASSERT_EQ(states.size(), 2U);
  EXPECT_EQ(states[0], (ServerState{.name = "p1", .address = "127.0.0.1", .port = 8443}));
  EXPECT_EQ(states[1],
            (ServerState{.name = "p3", .address = "127.0.0.1", .port = 1, .in_maintenance = true}));
  EXPECT_TRUE(server_states("Can't find backend.\n").empty());
}

}  // namespace
}  // namespace dfaas
