// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(Limits, MemoryIsReadAsKubernetesAndDockerWriteIt) {
  const std::pair<const char*, std::uint64_t> cases[] = {
      {"128Mi", 128ULL << 20U}, {"1Gi", 1ULL << 30U},  {"1.5Gi", 3ULL << 29U},
      {"100M", 100'000'000},    {"20m", 20ULL << 20U}, {"8388608", 8'388'608}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(parse_memory(text).value(), bytes) << text;
  for (const char* text : {"", "Mi", "x", "1", "-1Gi", "1Xi", "1 Gi", "nan", "1e20"}) {
    EXPECT_FALSE(parse_memory(text)) << text;
  }
}

TEST(Limits, ProcessorsAreReadAsKubernetesWritesThem) {
  const std::pair<const char*, std::uint32_t> cases[] = {
      {"500m", 500}, {"0.5", 500}, {"2", 2000}, {"10m", 10}};
  for (const auto& [text, millis] : cases) EXPECT_EQ(parse_cpu(text).value(), millis) << text;
  for (const char* text : {"", "m", "x", "0", "9m", "-1", "1025", "nan"}) {
    EXPECT_FALSE(parse_cpu(text)) << text;
  }
}

TEST(Limits, EmptyAndNullAreNone) {
  for (const char* text : {"", "{}", R"({"memory": "", "cpu": null})"}) {
    EXPECT_EQ(parse_limits("limits", text).value(), ResourceLimits{}) << text;
  }
  EXPECT_EQ(parse_limits("limits", R"({"cpu": 2})")->cpu_millis, 2000U);
}

TEST(Limits, WrongOnesAreNamed) {
  EXPECT_THAT(parse_limits("limits", R"({"memory": "much"})").error().message,
              ::testing::StartsWith("limits.memory"));
  EXPECT_THAT(parse_limits("requests", R"({"gpu": "1"})").error().message,
              ::testing::HasSubstr("requests.gpu"));
}

}  // namespace
}  // namespace dfaas
