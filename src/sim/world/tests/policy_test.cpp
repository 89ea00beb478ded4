// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What operators decide about others, and neighbours that misbehave: in whole federations, with the code
/// that decides in production.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/scenario/scenario_file.hpp"
#include "sim/world/run.hpp"

namespace dfaas {
namespace {

constexpr Micros second{1'000'000};
constexpr double per_slot = 10;  ///< Calls/s that one slot serves: 100 ms each.

/// Who served whose calls.
class Served : public RunListener {
 public:
  void on_end(const CallRecord& call) override {
    ++offered[call.node];
    if (!call.is_success()) return;
    ++success[call.node];
    ++by[{call.node, call.server}];
  }

  [[nodiscard]] double success_ratio(NodeIndex node) {
    return offered[node] > 0 ? success[node] / offered[node] : 1;
  }

  std::map<NodeIndex, double> offered;
  std::map<NodeIndex, double> success;
  std::map<std::pair<NodeIndex, NodeIndex>, double> by;  ///< (user's node, server).
};

Served run(const Scenario& scenario, std::uint64_t seed = 1) {
  Served served;
  const auto totals =
      run_scenario(scenario, {.strategy = *find_strategy("grant_and_spill"), .seed = seed}, served);
  EXPECT_TRUE(totals) << totals.error().message;
  return served;
}

struct Member {
  const char* organisation = "org";
  int slots = 2;
  std::vector<double> rates;  ///< Calls/s, each for `step`.
};

/// All linked to the first, which is the only one that they share.
Scenario star(const std::vector<Member>& members, Micros step) {
  Scenario scenario{.name = "star"};
  scenario.functions.push_back({.name = *FunctionName::parse("work")});
  scenario.duration = step * static_cast<int>(members.front().rates.size());
  for (std::size_t at = 0; at < members.size(); ++at) {
    scenario.nodes.push_back({.name = *NodeName::parse(fmt::format("node-{}", at)),
                              .organisation = members[at].organisation,
                              .pools = {{.name = "", .slots = members[at].slots}},
                              .functions = {{.function = 0, .pool = 0}}});
    if (at > 0) scenario.links.push_back({.a = 0, .b = at});
    ScenarioLoad load{.node = at, .function = 0, .step = step};
    for (const double rate : members[at].rates) load.rates.push_back(Rate{rate});
    scenario.loads.push_back(load);
  }
  return scenario;
}

TEST(Policy, AnOrganisationGetsNoMoreThanItsSlots) {
  Scenario scenario = star({{.organisation = "hub", .slots = 20, .rates = {1}},
                            {.organisation = "globex", .slots = 1, .rates = {100}},
                            {.organisation = "initech", .slots = 1, .rates = {60}}},
                           30 * second);
  const double without = run(scenario).by[{1, 0}];
  EXPECT_GT(without, 80 * 30);
  scenario.nodes[0].policy.limits = *parse_guest_slots("globex=3");
  Served limited = run(scenario);
  EXPECT_LE(limited.by[(std::pair{1U, 0U})], 3 * per_slot * 30 * 1.15);
  EXPECT_GE(limited.by[(std::pair{1U, 0U})], 3 * per_slot * 30 * 0.55) << "the limit can be used";
  EXPECT_GT(limited.success_ratio(2), 0.97) << "others are not limited";
  scenario.nodes[0].policy.limits = *parse_guest_slots("globex=0");
  Served refused = run(scenario);
  EXPECT_EQ(refused.by[(std::pair{1U, 0U})], 0);
}

TEST(Policy, WhoIsDeniedIsNeitherServedNorAsked) {
  Scenario scenario = star({{.organisation = "hub", .slots = 4, .rates = {60}},
                            {.organisation = "globex", .slots = 1, .rates = {30}},
                            {.organisation = "initech", .slots = 8, .rates = {1}}},
                           20 * second);
  scenario.nodes[0].policy.deny = *parse_partners("globex");
  Served served = run(scenario);
  EXPECT_EQ((served.by[{1, 0}]), 0);
  EXPECT_EQ((served.by[{0, 1}]), 0);
  EXPECT_GT((served.by[{0, 2}]), 100);
  scenario.nodes[0].policy = {.allow = *parse_partners("initech")};
  Served allowed = run(scenario);
  EXPECT_EQ((allowed.by[{1, 0}]), 0);
  EXPECT_GT((allowed.by[{0, 2}]), 100);
}

Scenario free_rider(bool has_credits) {
  std::ifstream file(DFAAS_SCENARIOS "/free-rider.toml");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto no_file = [](const std::string&) -> Result<std::string> { return std::string(); };
  const auto scenario = parse_scenario_file(text, 1, no_file);
  EXPECT_TRUE(scenario) << scenario.error().message;
  Scenario result = *scenario;
  result.nodes[0].policy.has_credits = has_credits;
  return result;
}

TEST(Credits, AFreeRiderGetsLessWhereNotAllCanHaveWhatTheyWant) {
  Served without = run(free_rider(false));
  Served with = run(free_rider(true));
  const auto taken = [](Served& served) { return std::pair(served.by[{1, 0}], served.by[{2, 0}]); };
  const auto [fair_without, rider_without] = taken(without);
  const auto [fair_with, rider_with] = taken(with);
  std::printf(
      "measured: served by the hub without credits: fair %.0f, rider %.0f; with: %.0f, %.0f\n",
      fair_without, rider_without, fair_with, rider_with);
  EXPECT_NEAR(rider_without / fair_without, 1, 0.35) << "without they are about alike";
  EXPECT_LT(rider_with, 0.7 * rider_without);
  EXPECT_GT(fair_with, 1.15 * fair_without);
  EXPECT_GT(fair_with + rider_with, 0.97 * (fair_without + rider_without)) << "nothing is wasted";
}

TEST(Credits, NobodyLosesWhereAllCanHaveWhatTheyWant) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random{seed};
    std::vector<Member> members;
    const char* names[] = {"a", "b", "c", "d", "e", "f"};
    const std::size_t count = 3 + below(random, 4);
    for (std::size_t at = 0; at < count; ++at) {
      const int slots = 2 + static_cast<int>(below(random, 4));
      // Some want more than they have, and all together less than the hub has left.
      const double most = at == 0 ? 0.3 : uniform(random, 0.2, 1.3);
      members.push_back({.organisation = names[at],
                         .slots = at == 0 ? 40 : slots,
                         .rates = {most * (at == 0 ? 40 : slots) * per_slot}});
    }
    Scenario scenario = star(members, 40 * second);
    Served without = run(scenario, seed);
    for (ScenarioNode& node : scenario.nodes) node.policy.has_credits = true;
    Served with = run(scenario, seed);
    for (std::size_t at = 0; at < count; ++at) {
      EXPECT_GE(with.success_ratio(at), without.success_ratio(at) - 0.005) << "node " << at;
    }
  }
}

