// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Instances of the prototype's simulators mean here what they meant there: the same graph, the same rates
/// a minute and, for those that say it, the same most that a node serves.
#include "core/scenario/import_original.hpp"

#include <gmock/gmock.h>

#include "core/scenario/scenario_file.hpp"

namespace dfaas {
namespace {

using std::chrono::minutes;
using testing::ElementsAre;

constexpr const char* simulation = R"({"seed": 7, "nodes_number": 2, "edge_prob": 0.1,
 "node_0": {"node_type": "node_1", "funca_num": 1, "funca_wl": 3, "neighbours": ["node_1"],
   "exp_history": [
     {"ram_usage": 0.1, "functions": [{"name": "funca", "invoc_rate": 10, "max_rate": 15, "afet": 0.02}]},
     {"ram_usage": 0.1, "functions": [{"name": "funca", "invoc_rate": 20, "max_rate": 15, "afet": 0.02}]}]},
 "node_1": {"node_type": "node_3", "replicas": {"funca": 2, "ocr": 1}, "neighbours": ["node_0"],
   "exp_history": [
     {"functions": [{"name": "ocr", "invoc_rate": 1, "max_rate": 5}]},
     {"functions": [{"name": "funca", "invoc_rate": 3, "max_rate": 60}]}]}})";

TEST(ImportOriginal, KeepsGraphRatesAndMaxRatesOfSimulation) {
  const auto scenario = import_original(simulation);
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->name, "dfaas-simulation");
  EXPECT_EQ(scenario->duration, minutes{2});
  EXPECT_FALSE(scenario->stress_from) << "the run is too short for theirs";
  EXPECT_THAT(scenario->links, ElementsAre(ScenarioLink{.a = 0, .b = 1}));
  ASSERT_EQ(scenario->functions.size(), 2U);
  EXPECT_EQ(scenario->functions[0].name.name(), "funca");
  EXPECT_EQ(scenario->nodes[0].name.text(), "node-0");
  EXPECT_EQ(scenario->nodes[0].type, "light");
  EXPECT_EQ(scenario->nodes[1].type, "heavy");
  for (const ScenarioNode& node : scenario->nodes) {
    for (const ScenarioDeployment& deployment : node.functions) {
      const Micros mean = scenario->functions[deployment.function].service_time.mean;
      EXPECT_NEAR(node.pools[deployment.pool].slots / to_seconds(mean),
                  deployment.max_rate.per_second, 0.01);
    }
  }
  ASSERT_EQ(scenario->loads.size(), 3U);
  EXPECT_THAT(scenario->loads[0].rates, ElementsAre(Rate{10}, Rate{20}));
  EXPECT_THAT(scenario->loads[1].rates, ElementsAre(Rate{0}, Rate{3}));
  EXPECT_THAT(scenario->loads[2].rates, ElementsAre(Rate{1}));
  EXPECT_EQ(scenario->loads[0].step, minutes{1});
  EXPECT_EQ(parse_scenario_file(scenario_to_toml(*scenario), 1, {}), *scenario);
}

TEST(ImportOriginal, TakesTheMachinesOfFramework) {
  std::string load =
      R"({"LOW_USAGE": {"functions": [{"function_name": "figlet", "function_rate": 30},
    {"function_name": "env", "function_rate": 3}], "total_rate": 33}})";
  std::string history = load;
  for (int minute = 1; minute < 7; ++minute) history.append(",").append(load);
  const auto scenario = import_original(
      R"({"seed": 1, "nodes_number": 1, "edge_prob": 0.1, "overloaded_perc": 60.0,
          "node_0": {"node_type": "LIGHT", "neighbours": [], "load": [)" +
      history + "]}}");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->name, "dfaas-framework");
  EXPECT_EQ(scenario->duration, minutes{7});
  EXPECT_EQ(scenario->stress_from, minutes{2});
  EXPECT_EQ(scenario->stress_until, minutes{4});
  EXPECT_THAT(scenario->nodes[0].pools, ElementsAre(ScenarioPool{.name = "cpu", .slots = 2}));
  ASSERT_EQ(scenario->functions.size(), 2U);
  EXPECT_NEAR(2 / to_seconds(scenario->functions[1].service_time.mean), 330, 0.1);
  EXPECT_EQ(scenario->loads[1].rates.front(), Rate{30});
}

constexpr const char* data_file = R"({"input": {"node": "node_2", "qrcode_num": 1, "qrcode_wl": 3},
  "output": [{"ram_usage": 0.19, "functions": [{"name": "qrcode", "service_count": 1, "margin": 5,
    "invoc_rate": 2, "afet": 0.001, "max_rate": 5, "state": "Underload"}]}]})";

TEST(ImportOriginal, MakesANodeOfEachDataFile) {
  const auto alone = import_original(data_file);
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_EQ(alone->nodes.size(), 1U);
  const std::vector<OriginalDataFile> files(3, {.name = "11.json", .json = data_file});
  const auto scenario = import_original_data(files);
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->nodes.size(), 3U);
  EXPECT_EQ(scenario->nodes[0].type, "mid");
  EXPECT_EQ(scenario->links.size(), 3U);
}

struct Bad {
  const char* name;
  const char* json;
  const char* sentence;
};

class BadInstance : public testing::TestWithParam<Bad> {};

TEST_P(BadInstance, IsRefusedByTheFieldThatIsWrong) {
  const auto scenario = import_original(GetParam().json);
  ASSERT_FALSE(scenario);
  EXPECT_EQ(scenario.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(scenario.error().message, GetParam().sentence);
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadInstance,
    testing::Values(
        Bad{"no_number", "{}", "nodes_number: is missing"},
        Bad{"no_nodes", R"({"nodes_number": 0})",
            "nodes_number: \"0\" is not an integer from 1 to 10000"},
        Bad{"no_node", R"({"nodes_number": 1})", "node_0: is missing"},
        Bad{"type", R"({"nodes_number": 1, "node_0": {"node_type": "BIG", "load": []}})",
            "node_0.node_type: \"BIG\" is not one of LIGHT, MID, HEAVY"},
        Bad{"no_history", R"({"nodes_number": 1, "node_0": {"node_type": "MID"}})",
            "node_0.load: is empty: one entry a minute is right"},
        Bad{"group",
            R"({"nodes_number": 1, "node_0": {"node_type": "MID", "load": [{"SOME_USAGE": {}}]}})",
            "node_0.load: group \"SOME_USAGE\" is not one of HIGH_USAGE, LOW_USAGE, MEDIUM_USAGE"},
        Bad{"rate",
            R"({"nodes_number": 1, "node_0": {"node_type": "node_1", "exp_history": [
               {"functions": [{"name": "ocr", "invoc_rate": -1, "max_rate": 5}]}]}})",
            "node_0.exp_history[0].functions[0].invoc_rate: \"-1\" is not a number from 0 to "
            "1000000"},
        Bad{"neighbour",
            R"({"nodes_number": 1, "node_0": {"node_type": "node_1", "neighbours": ["node_4"],
               "exp_history": [{"functions": [{"name": "o", "invoc_rate": 1, "max_rate": 5}]}]}})",
            "node_0.neighbours: \"node_4\" is not another node"},
        Bad{"nothing_runs",
            R"({"nodes_number": 1, "node_0": {"node_type": "node_1", "exp_history": [{}]}})",
            "scenario: there is no function: at least one is needed"}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace dfaas
