// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/plan.hpp"

#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "core/workload/plan_file.hpp"

namespace dfaas {
namespace {

using std::chrono::seconds;

TEST(Target, IsReadFromAUrl) {
  EXPECT_EQ(parse_load_target("http://127.0.0.1:8081/function/figlet?x=1").value(),
            (LoadTarget{.host = "127.0.0.1", .port = 8081, .path = "/function/figlet?x=1"}));
  EXPECT_EQ(parse_load_target("localhost").value(), (LoadTarget{.host = "localhost"}));
  EXPECT_EQ(parse_load_target("http://edge?x").value().path, "/?x");
  const LoadTarget v6 = parse_load_target("http://[::1]:81/a//b/../%2F").value();
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.path, "/a//b/../%2F");
  EXPECT_EQ(v6.authority(), "[::1]:81");
  EXPECT_EQ(parse_load_target("[::1]").value().port, 80);
}

TEST(Target, NamesWhatItCannotRead) {
  for (const char* bad : {"", "http://", "http://:80", "http://h:0", "http://h:65536", "http://h:x",
                          "https://h", "http://h/a b", "http://h/#a", "http://::1:80", "http://[h",
                          "http://h]:80", "http://a b:80"}) {
    const auto target = parse_load_target(bad);
    ASSERT_FALSE(target) << bad;
    EXPECT_EQ(target.error().code, ErrorCode::invalid_input);
    EXPECT_NE(target.error().message.find(std::string("\"") + bad + "\""), std::string::npos);
  }
  const auto with_login = parse_load_target("http://user:secret@h/");
  ASSERT_FALSE(with_login);
  EXPECT_EQ(with_login.error().message.find("secret"), std::string::npos);
}

LoadPlan valid_plan() {
  return {.phases = {{.name = "warm",
                      .duration = seconds{1},
                      .rate = {10},
                      .target = {.host = "127.0.0.1", .port = 8081, .path = "/function/figlet"}}}};
}

struct Broken {
  const char* name;
  std::function<void(LoadPlan&)> breakage;
  const char* sentence;
};

class PlanBroken : public testing::TestWithParam<Broken> {};

TEST_P(PlanBroken, IsRefusedWithASentence) {
  LoadPlan plan = valid_plan();
  ASSERT_TRUE(validate(plan));
  GetParam().breakage(plan);
  const auto checked = validate(plan);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(checked.error().message, GetParam().sentence);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, PlanBroken,
    testing::Values(
        Broken{"no_phase", [](LoadPlan& plan) { plan.phases.clear(); },
               "a plan of 0 phases is not one of 1 to 64"},
        Broken{"rate_zero", [](LoadPlan& plan) { plan.phases[0].rate = {0}; },
               "phase \"warm\": rate 0 is not a number of requests/s from 0.001 to 100000"},
        Broken{"rate_nan",
               [](LoadPlan& plan) {
                 plan.phases[0].rate = {std::numeric_limits<double>::quiet_NaN()};
               },
               "phase \"warm\": rate nan is not a number of requests/s from 0.001 to 100000"},
        Broken{"duration", [](LoadPlan& plan) { plan.phases[0].duration = Millis{1}; },
               "phase \"warm\": duration 1ms is not within 10ms and 24h"},
        Broken{"start", [](LoadPlan& plan) { plan.phases[0].start = Millis{-1}; },
               "phase \"warm\": start -1ms is not within 0s and 24h"},
        Broken{"timeout", [](LoadPlan& plan) { plan.timeout = std::chrono::hours{1}; },
               "timeout 1h is not within 1ms and 10m"},
        Broken{"outstanding", [](LoadPlan& plan) { plan.outstanding_max = 0; },
               "outstanding_max 0 is not a number from 1 to 65536"},
        Broken{"arrivals", [](LoadPlan& plan) { plan.phases[0].arrivals = "bursty"; },
               "phase \"warm\": arrival process \"bursty\" is not known: constant, poisson are"},
        Broken{"name", [](LoadPlan& plan) { plan.phases[0].name = "a b"; },
               "phase name \"a b\" is not 1 to 63 of a-z, A-Z, 0-9, '-', '_', '.'"},
        Broken{"same_name", [](LoadPlan& plan) { plan.phases.push_back(plan.phases[0]); },
               "two phases are called \"warm\""},
        Broken{"requests_out_of_order",
               [](LoadPlan& plan) {
                 plan.phases[0].requests = {{.at = Millis{2}, .body = ""},
                                            {.at = Millis{1}, .body = ""}};
               },
               "phase \"warm\": its requests are not in order of time within 0s and 1s"},
        Broken{"request_after_the_end",
               [](LoadPlan& plan) { plan.phases[0].requests = {{.at = seconds{2}, .body = ""}}; },
               "phase \"warm\": its requests are not in order of time within 0s and 1s"},
        Broken{"host", [](LoadPlan& plan) { plan.phases[0].target.host = "a\r\nb"; },
               "phase \"warm\": target \"a??b:8081\" is not HOST:PORT"},
        Broken{"path", [](LoadPlan& plan) { plan.phases[0].target.path = "/a HTTP/1.1\r\n"; },
               "phase \"warm\": path \"/a HTTP/1.1??\" does not start with \"/\" or holds a blank"},
        Broken{
            "method", [](LoadPlan& plan) { plan.phases[0].method = "get"; },
            "phase \"warm\": method \"get\" is not a word of capital letters such as GET or POST"},
        Broken{
            "own_header", [](LoadPlan& plan) { plan.phases[0].headers.add("Content-length", "3"); },
            "phase \"warm\": header \"Content-length\" is written by the generator and cannot be "
            "set"},
        Broken{"header_name", [](LoadPlan& plan) { plan.phases[0].headers.add("a:b", "3"); },
               "phase \"warm\": header name \"a:b\" holds characters that HTTP does not allow"},
        Broken{"header_value", [](LoadPlan& plan) { plan.phases[0].headers.add("A", "x\r\nB: y"); },
               "phase \"warm\": value of header \"A\" holds control characters or is over 8192 "
               "bytes"}),
    [](const auto& tested) { return tested.param.name; });

Result<std::string> no_files(const std::string& file) {
  return fail(ErrorCode::not_found, "no " + file);
}

TEST(PlanFile, SaysWhatGoesWhereAndWhen) {
  const auto plan = parse_plan_file(
      R"(
    seed = 7
    timeout = "5s"
    outstanding_max = 100

    [[phase]]
    name = "warm"
    url = "http://127.0.0.1:8081/function/figlet"
    rate = 12.5
    duration = "10s"

    [[phase]]
    name = "busy"
    url = "http://127.0.0.1:8082/function/ocr"
    rate = 100
    duration = "500ms"
    arrivals = "poisson"
    data_file = "picture.png"
    headers = { "Content-Type" = "image/png" }
    expected_node = "abcdefghijklmnopqrstuvwxyz234567"

    [[phase]]
    name = "beside"
    url = "127.0.0.1:8081/function/figlet"
    start = "0s"
    rate = 1
    duration = "1m"
    method = "PUT"
    data = "hello"
  )",
      [](const std::string& file) -> Result<std::string> { return "bytes of " + file; });
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->seed, 7U);
  EXPECT_EQ(plan->timeout, seconds{5});
  EXPECT_EQ(plan->outstanding_max, 100U);
  ASSERT_EQ(plan->phases.size(), 3U);
  const auto& [warm, busy, beside] = std::tie(plan->phases[0], plan->phases[1], plan->phases[2]);
  EXPECT_EQ(warm.rate, Rate{12.5});
  EXPECT_EQ(warm.method, "GET");
  EXPECT_EQ(warm.arrivals, "constant");
  EXPECT_EQ(busy.start, seconds{10}) << "a phase follows the one before it";
  EXPECT_EQ(busy.method, "POST") << "there is a body";
  EXPECT_EQ(busy.body, "bytes of picture.png");
  EXPECT_EQ(busy.headers.get("content-type"), "image/png");
  EXPECT_EQ(busy.expected_node->text(), "abcdefghijklmnopqrstuvwxyz234567");
  EXPECT_EQ(beside.start, Micros{0});
  EXPECT_EQ(beside.method, "PUT");
  EXPECT_EQ(beside.body, "hello");
  EXPECT_EQ(plan->end(), std::chrono::minutes{1});
}

