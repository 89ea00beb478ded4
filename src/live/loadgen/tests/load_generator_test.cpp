// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The generator against a real HTTP server on loopback, which answers as its path tells it to.
///
/// Times are compared only where the gap is a matter of hundreds of milliseconds by construction: the
/// machine that runs this may be busy.
#include "live/loadgen/load_generator.hpp"

#include <sys/resource.h>

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/net/http.hpp"
#include "live/net/task_group.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr Millis patience{20'000};
const std::string light_id(32, 'a');
const std::string heavy_id(32, 'b');
const std::string nameless_id(32, 'c');

/// What the server has seen, and what it is told to do.
struct Server {
  explicit Server(asio::any_io_executor executor) : gate(executor), tasks(executor) {}

  asio::steady_timer gate;  ///< Cancelled to let the requests for /held go.
  std::map<std::string, int> seen;
  std::map<std::string, std::string> bodies;
  int connections = 0;
  bool names_itself = true;
  bool hangs_up_once = false;  ///< The next request on a kept connection gets no answer.
  TaskGroup tasks;
};

ResponseHead answer_from(const std::string& id, const std::string& name, int status) {
  ResponseHead head{.status = status};
  if (!id.empty()) head.headers.add("DFaaS-Node-ID", id);
  if (!name.empty()) head.headers.add("X-Server", name);
  return head;
}

ResponseHead answer_to(const Server& server, const std::string& path) {
  if (path == "/peer") return answer_from(heavy_id, "heavy", 200);
  if (path == "/nameless") return answer_from(nameless_id, "", 200);
  if (path == "/hostile") return answer_from("no\xffid", "<b>\xff\"", 200);
  if (path == "/busy") return answer_from(light_id, "light", 503);
  if (path == "/limit") return answer_from(light_id, "light", 429);
  if (path == "/broken") return answer_from(light_id, "light", 500);
  if (path == "/missing") return answer_from(light_id, "light", 404);
  if (path == "/elsewhere") return answer_from(light_id, "light", 302);
  if (!server.names_itself) return answer_from("", "", 200);
  return answer_from(light_id, "light", 200);
}

asio::awaitable<void> serve_connection(Server* server, ServerConnection connection) {
  co_await asio::this_coro::throw_if_cancelled(false);
  for (bool is_kept = false;; is_kept = true) {
    const auto head = co_await connection.read_head(patience);
    if (!head) co_return;
    std::string body;
    std::array<char, 4096> piece{};
    for (;;) {
      const auto filled = co_await connection.read_body(piece, patience);
      if (!filled) co_return;
      if (*filled == 0) break;
      body.append(piece.data(), *filled);
    }
    ++server->seen[head->method + " " + head->target];
    server->bodies[head->target] = body;
    if (is_kept && head->target != "/healthz" && server->hangs_up_once) {
      server->hangs_up_once = false;
      co_return;
    }
    if (head->target == "/silent") co_return;
    if (head->target == "/held") {
      std::ignore = co_await server->gate.async_wait(as_result);
    }
    if (head->target == "/short") {
      ResponseHead promised = answer_from(light_id, "light", 200);
      promised.body = {.length = 100};
      connection.write_head(std::move(promised));
      const std::string part = "not 100 bytes";
      if (!co_await connection.write_body(part, patience)) co_return;
      co_return;
    }
    ResponseHead answer = answer_to(*server, head->target);
    if (!co_await connection.respond(std::move(answer), "answer")) co_return;
    if (!connection.reusable()) co_return;
  }
}

asio::awaitable<void> accept_all(Server* server, tcp::acceptor* acceptor) {
  co_await asio::this_coro::throw_if_cancelled(false);
  for (;;) {
    auto [error, socket] = co_await acceptor->async_accept(as_result);
    if (error) co_return;
    ++server->connections;
    server->tasks.spawn(
        serve_connection(server, ServerConnection(StreamSocket(std::move(socket)))));
  }
}

