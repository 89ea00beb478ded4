// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The busiest functions of the Azure traces become loads with the rates, times and names that the files
/// say; what is wrong in them is told by line and column.
#include "core/scenario/import_azure.hpp"

#include <gmock/gmock.h>

#include "core/scenario/scenario_file.hpp"

namespace dfaas {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::DoubleNear;
using testing::ElementsAre;

Scenario two_nodes() {
  Scenario scenario{.name = "small"};
  for (const char* name : {"light", "mid"}) {
    scenario.nodes.push_back(
        {.name = *NodeName::parse(name), .pools = {{.name = "cpu", .slots = 2}}});
  }
  return scenario;
}

constexpr std::string_view invocations =
    "HashOwner,HashApp,HashFunction,Trigger,1,2,3\n"
    "aa,bb,c1,http,1,2,3\n"
    "aa,bb,c2,timer,60,120,0\n"
    "aa,bb,c3,queue,0,0,900\n"
    "aa,bb,c4,queue,90,90,0\n";
constexpr std::string_view durations =
    "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,"
    "percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,"
    "percentile_Average_99,percentile_Average_100\n"
    "aa,bb,c2,250.5,3,1,9,1,1,1,1,1,1,1\n"
    "aa,bb,c4,0,3,1,9,1,1,1,1,1,1,1\n";

TEST(Azure2019, TakesTheBusiestOfTheWindow) {
  Scenario scenario = two_nodes();
  const auto added =
      add_azure_2019(scenario, invocations, durations, {.functions = 3, .duration = minutes{2}});
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(scenario.duration, minutes{2});
  ASSERT_EQ(scenario.functions.size(), 3U);
  EXPECT_EQ(scenario.functions[0].name.name(), "azure-1-c2");
  EXPECT_EQ(scenario.functions[1].name.name(), "azure-2-c4");
  EXPECT_EQ(scenario.functions[2].name.name(), "azure-3-c1");
  EXPECT_EQ(scenario.functions[0].service_time.mean, Micros{250'500});
  EXPECT_EQ(scenario.functions[1].service_time.mean, Micros{100}) << "0 ms is not possible";
  EXPECT_EQ(scenario.functions[2].service_time.mean, Micros{100'000}) << "not in the file";
  EXPECT_EQ(scenario.nodes[1].functions.size(), 3U);
  ASSERT_EQ(scenario.loads.size(), 3U);
  EXPECT_EQ(scenario.loads[0].node, 0U);
  EXPECT_EQ(scenario.loads[1].node, 1U);
  EXPECT_EQ(scenario.loads[2].node, 0U);
  EXPECT_THAT(scenario.loads[0].rates, ElementsAre(Rate{1}, Rate{2}));
}

TEST(Azure2019, MovesTheWindowAndMultiplies) {
  Scenario scenario = two_nodes();
  const auto added = add_azure_2019(scenario, invocations, "",
                                    {.functions = 9,
                                     .start = minutes{2},
                                     .duration = minutes{1},
                                     .nodes = {1},
                                     .rate_factor = 0.1});
  ASSERT_TRUE(added) << added.error().message;
  ASSERT_EQ(scenario.loads.size(), 2U) << "two are called in the third minute";
  EXPECT_EQ(scenario.loads[0].node, 1U);
  EXPECT_EQ(scenario.loads[1].node, 1U);
  ASSERT_EQ(scenario.loads[0].rates.size(), 1U);
  EXPECT_THAT(scenario.loads[0].rates[0].per_second, DoubleNear(1.5, 1e-12));
}

constexpr std::string_view calls =
    "app,func,end_timestamp,duration\n"
    "aa,bb,15.5,0.5\n"
    "aa,bb,12.25,0.25\n"
    "aa,cc,13.0,1.0\n"
    "aa,bb,100.0,0.1\n"
    "aa,dd,10.5,3.0\n";

TEST(Azure2021, PlacesEachCallAtItsBeginning) {
  Scenario scenario = two_nodes();
  const auto added =
      add_azure_2021(scenario, calls, {.start = seconds{10}, .duration = seconds{20}});
  ASSERT_TRUE(added) << added.error().message;
  ASSERT_EQ(scenario.loads.size(), 2U) << "one began before the window, one after";
  EXPECT_EQ(scenario.loads[0].arrivals, ArrivalKind::trace);
  EXPECT_THAT(scenario.loads[0].calls,
              ElementsAre(TraceCall{.at = seconds{2}, .service_time = Micros{250'000}},
                          TraceCall{.at = seconds{5}, .service_time = Micros{500'000}}));
  EXPECT_EQ(scenario.functions[0].service_time.mean, Micros{375'000});
  EXPECT_EQ(scenario.loads[1].node, 1U);
  EXPECT_EQ(scenario.duration, seconds{20});
  EXPECT_EQ(parse_scenario_file(scenario_to_toml(scenario), 1, {}), scenario);
}

struct Bad {
  const char* name;
  std::string_view invocations;
  std::string_view durations;
  AzureSelection selection;
  const char* sentence;
};

class BadAzure2019 : public testing::TestWithParam<Bad> {};

TEST_P(BadAzure2019, ChangesNothing) {
  Scenario scenario = two_nodes();
  const auto added =
      add_azure_2019(scenario, GetParam().invocations, GetParam().durations, GetParam().selection);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().message, GetParam().sentence);
  EXPECT_EQ(scenario, two_nodes());
}

constexpr AzureSelection one_minute{.duration = minutes{1}};

INSTANTIATE_TEST_SUITE_P(
    Files, BadAzure2019,
    testing::Values(
        Bad{"header", "a,b\n", "", one_minute,
            "line 1: the header does not begin with HashOwner,HashApp,HashFunction,Trigger"},
        Bad{"count", "HashOwner,HashApp,HashFunction,Trigger,1\naa,bb,cc,http,x\n", "", one_minute,
            "line 2, column 5 (\"1\"): \"x\" is not a number from 0 to 1000000000"},
        Bad{"short", "HashOwner,HashApp,HashFunction,Trigger,1\naa,bb,cc,http\n", "", one_minute,
            "line 2: 4 cells are not the 5 of the header"},
        Bad{"hash", "HashOwner,HashApp,HashFunction,Trigger,1\naa,bb,x y,http,1\n", "", one_minute,
            "line 2, column 3 (\"HashFunction\"): \"x y\" is not hexadecimal"},
        Bad{"window",
            invocations,
            "",
            {.duration = minutes{4}},
            "the window of 240 s from 0 s is not of whole minutes within the 3 that the file "
            "holds"},
        Bad{"durations", invocations, "HashOwner,HashApp,HashFunction,Average\naa,bb,c4,-1\n",
            one_minute,
            "durations: line 2, column 4 (\"Average\"): \"-1\" is not a number from 0 to 86400000"},
        Bad{"quiet", "HashOwner,HashApp,HashFunction,Trigger,1\naa,bb,cc,http,0\n", "", one_minute,
            "no function is called in the window"},
        Bad{"node",
            invocations,
            "",
            {.duration = minutes{1}, .nodes = {7}},
            "node number 7 does not exist: there are 2"},
        Bad{"functions", invocations, "", {.functions = 0}, "0 functions are not 1 to 1000"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Azure2021, RefusesByLineAndColumn) {
  Scenario scenario = two_nodes();
  const auto added =
      add_azure_2021(scenario, "app,func,end_timestamp,duration\naa,bb,1.5,-3\n", {});
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().message,
            "line 2, column 4 (\"duration\"): \"-3\" is not a number from 0 to 86400");
  EXPECT_FALSE(add_azure_2021(scenario, "", {}));
  Scenario empty;
  EXPECT_EQ(add_azure_2021(empty, calls, {}).error().message,
            "the scenario has no node to run the functions");
}

}  // namespace
}  // namespace dfaas
