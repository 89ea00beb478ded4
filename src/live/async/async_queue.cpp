// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/async/async_queue.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/text.hpp"
#include "live/async/async_store.hpp"
#include "live/async/callback.hpp"
#include "live/net/task_group.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t batch_max = 2048;  ///< Changes in one transaction.
constexpr std::size_t incoming_bytes_max = 64U << 20U;
constexpr Millis answer_patience{20'000};  ///< Of the gateway's thread for this one.
constexpr Millis delivery_margin{15'000};  ///< The gateway's own time limit comes first.
constexpr Millis room_pause_min{50};       ///< Of a line that was refused for lack of room.
constexpr Millis room_pause_max{2'000};
constexpr Millis disk_pause{1'000};  ///< After a change that could not be written.
constexpr Millis prune_period{5'000};
constexpr Millis stop_patience{2'000};
constexpr std::int64_t room_wait_max_ms = 24LL * 3600 * 1000;
constexpr std::int64_t ended_kept_ms = 3600LL * 1000;
constexpr std::int64_t failed_kept_ms = 7LL * 24 * 3600 * 1000;
constexpr int ended_kept_max = 10'000;
constexpr std::size_t idle_connections_max = 64;
constexpr int callbacks_max = 256;  ///< Under way; beyond, nothing new is delivered.

std::int64_t wall_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<Millis>(since).count();
}

using SteadyTime = std::chrono::steady_clock::time_point;

/// A change or question for the thread of the queue.
struct Operation {
  std::function<void(AsyncStore&)> work;          ///< Within the transaction.
  std::function<void(const Result<void>&)> done;  ///< After it.
  std::size_t bytes = 0;
};

struct Line {
  AsyncPolicy policy;
  bool is_deployed = false;
  std::uint64_t waiting = 0;
  std::int64_t due_ms = 0;  ///< Of the first that waits, or earlier.
  int running = 0;
  SteadyTime paused_until{};
  Millis pause{0};
};

/// A call on its way to the gateway and, after that, to its callback.
struct Delivery {
  ClaimedCall claimed;
  AsyncPolicy policy;
  ClientConnection* connection = nullptr;  ///< While it waits for the gateway.
  bool is_cancelled = false;
};
using DeliveryPtr = std::shared_ptr<Delivery>;

/// What the gateway said.
struct Answer {
  int status = 0;  ///< 0: nothing.
  bool is_platform_error = false;
  std::string content_type;
  std::string seconds;
  std::string body;
  std::string error;
};

bool is_lack_of_room(const Answer& answer) {
  return answer.is_platform_error && (answer.status == 503 || answer.status == 429);
}

}  // namespace

struct AsyncQueue::State : std::enable_shared_from_this<AsyncQueue::State> {
  State(asio::any_io_executor home_, AsyncQueueSettings settings_, AsyncStore store_)
      : home(std::move(home_)),
        settings(std::move(settings_)),
        store(std::move(store_)),
        loop(1),
        tasks(loop.get_executor()),
        due_timer(loop),
        prune_timer(loop) {}

  // --- Shared between the threads.
  asio::any_io_executor home;
  AsyncQueueSettings settings;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Operation> incoming;
  std::size_t incoming_bytes = 0;
  bool is_scheduled = false;
  bool is_stopping = false;
  bool is_quiet = false;  ///< Stopping, and nothing is left to write.
  std::atomic<std::uint64_t> waiting{0}, running{0}, accepted{0}, done{0}, failed{0}, cancelled{0},
      retried{0};

  // --- Of the queue's thread alone.
  AsyncStore store;
  asio::io_context loop;
  TaskGroup tasks;
  asio::steady_timer due_timer;
  asio::steady_timer prune_timer;
  std::map<std::string, Line> lines;
  std::vector<AsyncEnd> ends;  ///< Not written yet.
  std::unordered_map<std::int64_t, DeliveryPtr> deliveries;
  std::vector<ClientConnection> idle;
  int callbacks = 0;
  bool is_delivering = false;
  bool is_pruning_due = false;
  bool is_disk_failing = false;

  std::thread thread;

  // --- Called from any thread.

  bool push(Operation operation) {
    const std::scoped_lock lock(mutex);
    if (is_stopping || incoming_bytes + operation.bytes > incoming_bytes_max) return false;
    incoming_bytes += operation.bytes;
    incoming.push_back(std::move(operation));
    schedule_locked();
    return true;
  }

  void schedule_locked() {
    if (std::exchange(is_scheduled, true)) return;
    asio::post(loop, [this] { tick(); });
  }

  void schedule() {
    const std::scoped_lock lock(mutex);
    schedule_locked();
  }

  bool stopping() {
    const std::scoped_lock lock(mutex);
    return is_stopping;
  }

  // --- The queue's thread.

  Line& line(const std::string& function) { return lines[function]; }

  /// From the database, when counting along is not enough.
  void reload_lines() {
    for (auto& [name, line] : lines) line.waiting = 0;
    for (const auto& [name, stored] : store.lines()) {
      lines[name].waiting = stored.waiting;
      lines[name].due_ms = stored.due_ms;
    }
    count_waiting();
  }

  void count_waiting() {
    std::uint64_t sum = 0;
    for (const auto& [name, line] : lines) sum += line.waiting;
    waiting = sum;
  }

  /// One transaction: what arrived, what ended, and what is taken next.
  void tick() {
    std::vector<Operation> batch;
    bool may_claim = false;
    {
      const std::scoped_lock lock(mutex);
      is_scheduled = false;
      if (incoming.size() <= batch_max) {
        batch = std::exchange(incoming, {});
        incoming_bytes = 0;
      } else {
        const auto end = incoming.begin() + batch_max;
        batch.assign(std::make_move_iterator(incoming.begin()), std::make_move_iterator(end));
        incoming.erase(incoming.begin(), end);
        for (const Operation& operation : batch) incoming_bytes -= operation.bytes;
        schedule_locked();
      }
      may_claim = !is_stopping;
    }
    const std::int64_t now = wall_ms();
    may_claim = may_claim && is_delivering && callbacks < callbacks_max && !is_disk_failing;
    if (batch.empty() && ends.empty() && !is_pruning_due && !(may_claim && any_claimable(now))) {
      plan_wake(now);
      tell_if_quiet();
      return;
    }
    store.begin();
    for (Operation& operation : batch) operation.work(store);
    for (const AsyncEnd& end : ends) {
      store.finish(end, now);
      if (end.state == AsyncState::waiting) wait_in_line(end.number, end.due_ms);
    }
    if (std::exchange(is_pruning_due, false)) {
      store.prune(now - ended_kept_ms, now - failed_kept_ms, ended_kept_max, ended_kept_max);
      std::erase_if(lines, [](const auto& entry) {
        return !entry.second.is_deployed && entry.second.waiting == 0 && entry.second.running == 0;
      });
    }
    std::vector<ClaimedCall> claimed;
    if (may_claim) claimed = claim(now);
    const Result<void> committed = store.commit();
    if (committed) {
      is_disk_failing = false;
      for (const AsyncEnd& end : ends) forget_delivery(end);
      ends.clear();
      for (ClaimedCall& call : claimed) deliver_soon(std::move(call));
    } else {
      log_event(LogLevel::error, "async_queue_not_written", {{"error", committed.error().message}});
      is_disk_failing = true;
      reload_lines();
      for (const ClaimedCall& call : claimed) --line(call.call.function.full()).running;
      running = deliveries.size();
    }
    for (Operation& operation : batch) operation.done(committed);
    count_waiting();
    plan_wake(now);
    tell_if_quiet();
  }

  bool is_claimable(const Line& line, std::int64_t now) const {
    return line.waiting > 0 && line.running < line.policy.concurrency && line.due_ms <= now &&
           line.paused_until <= std::chrono::steady_clock::now();
  }

  bool any_claimable(std::int64_t now) const {
    return std::ranges::any_of(
        lines, [this, now](const auto& entry) { return is_claimable(entry.second, now); });
  }

  std::vector<ClaimedCall> claim(std::int64_t now) {
    std::vector<ClaimedCall> all;
    for (auto& [name, line] : lines) {
      if (!is_claimable(line, now)) continue;
      const int room = line.policy.concurrency - line.running;
      auto claimed = store.claim(name, now, room);
      line.waiting -= std::min<std::uint64_t>(line.waiting, claimed.size());
      line.running += static_cast<int>(claimed.size());
      if (static_cast<int>(claimed.size()) < room) {
        const auto due = store.next_due(name);
        line.due_ms = due.value_or(now);
        if (!due) line.waiting = 0;
      }
      for (ClaimedCall& call : claimed) all.push_back(std::move(call));
    }
    return all;
  }

  void wait_in_line(std::int64_t number, std::int64_t due_ms) {
    const auto found = deliveries.find(number);
    if (found == deliveries.end()) return;
    Line& line = this->line(found->second->claimed.call.function.full());
    line.due_ms = line.waiting == 0 ? due_ms : std::min(line.due_ms, due_ms);
    ++line.waiting;
  }

  void forget_delivery(const AsyncEnd& end) {
    deliveries.erase(end.number);
    running = deliveries.size();
    switch (end.state) {
      case AsyncState::done:
        ++done;
        break;
      case AsyncState::failed:
        ++failed;
        break;
      case AsyncState::cancelled:
        ++cancelled;
        break;
      case AsyncState::waiting:
      case AsyncState::running:
        ++retried;
        break;
    }
  }

  /// Wakes the thread for the next call that falls due.
  void plan_wake(std::int64_t now) {
    std::optional<Millis> wait;
    if (is_disk_failing) wait = disk_pause;
    const auto steady = std::chrono::steady_clock::now();
    for (const auto& [name, line] : lines) {
      if (is_disk_failing || !is_delivering) break;
      if (line.waiting == 0 || line.running >= line.policy.concurrency) continue;
      const auto pause = std::chrono::ceil<Millis>(line.paused_until - steady);
      const Millis until = std::max({Millis{line.due_ms - now}, pause, Millis{1}});
      wait = std::min(wait.value_or(until), until);
    }
    if (!wait) return;
    due_timer.expires_after(*wait);
    due_timer.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      is_disk_failing = false;  // Another try.
      schedule();
    });
  }

  void plan_prune() {
    prune_timer.expires_after(prune_period);
    prune_timer.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      is_pruning_due = true;
      schedule();
      plan_prune();
    });
  }

  void tell_if_quiet() {
    if (!deliveries.empty() || !ends.empty()) return;
    const std::scoped_lock lock(mutex);
    if (!is_stopping || !incoming.empty()) return;
    is_quiet = true;
    changed.notify_all();
  }

  void deliver_soon(ClaimedCall claimed) {
    const auto delivery = std::make_shared<Delivery>();
    delivery->policy = line(claimed.call.function.full()).policy;
    const std::int64_t number = claimed.number;
    delivery->claimed = std::move(claimed);
    deliveries.emplace(number, delivery);
    running = deliveries.size();
    tasks.spawn(deliver(this, delivery));
  }

  void end(const DeliveryPtr& delivery, AsyncState state, int status, std::string reason,
           std::int64_t due_ms = 0) {
    ends.push_back({.number = delivery->claimed.number,
                    .state = state,
                    .due_ms = due_ms,
                    .attempts = delivery->claimed.attempts,
                    .status = status,
                    .reason = std::move(reason)});
    schedule();
  }

  void leave_line(const DeliveryPtr& delivery) {
    --line(delivery->claimed.call.function.full()).running;
    schedule();
  }

  static asio::awaitable<void> deliver(State* state, DeliveryPtr delivery);
  static asio::awaitable<Answer> run(State* state, DeliveryPtr delivery);
  static asio::awaitable<Result<ClientConnection>> connect(State* state);
  static asio::awaitable<void> tell_caller(State* state, DeliveryPtr delivery, Answer answer,
                                           AsyncState outcome, std::string reason);

  /// Runs `work` in the next transaction; its value is there when that is on disk.
  template <class Value>
  static asio::awaitable<Result<Value>> ask(std::shared_ptr<State> state, std::size_t bytes,
                                            std::function<Result<Value>(AsyncStore&)> work);
};

