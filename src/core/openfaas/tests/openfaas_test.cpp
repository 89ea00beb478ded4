// SPDX-License-Identifier: AGPL-3.0-or-later
#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/base/text.hpp"
#include "core/openfaas/classic_environment.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/route.hpp"
#include "core/openfaas/status.hpp"
#include "core/openfaas/watchdog.hpp"

namespace dfaas {
namespace {

TEST(Route, FindsTheFunctionByItsWholeName) {
  const auto call = std::get<FunctionCallRoute>(parse_route("/function/ocr2/sub/x?y=1&z"));
  EXPECT_EQ(call.function, FunctionName::parse("ocr2"));
  EXPECT_EQ(call.path, "/sub/x");
  EXPECT_EQ(call.query, "y=1&z");
  EXPECT_EQ(std::get<FunctionCallRoute>(parse_route("/function/a.openfaas-fn")).function,
            FunctionName::parse("a"));
  EXPECT_TRUE(std::holds_alternative<HealthzRoute>(parse_route("/healthz")));
  EXPECT_TRUE(std::holds_alternative<UnknownRoute>(parse_route("/functions/x")));
  EXPECT_EQ(std::get<SystemFunctionRoute>(parse_route("/system/function/a?namespace=b&usage=1"))
                .function.full(),
            "a.b");
}

class AmbiguousTarget : public testing::TestWithParam<const char*> {};

TEST_P(AmbiguousTarget, IsRefused) {
  EXPECT_TRUE(std::holds_alternative<RefusedRoute>(parse_route(GetParam()))) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(Targets, AmbiguousTarget,
                         testing::Values("", "function/x", "http://h/function/x", "*",
                                         "/function/../system/functions", "/function/x/../y",
                                         "/function//x", "//function/x", "/function/x%2Fy",
                                         "/function/x%2fy", "/function/%2e%2e/x", "/function/x\\y",
                                         "/function/x y", "/function/x%00", "/function/x\x01",
                                         "/function/\xc3\xa9", "/function/", "/function/a.b.c",
                                         "/function/x#y", "/function/./x", "/function/x/."));

TEST(Route, TakesAnyBytesWithoutHarm) {
  Random random{1};
  const std::string alphabet = "/function/.%2fe..\\?&=ax\x00\xff\r\n#";
  for (int round = 0; round < 50'000; ++round) {
    std::string target = below(random, 2) == 0 ? "/function/" : "";
    for (std::size_t length = below(random, 20); length > 0; --length) {
      target += alphabet[below(random, alphabet.size())];
    }
    const Route route = parse_route(target);
    if (const auto* call = std::get_if<FunctionCallRoute>(&route)) {
      EXPECT_FALSE(call->function.name().empty());
      for (const std::string_view segment : split(call->path, '/')) EXPECT_NE(segment, "..");
      EXPECT_EQ(call->path.find("//"), std::string::npos) << target;
    }
  }
}

TEST(Deployment, ReadsWhatFaasCliSends) {
  const auto deployment = deployment_from_json(R"({
    "service": "figlet", "image": "host:figlet", "envProcess": "figlet -f big", "namespace": "",
    "envVars": {"A": "b"}, "labels": {"dfaas.slots": "4", "team": "x"}, "annotations": null,
    "limits": {"memory": "20m"}, "registryAuth": "ignored", "secrets": null})");
  ASSERT_TRUE(deployment) << deployment.error().message;
  EXPECT_EQ(deployment->function.full(), "figlet.openfaas-fn");
  EXPECT_EQ(deployment->process, "figlet -f big");
  EXPECT_EQ(deployment_from_json(deployment_to_json(*deployment)), *deployment);
}

struct Refused {
  const char* name;
  const char* json;
  const char* expected;
};

class BadDeployment : public testing::TestWithParam<Refused> {};

TEST_P(BadDeployment, IsRefusedWithTheFieldAndTheValue) {
  const auto deployment = deployment_from_json(GetParam().json);
  ASSERT_FALSE(deployment);
  EXPECT_EQ(deployment.error().code, ErrorCode::invalid_input);
  EXPECT_NE(deployment.error().message.find(GetParam().expected), std::string::npos)
      << deployment.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, BadDeployment,
    testing::Values(
        Refused{"empty", "", "not JSON"}, Refused{"list", "[]", "not an object"},
        Refused{"no_service", R"({"image":"x"})", "service: is missing"},
        Refused{"bad_name", R"({"service":"a/b","image":"x"})", "a/b"},
        Refused{"no_image", R"({"service":"a"})", "image: is missing"},
        Refused{"slots", R"({"service":"a","image":"x","labels":{"dfaas.slots":"many"}})", "many"},
        Refused{"unknown_label", R"({"service":"a","image":"x","labels":{"dfaas.slot":"1"}})",
                "dfaas.slot"},
        Refused{"env_number", R"({"service":"a","image":"x","envVars":{"A":1}})", "envVars"},
        Refused{"env_name", R"({"service":"a","image":"x","envVars":{"A=B":"1"}})", "A=B"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Watchdog, ReadsTheLimitsThatOpenFaasUsersSetInTheEnvironment) {
  const auto read = [](std::map<std::string, std::string> env) {
    return watchdog_settings(
        {.function = *FunctionName::parse("nap"), .image = "host:", .env = std::move(env)});
  };
  EXPECT_FALSE(read({})->max_inflight);
  EXPECT_FALSE(read({})->exec_timeout);
  EXPECT_EQ(read({{"max_inflight", "4"}})->max_inflight, 4);
  EXPECT_FALSE(read({{"max_inflight", "0"}})->max_inflight) << "no limit";
  EXPECT_EQ(read({{"exec_timeout", "300ms"}})->exec_timeout, Millis{300});
  EXPECT_EQ(read({{"exec_timeout", "1m30s"}})->exec_timeout, Millis{90'000});
  EXPECT_EQ(read({{"exec_timeout", "20"}})->exec_timeout, Millis{20'000}) << "bare seconds";
  EXPECT_EQ(read({{"exec_timeout", "0s"}})->exec_timeout, Millis{86'400'000}) << "no limit";
  for (const char* name : {"max_inflight", "exec_timeout"}) {
    for (const char* value : {"", "many", "-1", "99999999h"}) {
      const auto refused = read({{name, value}});
      ASSERT_FALSE(refused) << name << '=' << value;
      EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
      EXPECT_NE(refused.error().message.find(std::string(name) + " of nap.openfaas-fn: \"" + value),
                std::string::npos)
          << refused.error().message;
    }
  }
}

TEST(Digest, DependsOnTheCodeOnly) {
  FunctionDeployment a{.function = *FunctionName::parse("f"), .image = "host:", .process = "cat"};
  FunctionDeployment b = a;
  b.labels["dfaas.slots"] = "9";
  EXPECT_EQ(digest_input(a), digest_input(b));
  b.process = "tac";
  EXPECT_NE(digest_input(a), digest_input(b));
}

TEST(Digest, OfAContainerIsThatOfItsManifestWhateverItsName) {
  FunctionDeployment a{.function = *FunctionName::parse("f"), .image = "oci:f:1"};
  FunctionDeployment b = a;
  b.image = "ghcr.io/team/f:1";
  EXPECT_EQ(digest_input(a, "sha256:1"), digest_input(b, "sha256:1"));
  EXPECT_NE(digest_input(a, "sha256:1"), digest_input(a, "sha256:2"));
  EXPECT_NE(digest_input(a, "sha256:1"), digest_input(a));
}

TEST(ClassicEnvironment, CarriesTheRequest) {
  RequestHead head{.method = "POST", .target = "/function/f/p?q=1", .body = {.length = 3}};
  head.headers.add("x-call-id", "1");
  head.headers.add("Accept", "*/*");
  FunctionDeployment deployment{.function = *FunctionName::parse("f"), .env = {{"A", "b"}}};
  const auto environment = classic_environment(deployment, head, "/p", "q=1");
  for (const char* expected :
       {"A=b", "Http_Method=POST", "Http_Path=/p", "Http_Query=q=1", "Http_Content_Length=3",
        "Http_X_Call_Id=1", "Http_Accept=*/*", "OPENFAAS_NAME=f"}) {
    EXPECT_NE(std::ranges::find(environment, expected), environment.end()) << expected;
  }
}

TEST(Status, RoundTripsAndHoldsWhatFaasCliReads) {
  const FunctionStatus status{
      .deployment = {.function = *FunctionName::parse("f"), .image = "host:"},
      .created_at = "2026-01-01T00:00:00Z",
      .invocation_count = 3,
      .replicas = 1,
      .available_replicas = 1};
  const auto list = function_list_from_json(function_list_json(std::span(&status, 1)));
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->at(0).deployment.function, status.deployment.function);
  EXPECT_EQ(list->at(0).invocation_count, 3);
  EXPECT_FALSE(function_list_from_json("{}"));
}

}  // namespace
}  // namespace dfaas
