// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// An owner for coroutines: nothing is detached, and shutdown knows when the last one is gone.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace dfaas {

/// All calls from the thread that runs the executor.
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  TaskGroup(TaskGroup&&) = delete;
  TaskGroup& operator=(TaskGroup&&) = delete;

  /// An exception out of `task` is a bug: it aborts with its text.
  void spawn(boost::asio::awaitable<void> task);
  /// Asks every task to end at its next wait.
  void cancel();
  /// Calls back once, as soon as no task is left (at once if there is none).
  void when_empty(std::function<void()> callback);
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