namespace {

/// How a coroutine of one thread waits for the other one.
template <class Value>
struct Waiter {
  explicit Waiter(const asio::any_io_executor& executor) : wake(executor) {}
  asio::steady_timer wake;
  std::optional<Result<Value>> result;  ///< Of the home thread.
  std::optional<Result<Value>> found;   ///< Of the queue's thread, until it is handed over.
};

}  // namespace

template <class Value>
asio::awaitable<Result<Value>> AsyncQueue::State::ask(
    std::shared_ptr<State> state, std::size_t bytes,
    std::function<Result<Value>(AsyncStore&)> work) {
  const auto waiter = std::make_shared<Waiter<Value>>(state->home);
  Operation operation{.work = [waiter, work = std::move(work)](
                                  AsyncStore& store) { waiter->found.emplace(work(store)); },
                      .done =
                          [waiter, home = state->home](const Result<void>& committed) {
                            auto result = committed
                                              ? std::move(*waiter->found)
                                              : Result<Value>(tl::unexpected(committed.error()));
                            asio::post(home, [waiter, result = std::move(result)]() mutable {
                              waiter->result.emplace(std::move(result));
                              waiter->wake.cancel();
                            });
                          },
                      .bytes = bytes};
  if (!state->push(std::move(operation))) {
    co_return fail(ErrorCode::overloaded, "the queue of asynchronous calls takes nothing now");
  }
  waiter->wake.expires_after(answer_patience);
  while (!waiter->result) {
    const auto [error] = co_await waiter->wake.async_wait(as_result);
    if (!error && !waiter->result) {
      co_return fail(ErrorCode::unavailable, "the queue of asynchronous calls does not answer");
    }
  }
  co_return std::move(*waiter->result);
}

