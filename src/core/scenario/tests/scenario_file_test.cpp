// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What each key means, every way to get one wrong with its exact sentence, and that a scenario survives
/// being written and read.
#include "core/scenario/scenario_file.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

/// A folder of three files.
Result<std::string> data(const std::string& file) {
  if (file == "trace.csv") {
    return "at_s,node,function,service_ms\n0.5,light,figlet,20\n0.7,mid,figlet,\n0.9,light,ocr,\n";
  }
  if (file == "rates.csv") return "light,mid\n1,10\n2,20\n";
  if (file == "samples.csv") return "10\n20\n30.5\n";
  return fail(ErrorCode::not_found, "there is no file " + file);
}

Result<Scenario> parse(std::string_view text, std::uint64_t seed = 1) {
  return parse_scenario_file(text, seed, data);
}

Scenario parsed(std::string_view text, std::uint64_t seed = 1) {
  auto scenario = parse(text, seed);
  EXPECT_TRUE(scenario) << scenario.error().message;
  return scenario ? std::move(*scenario) : Scenario{};
}

constexpr std::string_view base = R"(name = "test"
[[function]]
name = "figlet"
[[function]]
name = "ocr"
[[node]]
name = "light"
slots = 2
functions = ["figlet", "ocr"]
[[node]]
name = "mid"
slots = 4
functions = ["figlet"]
)";

std::string with(std::string_view more) { return std::string(base).append(more); }

std::vector<double> numbers(const std::vector<Rate>& rates) {
  std::vector<double> numbers;
  for (const Rate rate : rates) numbers.push_back(rate.per_second);
  return numbers;
}

TEST(ScenarioFile, HasDefaultsForWhatIsNotSaid) {
  const Scenario scenario = parsed(base);
  EXPECT_EQ(scenario.name, "test");
  EXPECT_EQ(scenario.duration, seconds{60});
  ASSERT_EQ(scenario.functions.size(), 2U);
  EXPECT_EQ(scenario.functions[0], ScenarioFunction{.name = *FunctionName::parse("figlet")});
  ASSERT_EQ(scenario.nodes.size(), 2U);
  EXPECT_THAT(scenario.nodes[0].pools, ElementsAre(ScenarioPool{.name = "cpu", .slots = 2}));
  EXPECT_THAT(scenario.links, ElementsAre(ScenarioLink{.a = 0, .b = 1}));
  EXPECT_TRUE(scenario.loads.empty());
}