class LoadGeneratorTest : public testing::Test {
 protected:
  LoadGeneratorTest()
      : server_(context_.get_executor()),
        acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
    server_.gate.expires_at(asio::steady_timer::time_point::max());
    server_.tasks.spawn(accept_all(&server_, &acceptor_));
  }

  [[nodiscard]] LoadPhase phase(std::string path, double rate, Micros duration) const {
    std::string name = "p" + path.substr(1);
    return {.name = std::move(name),
            .duration = duration,
            .rate = {rate},
            .target = {.host = "127.0.0.1",
                       .port = acceptor_.local_endpoint().port(),
                       .path = std::move(path)}};
  }

  /// Runs the plan to its end. `on_start` is called with the generator under way.
  Result<LoadReport> run(LoadPlan plan, const std::function<void(LoadGenerator&)>& on_start = {}) {
    auto generator = LoadGenerator::make(context_.get_executor(), std::move(plan));
    if (!generator) return pass_on(std::move(generator));
    std::optional<Result<LoadReport>> result;
    (*generator)
        ->start([this](const LoadSecond& second) { seconds_.push_back(second); },
                [&](Result<LoadReport> report) {
                  result = std::move(report);
                  generator->reset();  // As a caller may do.
                  context_.stop();
                });
    if (on_start) on_start(**generator);
    context_.run();
    context_.restart();
    return std::move(*result);
  }

  asio::io_context context_{1};
  Server server_;
  tcp::acceptor acceptor_;
  std::vector<LoadSecond> seconds_;
};

void expect_balanced(const LoadCounts& counts) {
  EXPECT_EQ(counts.offered,
            counts.served() + counts.refused + counts.failed + counts.transport_errors);
}

TEST_F(LoadGeneratorTest, SendsExactlyWhatThePlanSaysAndSaysWhoServed) {
  LoadPlan plan;
  for (const char* path : {"/own", "/peer", "/nameless", "/hostile"}) {
    plan.phases.push_back(phase(path, 40, Millis{1500}));
  }
  plan.phases[1].method = "POST";
  plan.phases[1].body = "picture";
  plan.phases[1].start = Millis{250};
  const auto report = run(std::move(plan));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->total.counts.offered, 240U);
  EXPECT_EQ(report->total.counts.served_local, 60U);
  EXPECT_EQ(
      report->total.counts.served_by_peer,
      (std::map<std::string, std::uint64_t>{{"heavy", 60}, {nameless_id, 60}, {"unknown", 60}}));
  expect_balanced(report->total.counts);
  EXPECT_EQ(server_.seen["GET /own"], 60);
  EXPECT_EQ(server_.seen["POST /peer"], 60);
  EXPECT_EQ(server_.bodies["/peer"], "picture");
  EXPECT_EQ(server_.seen["GET /healthz"], 1) << "one target, asked once";
  EXPECT_LT(server_.connections, 120) << "connections are kept";
  EXPECT_TRUE(report->notes.empty());

  ASSERT_EQ(seconds_.size(), 2U);
  EXPECT_EQ(seconds_[0].second, 0);
  // 40 a second from 0 s in three phases, from 0.25 s in one.
  EXPECT_EQ(seconds_[0].counts.offered, 150U);
  EXPECT_EQ(seconds_[1].counts.offered, 90U);
  EXPECT_EQ(seconds_[0].counts.served() + seconds_[1].counts.served(), 240U);
}

TEST_F(LoadGeneratorTest, SendsRequestsOfKnownTimesWithTheirBodiesAndTellsOfEach) {
  LoadPlan plan;
  plan.phases = {phase("/own", 0, Millis{300})};
  plan.phases[0].method = "POST";
  plan.phases[0].requests = {{.at = Millis{0}, .body = "first"},
                             {.at = Millis{200}, .body = "2nd"}};
  auto generator = LoadGenerator::make(context_.get_executor(), std::move(plan));
  ASSERT_TRUE(generator) << generator.error().message;
  std::vector<LoadArrival> ended;
  const auto begin = std::chrono::steady_clock::now() + Millis{100};
  (*generator)->begin_at(begin);
  (*generator)->on_end([&](const LoadArrival& arrival, const LoadOutcome& outcome, int status) {
    EXPECT_EQ(outcome.end, LoadEnd::served_local);
    EXPECT_EQ(status, 200);
    EXPECT_GE(std::chrono::steady_clock::now(), begin + arrival.at);
    EXPECT_EQ(server_.bodies["/own"], arrival.number == 0 ? "first" : "2nd");
    ended.push_back(arrival);
  });
  (*generator)
      ->start([](const LoadSecond&) {}, [&](const Result<LoadReport>&) { context_.stop(); });
  context_.run();
  EXPECT_EQ(ended, (std::vector<LoadArrival>{{0, Millis{0}, 0}, {0, Millis{200}, 1}}));
}

