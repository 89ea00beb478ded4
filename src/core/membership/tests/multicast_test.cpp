// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/multicast.hpp"

#include <string>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Multicast, NeedsARouteThatIsUp) {
  const std::string head =
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";
  const std::string local = "eth0\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
  const std::string otherwise = "eth0\t00000000\t0100FEA9\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
  const std::string multicast = "eth0\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\t0\t0\t0\n";
  const std::string down = "eth0\t00000000\t0100FEA9\t0002\t0\t0\t0\t00000000\t0\t0\t0\n";
  EXPECT_FALSE(has_multicast_route(""));
  EXPECT_FALSE(has_multicast_route(head));
  EXPECT_FALSE(has_multicast_route(head + local));
  EXPECT_FALSE(has_multicast_route(head + down));
  EXPECT_TRUE(has_multicast_route(head + local + otherwise));
  EXPECT_TRUE(has_multicast_route(head + local + multicast));
}

}  // namespace
}  // namespace dfaas