asio::awaitable<Result<ClientConnection>> AsyncQueue::State::connect(State* state) {
  while (!state->idle.empty()) {
    ClientConnection connection = std::move(state->idle.back());
    state->idle.pop_back();
    if (!connection.stale()) co_return connection;
  }
  constexpr Millis patience{5'000};
  co_return co_await ClientConnection::connect(state->settings.gateway, patience);
}

/// One attempt.
asio::awaitable<Answer> AsyncQueue::State::run(State* state, DeliveryPtr delivery) {
  Answer answer;
  auto connection = co_await connect(state);
  if (!connection) {
    answer.error = connection.error().message;
    co_return answer;
  }
  const AsyncCall& call = delivery->claimed.call;
  RequestHead head{.method = "POST",
                   .target = "/function/" + call.function.full() + call.target,
                   .headers = call.headers};
  head.body.length = call.body.size();
  if (head.headers.find("Host") == nullptr) head.headers.add("Host", "async");
  head.headers.set("X-Call-Id", call.call_id);
  const Millis patience = delivery->policy.timeout + delivery_margin;
  delivery->connection = &*connection;
  auto written = co_await connection->write_request(std::move(head), call.body, patience);
  // The gateway may refuse a body before it has read it.
  auto answered = co_await connection->read_head(patience);
  while (answered && answered->status < 200) answered = co_await connection->read_head(patience);
  if (!answered) {
    delivery->connection = nullptr;
    answer.error = written ? answered.error().message : written.error().message;
    co_return answer;
  }
  answer.status = answered->status;
  answer.is_platform_error = answered->headers.find("X-OpenFaaS-Internal") != nullptr;
  answer.content_type = std::string(answered->headers.get("Content-Type"));
  answer.seconds = std::string(answered->headers.get("X-Duration-Seconds"));
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    const auto filled = co_await connection->read_body(piece, patience);
    if (!filled) {
      answer.status = 0;  // It broke off: the function failed half way, or the gateway died.
      answer.error = filled.error().message;
      break;
    }
    if (*filled == 0) break;
    if (call.callback.empty()) continue;
    answer.body.append(piece.data(), *filled);
    if (answer.body.size() > state->settings.answer_bytes_max) {
      answer.error = fmt::format("the answer is over {} bytes", state->settings.answer_bytes_max);
      break;
    }
  }
  delivery->connection = nullptr;
  if (connection->reusable() && state->idle.size() < idle_connections_max) {
    state->idle.push_back(std::move(*connection));
  }
  co_return answer;
}

