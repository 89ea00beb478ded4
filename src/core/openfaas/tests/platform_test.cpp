// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/platform.hpp"

#include <string>

#include <gmock/gmock.h>

namespace dfaas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

PlatformFunction only(const std::string& entry) {
  auto list = platform_list_from_json("[" + entry + "]");
  EXPECT_TRUE(list.has_value());
  EXPECT_THAT(list->left_out, IsEmpty());
  EXPECT_THAT(list->functions, SizeIs(1));
  return list->functions.at(0);
}

TEST(PlatformList, ReadsWhatOpenFaasSays) {
  const PlatformFunction function = only(
      R"({"name":"ocr","namespace":"openfaas-fn","image":"example/ocr:1","envProcess":"ocr -",
          "envVars":{"max_inflight":"3","exec_timeout":"5s"},"labels":{"dfaas.share":"federation"},
          "annotations":null,"invocationCount":12,"replicas":2,"availableReplicas":1,
          "createdAt":"2026-01-31T12:00:00Z","usage":{"cpu":1.5}})");
  EXPECT_EQ(function.status.deployment.function.full(), "ocr.openfaas-fn");
  EXPECT_EQ(function.status.deployment.image, "example/ocr:1");
  EXPECT_EQ(function.status.replicas, 2);
  EXPECT_EQ(function.status.available_replicas, 1);
  EXPECT_EQ(function.traits.share, Sharing::federation);
  EXPECT_EQ(function.traits.timeout, Millis{5000});
  EXPECT_EQ(function.max_inflight, 3);
}

TEST(PlatformList, TakesAnEmptyOneAndANullOne) {
  for (const char* text : {"[]", "null", " [ ] "}) {
    const auto list = platform_list_from_json(text);
    ASSERT_TRUE(list.has_value()) << text;
    EXPECT_THAT(list->functions, IsEmpty());
  }
}

TEST(PlatformList, RefusesWhatIsNoList) {
  for (const char* text : {"", "{}", "\"no\"", "3", "[1,2]", "[[]]", "[{\"name\":\"a\"}", "<html>",
                           "[]}, {", "[],\"more\":1"}) {
    const auto list = platform_list_from_json(text);
    EXPECT_FALSE(list.has_value()) << text;
  }
}

TEST(PlatformList, LeavesOutAnEntryAndSaysWhy) {
  const auto list = platform_list_from_json(
      R"([{"name":"good"},{"name":"bad name"},{"name":7},{"name":"many","replicas":"two"},
          {"name":"typo","labels":{"dfaas.slot":"2"}},{"labels":{}}])");
  ASSERT_TRUE(list.has_value());
  ASSERT_THAT(list->functions, SizeIs(1));
  EXPECT_EQ(list->functions[0].status.deployment.function.name(), "good");
  EXPECT_THAT(list->left_out, ElementsAre(HasSubstr("bad name"), HasSubstr("7"), HasSubstr("two"),
                                          HasSubstr("dfaas.slot"), HasSubstr("name")));
}

TEST(PlatformList, SortsAndTakesANameOnce) {
  const auto list =
      platform_list_from_json(R"([{"name":"b","image":"first"},{"name":"a"},{"name":"b"}])");
  ASSERT_TRUE(list.has_value());
  ASSERT_THAT(list->functions, SizeIs(2));
  EXPECT_EQ(list->functions[0].status.deployment.function.name(), "a");
  EXPECT_EQ(list->functions[1].status.deployment.image, "first");
  EXPECT_THAT(list->left_out, SizeIs(1));
}

TEST(PlatformList, HasALimit) {
  std::string text = "[";
  for (int at = 0; at <= 1000; ++at) text += R"({"name":"f)" + std::to_string(at) + "\"},";
  text.back() = ']';
  const auto list = platform_list_from_json(text);
  ASSERT_FALSE(list.has_value());
  EXPECT_THAT(list.error().message, HasSubstr("1000"));
}

struct SlotsCase {
  const char* entry;
  std::optional<Micros> service_time;
  int slots;
};

TEST(PlatformSlots, TakesTheFirstThatExists) {
  const SlotsCase cases[] = {
      {R"({"name":"f","labels":{"dfaas.slots":"7"},"envVars":{"max_inflight":"2"}})", {}, 7},
      {R"({"name":"f","envVars":{"max_inflight":"2"},"availableReplicas":3})", {}, 6},
      {R"({"name":"f","envVars":{"max_inflight":"2"},"replicas":3})", {}, 1},
      {R"({"name":"f"})", {}, 1},
      {R"({"name":"f","labels":{"dfaas.maxrate":"10"},"availableReplicas":1})", Micros{250'000}, 3},
      {R"({"name":"f","labels":{"dfaas.maxrate":"10"},"availableReplicas":1})", Micros{1'000}, 1},
      {R"({"name":"f","labels":{"dfaas.maxrate":"10"},"availableReplicas":1})", {}, 4},
      {R"({"name":"f","availableReplicas":2})", {}, 4},
      {R"({"name":"f","envVars":{"max_inflight":"100000"},"availableReplicas":1000000})",
       {},
       100'000},
  };
  for (const SlotsCase& row : cases) {
    EXPECT_EQ(platform_slots(only(row.entry), row.service_time, 4), row.slots) << row.entry;
  }
}

TEST(PlatformName, IsPrintableOrNothing) {
  EXPECT_EQ(platform_name_from_json(
                R"({"provider":{"provider":"faasd","version":{"release":"0.18.5"}}})"),
            "faasd 0.18.5");
  EXPECT_EQ(platform_name_from_json(R"({"provider":{"name":"faas-swarm"}})"), "faas-swarm");
  EXPECT_EQ(platform_name_from_json(R"({"provider":{"name":"a\nb"}})"), "a?b");
  for (const char* text : {"", "[]", "{}", R"({"provider":3})", R"({"provider":{"provider":7}})"}) {
    EXPECT_EQ(platform_name_from_json(text), "") << text;
  }
}

}  // namespace
}  // namespace dfaas
