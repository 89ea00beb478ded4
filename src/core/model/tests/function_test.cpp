// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/model/function.hpp"

#include <gtest/gtest.h>

namespace dfaas {
namespace {

using Labels = std::map<std::string, std::string>;

TEST(Traits, ReadEveryLabelAndLeaveForeignOnesAlone) {
  const auto traits = parse_traits({{"dfaas.slots", "4"},
                                    {"dfaas.maxrate", "12.5"},
                                    {"dfaas.timeout_ms", "3000"},
                                    {"dfaas.share", "federation"},
                                    {"dfaas.match", "name"},
                                    {"dfaas.retry", "safe"},
                                    {"com.openfaas.scale.min", "many"}});
  ASSERT_TRUE(traits) << traits.error().message;
  EXPECT_EQ(traits->slots, 4);
  EXPECT_EQ(traits->max_rate, Rate{12.5});
  EXPECT_EQ(traits->timeout, Millis{3000});
  EXPECT_EQ(traits->share, Sharing::federation);
  EXPECT_TRUE(traits->match_by_name);
  EXPECT_TRUE(traits->retry_safe);
}

TEST(Traits, ShareWithinTheOrganisationAndRunOnceUnlessToldOtherwise) {
  const auto traits = parse_traits({});
  ASSERT_TRUE(traits);
  EXPECT_EQ(traits->share, Sharing::organisation);
  EXPECT_FALSE(traits->match_by_name);
  EXPECT_FALSE(traits->retry_safe);
  EXPECT_FALSE(traits->slots || traits->max_rate || traits->timeout);
}

struct Bad {
  const char* label;
  const char* value;
  const char* allowed;
};

class BadLabel : public testing::TestWithParam<Bad> {};

TEST_P(BadLabel, IsNamedWithItsValueAndWhatIsAllowed) {
  const auto traits = parse_traits({{GetParam().label, GetParam().value}});
  ASSERT_FALSE(traits);
  EXPECT_EQ(traits.error().code, ErrorCode::invalid_input);
  for (const char* part : {GetParam().label, GetParam().value, GetParam().allowed}) {
    EXPECT_NE(traits.error().message.find(part), std::string::npos) << traits.error().message;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Labels, BadLabel,
    testing::Values(Bad{"dfaas.slots", "many", "1 to 100000"}, Bad{"dfaas.slots", "0", "1 to"},
                    Bad{"dfaas.slots", "-1", "1 to"}, Bad{"dfaas.slots", "100001", "1 to 100000"},
                    Bad{"dfaas.slots", "4.5", "1 to"}, Bad{"dfaas.maxrate", "0", "above 0"},
                    Bad{"dfaas.maxrate", "nan", "above 0"}, Bad{"dfaas.maxrate", "1e10", "above"},
                    Bad{"dfaas.timeout_ms", "0", "1 to 86400000"},
                    Bad{"dfaas.timeout_ms", "1s", "1 to 86400000"},
                    Bad{"dfaas.share", "", "node, organisation or federation"},
                    Bad{"dfaas.share", "Acme", "names of organisations such as acme,globex"},
                    Bad{"dfaas.share", "acme,", "node, organisation or federation"},
                    Bad{"dfaas.share", "acme,federation", "node, organisation or federation"},
                    Bad{"dfaas.match", "hash", "digest or name"},
                    Bad{"dfaas.retry", "yes", "safe or never"},
                    Bad{"dfaas.slot", "", "dfaas.slots, dfaas.maxrate"}));

struct SlotsCase {
  const char* name;
  FunctionTraits traits;
  std::optional<int> max_inflight;
  std::optional<Micros> service_time;
  int cores;
  int slots;
};

class EffectiveSlots : public testing::TestWithParam<SlotsCase> {};

TEST_P(EffectiveSlots, ComeFromTheFirstThatExists) {
  const SlotsCase& c = GetParam();
  EXPECT_EQ(effective_slots(c.traits, c.max_inflight, c.service_time, c.cores), c.slots);
}

INSTANTIATE_TEST_SUITE_P(
    Sources, EffectiveSlots,
    testing::Values(
        SlotsCase{"label", {.slots = 3, .max_rate = Rate{99}}, 7, Micros{1'000'000}, 2, 3},
        SlotsCase{"max_inflight", {.max_rate = Rate{99}}, 7, Micros{1'000'000}, 2, 7},
        SlotsCase{"rate_rounded_up", {.max_rate = Rate{25}}, {}, Micros{100'000}, 2, 3},
        SlotsCase{"slow_rate", {.max_rate = Rate{0.1}}, {}, Micros{1000}, 2, 1},
        SlotsCase{"rate_without_time", {.max_rate = Rate{25}}, {}, {}, 2, 2},
        SlotsCase{"wild_rate", {.max_rate = Rate{1e9}}, {}, Micros{3'600'000'000}, 2, 100'000},
        SlotsCase{"nothing_known", {}, {}, {}, 4, 4}, SlotsCase{"no_cores", {}, {}, {}, 0, 1},
        SlotsCase{"zero_inflight", {}, 0, {}, 4, 1}),
    [](const auto& tested) { return tested.param.name; });

TEST(SharingWords, RoundTrip) {
  for (const Sharing sharing : {Sharing::node, Sharing::organisation, Sharing::federation}) {
    EXPECT_EQ(parse_sharing(to_text(sharing)), sharing);
  }
  EXPECT_FALSE(parse_sharing("Node"));
}

TEST(FunctionTraits, AreSharedWithOrganisationsByName) {
  const auto traits = parse_traits({{"dfaas.share", "globex, acme,globex"}});
  ASSERT_TRUE(traits) << traits.error().message;
  EXPECT_EQ(traits->share, Sharing::organisation);
  EXPECT_EQ(traits->share_with, (std::vector<std::string>{"acme", "globex"}));
  EXPECT_TRUE(traits->terms().admits("umbrella", "globex"));
  EXPECT_TRUE(traits->terms().admits("umbrella", "umbrella")) << "always with our own";
  EXPECT_FALSE(traits->terms().admits("umbrella", "initech"));
}

TEST(FunctionTraits, NameNotMoreOrganisationsThanAMessageHolds) {
  std::string text = "a0";
  for (std::size_t at = 1; at <= share_with_max; ++at) text += ",a" + std::to_string(at);
  EXPECT_FALSE(parse_traits({{"dfaas.share", text}}));
}

}  // namespace
}  // namespace dfaas