asio::awaitable<void> AsyncQueue::State::tell_caller(State* state, DeliveryPtr delivery,
                                                     Answer answer, AsyncState outcome,
                                                     std::string reason) {
  const AsyncCall& call = delivery->claimed.call;
  const auto url = parse_callback_url(call.callback);  // It was checked when the call came.
  Headers headers;
  headers.add("Content-Type", answer.content_type.empty() ? "text/plain" : answer.content_type);
  headers.add("X-Call-Id", call.call_id);
  const bool is_default = call.function.space() == FunctionName::default_space;
  headers.add("X-Function-Name", is_default ? call.function.name() : call.function.full());
  headers.add("X-Function-Status", std::to_string(answer.status == 0 ? 502 : answer.status));
  if (!answer.seconds.empty()) headers.add("X-Duration-Seconds", answer.seconds);
  ++state->callbacks;
  asio::steady_timer pause(state->loop);
  std::string problem;
  Millis wait = state->settings.callback_wait_min;
  for (int attempt = 1; url && attempt <= state->settings.callback_attempts; ++attempt) {
    const auto told =
        co_await post_callback(*url, headers, answer.body, state->settings.callback_patience);
    if (told && *told < 300) {
      problem.clear();
      break;
    }
    problem = told ? fmt::format("the callback answered {}", *told)
                   : "the callback failed: " + told.error().message;
    if (told && *told < 500 && *told != 429 && *told != 408) break;  // It will not change its mind.
    if (attempt == state->settings.callback_attempts || state->stopping()) break;
    pause.expires_after(wait);
    std::ignore = co_await pause.async_wait(as_result);
    wait *= 2;
  }
  --state->callbacks;
  if (!problem.empty() && outcome == AsyncState::done) {
    outcome = AsyncState::failed;
    reason = problem;
  } else if (!problem.empty()) {
    reason += "; " + problem;
  }
  state->end(delivery, outcome, answer.status, std::move(reason));
}

