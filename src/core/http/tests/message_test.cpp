// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/http/message.hpp"

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Headers, CompareNamesWithoutCaseAndKeepOrder) {
  Headers headers;
  headers.add("DFaaS-Node-ID", "a");
  headers.add("Host", "b");
  headers.add("dfaas-node-id", "c");
  EXPECT_EQ(headers.get("dfaas-NODE-id"), "a");
  EXPECT_EQ(headers.count("DFAAS-NODE-ID"), 2U);
  headers.set("Dfaas-Node-Id", "d");
  EXPECT_EQ(headers.count("DFaaS-Node-ID"), 1U);
  headers.remove_prefixed("dfaas-");
  EXPECT_EQ(headers.find("DFaaS-Node-ID"), nullptr);
  EXPECT_EQ(headers.get("host"), "b");
}

}  // namespace
}  // namespace dfaas