// --- neighbours that misbehave

struct BadCase {
  const char* name;
  Lie lie;
};

class BadNeighbour : public testing::TestWithParam<BadCase> {};

/// One of three neighbours is bad; the other two have room for all.
TEST_P(BadNeighbour, CostsUsersLittleAndThenNothing) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Scenario scenario = star({{.slots = 2, .rates = {50}},
                              {.slots = 6, .rates = {1}},
                              {.slots = 6, .rates = {1}},
                              {.slots = 6, .rates = {1}}},
                             60 * second);
    scenario.functions[0].retry_safe = true;
    Scenario good = scenario;
    good.nodes[3].policy.deny = *parse_partners("org");
    scenario.nodes[3].lie = GetParam().lie;
    const double with = run(scenario, seed).success_ratio(0);
    const double without = run(good, seed).success_ratio(0);
    EXPECT_GE(with, without - 0.02);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadNeighbour,
    testing::Values(BadCase{"errs_always", {.error_ratio = 1}},
                    BadCase{"errs_half_the_time", {.error_ratio = 0.5}},
                    BadCase{"swallows", {.swallows_guests = true}},
                    BadCase{"swallows_and_boasts",
                            {.advertise_factor = 50, .swallows_guests = true}},
                    BadCase{"boasts_and_errs", {.advertise_factor = 50, .error_ratio = 1}},
                    BadCase{"boasts_and_refuses", {.advertise_factor = 50, .refuses_guests = true}},
                    BadCase{"is_slow", {.slowdown = 20}}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace dfaas
