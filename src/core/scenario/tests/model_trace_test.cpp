// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A model's answers are read with the names of a scenario, hold until the next one, and are refused by line.
#include "core/scenario/model_trace.hpp"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

/// A row light - mid - heavy - other, and mute beside heavy. All run figlet and own, but light, which runs
/// ocr. other is of another organisation, mute has no agent.
Scenario federation() {
  Scenario scenario{.name = "four"};
  scenario.functions = {{.name = *FunctionName::parse("figlet")},
                        {.name = *FunctionName::parse("ocr")},
                        {.name = *FunctionName::parse("own"), .share = Sharing::organisation}};
  for (const char* name : {"light", "mid", "heavy", "other", "mute"}) {
    scenario.nodes.push_back({.name = *NodeName::parse(name),
                              .pools = {{.name = "cpu", .slots = 2}},
                              .functions = {{.function = 0}, {.function = 2}}});
  }
  scenario.nodes[0].functions = {{.function = 1}};
  scenario.nodes[3].organisation = "south";
  scenario.nodes[4].runs_agent = false;
  scenario.links = {{.a = 0, .b = 1}, {.a = 2, .b = 1}, {.a = 3, .b = 2}, {.a = 4, .b = 2}};
  return scenario;
}

TEST(ModelTrace, AnswersHoldUntilTheNextOfTheirNodeAndFunction) {
  const auto trace = parse_model_trace(
      "\n{\"at_s\": 1, \"node\": \"mid\", \"function\": \"figlet\", \"local\": 0.5, \"reject\": 0,"
      " \"neighbours\": {\"heavy\": 0.5}}\r\n"
      "{\"at_s\": 1, \"node\": \"heavy\", \"function\": \"figlet.openfaas-fn\", \"local\": 1,"
      " \"reject\": 0}\n"
      "{\"at_s\": 2.5, \"node\": \"mid\", \"function\": \"figlet\", \"local\": 0.9, \"reject\": "
      "0.1,"
      " \"neighbours\": {}}",
      federation());
  ASSERT_TRUE(trace) << trace.error().message;
  const RecordedAnswer first{
      .at = Micros{1'000'000}, .local = 0.5, .refused = 0, .neighbours = {{2, 0.5}}};
  const RecordedAnswer second{.at = Micros{2'500'000}, .local = 0.9, .refused = 0.1};
  EXPECT_EQ(trace->in_force(1, 0, Micros{999'999}), nullptr);
  ASSERT_NE(trace->in_force(1, 0, Micros{1'000'000}), nullptr);
  EXPECT_EQ(*trace->in_force(1, 0, Micros{1'000'000}), first);
  EXPECT_EQ(*trace->in_force(1, 0, Micros{2'499'999}), first);
  EXPECT_EQ(*trace->in_force(1, 0, Micros{2'500'000}), second);
  EXPECT_EQ(*trace->in_force(1, 0, Micros{86'400'000'000}), second);
  EXPECT_EQ(trace->in_force(1, 2, Micros{2'500'000}), nullptr) << "another function";
  ASSERT_NE(trace->in_force(2, 0, Micros{2'500'000}), nullptr);
  EXPECT_EQ(trace->in_force(2, 0, Micros{2'500'000})->local, 1);
}

TEST(ModelTrace, TheLastOfOneTimeHolds) {
  std::string text;
  for (const char* local : {"1", "0"}) {
    text += std::string(R"({"at_s": 3, "node": "mid", "function": "own", "local": )") + local +
            R"(, "reject": )" + (*local == '1' ? "0" : "1") + "}\n";
  }
  const auto trace = parse_model_trace(text, federation());
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->in_force(1, 2, Micros{3'000'000})->local, 0);
}

struct Bad {
  const char* name;
  const char* text;
  const char* sentence;
};

class BadModelTrace : public testing::TestWithParam<Bad> {};

TEST_P(BadModelTrace, IsRefusedByLine) {
  const auto trace = parse_model_trace(GetParam().text, federation());
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(trace.error().message.substr(0, std::string(GetParam().sentence).size()),
            GetParam().sentence);
}

/// Of figlet at mid.
#define DFAAS_MID "{\"at_s\": 1, \"node\": \"mid\", \"function\": \"figlet\", "

INSTANTIATE_TEST_SUITE_P(
    Texts, BadModelTrace,
    testing::Values(
        Bad{"empty", "\n \n",
            "line 1: a trace of a model's answers has one at least, a JSON object a line"},
        Bad{"text", "at_s,node\n", "line 1: not JSON: "},
        Bad{"list", "\n[1]", "line 2: \"[1]\" is not an object"},
        Bad{"unknown_key", DFAAS_MID "\"local\": 1, \"refused\": 0}",
            "line 1: \"refused\": is not known: at_s, node, function, local, reject, neighbours "
            "are"},
        Bad{"unknown_node",
            "{\"at_s\": 1, \"node\": \"hevy\", \"function\": \"figlet\", \"local\": 1}",
            "line 1: node: \"hevy\" is not in the scenario"},
        Bad{"no_agent", "{\"at_s\": 1, \"node\": \"mute\", \"function\": \"figlet\", \"local\": 1}",
            "line 1: node: mute has no agent, which would ask the model"},
        Bad{"unknown_function",
            "{\"at_s\": 1, \"node\": \"mid\", \"function\": \"figlet.else\", \"local\": 1}",
            "line 1: function: figlet.else is not in the scenario"},
        Bad{"no_function", "{\"at_s\": 1, \"node\": \"mid\", \"function\": \"a b\"}",
            "line 1: function: "},
        Bad{"unknown_neighbour",
            DFAAS_MID "\"local\": 0, \"reject\": 0, \"neighbours\": {\"hevy\\n\": 1}}",
            "line 1: neighbours.\"hevy?\": is no node of the scenario"},
        Bad{"no_link", DFAAS_MID "\"local\": 0, \"reject\": 0, \"neighbours\": {\"other\": 1}}",
            "line 1: neighbours.other: is no neighbour of mid"},
        Bad{"itself", DFAAS_MID "\"local\": 0, \"reject\": 0, \"neighbours\": {\"mid\": 1}}",
            "line 1: neighbours.mid: is no neighbour of mid"},
        Bad{"neighbour_without_function",
            DFAAS_MID "\"local\": 0, \"reject\": 0, \"neighbours\": {\"light\": 1}}",
            "line 1: neighbours.light: does not run figlet"},
        Bad{"neighbour_without_agent",
            "{\"at_s\": 1, \"node\": \"heavy\", \"function\": \"own\", \"local\": 0, \"reject\": "
            "0, "
            "\"neighbours\": {\"mute\": 1}}",
            "line 1: neighbours.mute: is no neighbour of heavy"},
        Bad{"another_organisation",
            "{\"at_s\": 1, \"node\": \"heavy\", \"function\": \"own\", \"local\": 0, \"reject\": "
            "0, "
            "\"neighbours\": {\"other\": 1}}",
            "line 1: neighbours.other: takes no calls of own from heavy: it is shared within the "
            "organisation"},
        Bad{"too_little", DFAAS_MID "\"local\": 0.5, \"reject\": 0.25}",
            "line 1: local: with the other shares it sums to 0.75, not to 1"},
        Bad{"too_much", DFAAS_MID "\"local\": 1, \"reject\": 0, \"neighbours\": {\"heavy\": 0.5}}",
            "line 1: local: with the other shares it sums to 1.5, not to 1"},
        Bad{"negative", DFAAS_MID "\"local\": -0.5, \"reject\": 1}",
            "line 1: local: \"-0.5\" is not a number from 0 to 1"},
        Bad{"negative_share",
            DFAAS_MID "\"local\": 1, \"reject\": 0, \"neighbours\": {\"heavy\": -1}}",
            "line 1: neighbours.heavy: \"-1\" is not a number from 0 to 1"},
        Bad{"text_for_a_share", DFAAS_MID "\"local\": 1, \"reject\": \"no\"}",
            "line 1: reject: \"\"no\"\" is not a number from 0 to 1"},
        Bad{"no_reject", DFAAS_MID "\"local\": 1}", "line 1: reject: is missing"},
        Bad{"neighbours_in_a_list",
            DFAAS_MID "\"local\": 1, \"reject\": 0, \"neighbours\": [\"heavy\"]}",
            "line 1: neighbours."},
        Bad{"negative_time", "{\"at_s\": -1}",
            "line 1: at_s: \"-1\" is not a number from 0 to 86400"},
        Bad{"backwards",
            DFAAS_MID "\"local\": 1, \"reject\": 0}\n\n{\"at_s\": 0.5, \"node\": \"heavy\", "
                      "\"function\": \"figlet\", \"local\": 1, \"reject\": 0}",
            "line 3: at_s 0.5 is before the 1 of line 1: a trace is in order of time"}),
    [](const auto& tested) { return tested.param.name; });

#undef DFAAS_MID

TEST(ModelTraceProperty, SharesThatNearlySumToOneAreScaledToIt) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const double local = uniform(random, 0, 0.5);
    const double refused = uniform(random, 0, 0.4);
    const double heavy = 1 - local - refused + uniform(random, -9e-7, 9e-7);
    const auto trace = parse_model_trace(
        fmt::format(
            R"({{"at_s": 0, "node": "mid", "function": "figlet", "local": {}, "reject": {}, )"
            R"("neighbours": {{"heavy": {}}}}})",
            local, refused, heavy),
        federation());
    ASSERT_TRUE(trace) << trace.error().message;
    const RecordedAnswer* answer = trace->in_force(1, 0, Micros{0});
    EXPECT_NEAR(answer->local + answer->refused + answer->neighbours.at(2), 1, 1e-12);
    EXPECT_NEAR(answer->local, local, 2e-6);
  }
}

}  // namespace
}  // namespace dfaas
