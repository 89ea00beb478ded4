// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/tally.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using std::chrono::seconds;

constexpr LoadOutcome here{.end = LoadEnd::served_local, .latency = Millis{10}};
constexpr LoadOutcome at_heavy{
    .end = LoadEnd::served_by_peer, .peer = "heavy", .latency = Millis{20}};
constexpr LoadOutcome refused{.end = LoadEnd::refused, .latency = Millis{1}};

TEST(Tally, SortsAnswersByStatus) {
  EXPECT_EQ(load_end_of(200), LoadEnd::served_by_peer);
  EXPECT_EQ(load_end_of(204), LoadEnd::served_by_peer);
  EXPECT_EQ(load_end_of(299), LoadEnd::served_by_peer);
  EXPECT_EQ(load_end_of(429), LoadEnd::refused);
  EXPECT_EQ(load_end_of(503), LoadEnd::refused);
  for (const int status : {199, 300, 302, 400, 404, 425, 500, 502, 504}) {
    EXPECT_EQ(load_end_of(status), LoadEnd::failed) << status;
  }
}

TEST(Tally, ASecondIsTakenWhenItIsOverAndItsLastRequestHasEnded) {
  LoadTally tally(1);
  const LoadArrival early{0, Millis{500}};
  const LoadArrival late{0, Millis{1500}};
  tally.offer(early);
  EXPECT_TRUE(tally.finished(seconds{2}).empty()) << "its request is open";
  tally.offer(late);
  tally.settle(late, refused);
  EXPECT_TRUE(tally.finished(seconds{2}).empty()) << "seconds come in order";
  tally.settle(early, here);
  EXPECT_TRUE(tally.finished(Millis{999}).empty()) << "the second is not over";
  const auto first = tally.finished(Millis{1999});
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].second, 0);
  EXPECT_EQ(first[0].counts.served_local, 1U);
  EXPECT_EQ(first[0].latency.p50, Millis{10});
  const auto second = tally.finished(seconds{2});
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].second, 1);
  EXPECT_EQ(second[0].counts.refused, 1U);
  EXPECT_EQ(second[0].latency.max, Micros{0}) << "a refusal is no latency of the service";
}

TEST(Tally, SecondsWithoutRequestsComeTooAndEmpty) {
  LoadTally tally(1);
  const LoadArrival arrival{0, Millis{2500}};
  tally.offer(arrival);
  tally.settle(arrival, here);
  const auto done = tally.finished(seconds{5});
  ASSERT_EQ(done.size(), 5U);
  for (std::size_t index = 0; index < done.size(); ++index) {
    EXPECT_EQ(done[index].second, static_cast<std::int64_t>(index));
    EXPECT_EQ(done[index].counts.offered, index == 2 ? 1U : 0U);
  }
}

TEST(Tally, AWithdrawnRequestWasNeverOffered) {
  LoadTally tally(1);
  const LoadArrival arrival{0, Millis{0}};
  tally.offer(arrival);
  tally.withdraw(arrival);
  EXPECT_EQ(tally.total().counts.offered, 0U);
  EXPECT_EQ(tally.finished(seconds{1}).at(0).counts.offered, 0U);
}

void expect_balanced(const LoadCounts& counts) {
  EXPECT_EQ(counts.offered,
            counts.served() + counts.refused + counts.failed + counts.transport_errors);
  std::uint64_t by_peers = 0;
  for (const auto& [name, count] : counts.served_by_peer) by_peers += count;
  EXPECT_EQ(counts.served(), counts.served_local + by_peers);
}

