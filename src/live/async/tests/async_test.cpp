// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The queue on disk, and the queue with its thread against a gateway made for the purpose.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/async/async_queue.hpp"
#include "live/async/async_store.hpp"
#include "live/net/listener.hpp"
#include "live/net/task_group.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

AsyncCall call_of(std::string id, std::string_view function = "f", std::string body = "body") {
  AsyncCall call{.call_id = std::move(id),
                 .function = FunctionName::parse(function).value(),
                 .target = "/p?q",
                 .body = std::move(body)};
  call.headers.add("X-Odd", "a: b\xff");
  return call;
}

class Directory {
 public:
  Directory() {
    EXPECT_NE(::mkdtemp(pattern_.data()), nullptr);
    path_ = pattern_;
  }
  ~Directory() { fs::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  Directory(Directory&&) = delete;
  Directory& operator=(Directory&&) = delete;
  [[nodiscard]] fs::path file(const char* name) const { return path_ / name; }

 private:
  std::string pattern_ = "/tmp/dfaas-async-XXXXXX";
  fs::path path_;
};

// --- on disk

class AsyncStoreTest : public testing::Test {
 protected:
  Directory directory;
  fs::path file = directory.file("async.db");
  std::optional<AsyncStore> open_store = AsyncStore::open(file).value();
  AsyncStore& store = *open_store;

  /// As a process that died and was started again.
  void reopen() {
    open_store.reset();
    open_store.emplace(AsyncStore::open(file).value());
  }
  void insert(const std::vector<AsyncCall>& calls, std::int64_t now_ms = 1000) {
    store.begin();
    for (const AsyncCall& call : calls) store.insert(call, now_ms);
    ASSERT_TRUE(store.commit());
  }
  std::vector<ClaimedCall> claim(int count, std::int64_t now_ms = 1000) {
    store.begin();
    auto claimed = store.claim("f.openfaas-fn", now_ms, count);
    EXPECT_TRUE(store.commit());
    return claimed;
  }
};

TEST_F(AsyncStoreTest, GivesBackWhatWasPutInOldestFirst) {
  insert({call_of("1"), call_of("2", "f", std::string("\0\xff", 2)), call_of("3", "g")});
  const auto claimed = claim(10);
  ASSERT_EQ(claimed.size(), 2U);
  EXPECT_EQ(claimed[0].call.call_id, "1");
  EXPECT_EQ(claimed[0].attempts, 1);
  EXPECT_EQ(claimed[0].call.target, "/p?q");
  EXPECT_EQ(claimed[0].call.headers.get("x-odd"), "a: b\xff");
  EXPECT_EQ(claimed[1].call.body, std::string("\0\xff", 2));
  EXPECT_TRUE(claim(10).empty()) << "claimed once only";
  EXPECT_EQ(store.lines().at("g.openfaas-fn").waiting, 1U);
}

TEST_F(AsyncStoreTest, WhatRanWhenTheProcessDiedWaitsAgain) {
  insert({call_of("1")});
  ASSERT_EQ(claim(1).size(), 1U);
  reopen();
  const auto again = claim(1);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].attempts, 2) << "an attempt that killed the node counts";
}

TEST_F(AsyncStoreTest, WhatWasNotCommittedNeverHappened) {
  store.begin();
  store.insert(call_of("1"), 1);
  reopen();
  EXPECT_FALSE(store.find("1"));
}

TEST_F(AsyncStoreTest, ARetryIsClaimedWhenItIsDueAndNotBefore) {
  insert({call_of("1")});
  const auto claimed = claim(1);
  store.begin();
  store.finish({.number = claimed[0].number,
                .state = AsyncState::waiting,
                .due_ms = 5000,
                .attempts = 1,
                .status = 503,
                .reason = "why"},
               1000);
  ASSERT_TRUE(store.commit());
  EXPECT_TRUE(claim(1, 4999).empty());
  EXPECT_EQ(store.next_due("f.openfaas-fn"), 5000);
  EXPECT_EQ(store.find("1")->reason, "why");
  EXPECT_EQ(claim(1, 5000).size(), 1U);
}

TEST_F(AsyncStoreTest, CancelsRetriesAndPrunes) {
  insert({call_of("1"), call_of("1"), call_of("2"), call_of("3")});
  store.begin();
  EXPECT_EQ(store.cancel_waiting("1", 2000), 2);
  EXPECT_EQ(store.cancel_waiting("1", 2000), 0);
  ASSERT_TRUE(store.commit());
  const auto claimed = claim(10);
  ASSERT_EQ(claimed.size(), 2U);
  store.begin();
  store.finish({.number = claimed[0].number, .state = AsyncState::failed, .attempts = 9}, 3000);
  store.finish({.number = claimed[1].number, .state = AsyncState::done, .attempts = 1}, 3000);
  EXPECT_EQ(store.retry_failed("2", 4000), 1);
  EXPECT_EQ(store.retry_failed("3", 4000), 0) << "it did not fail";
  ASSERT_TRUE(store.commit());
  const auto again = claim(10, 4000);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].attempts, 1);
  EXPECT_EQ(again[0].call.body, "body");
  EXPECT_EQ(store.list(AsyncState::cancelled, "", 10).size(), 2U);
  store.begin();
  store.prune(2500, 0, 100, 100);  // The cancelled ones ended before.
  ASSERT_TRUE(store.commit());
  EXPECT_FALSE(store.find("1"));
  EXPECT_TRUE(store.find("3"));
  store.begin();
  store.prune(0, 0, 0, 100);
  ASSERT_TRUE(store.commit());
  EXPECT_FALSE(store.find("3")) << "beyond the number that is kept";
  EXPECT_EQ(store.find("2")->state, AsyncState::running);
}