TEST_F(LoadGeneratorTest, TellsRefusedFromFailedFromUnanswered) {
  LoadPlan plan;
  for (const char* path :
       {"/busy", "/limit", "/broken", "/missing", "/elsewhere", "/silent", "/short", "/own"}) {
    plan.phases.push_back(phase(path, 20, Millis{500}));
    plan.phases.back().method = "POST";
  }
  const auto report = run(std::move(plan));
  ASSERT_TRUE(report);
  std::map<std::string, LoadCounts> counts;
  for (const auto& [name, summary] : report->phases) {
    counts[name] = summary.counts;
    EXPECT_EQ(summary.counts.offered, 10U) << name;
    expect_balanced(summary.counts);
  }
  EXPECT_EQ(counts["pbusy"].refused, 10U);
  EXPECT_EQ(counts["plimit"].refused, 10U);
  EXPECT_EQ(counts["pbroken"].failed, 10U);
  EXPECT_EQ(counts["pmissing"].failed, 10U);
  EXPECT_EQ(counts["pelsewhere"].failed, 10U);
  EXPECT_EQ(counts["psilent"].transport_errors, 10U);
  EXPECT_EQ(counts["pshort"].transport_errors, 10U);
  EXPECT_EQ(counts["pown"].served_local, 10U);
  EXPECT_EQ(server_.seen["POST /silent"], 10) << "what may have run is not repeated";
  EXPECT_EQ(report->retried, 0U);
  std::uint64_t reasons = 0;
  for (const auto& [reason, count] : report->errors) reasons += count;
  EXPECT_EQ(reasons, 20U);
}

TEST_F(LoadGeneratorTest, CountsLatencyFromTheIntendedSendTime) {
  // Every request is held until 800 ms: the first one for 790 ms, the one of 500 ms for 300 ms.
  LoadPlan plan{.phases = {phase("/held", 50, Millis{500})}};
  asio::steady_timer opening(context_);
  const auto report = run(std::move(plan), [&](LoadGenerator&) {
    opening.expires_after(Millis{800});
    opening.async_wait([this](const boost::system::error_code&) { server_.gate.cancel(); });
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.served_local, 25U) << "nobody waited for the one before";
  EXPECT_EQ(server_.connections, 25);
  EXPECT_GE(report->total.latency.max, Millis{700});
  EXPECT_GE(report->total.latency.p50, Millis{450});
  ASSERT_EQ(seconds_.size(), 1U);
  EXPECT_EQ(seconds_[0].counts.served_local, 25U);
}

TEST_F(LoadGeneratorTest, ItsOwnLatenessIsReportedAndCountsAsLatency) {
  LoadPlan plan{.phases = {phase("/own", 100, Millis{800})}};
  asio::steady_timer stall(context_);
  const auto report = run(std::move(plan), [&](LoadGenerator&) {
    stall.expires_after(Millis{200});
    stall.async_wait([](const boost::system::error_code&) {
      std::this_thread::sleep_for(Millis{400});  // The loop is held up, as by a busy machine.
    });
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.served_local, 80U)
      << "what was due meanwhile is sent all the same";
  EXPECT_GE(report->total.generator_late_p99, Millis{300});
  EXPECT_GE(report->total.latency.p99, Millis{300});
  EXPECT_FALSE(report->kept_rate());
}

TEST_F(LoadGeneratorTest, ARequestHasTheTimeoutFromItsIntendedTime) {
  LoadPlan plan{.phases = {phase("/held", 20, Millis{200})}, .timeout = Millis{300}};
  const auto report = run(std::move(plan));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.transport_errors, 4U);
  EXPECT_EQ(report->errors,
            (std::map<std::string, std::uint64_t>{{"no complete answer within 300ms", 4}}));
  EXPECT_GE(report->elapsed, Millis{450});
}

TEST_F(LoadGeneratorTest, DoesNotSendWhatWouldBeTooManyAtOnce) {
  LoadPlan plan{
      .phases = {phase("/held", 40, Millis{500})}, .timeout = Millis{2000}, .outstanding_max = 5};
  asio::steady_timer opening(context_);
  const auto report = run(std::move(plan), [&](LoadGenerator&) {
    opening.expires_after(Millis{900});
    opening.async_wait([this](const boost::system::error_code&) { server_.gate.cancel(); });
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.served_local, 5U);
  EXPECT_EQ(report->total.counts.transport_errors, 15U);
  EXPECT_EQ(report->over_limit, 15U);
  EXPECT_EQ(server_.seen["GET /held"], 5);
  EXPECT_FALSE(report->kept_rate());
}

TEST_F(LoadGeneratorTest, RepeatsAGetThatAKeptConnectionSwallowed) {
  server_.hangs_up_once = true;
  const auto report = run({.phases = {phase("/own", 20, Millis{500})}});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.served_local, 10U);
  EXPECT_EQ(report->retried, 1U);
  EXPECT_EQ(server_.seen["GET /own"], 11);
}

TEST_F(LoadGeneratorTest, DoesNotRepeatAPostThatAKeptConnectionSwallowed) {
  server_.hangs_up_once = true;
  LoadPlan plan{.phases = {phase("/own", 20, Millis{500})}};
  plan.phases[0].method = "POST";
  const auto report = run(std::move(plan));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.served_local, 9U);
  EXPECT_EQ(report->total.counts.transport_errors, 1U);
  EXPECT_EQ(report->retried, 0U);
  EXPECT_EQ(server_.seen["POST /own"], 10);
}

