// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The parts of the OpenFaaS API beside deployment and calls: each has examples to check by hand and one
/// refusal per rule.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/base/text.hpp"
#include "core/openfaas/asynchronous.hpp"
#include "core/openfaas/logs.hpp"
#include "core/openfaas/name_space.hpp"
#include "core/openfaas/route.hpp"
#include "core/openfaas/scaling.hpp"
#include "core/openfaas/secret.hpp"
#include "core/openfaas/status.hpp"

namespace dfaas {
namespace {

using Texts = std::map<std::string, std::string>;

// --- routes

TEST(SystemRoute, NamesEveryPathOfTheApi) {
  EXPECT_EQ(std::get<SystemScaleRoute>(parse_route("/system/scale-function/a.b")).function.full(),
            "a.b");
  EXPECT_EQ(std::get<SystemScaleRoute>(parse_route("/system/scale-function/a?namespace=c"))
                .function.full(),
            "a.c");
  EXPECT_EQ(std::get<SystemSecretsRoute>(parse_route("/system/secrets?namespace=x")).space, "x");
  EXPECT_EQ(std::get<SystemLogsRoute>(parse_route("/system/logs?name=a&follow=true")).query,
            "name=a&follow=true");
  EXPECT_TRUE(std::holds_alternative<SystemNamespacesRoute>(parse_route("/system/namespaces")));
  EXPECT_EQ(std::get<SystemNamespaceRoute>(parse_route("/system/namespace/")).name, "");
  EXPECT_EQ(std::get<SystemNamespaceRoute>(parse_route("/system/namespace/team")).name, "team");
  EXPECT_TRUE(std::holds_alternative<SystemAlertRoute>(parse_route("/system/alert")));
  EXPECT_TRUE(std::holds_alternative<StoreRoute>(parse_route("/store.json")));
  EXPECT_EQ(std::get<UiRoute>(parse_route("/ui")).path, "");
  EXPECT_EQ(std::get<UiRoute>(parse_route("/ui/?x=1")).path, "/");
  EXPECT_EQ(std::get<UiRoute>(parse_route("/ui/page.js")).path, "/page.js");
  EXPECT_TRUE(std::holds_alternative<UnknownRoute>(parse_route("/uid")));
  EXPECT_TRUE(std::holds_alternative<UnknownRoute>(parse_route("/system/secret")));
  EXPECT_TRUE(std::holds_alternative<UnknownRoute>(parse_route("/system/async-calls/retry")));
  EXPECT_EQ(std::get<SystemAsyncRoute>(parse_route("/system/async-calls/i-1/retry")).call_id,
            "i-1");
}

TEST(SystemRoute, TakesAFunctionThatNamesItsNamespaceTwice) {
  EXPECT_EQ(std::get<SystemFunctionRoute>(parse_route("/system/function/a.b?namespace=b&usage=1"))
                .function.full(),
            "a.b");
}

TEST(SystemRoute, TellsWhoWantsUsage) {
  const auto of_one = [](std::string_view target) {
    return std::get<SystemFunctionRoute>(parse_route(target)).wants_usage;
  };
  const auto of_all = [](std::string_view target) {
    return std::get<SystemFunctionsRoute>(parse_route(target)).wants_usage;
  };
  EXPECT_TRUE(of_one("/system/function/a?namespace=b&usage=1"));
  EXPECT_TRUE(of_one("/system/function/a?usage=true"));
  EXPECT_FALSE(of_one("/system/function/a?usage=0"));
  EXPECT_FALSE(of_one("/system/function/a"));
  EXPECT_TRUE(of_all("/system/functions?usage=1"));
  EXPECT_FALSE(of_all("/system/functions?usages=1"));
}

TEST(FunctionStatusJson, HasUsageWhereItIsKnown) {
  FunctionStatus status{.deployment = {.function = *FunctionName::parse("busy")}};
  EXPECT_EQ(function_status_from_json(function_status_json(status))->usage, std::nullopt);
  status.usage = FunctionUsage{.cpu_millis = 250.5, .memory_bytes = 1ULL << 40U};
  const std::string text = function_status_json(status);
  EXPECT_THAT(text,
              testing::HasSubstr(R"("usage":{"cpu":250.5,"totalMemoryBytes":1099511627776})"));
  EXPECT_EQ(function_status_from_json(text)->usage, status.usage);
}

TEST(AsyncRoute, KeepsPathAndQuery) {
  const auto route = std::get<AsyncFunctionRoute>(parse_route("/async-function/f.ns/a/b?x=1"));
  EXPECT_EQ(route.segment, "f.ns");
  EXPECT_EQ(route.path, "/a/b");
  EXPECT_EQ(route.query, "x=1");
}

// --- scaling

TEST(Scaling, ReadsLabelsAndDefaults) {
  const auto none = scaling_labels({});
  EXPECT_EQ(none->min, 1);
  EXPECT_FALSE(none->max);
  const auto all = scaling_labels({{"com.openfaas.scale.min", "2"},
                                   {"com.openfaas.scale.max", "40"},
                                   {"com.openfaas.scale.factor", "50"},
                                   {"com.openfaas.scale.zero", "true"},
                                   {"com.openfaas.scale.zero-duration", "1m30s"},
                                   {"com.openfaas.scale.target", "2.5"}});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->min, 2);
  EXPECT_EQ(all->max, 40);
  EXPECT_EQ(all->factor_percent, 50);
  EXPECT_TRUE(all->to_zero);
  EXPECT_EQ(all->zero_duration, Millis{90'000});
  EXPECT_EQ(all->target, 2.5);
}

TEST(Scaling, RefusesLabelsThatItCannotFollow) {
  for (const Texts& labels : std::initializer_list<Texts>{
           {{"com.openfaas.scale.min", "0"}},
           {{"com.openfaas.scale.min", "many"}},
           {{"com.openfaas.scale.max", "99999999"}},
           {{"com.openfaas.scale.min", "3"}, {"com.openfaas.scale.max", "2"}},
           {{"com.openfaas.scale.factor", "101"}},
           {{"com.openfaas.scale.zero", "yes"}},
           {{"com.openfaas.scale.zero-duration", "soon"}},
           {{"com.openfaas.scale.target", "-1"}}}) {
    const auto refused = scaling_labels(labels);
    ASSERT_FALSE(refused) << labels.begin()->first;
    EXPECT_NE(refused.error().message.find(labels.rbegin()->first), std::string::npos)
        << refused.error().message;
  }
}

TEST(Scaling, AcceptsWhatLabelsAndNodeAllow) {
  const ScalingLabels bounded{.min = 2, .max = 5};
  EXPECT_EQ(accept_replicas(bounded, 2, 32), 2);
  EXPECT_EQ(accept_replicas(bounded, 5, 32), 5);
  for (const int wanted : {0, 1, 6}) EXPECT_FALSE(accept_replicas(bounded, wanted, 32)) << wanted;
  EXPECT_FALSE(accept_replicas({}, 33, 32)) << "beyond the node";
  EXPECT_FALSE(accept_replicas({.max = 100}, 33, 32)) << "beyond the node, though the label allows";
  EXPECT_FALSE(accept_replicas({}, 0, 32)) << "zero is not wanted by default";
  EXPECT_EQ(accept_replicas({.min = 2, .to_zero = true}, 0, 32), 0);
  EXPECT_FALSE(accept_replicas({.min = 2, .to_zero = true}, 1, 32));
}

TEST(Scaling, AnUpdateKeepsWhatTheNewLabelsStillAllow) {
  EXPECT_EQ(initial_replicas({.min = 2}, std::nullopt, 32), 2);
  EXPECT_EQ(initial_replicas({.min = 2}, 7, 32), 7);
  EXPECT_EQ(initial_replicas({.min = 2, .max = 5}, 7, 32), 5);
  EXPECT_EQ(initial_replicas({.min = 2}, 0, 32), 2);
  EXPECT_EQ(initial_replicas({.to_zero = true}, 0, 32), 0);
}

TEST(Scaling, ReadsTheRequestOfTheSdk) {
  const auto request =
      scale_request_from_json(R"({"serviceName":"f","replicas":3,"namespace":"ns"})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->name, "f");
  EXPECT_EQ(request->replicas, 3);
  EXPECT_EQ(request->space, "ns");
  for (const char* bad : {"", "{}", R"({"replicas":-1})", R"({"replicas":"3"})",
                          R"({"replicas":1000000})", R"({"replicas":1.5})"}) {
    EXPECT_FALSE(scale_request_from_json(bad)) << bad;
  }
}

TEST(Alert, StepsUpByTheFactorAndBackToTheMinimum) {
  const ScalingLabels labels{.min = 2, .max = 20, .factor_percent = 20};
  EXPECT_EQ(replicas_after_alert(labels, 2, true, 100), 6);
  EXPECT_EQ(replicas_after_alert(labels, 18, true, 100), 20);
  EXPECT_EQ(replicas_after_alert(labels, 18, false, 100), 2);
  EXPECT_EQ(replicas_after_alert(labels, 1, true, 3), 2) << "the node bounds it first";
}

TEST(Alert, ReadsWhatAlertManagerSends) {
  const auto alerts = alerts_from_json(R"({"receiver":"scale-up","status":"firing","alerts":[
      {"status":"firing","labels":{"alertname":"APIHighInvocationRate","function_name":"f.ns"}},
      {"labels":{"function_name":"g"}}]})");
  ASSERT_TRUE(alerts) << alerts.error().message;
  ASSERT_EQ(alerts->size(), 2U);
  EXPECT_EQ(alerts->at(0).function.full(), "f.ns");
  EXPECT_TRUE(alerts->at(1).firing);
  for (const char* bad :
       {"", "{}", R"({"status":"firing","alerts":[{"labels":{}}]})",
        R"({"status":"glowing","alerts":[{"labels":{"function_name":"f"}}]})",
        R"({"status":"firing","alerts":[{"labels":{"function_name":"../f"}}]})"}) {
    EXPECT_FALSE(alerts_from_json(bad)) << bad;
  }
}

// --- secrets

TEST(Secret, ReadsTextAndBase64) {
  const auto text = secret_request_from_json(R"({"name":"key","value":"a b"})", 1000);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(text->value, "a b");
  EXPECT_EQ(text->secret.space(), "openfaas-fn");
  const auto raw =
      secret_request_from_json(R"({"name":"key","namespace":"ns","rawValue":"AAEC"})", 1000);
  ASSERT_TRUE(raw);
  EXPECT_EQ(raw->value, std::string("\0\1\2", 3));
  EXPECT_EQ(raw->secret.space(), "ns");
  EXPECT_FALSE(secret_request_from_json(R"({"name":"key"})", 1000)->value);
}

TEST(Secret, RefusesNamesThatAreNoPlainFile) {
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "../x", "a b", "a\\nb", "\\u0000"}) {
    const std::string body = std::string(R"({"name":")") + name + R"(","value":"x"})";
    EXPECT_FALSE(secret_request_from_json(body, 1000)) << name;
  }
  EXPECT_FALSE(SecretName::parse(std::string(254, 'a'), ""));
  EXPECT_FALSE(SecretName::parse("a", "../x"));
}

TEST(Secret, NeverQuotesAValueThatItRefuses) {
  for (const char* body : {R"({"name":"k","value":"hunter2)",
                           R"({"name":"k","rawValue":"hunter2!"})", R"({"value":"hunter2"})"}) {
    const auto refused = secret_request_from_json(body, 1000);
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().message.find("hunter2"), std::string::npos)
        << refused.error().message;
  }
}