TEST(ScenarioFile, SaysEverythingThatAScenarioHolds) {
  const Scenario scenario = parsed(R"(
name = "all"
summary = "Everything"
duration = "90s"
warm_up = "5s"
window = "5s"
stress = ["20s", "40s"]
handling = { call = "10us", forward = "20us" }
rtt = "4ms"
loss = 0.5

[[function]]
name = "a"
service = "20ms"
distribution = "log_normal"
sigma = 0.25
deadline = "1s"
share = "organisation"
retry_safe = true

[[function]]
name = "b.other"
distribution = "samples"
samples_file = "samples.csv"

[[node]]
name = "one"
organisation = "north"
type = "light"
power = { idle_watts = 3, max_watts = 7.5 }
lie = { advertise_factor = 2, refuses_guests = true, slowdown = 1.5 }
policy = { allow = "acme, globex", deny = "initech", limits = "globex=4,*=8", credits = true }
joins_at = "3s"
agent = false
processors = 0.5
  [[node.pool]]
  name = "cpu"
  slots = 2
  [[node.pool]]
  name = "gpu"
  slots = 1
  [[node.function]]
  name = "a"
  pool = "gpu"
  max_rate = 12.5
  cold_start = "1s"
  idle_timeout = "60s"
  [[node.function]]
  name = "b.other"
  slots = 3

[[node]]
name = "two"
count = 2
slots = 1
functions = ["a"]

[[link]]
between = ["two-1", "one"]
rtt = "1ms"
jitter = "2ms"
loss = 0.01
duplicates = 0.02
bandwidth_mbps = 12.5

[[link]]
between = ["two-2", "one"]

[[load]]
node = "one"
function = "a"
arrivals = "constant"
rate = 20
start = "10s"
duration = "5s"

[[fault]]
kind = "slowdown"
at = "1s"
until = "2s"
nodes = ["two-*"]
factor = 3

[[fault]]
kind = "one_way_cut"
nodes = ["two-1", "one"]
)");
  Scenario expected{.name = "all",
                    .summary = "Everything",
                    .duration = seconds{90},
                    .warm_up = seconds{5},
                    .handling = {.call = Micros{10}, .forward = Micros{20}},
                    .window = seconds{5},
                    .stress_from = seconds{20},
                    .stress_until = seconds{40}};
  expected.functions = {
      {.name = *FunctionName::parse("a"),
       .service_time = {.kind = ServiceKind::log_normal, .mean = Micros{20'000}, .sigma = 0.25},
       .deadline = seconds{1},
       .share = Sharing::organisation,
       .retry_safe = true},
      {.name = *FunctionName::parse("b.other"),
       .service_time = {.kind = ServiceKind::samples,
                        .mean = Micros{20'167},
                        .samples = {Micros{10'000}, Micros{20'000}, Micros{30'500}}}}};
  expected.nodes.push_back(
      {.name = *NodeName::parse("one"),
       .organisation = "north",
       .pools = {{.name = "cpu", .slots = 2},
                 {.name = "gpu", .slots = 1},
                 {.name = "b.other", .slots = 3}},
       .functions = {{.function = 0,
                      .pool = 1,
                      .max_rate = {12.5},
                      .cold_start = seconds{1},
                      .idle_timeout = seconds{60}},
                     {.function = 1, .pool = 2}},
       .power_idle_watts = 3,
       .power_max_watts = 7.5,
       .type = "light",
       .lie = Lie{.advertise_factor = 2, .refuses_guests = true, .slowdown = 1.5},
       .policy = {.allow = {.organisations = {"acme", "globex"}, .nodes = {}},
                  .deny = {.organisations = {"initech"}, .nodes = {}},
                  .limits = {.of = {{"globex", 4}}, .of_others = 8},
                  .has_credits = true},
       .joins_at = seconds{3},
       .runs_agent = false,
       .processors = 0.5});
  for (const char* name : {"two-1", "two-2"}) {
    expected.nodes.push_back({.name = *NodeName::parse(name),
                              .pools = {{.name = "cpu", .slots = 1}},
                              .functions = {{.function = 0, .pool = 0}}});
  }
  expected.links = {{.a = 1,
                     .b = 0,
                     .rtt = Micros{1000},
                     .jitter = Micros{2000},
                     .loss_ratio = 0.01,
                     .duplicate_ratio = 0.02,
                     .bandwidth_mbps = 12.5},
                    {.a = 2, .b = 0, .rtt = Micros{4000}, .loss_ratio = 0.5}};
  expected.loads.push_back({.node = 0,
                            .function = 0,
                            .arrivals = ArrivalKind::constant,
                            .start = seconds{10},
                            .step = seconds{5},
                            .rates = {Rate{20}}});
  expected.faults = {{.kind = FaultKind::slowdown,
                      .at = seconds{1},
                      .until = seconds{2},
                      .nodes = {1, 2},
                      .factor = 3},
                     {.kind = FaultKind::one_way_cut, .nodes = {1, 0}}};
  EXPECT_EQ(scenario, expected);
}

TEST(ScenarioFile, OffersLoadsInEveryForm) {
  const Scenario scenario = parsed(with(R"(
[[load]]
node = "*"
function = "figlet"
rates = [1, 2.5, 0]
step = "10s"
start = "5s"
[[load]]
nodes = ["mid", "light"]
function = "figlet"
rates_file = "rates.csv"
[[load]]
node = "light"
function = "figlet"
rate = 10
step = "20s"
flash = { at = "20s", duration = "10s", factor = 3 }
[[load]]
node = "light"
function = "figlet"
calls = [[0.5, 20], [0.75]]
[[load]]
trace = "trace.csv"
[[load]]
trace = "trace.csv"
node = "light"
function = "ocr"
)"));
  ASSERT_EQ(scenario.loads.size(), 10U);
  EXPECT_THAT(numbers(scenario.loads[1].rates), ElementsAre(1, 2.5, 0));
  EXPECT_EQ(scenario.loads[1].step, seconds{10});
  EXPECT_EQ(scenario.loads[1].start, seconds{5});
  EXPECT_EQ(scenario.loads[1].node, 1U);
  EXPECT_EQ(scenario.loads[2].node, 1U);
  EXPECT_THAT(numbers(scenario.loads[2].rates), ElementsAre(10, 20));
  EXPECT_THAT(numbers(scenario.loads[3].rates), ElementsAre(1, 2));
  EXPECT_THAT(numbers(scenario.loads[4].rates), ElementsAre(10, 20, 10));
  EXPECT_THAT(scenario.loads[5].calls,
              ElementsAre(TraceCall{.at = Micros{500'000}, .service_time = Micros{20'000}},
                          TraceCall{.at = Micros{750'000}}));
  EXPECT_THAT(scenario.loads[6].calls,
              ElementsAre(TraceCall{.at = Micros{500'000}, .service_time = Micros{20'000}}));
  EXPECT_EQ(scenario.loads[7].function, 1U);
  EXPECT_EQ(scenario.loads[8].node, 1U);
  EXPECT_THAT(scenario.loads[9].calls, ElementsAre(TraceCall{.at = Micros{900'000}}));
}

TEST(ScenarioFile, LinksByTopologyAndChangesSingleLinks) {
  const auto links = [](std::string_view head, std::string_view tail) {
    return parsed(std::string(head) +
                  "\nname = \"t\"\n[[function]]\nname = \"f\"\n[[node]]\nname = \"n\"\n"
                  "count = 5\nslots = 1\nfunctions = [\"f\"]\n" +
                  std::string(tail))
        .links;
  };
  EXPECT_EQ(links("topology = \"full\"", "").size(), 10U);
  EXPECT_EQ(links("topology = \"ring\"", "").size(), 5U);
  EXPECT_EQ(links("topology = \"none\"", "").size(), 0U);
  EXPECT_GE(links("topology = \"random\"", "").size(), 4U);
  EXPECT_EQ(links("topology = \"random\"\nedge_probability = 1", "").size(), 10U);
  const auto changed = links("topology = \"ring\"\nrtt = \"9ms\"",
                             "[[link]]\nbetween = [\"n-2\", \"n-1\"]\nrtt = \"1ms\"\n"
                             "[[link]]\nbetween = [\"n-1\", \"n-3\"]\n");
  ASSERT_EQ(changed.size(), 6U);
  EXPECT_EQ(std::ranges::count(changed, Micros{1000}, &ScenarioLink::rtt), 1);
  EXPECT_EQ(changed.back(), (ScenarioLink{.a = 0, .b = 2, .rtt = Micros{9000}}));
}

constexpr std::string_view bursts =
    "bursts = { high = 50, low = 5, mean_high = \"2s\", mean_low = \"6s\" }\n";

TEST(ScenarioFile, DrawsBurstsFromTheSeedAndFromNothingElse) {
  const std::string light = "[[load]]\nnode = \"light\"\nfunction = \"figlet\"\n";
  const std::string mid = "[[load]]\nnode = \"mid\"\nfunction = \"figlet\"\n";
  const std::string burst(bursts);
  const auto alone = parsed(with(light + burst), 7).loads;
  const auto behind = parsed(with(mid + burst + light + burst), 7).loads;
  const auto both =
      parsed(with("[[load]]\nnode = \"*\"\nfunction = \"figlet\"\n" + burst), 7).loads;
  const auto other = parsed(with(light + burst), 8).loads;
  EXPECT_EQ(alone[0], behind[1]) << "loads do not shift each other";
  EXPECT_EQ(alone[0], both[0]);
  EXPECT_NE(alone[0].rates, behind[0].rates) << "each has bursts of its own";
  EXPECT_NE(alone[0].rates, other[0].rates);
  const auto twice = parsed(with(light + burst + light + burst), 7).loads;
  EXPECT_EQ(twice[0], alone[0]);
  EXPECT_NE(twice[1].rates, twice[0].rates) << "two loads of one node are not the same";
}

TEST(ScenarioFile, DrawsARandomTopologyThatIsConnected) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    const Scenario scenario = parsed(
        "topology = \"random\"\nedge_probability = 0.05\nname = \"t\"\n[[function]]\n"
        "name = \"f\"\n[[node]]\nname = \"n\"\ncount = 30\nslots = 1\n"
        "functions = [\"f\"]\n",
        seed);
    std::vector<NodeIndex> root(30);
    for (NodeIndex node = 0; node < 30; ++node) root[node] = node;
    for (int round = 0; round < 30; ++round) {
      for (const ScenarioLink& link : scenario.links) {
        root[link.a] = root[link.b] = std::min(root[link.a], root[link.b]);
      }
    }
    EXPECT_EQ(std::ranges::count(root, NodeIndex{0}), 30);
    EXPECT_LT(scenario.links.size(), 90U);
  }
}

struct Bad {
  const char* name;
  std::string text;
  const char* sentence;
};

class BadScenarioFile : public testing::TestWithParam<Bad> {};

TEST_P(BadScenarioFile, IsToldInOneSentence) {
  const auto scenario = parse(GetParam().text);
  ASSERT_FALSE(scenario);
  EXPECT_EQ(scenario.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(scenario.error().message, GetParam().sentence);
}

std::string load(std::string_view more) {
  return with("[[load]]\nnode = \"light\"\nfunction = \"figlet\"\n" + std::string(more));
}

std::string node(std::string_view more) {
  return "name = \"t\"\n[[function]]\nname = \"f\"\n[[node]]\nname = \"n\"\n" + std::string(more);
}

std::string function(std::string_view more) {
  return "name = \"t\"\n[[function]]\nname = \"f\"\n" + std::string(more);
}

INSTANTIATE_TEST_SUITE_P(
    Whole, BadScenarioFile,
    testing::Values(
        Bad{"not_toml", "name = \"a\"\nx = = 2",
            "line 2: Error while parsing value: could not determine value type"},
        Bad{"empty", "", "name is missing: give a text such as \"three-nodes\""},
        Bad{"no_functions", "name = \"a\"",
            "there is no function: write at least one [[function]]"},
        Bad{"no_nodes", function(""), "there is no node: write at least one [[node]]"},
        Bad{"unknown_key", "name = \"a\"\nspeed = 1",
            "line 2: key \"speed\" is not known: name, summary, duration, warm_up, window, stress, "
            "topology, rtt, jitter, loss, duplicates, bandwidth_mbps, edge_probability, handling, "
            "function, node, link, load, fault are"},
        Bad{"bare_duration", "name = \"a\"\nduration = 60",
            "line 2: duration \"60\" is not a text in quotes"},
        Bad{"no_duration", "name = \"a\"\nduration = \"0s\"",
            "line 2: duration: 0s is not above 0s"},
        Bad{"long_duration", "name = \"a\"\nduration = \"25h\"",
            "line 2: duration: 25h is above 24h"},
        Bad{"warm_up", "name = \"a\"\nwarm_up = \"60s\"",
            "line 2: warm_up: 1m is not below the duration of 1m"},
        Bad{"stress", "name = \"a\"\nstress = [\"60s\", \"20s\"]",
            "line 2: stress: give its beginning and its end, such as [\"60s\", \"120s\"]"},
        Bad{"handling", "name = \"a\"\nhandling = { cal = \"1us\" }",
            "line 2: [handling]: key \"cal\" is not known: call, forward are"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Functions, BadScenarioFile,
    testing::Values(
        Bad{"name", "name = \"t\"\n[[function]]\nname = \"a b\"",
            "line 3: [[function]]: name: function name \"a b\" is not 1 to 63 characters of a-z, "
            "A-Z, 0-9, '-' and '_'"},
        Bad{"no_name", "name = \"t\"\n[[function]]\n",
            "line 2: [[function]]: name is missing: give a text such as \"figlet\""},
        Bad{"twice", function("[[function]]\nname = \"f\""),
            "line 5: [[function]]: name: function \"f\": there are two"},
        Bad{"service", function("service = \"-1s\""),
            "line 4: [[function]]: service: \"-1s\" is not a duration such as 500ms, 30s or 5m"},
        Bad{"distribution", function("distribution = \"normal\""),
            "line 4: [[function]]: distribution \"normal\" is not one of \"exponential\", "
            "\"deterministic\", \"log_normal\", \"samples\""},
        Bad{"sigma", function("distribution = \"log_normal\"\nsigma = 6"),
            "line 5: [[function]]: sigma \"6\" is not a number from 0.001 to 5"},
        Bad{"needless_sigma", function("sigma = 1"),
            "line 4: [[function]]: sigma: it means nothing without distribution = \"log_normal\""},
        Bad{"no_samples", function("distribution = \"samples\""),
            "line 2: [[function]]: samples_file is missing: give a file of numbers, or samples"},
        Bad{"no_file", function("distribution = \"samples\"\nsamples_file = \"x\""),
            "line 5: [[function]]: samples_file: there is no file x"},
        Bad{"file", function("distribution = \"samples\"\nsamples_file = \"rates.csv\""),
            "line 5: [[function]]: samples_file: \"rates.csv\": line 1: one number of milliseconds "
            "a line is right"},
        Bad{"share", function("share = \"all\""),
            "line 4: [[function]]: share \"all\" is not one of \"node\", \"organisation\", "
            "\"federation\""},
        Bad{"retry_safe", function("retry_safe = 1"),
            "line 4: [[function]]: retry_safe \"1\" is not true or false"},
        Bad{"nobody", node("slots = 1"),
            "line 3: [[function]]: name: no node deploys \"f\": name it in the functions of a "
            "[[node]]"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Nodes, BadScenarioFile,
    testing::Values(
        Bad{"name", "name = \"t\"\n[[function]]\nname = \"f\"\n[[node]]\nname = \"A\"",
            "line 5: [[node]]: name: node name \"A\" is not 1 to 63 characters of a-z, 0-9 and '-' "
            "(not "
            "at the ends)"},
        Bad{"slots", node("slots = 0"),
            "line 6: [[node]]: slots \"0\" is not an integer from 1 to 100000"},
        Bad{"function", node("slots = 1\nfunctions = [\"g\"]"),
            "line 7: [[node]]: functions: function \"g\" does not exist: f does"},
        Bad{"no_slots", node("functions = [\"f\"]"),
            "line 6: [[node]]: functions: function \"f\" has no slots: give the node slots, or the "
            "function slots of its own in [[node.function]]"},
        Bad{"deployed_twice", node("slots = 1\nfunctions = [\"f\", \"f\"]"),
            "line 4: [[node]]: function \"f\" is deployed twice"},
        Bad{"slots_and_pool", node("slots = 1\n[[node.pool]]\nname = \"a\"\nslots = 1"),
            "line 7: [[node]]: pool: slots is given too: one is enough"},
        Bad{"two_pools",
            node("functions = [\"f\"]\n[[node.pool]]\nname = \"a\"\nslots = 1\n[[node.pool]]\n"
                 "name = \"b\"\nslots = 1"),
            "line 6: [[node]]: functions: function \"f\" could use any of 2 pools: name one in "
            "[[node.function]]"},
        Bad{"same_pool",
            node("[[node.pool]]\nname = \"a\"\nslots = 1\n[[node.pool]]\nname = \"a\"\nslots = 1"),
            "line 10: [[node.pool]]: name: pool \"a\": there are two"},
        Bad{"unknown_pool", node("slots = 1\n[[node.function]]\nname = \"f\"\npool = \"gpu\""),
            "line 9: [[node.function]]: pool: pool \"gpu\" does not exist: cpu does"},
        Bad{"count", node("count = 0"),
            "line 6: [[node]]: count \"0\" is not an integer from 1 to 100000"},
        Bad{"too_many", node("count = 100000\n[[node]]\nname = \"m\""),
            "line 7: [[node]]: more than 100000 nodes are too many"},
        Bad{"twice", node("slots = 1\nfunctions = [\"f\"]\n[[node]]\nname = \"n\""),
            "line 9: [[node]]: name: node \"n\": there are two"},
        Bad{"power", node("power = { idle_watts = 20 }"),
            "line 6: [[node]]: power: max_watts 10 is below idle_watts 20"},
        Bad{"policy", node("policy = { limits = \"globex\" }"),
            "line 6: [[node]]: policy: limits: \"globex\" is not ORGANISATION=SLOTS or *=SLOTS "
            "with 0 "
            "to 100000 slots"},
        Bad{"lie", node("lie = { slowdown = 0.5 }"),
            "line 6: [[node]]: lie: slowdown \"0.5\" is not a number from 1 to 1000000"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Links, BadScenarioFile,
    testing::Values(
        Bad{"unknown_node", with("[[link]]\nbetween = [\"light\", \"hevy\"]"),
            "line 15: [[link]]: between: node \"hevy\" does not exist: light, mid do"},
        Bad{"one_node", with("[[link]]\nbetween = [\"light\"]"),
            "line 15: [[link]]: between: 1 nodes are not two"},
        Bad{"itself", with("[[link]]\nbetween = [\"light\", \"light\"]"),
            "line 15: [[link]]: between: it links light to itself"},
        Bad{"twice",
            with("[[link]]\nbetween = [\"light\", \"mid\"]\n[[link]]\nbetween = [\"mid\", "
                 "\"light\"]"),
            "line 17: [[link]]: between: mid and light have a [[link]] already"},
        Bad{"rtt", with("[[link]]\nbetween = [\"light\", \"mid\"]\nrtt = \"61s\""),
            "line 16: [[link]]: rtt: 61s is not 0s to 1m"},
        Bad{"loss", with("[[link]]\nbetween = [\"light\", \"mid\"]\nloss = 2"),
            "line 16: [[link]]: loss \"2\" is not a number from 0 to 1"},
        Bad{"topology", "topology = \"star\"\n" + with(""),
            "line 1: topology \"star\" is not one of \"none\", \"full\", \"ring\", \"random\""},
        Bad{"needless_probability", "edge_probability = 0.5\n" + with(""),
            "line 1: edge_probability: it means nothing without topology = \"random\""},
        Bad{"too_full",
            "topology = \"full\"\n" + node("count = 100\nslots = 1\nfunctions = [\"f\"]"),
            "line 1: topology: \"full\" links each node to 99 others, where 64 are the most: "
            "\"ring\" or \"random\" link fewer"},
        Bad{"too_random",
            "topology = \"random\"\n" + node("count = 9000\nslots = 1\nfunctions = [\"f\"]"),
            "line 1: topology: edge_probability 0.1 links each of 9000 nodes to 900 others, where "
            "64 are the most"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Loads, BadScenarioFile,
    testing::Values(
        Bad{"unknown_node", with("[[load]]\nnode = \"hevy\"\nfunction = \"figlet\"\nrate = 1"),
            "line 15: [[load]]: node: node \"hevy\" does not exist: light, mid do"},
        Bad{"unknown_group", with("[[load]]\nnodes = [\"edge-*\"]\nfunction = \"figlet\""),
            "line 15: [[load]]: nodes: node \"edge-*\" does not exist: light, mid do"},
        Bad{"unknown_function", with("[[load]]\nnode = \"mid\"\nfunction = \"f\"\nrate = 1"),
            "line 16: [[load]]: function: function \"f\" does not exist: figlet, ocr do"},
        Bad{"no_node", with("[[load]]\nfunction = \"figlet\""),
            "line 14: [[load]]: node is missing: give a name such as \"light\", or \"*\" for all"},
        Bad{"both_nodes", load("nodes = [\"mid\"]\nrate = 1"),
            "line 17: [[load]]: nodes: node is given too: one is enough"},
        Bad{"no_rate", load(""),
            "line 14: [[load]]: rate is missing: give requests/s, or one of rates, rates_file, "
            "bursts, calls and trace"},
        Bad{"negative_rate", load("rate = -1"),
            "line 17: [[load]]: rate \"-1\" is not a number from 0 to 1000000"},
        Bad{"text_rate", load("rate = \"fast\""),
            "line 17: [[load]]: rate \"fast\" is not a number from 0 to 1000000"},
        Bad{"negative_in_list", load("rates = [1, -2]"),
            "line 17: [[load]]: rates \"-2\" is not a number from 0 to 1000000"},
        Bad{"two_rates", load("rates = [1]\nrate = 2"),
            "line 18: [[load]]: rate: rates is given too: one is enough"},
        Bad{"arrivals", load("rate = 2\narrivals = \"bursty\""),
            "line 18: [[load]]: arrivals \"bursty\" is not one of \"poisson\", \"constant\""},
        Bad{"needless_step", load("rate = 2\nstep = \"1s\""),
            "line 18: [[load]]: step: it means nothing without rates, bursts, flash or diurnal"},
        Bad{"late", load("rate = 2\nstart = \"60s\""),
            "line 18: [[load]]: start: 1m is not before the end at 1m"},
        Bad{"uneven", load("rate = 2\nduration = \"1500ms\"\ndiurnal = {}"),
            "line 18: [[load]]: duration: 1500ms is no multiple of the step of 1s"},
        Bad{"flash", load("rate = 2\nflash = { at = \"1s\", duration = \"1s\" }"),
            "line 18: [[load]]: flash: factor is missing: give a number from 0 to 1000000"},
        Bad{"too_much",
            load("rate = 1000000\nflash = { at = \"1s\", duration = \"1s\", factor = 2 }"),
            "line 14: [[load]]: the rate reaches 2000000, where 1000000 requests/s are the most"},
        Bad{"diurnal", load("rate = 2\ndiurnal = { amplitude = 2 }"),
            "line 18: [[load]]: diurnal: amplitude \"2\" is not a number from 0 to 1"},
        Bad{"short_bursts",
            load("bursts = { high = 1, low = 0, mean_high = \"1ms\", mean_low = \"1s\" }"),
            "line 17: [[load]]: bursts: mean_high: 1ms is below the step of 1s, which would hide "
            "the bursts"},
        Bad{"bursts_and_rate", load(std::string(bursts) + "rate = 1"),
            "line 18: [[load]]: rate: bursts is given too: one is enough"},
        Bad{"too_many_rates", load("rate = 1\nstep = \"1us\"\ndiurnal = {}"),
            "line 14: [[load]]: more than 20000000 rates are too many for one file: use a longer "
            "step"},
        Bad{"no_trace", load("trace = \"x.csv\""),
            "line 17: [[load]]: trace: there is no file x.csv"},
        Bad{"bad_trace", load("trace = \"rates.csv\""),
            "line 17: [[load]]: trace: \"rates.csv\": line 1: a trace begins with the line "
            "at_s,node,function,service_ms, where the last column may be missing, or is JSON "
            "lines"},
        Bad{"nothing_in_trace",
            with("[[load]]\ntrace = \"trace.csv\"\nnode = \"mid\"\nfunction = \"ocr\""),
            "line 15: [[load]]: trace: \"trace.csv\": it holds no call for this load"},
        Bad{"rates_file", load("rates_file = \"samples.csv\""),
            "line 17: [[load]]: rates_file: \"samples.csv\": no column is called \"light\" or "
            "\"rate\""},
        Bad{"calls", load("calls = [[1, 2, 3]]"),
            "line 17: [[load]]: calls: [1, 2, 3] is not [seconds] or [seconds, milliseconds of "
            "service]"},
        Bad{"calls_order", load("calls = [[2], [1]]"),
            "line 17: [[load]]: calls: 1 is after 2, where they are in order of time"},
        Bad{"rates_and_calls", load("calls = [[2]]\nrates = [1]"),
            "line 18: [[load]]: rates: calls is given too: one is enough"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Faults, BadScenarioFile,
    testing::Values(
        Bad{"kind", with("[[fault]]\nkind = \"fire\""),
            "line 15: [[fault]]: kind \"fire\" is not one of \"node_crash\", \"agent_crash\", "
            "\"partition\", \"link_cut\", \"one_way_cut\", \"slowdown\""},
        Bad{"no_kind", with("[[fault]]\nnodes = [\"mid\"]"),
            "line 14: [[fault]]: kind is missing: give one of \"node_crash\", \"agent_crash\", "
            "\"partition\", \"link_cut\", \"one_way_cut\", \"slowdown\""},
        Bad{"unknown_node", with("[[fault]]\nkind = \"partition\"\nnodes = [\"hevy\"]"),
            "line 16: [[fault]]: nodes: node \"hevy\" does not exist: light, mid do"},
        Bad{"no_nodes", with("[[fault]]\nkind = \"node_crash\""),
            "line 14: [[fault]]: nodes is missing: give a list such as [\"light\", \"mid\"], "
            "[\"edge-*\"] or [\"*\"]"},
        Bad{"cut", with("[[fault]]\nkind = \"link_cut\"\nnodes = [\"mid\"]"),
            "line 16: [[fault]]: nodes: a cut is between 2 nodes, and here are 1"},
        Bad{"until",
            with("[[fault]]\nkind = \"node_crash\"\nat = \"5s\"\nuntil = \"5s\"\nnode = \"mid\""),
            "line 17: [[fault]]: until: 5s is not after the beginning at 5s"},
        Bad{"factor", with("[[fault]]\nkind = \"slowdown\"\nnode = \"mid\""),
            "line 14: [[fault]]: factor is missing: give a number from 1 to 1000000"},
        Bad{"needless_factor", with("[[fault]]\nkind = \"node_crash\"\nnode = \"mid\"\nfactor = 2"),
            "line 17: [[fault]]: factor: it means nothing without kind = \"slowdown\""}),
    [](const auto& tested) { return tested.param.name; });

void expect_round_trip(const Scenario& scenario) {
  const std::string text = scenario_to_toml(scenario);
  const auto again = parse(text);
  ASSERT_TRUE(again) << again.error().message << "\n" << text;
  EXPECT_EQ(*again, scenario) << text;
  EXPECT_EQ(scenario_to_toml(*again), text);
}

/// Anything that is valid, for properties.
Scenario random_scenario(Random& random) {
  const auto pick = [&random](std::size_t count) { return below(random, count); };
  const auto time = [&random] {
    return Micros{1 + static_cast<Micros::rep>(below(random, 9'999))};
  };
  Scenario scenario{.name = "r", .summary = pick(2) == 0 ? "" : "A \"quoted\" \\ line"};
  scenario.duration = seconds{1 + static_cast<int>(pick(100))};
  for (std::size_t at = 0, count = 1 + pick(3); at < count; ++at) {
    ScenarioFunction function{.name = *FunctionName::parse("f" + std::to_string(at))};
    function.service_time.kind = static_cast<ServiceKind>(pick(4));
    function.service_time.mean = time();
    if (function.service_time.kind == ServiceKind::log_normal) {
      function.service_time.sigma = uniform(random, 0.1, 2);
    }
    if (function.service_time.kind == ServiceKind::samples) {
      function.service_time.samples.assign(1 + pick(3), function.service_time.mean);
    }
    function.deadline = pick(2) == 0 ? Micros{0} : time();
    function.share = static_cast<Sharing>(pick(3));
    function.retry_safe = pick(2) == 0;
    scenario.functions.push_back(function);
  }
  for (std::size_t at = 0, count = 2 + pick(4); at < count; ++at) {
    ScenarioNode node{.name = *NodeName::parse("n" + std::to_string(at))};
    if (pick(2) == 0) node.type = "light";
    for (std::size_t pool = 0, pools = 1 + pick(3); pool < pools; ++pool) {
      node.pools.push_back({.name = pool == 0 ? "cpu" : std::to_string(pool),
                            .slots = 1 + static_cast<int>(pick(9))});
    }
    for (FunctionIndex function = 0; function < scenario.functions.size(); ++function) {
      node.functions.push_back({.function = function,
                                .pool = pick(node.pools.size()),
                                .max_rate = {pick(2) == 0 ? 0 : uniform(random, 1, 9)},
                                .cold_start = pick(2) == 0 ? Micros{0} : time()});
    }
    if (pick(3) == 0) node.policy = {.limits = {.of = {{"org", pick(9)}}, .of_others = {}}};
    if (pick(3) == 0) node.lie = Lie{.advertise_factor = uniform(random, 0, 3)};
    node.power_max_watts = uniform(random, 5, 9);
    node.runs_agent = pick(2) == 0;
    if (pick(2) == 0) node.processors = uniform(random, 0.1, 4);
    scenario.nodes.push_back(node);
  }
  for (NodeIndex a = 0; a < scenario.nodes.size(); ++a) {
    for (NodeIndex b = 0; b < a; ++b) {
      if (pick(2) == 0) continue;
      scenario.links.push_back(
          {.a = a, .b = b, .rtt = time(), .jitter = time(), .loss_ratio = uniform(random, 0, 1)});
      if (pick(2) == 0) scenario.links.back().bandwidth_mbps = uniform(random, 1, 1000);
    }
    ScenarioLoad load{.node = a, .function = pick(scenario.functions.size())};
    load.arrivals = static_cast<ArrivalKind>(pick(3));
    if (load.arrivals == ArrivalKind::trace) {
      Micros at{0};
      for (std::size_t count = pick(4); count > 0; --count) {
        load.calls.push_back({.at = at += time()});
        if (pick(2) == 0) load.calls.back().service_time = time();
      }
    } else {
      load.start = time();
      load.step = time();
      for (std::size_t count = pick(4); count > 0; --count) {
        load.rates.push_back({uniform(random, 0, 100)});
      }
    }
    scenario.loads.push_back(load);
    ScenarioFault fault{.kind = static_cast<FaultKind>(pick(6)), .at = time(), .nodes = {a}};
    if (fault.kind == FaultKind::link_cut || fault.kind == FaultKind::one_way_cut) {
      fault.nodes.push_back((a + 1) % scenario.nodes.size());
    }
    if (fault.kind == FaultKind::slowdown) fault.factor = uniform(random, 1, 5);
    if (pick(2) == 0) fault.until = fault.at + time();
    scenario.faults.push_back(fault);
  }
  return scenario;
}

TEST(ScenarioToTomlProperty, ReadsBackAsTheSame) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const Scenario scenario = random_scenario(random);
    ASSERT_TRUE(validate(scenario)) << validate(scenario).error().message;
    expect_round_trip(scenario);
  }
}

TEST(ScenarioFile, NeedsNoFilesWhereItNamesNone) {
  EXPECT_TRUE(parse_scenario_file(base, 1, {}));
  EXPECT_EQ(parse_scenario_file(load("trace = \"trace.csv\""), 1, {}).error().message,
            "line 17: [[load]]: trace: no other file is at hand here");
}

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(ScenarioReference, HasAnExampleThatIsRight) {
  const std::string page = read_whole(DFAAS_SCENARIOS "/../docs/reference/scenario.md");
  const std::string fence = "```toml\n";
  const std::size_t from = page.find(fence);
  ASSERT_NE(from, std::string::npos);
  const std::size_t start = from + fence.size();
  const Scenario scenario = parsed(page.substr(start, page.find("```", start) - start));
  EXPECT_EQ(scenario.nodes.size(), 4U);
  expect_round_trip(scenario);
}

TEST(ScenarioExamples, AreValidAndReadBackAsTheSame) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DFAAS_SCENARIOS)) {
    SCOPED_TRACE(entry.path().string());
    const auto scenario = parse(read_whole(entry.path()), 42);
    ASSERT_TRUE(scenario) << scenario.error().message;
    EXPECT_EQ(scenario->name, entry.path().stem().string());
    EXPECT_FALSE(scenario->summary.empty());
    EXPECT_FALSE(scenario->loads.empty());
    expect_round_trip(*scenario);
    ++count;
  }
  EXPECT_GE(count, 5);
}

}  // namespace
}  // namespace dfaas
