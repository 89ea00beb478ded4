// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/net/task_group.hpp"

#include <exception>
#include <list>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "core/base/assert.hpp"

namespace dfaas {

namespace asio = boost::asio;

struct TaskGroup::State {
  asio::any_io_executor executor;
  std::list<asio::cancellation_signal> tasks;
  std::function<void()> on_empty;
};

namespace {

void insist_on_no_exception(const std::exception_ptr& thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& error) {
    // How Asio ends a cancelled coroutine that was not begun, or waits once more.
    DFAAS_ASSERT(error.code() == asio::error::operation_aborted, error.what());
  } catch (const std::exception& error) {
    DFAAS_ASSERT(false, error.what());
  }
}

}  // namespace

TaskGroup::TaskGroup(asio::any_io_executor executor) : state_(std::make_shared<State>()) {
  state_->executor = std::move(executor);
}

TaskGroup::~TaskGroup() = default;

void TaskGroup::spawn(asio::awaitable<void> task) {
  const auto place = state_->tasks.emplace(state_->tasks.end());
  asio::co_spawn(state_->executor, std::move(task),
                 asio::bind_cancellation_slot(
                     place->slot(), [state = state_, place](const std::exception_ptr& thrown) {
                       insist_on_no_exception(thrown);
                       state->tasks.erase(place);
                       if (state->tasks.empty() && state->on_empty) {
                         std::exchange(state->on_empty, nullptr)();
                       }
                     }));
}

void TaskGroup::cancel() {
  // A task may end, and so leave the list, while it is being told.
  for (auto task = state_->tasks.begin(); task != state_->tasks.end();) {
    auto& signal = *task++;
    signal.emit(asio::cancellation_type::terminal);
  }
}

void TaskGroup::when_empty(std::function<void()> callback) {
  if (state_->tasks.empty()) {
    callback();
  } else {
    state_->on_empty = std::move(callback);
  }
}

bool TaskGroup::empty() const noexcept { return state_->tasks.empty(); }
std::size_t TaskGroup::size() const noexcept { return state_->tasks.size(); }

}  // namespace dfaas
