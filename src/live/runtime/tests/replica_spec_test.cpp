// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/replica_spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using ::testing::HasSubstr;

FunctionDeployment deployment() {
  FunctionDeployment deployment;
  deployment.function = FunctionName::parse("cat").value();
  deployment.image = "host:cat";
  return deployment;
}

constexpr SandboxReport full() {
  return {
      .tier = SandboxTier::namespaces, .limits = LimitsBy::cgroup_v2, .memory = true, .cpu = true};
}

Result<ReplicaSpec> plan(const FunctionDeployment& wanted, const SandboxReport& report = full(),
                         const std::string& program = "/usr/bin/cat") {
  return plan_replica(wanted, {}, program, "", 4, {.memory_bytes = 1U << 30U}, {}, report);
}

TEST(ReplicaSpec, LimitsOfTheDeploymentReplaceTheDefaults) {
  auto wanted = deployment();
  EXPECT_EQ(plan(wanted)->memory_bytes, 1U << 30U);
  EXPECT_EQ(plan(wanted)->processes, 4U * 64U);
  wanted.limits = R"({"memory": "128Mi", "cpu": "500m"})";
  EXPECT_EQ(plan(wanted)->memory_bytes, 128U << 20U);
  EXPECT_EQ(plan(wanted)->cpu_millis, 500U);
}

TEST(ReplicaSpec, WhatCannotBeReadIsRefused) {
  for (const char* limits :
       {R"({"memory": "much"})", R"({"memory": "1Ki"})", R"({"cpu": "-1"})", R"({"cpu": "0"})",
        R"({"cpu": "1m"})", R"({"disk": "1G"})", R"({"memory": []})", "[]"}) {
    auto wanted = deployment();
    wanted.limits = limits;
    const auto planned = plan(wanted);
    ASSERT_FALSE(planned) << limits;
    EXPECT_EQ(planned.error().code, ErrorCode::invalid_input);
    EXPECT_THAT(planned.error().message, HasSubstr("limits")) << limits;
  }
}

TEST(ReplicaSpec, ProcessorLimitNeedsAControlGroup) {
  auto wanted = deployment();
  wanted.limits = R"({"cpu": "500m"})";
  auto report = full();
  report.cpu = false;
  const auto planned = plan(wanted, report);
  ASSERT_FALSE(planned);
  EXPECT_THAT(planned.error().message, HasSubstr("limits.cpu"));
}

TEST(ReplicaSpec, HostNetworkNeedsThePermissionOfTheNode) {
  auto wanted = deployment();
  wanted.annotations["dfaas.network"] = "host";
  EXPECT_THAT(plan(wanted).error().message, HasSubstr("sandbox.host_network"));
  EXPECT_TRUE(
      plan_replica(wanted, {}, "/usr/bin/cat", "", 1, {.host_network_allowed = true}, {}, full())
          ->host_network);
  wanted.annotations["dfaas.network"] = "some";
  EXPECT_FALSE(plan(wanted));
  wanted.annotations = {{"dfaas.netwrok", "host"}};
  EXPECT_FALSE(plan(wanted));
}

TEST(ReplicaSpec, ProgramThatNoSandboxShowsIsRefusedUnlessThereIsNone) {
  EXPECT_THAT(plan(deployment(), full(), "/home/me/x").error().message,
              HasSubstr("sandbox.read_paths"));
  auto report = full();
  report.tier = SandboxTier::none;
  EXPECT_TRUE(plan(deployment(), report, "/home/me/x"));
}

TEST(ReplicaSpec, ImagesNeedNamespaces) {
  const auto planned = [](SandboxTier tier) {
    auto report = full();
    report.tier = tier;
    return plan_replica(deployment(), {}, "/bin/x", "/images/one", 1, {}, {}, report);
  };
  EXPECT_EQ(planned(SandboxTier::namespaces)->root, "/images/one");
  for (const SandboxTier tier : {SandboxTier::landlock, SandboxTier::none}) {
    EXPECT_THAT(planned(tier).error().message, HasSubstr("namespaces"));
  }
}

}  // namespace
}  // namespace dfaas
