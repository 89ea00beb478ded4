// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The durable queue of asynchronous calls: a thread of its own with a database and an event loop.
///
/// Use         start() it with the socket on which the gateway serves it; co_await its functions on the
///             gateway's thread.
/// Guarantees  enqueue() returns when the call is on disk. A call is delivered at least once: one that ran
///             while the gateway died runs again. Retries are bounded by the function's policy, waiting for
///             room by a day. Calls that arrive together are written together, so that one sync of the
///             disk serves many.
/// How         A delivery is an ordinary user's call to the gateway: queue, slots, neighbours and metrics
///             are the same. A refusal for lack of room is no attempt: the line of that function waits a
///             moment.
/// Limits      `calls_max` calls and 64 MiB of bodies on their way to the disk; ended calls are kept for an
///             hour, at most 10000, dead letters for seven days, at most 10000.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/result.hpp"
#include "live/async/async_call.hpp"
#include "live/net/http.hpp"

namespace dfaas {

struct AsyncQueueSettings {
  std::filesystem::path database;
  Endpoint gateway;                          ///< Where deliveries go.
  std::size_t calls_max = 100'000;           ///< That wait.
  std::size_t answer_bytes_max = 4U << 20U;  ///< Of an answer that a callback carries.
  Millis callback_patience{30'000};
  Millis callback_wait_min{1'000};  ///< Between two tries; doubles.
  int callback_attempts = 5;
};

class AsyncQueue {
 public:
  /// Results come back on `home`. Errors: unavailable naming the file.
  static Result<std::unique_ptr<AsyncQueue>> start(boost::asio::any_io_executor home,
                                                   AsyncQueueSettings settings);
  /// Waits up to two seconds for deliveries whose answers are there, writes how they ended, and stops.
  ~AsyncQueue();
  AsyncQueue(const AsyncQueue&) = delete;
  AsyncQueue& operator=(const AsyncQueue&) = delete;
  AsyncQueue(AsyncQueue&&) = delete;
  AsyncQueue& operator=(AsyncQueue&&) = delete;

  /// Errors: overloaded when the queue is full, unavailable when it cannot be written or is stopping.
  boost::asio::awaitable<Result<void>> enqueue(AsyncCall call);
  /// The newest call of this id. Errors: not_found, unavailable.
  boost::asio::awaitable<Result<AsyncStatus>> find(std::string call_id);
  /// Every call of this id that waits or runs; how many. Errors: not_found, unavailable.
  boost::asio::awaitable<Result<int>> cancel(std::string call_id);
  /// Dead letters of this id go back in line. Errors: not_found, unavailable.
  boost::asio::awaitable<Result<int>> retry(std::string call_id);
  /// Newest first. Errors: unavailable.
  boost::asio::awaitable<Result<std::vector<AsyncStatus>>> list(AsyncState state,
                                                                std::string function,
                                                                int count_max);

  void set_policy(const FunctionName& function, AsyncPolicy policy);
  /// The function is gone: its calls are delivered by the default policy, and so fail in time.
  void forget(const FunctionName& function);

  /// Delivers from now on: policies are set, and the gateway serves.
  void deliver();
  /// Takes no further calls and delivers no further ones.
  void stop();

  [[nodiscard]] AsyncCounters counters() const;

 private:
  struct State;
  explicit AsyncQueue(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
