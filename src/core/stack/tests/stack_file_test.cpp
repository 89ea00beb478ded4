// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/stack/stack_file.hpp"

#include <string>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

std::optional<std::string> nothing_set(std::string_view) { return std::nullopt; }

std::optional<std::string> some_set(std::string_view name) {
  if (name == "GATEWAY") return "http://10.0.0.1:8080";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

TEST(Stack, ReadsWhatFaasCliReads) {
  const auto stack = parse_stack(R"(
version: 1.0
provider:
  name: openfaas
  gateway: ${GATEWAY:-http://127.0.0.1:8080}
functions:
  upper:
    lang: python
    handler: ./upper
    image: registry.example/upper:latest
    namespace: team
    environment:
      COLOUR: blue
      COUNT: 3
    environment_file: [more.yml]
    labels: {dfaas.slots: 4}
    annotations: {topic: "a, b"}
    secrets:
      - api-key
    limits: {memory: 128Mi}
    readonly_root_filesystem: true
    build_args: {X: y}
  cat:
    skip_build: true
    image: "host:cat"
    fprocess: cat -u
)",
                                 some_set);
  ASSERT_TRUE(stack) << stack.error().message;
  EXPECT_EQ(stack->gateway, "http://10.0.0.1:8080");
  ASSERT_EQ(stack->functions.size(), 2U);
  const StackFunction& cat = stack->functions[0];
  EXPECT_TRUE(cat.skip_build);
  EXPECT_EQ(cat.deployment.process, "cat -u");
  const StackFunction& upper = stack->functions[1];
  EXPECT_EQ(upper.lang, "python");
  EXPECT_EQ(upper.handler, "./upper");
  EXPECT_EQ(upper.deployment.function.full(), "upper.team");
  EXPECT_EQ(upper.deployment.env.at("COUNT"), "3");
  EXPECT_EQ(upper.environment_files, (std::vector<std::string>{"more.yml"}));
  EXPECT_EQ(upper.deployment.labels.at("dfaas.slots"), "4");
  EXPECT_EQ(upper.deployment.secrets, (std::vector<std::string>{"api-key"}));
  EXPECT_EQ(upper.deployment.limits, R"({"memory":"128Mi"})");
  EXPECT_TRUE(upper.deployment.read_only_root);
}

struct Refused {
  const char* name;
  const char* text;
  const char* expected;
};

class BadStackFile : public testing::TestWithParam<Refused> {};

TEST_P(BadStackFile, IsRefusedWithItsReason) {
  const auto stack = parse_stack(GetParam().text, nothing_set);
  ASSERT_FALSE(stack);
  EXPECT_EQ(stack.error().code, ErrorCode::invalid_input);
  EXPECT_NE(stack.error().message.find(GetParam().expected), std::string::npos)
      << stack.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadStackFile,
    testing::Values(Refused{"empty", "", "not a map"}, Refused{"list", "- a", "not a map"},
                    Refused{"no_functions", "provider: {name: openfaas}", "there is none"},
                    Refused{"syntax", "functions:\n  a: [", "line"},
                    Refused{"tab", "functions:\n\ta: b", "line 2"},
                    Refused{"name", "functions: {a/b: {image: x}}", "a/b"},
                    Refused{"scalar", "functions: {a: b}", "functions.a is not a map"},
                    Refused{"labels", "functions: {a: {labels: [x]}}", "functions.a.labels"},
                    Refused{"secrets", "functions: {a: {secrets: x}}", "functions.a.secrets"},
                    Refused{"flag", "functions: {a: {skip_build: maybe}}", "skip_build"},
                    Refused{"nested", "functions: {a: {environment: {b: {c: d}}}}",
                            "environment.b"},
                    Refused{"variable", "functions: {a: {image: \"${TAG}\"}}", "TAG"},
                    Refused{"brace", "functions: ${TAG", "closing brace"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Substitute, TakesValuesAndDefaults) {
  EXPECT_EQ(substitute("a ${GATEWAY}/b", some_set), "a http://10.0.0.1:8080/b");
  EXPECT_EQ(substitute("${EMPTY:-x}${NONE:-y:-z}${EMPTY}$ $x", some_set), "xy:-z$ $x");
  EXPECT_FALSE(substitute("${NONE}", some_set));
}

TEST(AddFunction, MakesAFileAndAddsToIt) {
  const auto first = FunctionName::parse("first").value();
  const auto second = FunctionName::parse("second").value();
  const auto made = add_function("", first, "python", "./first");
  ASSERT_TRUE(made);
  const auto both = add_function(*made + "    # a remark", second, "bash", "./second");
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_NE(both->find("# a remark"), std::string::npos);
  const auto stack = parse_stack(*both, nothing_set);
  ASSERT_TRUE(stack) << stack.error().message;
  ASSERT_EQ(stack->functions.size(), 2U);
  EXPECT_EQ(stack->functions[1].lang, "bash");
  EXPECT_EQ(add_function(*both, first, "node", "./first").error().code, ErrorCode::conflict);
  EXPECT_FALSE(
      add_function("functions:\n  a: {image: x}\nprovider: {name: y}\n", first, "node", "."));
  EXPECT_FALSE(add_function("just text", first, "node", "."));
}

TEST(EnvironmentFile, IsAMapBelowEnvironment) {
  EXPECT_EQ(parse_environment_file("environment:\n  A: 1\n")->at("A"), "1");
  EXPECT_TRUE(parse_environment_file("environment:")->empty());
  EXPECT_FALSE(parse_environment_file("A=1"));
}

}  // namespace
}  // namespace dfaas