TEST(Namespace, RoundTripsAndRefusesBadNames) {
  const auto space = namespace_from_json(R"({"name":"team","labels":{"openfaas":"1"}})");
  ASSERT_TRUE(space) << space.error().message;
  EXPECT_EQ(namespace_from_json(namespace_json(*space)), *space);
  for (const char* bad : {"{}", R"({"name":""})", R"({"name":"a.b"})", R"({"name":"../a"})",
                          R"({"name":"a","labels":{"x":1}})"}) {
    EXPECT_FALSE(namespace_from_json(bad)) << bad;
  }
}

// --- logs

TEST(Time, ReadsEveryFormThatGoWrites) {
  const auto utc = parse_rfc3339("2026-01-31T12:00:00Z");
  ASSERT_TRUE(utc);
  EXPECT_EQ(rfc3339_text(*utc), "2026-01-31T12:00:00.000Z");
  EXPECT_EQ(rfc3339_text(*parse_rfc3339("2026-01-31T12:00:00.5+01:30")),
            "2026-01-31T10:30:00.500Z");
  EXPECT_EQ(rfc3339_text(*parse_rfc3339("2026-01-01T00:00:00.123456789-01:00")),
            "2026-01-01T01:00:00.123Z");
  for (const char* bad : {"", "yesterday", "2026-01-31", "2026-02-30T12:00:00Z",
                          "2026-01-31T24:00:00Z", "2026-01-31T12:00:00", "2026-01-31T12:00:00.Z",
                          "2026-01-31T12:00:00+1:00", "20x6-01-31T12:00:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(LogQuery, ReadsWhatFaasCliSends) {
  const auto query =
      parse_log_query("follow=true&name=f&namespace=ns&since=2026-01-01T00%3A00%3A00Z&tail=-1");
  ASSERT_TRUE(query) << query.error().message;
  EXPECT_EQ(query->function.full(), "f.ns");
  EXPECT_TRUE(query->follow);
  EXPECT_TRUE(query->since);
  EXPECT_FALSE(query->tail);
  EXPECT_EQ(parse_log_query("name=f.openfaas-fn&tail=5")->tail, 5U);
  for (const char* bad : {"", "name=", "name=a/b", "name=a&since=x", "name=a&tail=x",
                          "name=a&tail=-2", "name=a&follow=perhaps"}) {
    EXPECT_FALSE(parse_log_query(bad)) << bad;
  }
}

TEST(LogLine, IsOneLineWhateverTheFunctionWrote) {
  const std::string line =
      log_line_json(*FunctionName::parse("f"), {.time = {}, .instance = "n", .text = "a\n\xff\"b"});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

// --- asynchronous calls

TEST(Retry, ReadsAnnotationsAndDefaults) {
  EXPECT_EQ(*retry_policy({}), RetryPolicy{});
  const auto policy = retry_policy({{"com.openfaas.retry.attempts", "3"},
                                    {"com.openfaas.retry.codes", "429, 503"},
                                    {"com.openfaas.retry.min_wait", "500ms"},
                                    {"com.openfaas.retry.max_wait", "4"}});
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_EQ(policy->attempts, 3);
  EXPECT_EQ(policy->codes, (std::set<int>{429, 503}));
  EXPECT_EQ(wait_after(*policy, 1), Millis{500});
  EXPECT_EQ(wait_after(*policy, 2), Millis{1000});
  EXPECT_EQ(wait_after(*policy, 3), Millis{2000});
  EXPECT_EQ(wait_after(*policy, 9), Millis{4000});
  EXPECT_EQ(wait_after(*policy, 1000), Millis{4000});
}

TEST(Retry, RefusesAnnotationsThatItCannotFollow) {
  for (const Texts& annotations :
       std::initializer_list<Texts>{{{"com.openfaas.retry.attempts", "0"}},
                                    {{"com.openfaas.retry.attempts", "often"}},
                                    {{"com.openfaas.retry.codes", "200"}},
                                    {{"com.openfaas.retry.codes", "429;500"}},
                                    {{"com.openfaas.retry.min_wait", "soon"}},
                                    {{"com.openfaas.retry.max_wait", "25h"}}}) {
    const auto refused = retry_policy(annotations);
    ASSERT_FALSE(refused) << annotations.begin()->second;
    EXPECT_NE(refused.error().message.find(annotations.begin()->first), std::string::npos);
  }
  EXPECT_FALSE(retry_policy(
      {{"com.openfaas.retry.min_wait", "10s"}, {"com.openfaas.retry.max_wait", "1s"}}));
}

TEST(Retry, TellsThePlatformsFailuresFromTheFunctions) {
  const RetryPolicy policy;
  EXPECT_TRUE(should_retry(policy, 503, true)) << "every slot was taken";
  EXPECT_FALSE(should_retry(policy, 503, false)) << "the function's own answer, not listed";
  EXPECT_TRUE(should_retry(policy, 500, false));
  EXPECT_TRUE(should_retry(policy, 404, true)) << "the function may be back";
  EXPECT_FALSE(should_retry(policy, 413, true));
  EXPECT_FALSE(should_retry(policy, 200, false));
}

TEST(Callback, TakesHttpAndHttpsOnly) {
  const auto plain = parse_callback_url("http://127.0.0.1:9000/done?x=1#part");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(*plain, (CallbackUrl{.secure = false,
                                 .host = "127.0.0.1",
                                 .port = 9000,
                                 .authority = "127.0.0.1:9000",
                                 .target = "/done?x=1"}));
  EXPECT_EQ(parse_callback_url("https://example.org")->port, 443);
  EXPECT_EQ(parse_callback_url("https://example.org?q")->target, "/?q");
  EXPECT_EQ(parse_callback_url("http://[::1]:80/")->host, "::1");
  for (const char* bad :
       {"", "ftp://h/", "file:///etc/passwd", "http://", "http:///x", "//h/", "h/x", "http://h:0/",
        "http://h:99999/", "http://h:/", "http://user:secret@h/", "http://h\r\nX: y/",
        "http://h y/", "http://[::1", "http://[::1]x/", "javascript:alert(1)"}) {
    EXPECT_FALSE(parse_callback_url(bad)) << bad;
  }
}

TEST(Info, HoldsEveryObjectThatFaasCliDereferences) {
  const std::string text = info_json({.version = "0.1.0", .arch = "x86_64"});
  for (const char* expected :
       {R"("provider":{"orchestration":"dfaas","provider":"dfaas","version":{)",
        R"("release":"0.1.0")", R"("arch":"x86_64")"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << text;
  }
  EXPECT_EQ(text.find("sandbox"), std::string::npos);
}

}  // namespace
}  // namespace dfaas