TEST(TallyProperty, EveryRequestIsCountedOnceInItsSecondItsPhaseAndTheTotal) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    LoadTally tally(3);
    std::vector<LoadArrival> open;
    std::vector<LoadSecond> taken;
    LoadCounts expected;
    Micros at{0};
    const auto take = [&](Micros passed) {
      for (LoadSecond& second : tally.finished(passed)) taken.push_back(std::move(second));
    };
    const auto end_one = [&] {
      const std::size_t index = below(random, open.size());
      const LoadArrival arrival = open[index];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(index));
      if (below(random, 20) == 0) {
        tally.withdraw(arrival);
        --expected.offered;
        return;
      }
      const auto end = static_cast<LoadEnd>(below(random, 5));
      const char* peer = below(random, 2) == 0 ? "mid" : "heavy";
      tally.settle(arrival, {.end = end, .peer = peer, .latency = Micros{123}});
      if (end == LoadEnd::served_local) ++expected.served_local;
      if (end == LoadEnd::served_by_peer) ++expected.served_by_peer[peer];
      if (end == LoadEnd::refused) ++expected.refused;
      if (end == LoadEnd::failed) ++expected.failed;
      if (end == LoadEnd::transport_error) ++expected.transport_errors;
    };
    for (int step = 0; step < 500; ++step) {
      at += Micros{static_cast<std::int64_t>(below(random, 40'000))};
      const LoadArrival arrival{below(random, 3), at};
      tally.offer(arrival);
      ++expected.offered;
      tally.start(arrival, Micros{5});
      open.push_back(arrival);
      while (!open.empty() && below(random, 2) == 0) end_one();
      take(at);
    }
    while (!open.empty()) end_one();
    take(at + seconds{1});

    const LoadSummary total = tally.total();
    expect_balanced(total.counts);
    EXPECT_EQ(total.counts.offered, expected.offered);
    EXPECT_EQ(total.counts.served_local, expected.served_local);
    EXPECT_EQ(total.counts.served_by_peer, expected.served_by_peer);
    EXPECT_EQ(total.counts.refused, expected.refused);
    EXPECT_EQ(total.counts.failed, expected.failed);
    EXPECT_EQ(total.counts.transport_errors, expected.transport_errors);
    std::uint64_t in_phases = 0;
    for (const std::size_t phase : {0U, 1U, 2U}) {
      expect_balanced(tally.summary(phase).counts);
      in_phases += tally.summary(phase).counts.offered;
    }
    EXPECT_EQ(in_phases, expected.offered);
    std::uint64_t in_seconds = 0;
    for (std::size_t index = 0; index < taken.size(); ++index) {
      EXPECT_EQ(taken[index].second, static_cast<std::int64_t>(index));
      expect_balanced(taken[index].counts);
      in_seconds += taken[index].counts.offered;
    }
    EXPECT_EQ(in_seconds, expected.offered);
  }
}

TEST(Results, AreWrittenInTheSchemaOfAllReports) {
  LoadTally tally(1);
  const auto offer_and_settle = [&tally](Micros at, const LoadOutcome& outcome) {
    tally.offer({0, at});
    tally.start({0, at}, Micros{250});
    tally.settle({0, at}, outcome);
  };
  offer_and_settle(Millis{1}, here);
  offer_and_settle(Millis{2}, at_heavy);
  offer_and_settle(Millis{3}, refused);
  offer_and_settle(Millis{4}, {.end = LoadEnd::transport_error});
  EXPECT_EQ(json_of(tally.summary(0)).dump(),
            R"({"offered":4,"served":2,"served_local":1,"served_by_peer":{"heavy":1},"refused":1,)"
            R"("failed":0,"transport_errors":1,"success_ratio":0.5,"latency_ms":)"
            R"({"p50":10.047,"p95":20.0,"p99":20.0,"max":20.0},"generator_late_ms_p99":0.25})");
  const LoadReport report{
      .phases = {{.name = "warm", .summary = tally.summary(0)}}, .total = tally.total(), .seed = 7};
  const auto json = json_of(report, "1.2.3");
  EXPECT_EQ(json["phases"]["warm"], json_of(tally.summary(0)));
  EXPECT_EQ(json["total"], json["phases"]["warm"]);
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["version"], "1.2.3");
  EXPECT_EQ(json["kept_rate"], true);
  EXPECT_EQ(json_of(tally.finished(seconds{1}).at(0))["second"], 0);
}

TEST(Results, ALoadThatOfferedNothingSucceededAtNothing) {
  EXPECT_EQ(LoadCounts{}.success_ratio(), 0);
}

TEST(Results, AReportSaysWhenTheRateWasNotKept) {
  LoadReport report;
  report.total.generator_late_p99 = Millis{10};
  EXPECT_TRUE(report.kept_rate());
  report.total.generator_late_p99 = Micros{10'001};
  EXPECT_FALSE(report.kept_rate());
  report.total.generator_late_p99 = Micros{0};
  report.over_limit = 1;
  EXPECT_FALSE(report.kept_rate());
}

}  // namespace
}  // namespace dfaas
