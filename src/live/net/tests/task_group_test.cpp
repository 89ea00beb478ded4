// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/net/task_group.hpp"

#include <tuple>

#include <gtest/gtest.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dfaas {
namespace {

namespace asio = boost::asio;

/// Waits for ever, and after a cancellation once more, as a loop does that looks at its errors late.
asio::awaitable<void> wait_twice(int* waits) {
  constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (int at = 0; at < 2; ++at) {
    ++*waits;
    timer.expires_at(asio::steady_timer::time_point::max());
    std::ignore = co_await timer.async_wait(as_result);
  }
}

TEST(TaskGroup, CallsBackWhenTheLastTaskIsGone) {
  asio::io_context context;
  TaskGroup group(context.get_executor());
  bool was_called = false;
  group.when_empty([&was_called] { was_called = true; });
  EXPECT_TRUE(was_called) << "at once when there is none";
  int waits = 0;
  group.spawn(wait_twice(&waits));
  was_called = false;
  group.when_empty([&was_called] { was_called = true; });
  context.poll();
  EXPECT_FALSE(was_called);
  EXPECT_EQ(group.size(), 1U);
  group.cancel();
  context.poll();
  EXPECT_TRUE(was_called);
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroup, EndsACancelledTaskThatWaitsOnceMore) {
  asio::io_context context;
  TaskGroup group(context.get_executor());
  int waits = 0;
  group.spawn(wait_twice(&waits));
  context.poll();
  group.cancel();
  context.poll();
  EXPECT_EQ(waits, 2);
  EXPECT_TRUE(group.empty());
}

TEST(TaskGroup, EndsATaskThatIsCancelledBeforeItBegan) {
  asio::io_context context;
  TaskGroup group(context.get_executor());
  int waits = 0;
  group.spawn(wait_twice(&waits));
  group.cancel();
  context.poll();
  EXPECT_TRUE(group.empty());
}

}  // namespace
}  // namespace dfaas
