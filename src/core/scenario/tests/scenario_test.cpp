// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A scenario says what is wrong with it, in one sentence that names the thing and the value.
#include "core/scenario/scenario.hpp"

#include <functional>

#include <gmock/gmock.h>

namespace dfaas {
namespace {

Scenario small() {
  Scenario scenario{.name = "small"};
  scenario.functions.push_back({.name = *FunctionName::parse("figlet")});
  for (const char* name : {"light", "mid"}) {
    scenario.nodes.push_back({.name = *NodeName::parse(name),
                              .pools = {{.name = "cpu", .slots = 2}},
                              .functions = {{.function = 0, .pool = 0}}});
  }
  scenario.links.push_back({.a = 0, .b = 1});
  scenario.loads.push_back({.node = 0, .function = 0, .rates = {Rate{10}}});
  return scenario;
}

TEST(Scenario, AcceptsASmallOne) {
  const auto valid = validate(small());
  EXPECT_TRUE(valid) << valid.error().message;
}

struct Case {
  const char* name;
  std::function<void(Scenario&)> spoil;
  const char* says;
};

class SpoiltScenario : public testing::TestWithParam<Case> {};

TEST_P(SpoiltScenario, IsRefusedWithASentence) {
  Scenario scenario = small();
  GetParam().spoil(scenario);
  const auto valid = validate(scenario);
  ASSERT_FALSE(valid);
  EXPECT_EQ(valid.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(valid.error().message, std::string("scenario: ") + GetParam().says);
}

INSTANTIATE_TEST_SUITE_P(
    Examples, SpoiltScenario,
    testing::Values(Case{"no_nodes", [](Scenario& s) { s.nodes.clear(); },
                         "there is no node: at least one is needed"},
                    Case{"no_slots", [](Scenario& s) { s.nodes[0].pools[0].slots = 0; },
                         "node \"light\": pool \"cpu\": slots 0 is not 1 to 100000"},
                    Case{"negative_rate", [](Scenario& s) { s.loads[0].rates[0] = Rate{-1}; },
                         "load of \"figlet\" at \"light\": rate -1 is not 0 to 1000000 requests/s"},
                    Case{
                        "endless_rate", [](Scenario& s) { s.loads[0].rates[0] = Rate{HUGE_VAL}; },
                        "load of \"figlet\" at \"light\": rate inf is not 0 to 1000000 requests/s"},
                    Case{"link_to_nowhere", [](Scenario& s) { s.links[0].b = 7; },
                         "link of \"light\" and 7: node number 7 does not exist: there are 2"},
                    Case{"two_links", [](Scenario& s) { s.links.push_back({.a = 1, .b = 0}); },
                         "link of \"mid\" and \"light\": there are two"},
                    Case{"nobody_deploys",
                         [](Scenario& s) {
                           for (ScenarioNode& node : s.nodes) node.functions.clear();
                         },
                         "load of \"figlet\" at \"light\": no node deploys the function"},
                    Case{"two_of_a_name", [](Scenario& s) { s.nodes[1].name = s.nodes[0].name; },
                         "node \"light\": there are two"},
                    Case{"fault_ends_first",
                         [](Scenario& s) {
                           s.faults.push_back(
                               {.at = Micros{2'000'000}, .until = Micros{1'000'000}, .nodes = {0}});
                         },
                         "fault 1: it ends at 1 s, not after it begins at 2 s"},
                    Case{"all_warm_up", [](Scenario& s) { s.warm_up = s.duration; },
                         "warm-up 60 s is not 0 s to below the duration of 60 s"}),
    [](const auto& tested) { return tested.param.name; });

TEST(ScenarioFunction, HasADeadlineOfTenMeans) {
  ScenarioFunction function{.service_time = {.mean = Micros{200'000}}};
  EXPECT_EQ(function.effective_deadline(), Micros{2'000'000});
  function.service_time.mean = Micros{10'000};
  EXPECT_EQ(function.effective_deadline(), Micros{1'000'000});
  function.deadline = Micros{300'000};
  EXPECT_EQ(function.effective_deadline(), Micros{300'000});
}

}  // namespace
}  // namespace dfaas