asio::awaitable<void> AsyncQueue::State::deliver(State* state, DeliveryPtr delivery) {
  Answer answer = co_await run(state, delivery);
  const ClaimedCall& claimed = delivery->claimed;
  Line& line = state->line(claimed.call.function.full());
  const std::int64_t now = wall_ms();
  if (delivery->is_cancelled) {
    state->leave_line(delivery);
    state->end(delivery, AsyncState::cancelled, answer.status, "");
    co_return;
  }
  if (is_lack_of_room(answer) && now - claimed.created_ms < room_wait_max_ms) {
    // Nothing was started. The whole line waits a moment, so that its order stays.
    line.pause = std::clamp(line.pause * 2, room_pause_min, room_pause_max);
    line.paused_until = std::chrono::steady_clock::now() + line.pause;
    --delivery->claimed.attempts;
    state->leave_line(delivery);
    state->end(delivery, AsyncState::waiting, answer.status, "no room", claimed.created_ms);
    co_return;
  }
  line.pause = Millis{0};
  const RetryPolicy& policy = delivery->policy.retry;
  const bool is_lost = answer.status == 0;
  const bool is_worth_it = is_lost || should_retry(policy, answer.status, answer.is_platform_error);
  std::string reason;
  if (is_lost) {
    reason = "no answer: " + answer.error;
  } else if (answer.status >= 400) {
    reason = answer.is_platform_error ? fmt::format("the node answered {}", answer.status)
                                      : fmt::format("the function answered {}", answer.status);
  }
  state->leave_line(delivery);
  if (is_worth_it && claimed.attempts < policy.attempts) {
    const std::int64_t due = now + wait_after(policy, claimed.attempts).count();
    state->end(delivery, AsyncState::waiting, answer.status, std::move(reason), due);
    co_return;
  }
  AsyncState outcome = is_lost || answer.status >= 400 ? AsyncState::failed : AsyncState::done;
  if (outcome == AsyncState::done && !answer.error.empty()) {
    outcome = AsyncState::failed;
    reason = answer.error;
    answer.body = answer.error + "\n";
    answer.content_type = "text/plain";
  }
  if (claimed.call.callback.empty()) {
    state->end(delivery, outcome, answer.status, std::move(reason));
  } else {
    co_await tell_caller(state, delivery, std::move(answer), outcome, std::move(reason));
  }
}