struct BrokenFile {
  const char* name;
  const char* text;
  const char* sentence;
};

class PlanFileBroken : public testing::TestWithParam<BrokenFile> {};

TEST_P(PlanFileBroken, IsRefusedWithASentence) {
  const auto plan = parse_plan_file(GetParam().text, no_files);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::invalid_input);
  EXPECT_NE(plan.error().message.find(GetParam().sentence), std::string::npos)
      << plan.error().message;
}

#define DFAAS_PHASE "[[phase]]\nname = \"a\"\nurl = \"h:1/\"\nrate = 1\nduration = \"1s\"\n"

INSTANTIATE_TEST_SUITE_P(
    Files, PlanFileBroken,
    testing::Values(
        BrokenFile{"not_toml", "seed = 1\nx = = 2", "line 2: "},
        BrokenFile{"empty", "", "there is no phase: write at least one [[phase]] table"},
        BrokenFile{"phase_is_no_table", "phase = 3", "there is no phase"},
        BrokenFile{"unknown_key", "sed = 1\n" DFAAS_PHASE,
                   "line 1: key \"sed\" is not known: seed, "},
        BrokenFile{"unknown_phase_key", DFAAS_PHASE "rat = 1",
                   "line 6: phase \"a\": key \"rat\" is not known: name, url, "},
        BrokenFile{"negative_seed", "seed = -1\n" DFAAS_PHASE,
                   "line 1: seed \"-1\" is not an integer from 0"},
        BrokenFile{"timeout", "timeout = \"soon\"\n" DFAAS_PHASE,
                   "line 1: timeout: \"soon\" is not a duration such as 500ms, 30s or 5m"},
        BrokenFile{"bare_duration", "timeout = 30\n" DFAAS_PHASE,
                   "line 1: timeout \"30\" is not a text in quotes"},
        BrokenFile{"no_url", "[[phase]]\nname = \"a\"", "line 1: phase \"a\": url is missing"},
        BrokenFile{"no_name", "[[phase]]\nrate = 1", "line 1: phase 1: name is missing"},
        BrokenFile{"rate_text",
                   "[[phase]]\nname = \"a\"\nurl = \"h:1/\"\nrate = \"1\"\nduration = \"1s\"",
                   "line 4: phase \"a\": rate \"1\" is not a number"},
        BrokenFile{"header", DFAAS_PHASE "headers = { A = 1 }",
                   "line 6: phase \"a\": headers: \"A\" \"1\" is not a text in quotes"},
        BrokenFile{"both_bodies", DFAAS_PHASE "data = \"x\"\ndata_file = \"y\"",
                   "phase \"a\": data and data_file are both given"},
        BrokenFile{"no_file", DFAAS_PHASE "data_file = \"y\"",
                   "line 6: phase \"a\": data_file: no y"},
        BrokenFile{"node", DFAAS_PHASE "expected_node = \"light\"", "phase \"a\": expected_node: "},
        BrokenFile{"out_of_range", DFAAS_PHASE "start = \"25h\"",
                   "phase \"a\": start 25h is not within 0s and 24h"}),
    [](const auto& tested) { return tested.param.name; });

#undef DFAAS_PHASE

}  // namespace
}  // namespace dfaas