TEST_F(LoadGeneratorTest, EndsSoonWhenItIsCancelled) {
  LoadPlan plan{.phases = {phase("/own", 50, std::chrono::minutes{5}),
                           phase("/held", 50, std::chrono::minutes{5})}};
  asio::steady_timer impatience(context_);
  const auto report = run(std::move(plan), [&](LoadGenerator& generator) {
    impatience.expires_after(Millis{1200});
    impatience.async_wait([&](const boost::system::error_code&) { generator.cancel(); });
  });
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->was_cancelled);
  EXPECT_LT(report->elapsed, std::chrono::seconds{30});
  EXPECT_GT(report->phases[0].summary.counts.served_local, 0U);
  EXPECT_EQ(report->phases[1].summary.counts.offered, 0U) << "none of them had ended";
  EXPECT_GT(report->unfinished, 0U);
  expect_balanced(report->total.counts);
  std::uint64_t offered = 0;
  for (const LoadSecond& second : seconds_) offered += second.counts.offered;
  EXPECT_EQ(offered, report->total.counts.offered);
}

TEST_F(LoadGeneratorTest, CanBeCancelledBeforeItsFirstRequest) {
  const auto report = run({.phases = {phase("/own", 50, std::chrono::minutes{5})}},
                          [](LoadGenerator& generator) { generator.cancel(); });
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->was_cancelled);
  EXPECT_EQ(report->total.counts.offered, 0U);
}

TEST_F(LoadGeneratorTest, SaysWhenATargetDoesNotNameItsNode) {
  server_.names_itself = false;
  const auto report = run({.phases = {phase("/own", 20, Millis{200})}});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->total.counts.served_by_peer,
            (std::map<std::string, std::uint64_t>{{"unknown", 4}}));
  ASSERT_EQ(report->notes.size(), 1U);
  EXPECT_NE(report->notes[0].find("does not say which node it is"), std::string::npos);
}

TEST_F(LoadGeneratorTest, DoesNotBeginAgainstAnotherNodeThanExpected) {
  LoadPlan plan{.phases = {phase("/own", 20, Millis{200})}};
  plan.phases[0].expected_node = NodeId::parse(heavy_id).value();
  const auto report = run(std::move(plan));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::conflict);
  EXPECT_NE(report.error().message.find("is node " + light_id + ", not " + heavy_id),
            std::string::npos);
  EXPECT_EQ(server_.seen.count("GET /own"), 0U);
}

/// A port at which nobody listens: taken, and given back.
std::uint16_t closed_port(asio::io_context& context) {
  return tcp::acceptor(context, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

TEST_F(LoadGeneratorTest, DoesNotBeginWhereNobodyListens) {
  LoadPlan plan{.phases = {phase("/own", 20, Millis{200})}};
  plan.phases[0].target.port = closed_port(context_);
  const auto report = run(std::move(plan));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::unavailable);
  EXPECT_NE(report.error().message.find("target " + std::string("127.0.0.1:")), std::string::npos);
}

TEST_F(LoadGeneratorTest, BeginsAgainstADeadNodeThatIsExpectedThere) {
  LoadPlan plan{.phases = {phase("/own", 20, Millis{200})}};
  plan.phases[0].target.port = closed_port(context_);
  plan.phases[0].expected_node = NodeId::parse(light_id).value();
  const auto report = run(std::move(plan));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->total.counts.transport_errors, 4U);
}

TEST_F(LoadGeneratorTest, FindsTheAddressOfANameThatTakesConnections) {
  LoadPlan plan{.phases = {phase("/own", 20, Millis{200})}};
  plan.phases[0].target.host = "localhost";  // Often ::1 first, where this server does not listen.
  const auto report = run(std::move(plan));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->total.counts.served_local, 4U);
}

TEST_F(LoadGeneratorTest, SaysWhenDescriptorsLimitItsOpenRequests) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit tight = before;
  tight.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const auto report = run({.phases = {phase("/own", 20, Millis{200})}});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->notes.size(), 1U);
  EXPECT_NE(report->notes[0].find("allows 36 open requests, not 4096"), std::string::npos);
}

TEST_F(LoadGeneratorTest, RefusesAPlanThatIsNotValid) {
  const auto report = run({});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::invalid_input);
}

}  // namespace
}  // namespace dfaas
