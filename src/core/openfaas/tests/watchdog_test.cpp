// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/watchdog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using ::testing::HasSubstr;
using Texts = std::map<std::string, std::string>;

Result<WatchdogSettings> read(Texts env, Texts annotations = {}) {
  return watchdog_settings({.function = *FunctionName::parse("f"),
                            .image = "host:",
                            .process = "",
                            .env = std::move(env),
                            .annotations = std::move(annotations)});
}

TEST(WatchdogSettings, ProcessMayComeFromTheEnvironment) {
  EXPECT_EQ(read({{"fprocess", "cat"}})->process, "cat");
  EXPECT_EQ(read({{"function_process", "tac"}})->process, "tac");
}

TEST(WatchdogSettings, ModesOfTheWatchdogsAreKnown) {
  for (const char* mode : {"classic", "streaming", "serializing"}) {
    EXPECT_EQ(read({{"mode", mode}})->mode, FunctionMode::classic) << mode;
  }
  EXPECT_EQ(read({{"mode", "http"}})->mode, FunctionMode::http);
  EXPECT_THAT(read({{"mode", "static"}}).error().message, HasSubstr("mode"));
}

TEST(WatchdogSettings, WhereAFunctionListensIsRead) {
  EXPECT_EQ(read({{"mode", "http"}})->port, 8080);
  EXPECT_EQ(read({{"mode", "http"}, {"port", "5000"}})->port, 5000);
  EXPECT_EQ(read({{"mode", "http"}, {"upstream_url", "http://127.0.0.1:3000"}})->port, 3000);
  EXPECT_EQ(read({{"mode", "http"}, {"http_upstream_url", "localhost:3001/"}})->port, 3001);
  EXPECT_EQ(read({{"mode", "http"}, {"upstream_url", "unix:/tmp/x.sock"}})->socket, "/tmp/x.sock");
  for (const char* url : {"http://example.org:80", "http://127.0.0.1", "127.0.0.1:0", "unix:x"}) {
    EXPECT_FALSE(read({{"mode", "http"}, {"upstream_url", url}})) << url;
  }
}

TEST(WatchdogSettings, PreforkedProcessesHaveNoRequestInTheirEnvironment) {
  EXPECT_TRUE(read({})->cgi_headers);
  EXPECT_FALSE(read({{"cgi_headers", "false"}})->cgi_headers);
  const auto settings = read({}, {{"dfaas.prefork", "2"}});
  EXPECT_EQ(settings->prefork, 2);
  EXPECT_FALSE(settings->cgi_headers);
  EXPECT_FALSE(read({{"mode", "http"}}, {{"dfaas.prefork", "2"}}));
  EXPECT_FALSE(read({}, {{"dfaas.prefork", "many"}}));
}

TEST(WatchdogSettings, ShorterOfTwoTimesIsTheLimit) {
  EXPECT_FALSE(time_limit(*read({})));
  EXPECT_EQ(time_limit(*read({{"write_timeout", "5s"}})), Millis{5000});
  EXPECT_EQ(time_limit(*read({{"write_timeout", "5s"}, {"exec_timeout", "2s"}})), Millis{2000});
  EXPECT_EQ(time_limit(*read({{"write_timeout", "1s"}, {"exec_timeout", "2s"}})), Millis{1000});
}

TEST(WatchdogSettings, UnreadableOnesAreNamed) {
  for (const char* name : {"read_timeout", "write_timeout", "combine_output", "cgi_headers"}) {
    const auto settings = read({{name, "perhaps"}});
    ASSERT_FALSE(settings) << name;
    EXPECT_EQ(settings.error().code, ErrorCode::invalid_input);
    EXPECT_THAT(settings.error().message, HasSubstr(name));
  }
}

TEST(ScaleSettings, FollowLabelsWithinWhatTheNodeAllows) {
  EXPECT_EQ(scale_settings({}, 100).max, 100);
  const ScalingLabels labels{
      .min = 2, .max = 40, .to_zero = true, .zero_duration = Millis{30'000}, .target = 2.5};
  EXPECT_EQ(scale_settings(labels, 100),
            (ScaleSettings{
                .min = 2, .max = 40, .target = 3, .zero = true, .zero_after = Micros{30'000'000}}));
  EXPECT_EQ(scale_settings(labels, 10).max, 10);
  EXPECT_EQ(scale_settings({.min = 20}, 10).max, 20);
}

TEST(WantedReplicas, FollowsTheCallsInFlightBetweenItsBounds) {
  const ScaleSettings settings{.min = 1, .max = 4, .target = 10};
  for (const auto& [busiest, wanted] :
       {std::pair{0, 1}, {1, 1}, {10, 1}, {11, 2}, {40, 4}, {1000, 4}}) {
    EXPECT_EQ(wanted_replicas(settings, busiest, Micros{0}), wanted) << busiest;
  }
}

TEST(WantedReplicas, IsZeroOnlyWhereAskedForAndAfterItsTime) {
  ScaleSettings settings{.zero_after = Micros{1000}};
  EXPECT_EQ(wanted_replicas(settings, 0, Micros{2000}), 1);
  settings.zero = true;
  EXPECT_EQ(wanted_replicas(settings, 0, Micros{999}), 1);
  EXPECT_EQ(wanted_replicas(settings, 0, Micros{1000}), 0);
  EXPECT_EQ(wanted_replicas(settings, 1, Micros{1000}), 1);
}

}  // namespace
}  // namespace dfaas
