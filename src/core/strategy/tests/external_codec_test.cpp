// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/external_codec.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/strategy/tests/views.hpp"

namespace dfaas {
namespace {

using namespace views;
using testing::HasSubstr;

const std::vector<NodeId> neighbours{node(1), node(2)};

std::string key(std::size_t number) { return "node_" + node(number).text(); }

/// The answer with `shares` for local, reject and two neighbours.
std::string answer(double local, double reject, double first, double second) {
  return nlohmann::json{
      {key(0), {{"local", local}, {"reject", reject}, {key(1), first}, {key(2), second}}}}
      .dump();
}

Result<ExternalShares> read(std::string_view text) {
  return external_action_from_json(text, node(0), neighbours);
}

TEST(ExternalObservation, HasTheKeysOfTheContract) {
  const ExternalObservation observation{
      .self = node(0),
      .function = work,
      .current = {.input = Rate{12.5},
                  .reject_ratio = 0.25,
                  .response_time_ms_mean = 80,
                  .cpu_ratio = 0.5,
                  .replicas = 2},
      .previous = {.input = Rate{10}},
      .previous_forwards = {{node(1),
                             {.sent = Rate{3}, .rejected = Rate{1}, .response_time_ms_mean = 90}}},
      .explore = true};
  const auto json = nlohmann::json::parse(external_observation_json(observation));
  const nlohmann::json expected{{"function", "work.openfaas-fn"},
                                {"agent_parameters", {{"explore", true}}},
                                {"observation",
                                 {{key(0),
                                   {{"input_rate", 12.5},
                                    {"previous_input_rate", 10.0},
                                    {"previous_fwd_to_" + key(1), 3.0},
                                    {"previous_fwd_to_" + key(1) + "_rejected", 1.0},
                                    {"reject_rate", 0.25},
                                    {"previous_reject_rate", 0.0},
                                    {"avg_resp_time_loc", 80.0},
                                    {"previous_avg_resp_time_loc", 0.0},
                                    {"previous_avg_resp_time_fwd_to_" + key(1), 90.0},
                                    {"cpu_utilization", 0.5},
                                    {"previous_cpu_utilization", 0.0},
                                    {"n_replicas", 2},
                                    {"previous_n_replicas", 1}}}}}};
  EXPECT_EQ(json, expected) << json.dump(2);
}

TEST(ExternalObservation, HoldsNumbersWhateverWasMeasured) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const ExternalObservation observation{
      .self = node(0),
      .function = work,
      .current = {.input = Rate{none}, .reject_ratio = 1.02, .response_time_ms_mean = none},
      .previous = {.cpu_ratio = -0.1},
      .previous_forwards = {}};
  const auto json = nlohmann::json::parse(external_observation_json(observation));
  const auto& seen = json["observation"][key(0)];
  EXPECT_EQ(seen["input_rate"], 0);
  EXPECT_EQ(seen["reject_rate"], 1);
  EXPECT_EQ(seen["avg_resp_time_loc"], 0);
  EXPECT_EQ(seen["previous_cpu_utilization"], 0);
}

TEST(ExternalAction, IsReadAsTold) {
  const auto shares = read(answer(0.5, 0.125, 0.25, 0.125));
  ASSERT_TRUE(shares) << shares.error().message;
  EXPECT_EQ(*shares, (ExternalShares{.local = 0.5,
                                     .refused = 0.125,
                                     .neighbours = {{node(1), 0.25}, {node(2), 0.125}}}));
}

TEST(ExternalAction, IsScaledToOne) {
  const auto shares = read(answer(0.5000005, 0, 0.25, 0.25));
  ASSERT_TRUE(shares) << shares.error().message;
  EXPECT_NEAR(shares->local + shares->neighbours.at(node(1)) + shares->neighbours.at(node(2)), 1,
              1e-15);
}

struct Bad {
  const char* name;
  std::string text;
  std::string expected;
};

class BadAction : public testing::TestWithParam<Bad> {};

TEST_P(BadAction, IsRefusedWithASentence) {
  const auto shares = read(GetParam().text);
  ASSERT_FALSE(shares);
  EXPECT_EQ(shares.error().code, ErrorCode::invalid_input);
  EXPECT_THAT(shares.error().message, HasSubstr(GetParam().expected));
}

std::string with_extra(const std::string& name) {
  auto json = nlohmann::json::parse(answer(1, 0, 0, 0));
  json[key(0)][name] = 0;
  return json.dump();
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadAction,
    testing::Values(Bad{"nothing", "", "not JSON"}, Bad{"a_list", "[]", "is not an object"},
                    Bad{"another_node", R"({"node_x": {"local": 1, "reject": 0}})", "is missing"},
                    Bad{"a_neighbour_left_out",
                        nlohmann::json{{key(0), {{"local", 1}, {"reject", 0}, {key(1), 0}}}}.dump(),
                        key(2) + ": is missing"},
                    Bad{"a_stranger", with_extra(key(3)), "is none of local, reject"},
                    Bad{"control_letters", with_extra("a\nb"), "is none of local, reject"},
                    Bad{"too_much", answer(0.5, 0.5, 0.5, 0), "sums to 1.5, not to 1"},
                    Bad{"too_little", answer(0, 0, 0, 0), "sums to 0, not to 1"},
                    Bad{"below_zero", answer(1.5, 0, -0.5, 0), "is not a number from 0 to 1"},
                    Bad{"not_a_number", nlohmann::json{{key(0), {{"local", "1"}}}}.dump(),
                        "is not a number from 0 to 1"},
                    Bad{"two_nodes",
                        nlohmann::json{
                            {key(0), {{"local", 1}, {"reject", 0}, {key(1), 0}, {key(2), 0}}},
                            {key(1), 1}}
                            .dump(),
                        "is not the only node"},
                    Bad{"too_long", std::string(70'000, ' '), "more than 65536"}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace dfaas