TEST_F(AsyncStoreTest, AFileThatIsNoDatabaseIsSaid) {
  const fs::path other = directory.file("other.db");
  std::ofstream(other) << std::string(4096, 'x');
  const auto opened = AsyncStore::open(other);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("other.db"), std::string::npos);
}

// --- with its thread

/// Answers deliveries as a test says, and keeps them.
class FakeGateway {
 public:
  using Rule = std::function<ResponseHead(const std::string& call_id, int times)>;
  FakeGateway(asio::io_context* context, const fs::path& path)
      : tasks_(context->get_executor()),
        acceptor_(listen_unix(context->get_executor(), path.string()).value()) {
    tasks_.spawn(accept_loop(
        &acceptor_, [this](StreamSocket socket) { tasks_.spawn(serve(this, std::move(socket))); }));
  }

  Rule rule = [](const std::string&, int) { return ResponseHead{.status = 200}; };
  std::vector<std::string> calls;          ///< Ids, in order of arrival.
  std::map<std::string, std::string> got;  ///< Target and body by id.

 private:
  static asio::awaitable<void> serve(FakeGateway* self, StreamSocket socket) {
    ServerConnection connection(std::move(socket));
    for (;;) {
      auto head = co_await connection.read_head(Millis{60'000});
      if (!head) co_return;
      std::string body(1000, '\0');
      const auto filled = co_await connection.read_body(body, Millis{10'000});
      body.resize(filled.value_or(0));
      const std::string id(head->headers.get("X-Call-Id"));
      self->calls.push_back(id);
      self->got[id] = head->target + " " + body;
      const int times = static_cast<int>(std::ranges::count(self->calls, id));
      ResponseHead answer = self->rule(id, times);
      if (answer.status == 0) co_return;  // Hangs up, as a gateway that dies.
      std::ignore = co_await connection.respond(std::move(answer), "answer");
      if (!connection.reusable()) co_return;
    }
  }

  TaskGroup tasks_;
  UnixAcceptor acceptor_;
};

class AsyncQueueTest : public testing::Test {
 protected:
  Directory directory;
  asio::io_context context{1};
  fs::path socket = directory.file("gateway.sock");
  FakeGateway gateway{&context, socket};
  std::unique_ptr<AsyncQueue> queue;
  TaskGroup tasks{context.get_executor()};

  void open(std::size_t calls_max = 1000) {
    AsyncQueueSettings settings{.database = directory.file("async.db"),
                                .gateway = Endpoint::unix_socket(socket.string()),
                                .calls_max = calls_max};
    queue = AsyncQueue::start(context.get_executor(), settings).value();
  }
  void set_policy(int concurrency, int attempts) {
    const AsyncPolicy policy{
        .retry = {.attempts = attempts, .wait_min = Millis{1}, .wait_max = Millis{5}},
        .concurrency = concurrency};
    queue->set_policy(FunctionName::parse("f").value(), policy);
  }

  /// Runs both sides until `condition`; fails after some seconds.
  void run_until(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (!condition() && std::chrono::steady_clock::now() < until) {
      context.restart();
      context.run_for(Millis{2});
    }
    ASSERT_TRUE(condition());
  }

  template <class Value>
  static asio::awaitable<void> keep(asio::awaitable<Result<Value>> work,
                                    std::shared_ptr<std::optional<Result<Value>>> result) {
    result->emplace(co_await std::move(work));
  }
  template <class Value>
  Result<Value> await(asio::awaitable<Result<Value>> work) {
    const auto result = std::make_shared<std::optional<Result<Value>>>();
    tasks.spawn(keep<Value>(std::move(work), result));
    run_until([&result] { return result->has_value(); });
    return result->has_value() ? std::move(**result)
                               : Result<Value>(fail(ErrorCode::timed_out, "no result"));
  }
  AsyncStatus status(const std::string& id) { return await(queue->find(id)).value(); }
  void run_until_ended(const std::string& id) {
    run_until([this, &id] { return status(id).state > AsyncState::running; });
  }
};

TEST_F(AsyncQueueTest, DeliversWhatWasQueued) {
  open();
  set_policy(1, 3);
  queue->deliver();
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  run_until_ended("1");
  EXPECT_EQ(status("1").state, AsyncState::done);
  EXPECT_EQ(gateway.got["1"], "/function/f.openfaas-fn/p?q body");
  EXPECT_EQ(queue->counters().accepted, 1U);
  EXPECT_EQ(queue->counters().done, 1U);
  EXPECT_EQ(queue->counters().waiting, 0U);
  EXPECT_EQ(await(queue->find("2")).error().code, ErrorCode::not_found);
}

TEST_F(AsyncQueueTest, NothingIsDeliveredBeforeItIsTold) {
  open();
  set_policy(1, 3);
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  EXPECT_EQ(status("1").state, AsyncState::waiting);
  EXPECT_TRUE(gateway.calls.empty());
  queue->deliver();
  run_until_ended("1");
}

TEST_F(AsyncQueueTest, RetriesWithinBoundsAndTellsWhyItGaveUp) {
  open();
  set_policy(1, 3);
  queue->deliver();
  gateway.rule = [](const std::string& id, int times) {
    return ResponseHead{.status = id == "bad" || times < 2 ? 500 : 200};
  };
  ASSERT_TRUE(await(queue->enqueue(call_of("bad"))));
  ASSERT_TRUE(await(queue->enqueue(call_of("good"))));
  run_until_ended("bad");
  run_until_ended("good");
  EXPECT_EQ(status("good").state, AsyncState::done);
  EXPECT_EQ(status("good").attempts, 2);
  EXPECT_EQ(status("bad").state, AsyncState::failed);
  EXPECT_EQ(status("bad").attempts, 3);
  EXPECT_EQ(status("bad").status, 500);
  EXPECT_EQ(std::ranges::count(gateway.calls, "bad"), 3);
}

TEST_F(AsyncQueueTest, AGatewayThatHangsUpIsAnAttempt) {
  open();
  set_policy(1, 2);
  queue->deliver();
  gateway.rule = [](const std::string&, int) { return ResponseHead{.status = 0}; };
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  run_until_ended("1");
  EXPECT_EQ(status("1").state, AsyncState::failed);
  EXPECT_EQ(status("1").attempts, 2);
  EXPECT_NE(status("1").reason.find("no answer"), std::string::npos);
}

TEST_F(AsyncQueueTest, LackOfRoomIsNoAttempt) {
  open();
  set_policy(1, 2);
  queue->deliver();
  gateway.rule = [](const std::string&, int times) {
    ResponseHead head{.status = times <= 4 ? 503 : 200};
    if (times <= 4) head.headers.add("X-OpenFaaS-Internal", "proxy");
    return head;
  };
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  run_until_ended("1");
  EXPECT_EQ(status("1").state, AsyncState::done);
  EXPECT_EQ(status("1").attempts, 1);
  EXPECT_EQ(gateway.calls.size(), 5U);
}

TEST_F(AsyncQueueTest, AFullQueueRefusesAndTakesAgainLater) {
  open(2);
  set_policy(1, 1);
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  ASSERT_TRUE(await(queue->enqueue(call_of("2"))));
  EXPECT_EQ(await(queue->enqueue(call_of("3"))).error().code, ErrorCode::overloaded);
  EXPECT_EQ(await(queue->cancel("2")), 1);
  EXPECT_TRUE(await(queue->enqueue(call_of("3"))));
  queue->deliver();
  run_until_ended("3");
  EXPECT_EQ(status("2").state, AsyncState::cancelled);
}

TEST_F(AsyncQueueTest, ANewProcessGoesOnWhereTheOldOneEnded) {
  open();
  for (int at = 0; at < 20; ++at) ASSERT_TRUE(await(queue->enqueue(call_of(std::to_string(at)))));
  queue.reset();
  open();
  EXPECT_EQ(queue->counters().waiting, 20U);
  set_policy(3, 1);
  queue->deliver();
  run_until([this] { return queue->counters().done == 20; });
  for (int at = 0; at < 20; ++at) EXPECT_EQ(status(std::to_string(at)).attempts, 1);
}

TEST_F(AsyncQueueTest, StoppingRefusesNewCallsAndKeepsTheOld) {
  open();
  set_policy(1, 1);
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  queue->stop();
  EXPECT_FALSE(await(queue->enqueue(call_of("2"))));
  queue.reset();
  open();
  EXPECT_EQ(status("1").state, AsyncState::waiting);
}

TEST_F(AsyncQueueTest, ListsByStateAndFunctionNewestFirst) {
  open();
  ASSERT_TRUE(await(queue->enqueue(call_of("1"))));
  ASSERT_TRUE(await(queue->enqueue(call_of("2", "g"))));
  ASSERT_TRUE(await(queue->enqueue(call_of("3"))));
  const auto all = await(queue->list(AsyncState::waiting, "", 2));
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(all->front().call_id, "3");
  EXPECT_EQ(await(queue->list(AsyncState::waiting, "g.openfaas-fn", 10))->size(), 1U);
  EXPECT_TRUE(await(queue->list(AsyncState::done, "", 10))->empty());
  EXPECT_EQ(await(queue->retry("1")).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace dfaas