AsyncQueue::AsyncQueue(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<AsyncQueue>> AsyncQueue::start(asio::any_io_executor home,
                                                      AsyncQueueSettings settings) {
  auto store = AsyncStore::open(settings.database);
  if (!store) return pass_on(std::move(store));
  auto state = std::make_shared<State>(std::move(home), std::move(settings), std::move(*store));
  state->reload_lines();
  state->plan_prune();
  State* const own = state.get();
  state->thread = std::thread([own] {
    const auto work = asio::make_work_guard(own->loop);
    own->loop.run();
  });
  return std::unique_ptr<AsyncQueue>(new AsyncQueue(std::move(state)));
}

AsyncQueue::~AsyncQueue() {
  stop();
  {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait_for(lock, stop_patience, [this] { return state_->is_quiet; });
  }
  state_->loop.stop();
  state_->thread.join();
}

void AsyncQueue::deliver() {
  asio::post(state_->loop, [state = state_.get()] {
    state->is_delivering = true;
    state->schedule();
  });
}

void AsyncQueue::stop() {
  const std::scoped_lock lock(state_->mutex);
  state_->is_stopping = true;
  state_->schedule_locked();
}

asio::awaitable<Result<void>> AsyncQueue::enqueue(AsyncCall call) {
  const auto shared = std::make_shared<AsyncCall>(std::move(call));
  State* const state = state_.get();
  const std::size_t bytes = shared->body.size() + 1024;
  const std::function<Result<void>(AsyncStore&)> work = [shared,
                                                         state](AsyncStore& store) -> Result<void> {
    if (state->waiting >= state->settings.calls_max) {
      return fail(ErrorCode::overloaded,
                  fmt::format("{} asynchronous calls wait already", state->settings.calls_max));
    }
    const std::int64_t now = wall_ms();
    store.insert(*shared, now);
    Line& line = state->line(shared->function.full());
    line.due_ms = line.waiting == 0 ? now : std::min(line.due_ms, now);
    ++line.waiting;
    ++state->waiting;
    return {};
  };
  auto written = co_await State::ask<void>(state_, bytes, work);
  if (written) ++state->accepted;
  co_return written;
}

asio::awaitable<Result<AsyncStatus>> AsyncQueue::find(std::string call_id) {
  const std::function<Result<AsyncStatus>(AsyncStore&)> work =
      [call_id](AsyncStore& store) -> Result<AsyncStatus> {
    auto status = store.find(call_id);
    if (!status) return fail(ErrorCode::not_found, "no asynchronous call " + call_id);
    return std::move(*status);
  };
  co_return co_await State::ask<AsyncStatus>(state_, 0, work);
}

asio::awaitable<Result<int>> AsyncQueue::cancel(std::string call_id) {
  State* const state = state_.get();
  const std::function<Result<int>(AsyncStore&)> work = [call_id,
                                                        state](AsyncStore& store) -> Result<int> {
    int count = store.cancel_waiting(call_id, wall_ms());
    if (count > 0) state->reload_lines();
    state->cancelled += static_cast<std::uint64_t>(count);
    for (const auto& [number, delivery] : state->deliveries) {
      if (delivery->claimed.call.call_id != call_id || delivery->connection == nullptr) continue;
      delivery->is_cancelled = true;
      delivery->connection->close();  // The gateway sees its user leave and ends the run.
      ++count;
    }
    if (count == 0) {
      return fail(ErrorCode::not_found, "no asynchronous call " + call_id + " waits or runs");
    }
    return count;
  };
  co_return co_await State::ask<int>(state_, 0, work);
}

asio::awaitable<Result<int>> AsyncQueue::retry(std::string call_id) {
  State* const state = state_.get();
  const std::function<Result<int>(AsyncStore&)> work = [call_id,
                                                        state](AsyncStore& store) -> Result<int> {
    const int count = store.retry_failed(call_id, wall_ms());
    if (count == 0)
      return fail(ErrorCode::not_found, "no asynchronous call " + call_id + " failed");
    state->reload_lines();
    return count;
  };
  co_return co_await State::ask<int>(state_, 0, work);
}

asio::awaitable<Result<std::vector<AsyncStatus>>> AsyncQueue::list(AsyncState state,
                                                                   std::string function,
                                                                   int count_max) {
  using List = std::vector<AsyncStatus>;
  const std::function<Result<List>(AsyncStore&)> work =
      [state, function, count_max](AsyncStore& store) -> Result<List> {
    return store.list(state, function, count_max);
  };
  co_return co_await State::ask<List>(state_, 0, work);
}

void AsyncQueue::set_policy(const FunctionName& function, AsyncPolicy policy) {
  asio::post(state_->loop,
             [state = state_.get(), name = function.full(), policy = std::move(policy)]() mutable {
               state->line(name).policy = std::move(policy);
               state->line(name).is_deployed = true;
               state->schedule();
             });
}

void AsyncQueue::forget(const FunctionName& function) {
  asio::post(state_->loop, [state = state_.get(), name = function.full()] {
    Line& line = state->line(name);
    line.policy = AsyncPolicy{};
    line.is_deployed = false;
    if (line.waiting == 0 && line.running == 0) state->lines.erase(name);
  });
}

AsyncCounters AsyncQueue::counters() const {
  return {.waiting = state_->waiting,
          .running = state_->running,
          .accepted = state_->accepted,
          .done = state_->done,
          .failed = state_->failed,
          .cancelled = state_->cancelled,
          .retried = state_->retried};
}

}  // namespace dfaas
