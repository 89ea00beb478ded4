// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/function_host.hpp"

#include <chrono>
#include <deque>
#include <optional>
#include <tuple>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/net/task_group.hpp"
#include "live/runtime/launcher_link.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::uint32_t users_max = 60'000;  ///< Then numbers are used again, the oldest first.
/// A replica that dies sooner is not made again before somebody calls: it would do nothing else.
constexpr Millis short_life{1'000};
constexpr int tries_max = 2;

/// A deployed function and its replica.
struct Place {
  ReplicaSpec spec;
  std::uint64_t generation = 0;  ///< Of `spec`: what was asked for by an older one is not used.
  std::optional<KeeperLink> replica;
  std::shared_ptr<asio::steady_timer> opening;  ///< Set while one is asked for; cancelled then.
};

}  // namespace

struct FunctionHost::State {
  State(asio::any_io_executor executor_, SandboxSettings settings_,
        std::unique_ptr<LauncherLink> launcher_)
      : executor(std::move(executor_)),
        settings(std::move(settings_)),
        launcher(std::move(launcher_)),
        tasks(executor) {}

  asio::any_io_executor executor;
  SandboxSettings settings;
  std::unique_ptr<LauncherLink> launcher;
  std::map<FunctionName, Place> places;
  std::deque<FunctionName> to_warm;
  bool is_warming = false;
  std::uint32_t next_user = 0;
  std::uint64_t next_generation = 1;
  std::shared_ptr<bool> is_here = std::make_shared<bool>(true);  ///< For callbacks of replicas.
  TaskGroup tasks;
};

namespace {

using State = FunctionHost::State;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

asio::awaitable<void> warm(State* state);

void warm_soon(State* state, const FunctionName& function) {
  state->to_warm.push_back(function);
  if (std::exchange(state->is_warming, true)) return;
  state->tasks.spawn(warm(state));
}

void watch(State* state, const KeeperLink& replica, FunctionName function) {
  const auto born = SteadyClock::now();
  replica.on_death([state, function, born, here = std::weak_ptr<bool>(state->is_here)] {
    if (here.expired()) return;
    log_event(LogLevel::error, "keeper_died", {{"function", function.full()}});
    if (SteadyClock::now() - born > short_life) warm_soon(state, function);
  });
}

/// The replica of a function, made if need be. One is asked for at a time; others wait for it.
asio::awaitable<Result<KeeperLink>> replica_of(State* state, FunctionName function) {
  for (;;) {
    auto found = state->places.find(function);
    if (found == state->places.end()) {
      co_return fail(ErrorCode::not_found, "the function was removed meanwhile");
    }
    if (found->second.replica && found->second.replica->alive()) {
      const KeeperLink replica = *found->second.replica;
      if (auto ready = co_await replica.ready(); !ready) co_return pass_on(std::move(ready));
      co_return replica;
    }
    if (const auto opening = found->second.opening) {
      std::ignore = co_await opening->async_wait(as_result);
      continue;
    }
    const std::uint64_t generation = found->second.generation;
    const auto opening = std::make_shared<asio::steady_timer>(
        state->executor, asio::steady_timer::time_point::max());
    found->second.opening = opening;
    const ReplicaSpec spec = found->second.spec;
    auto opened = co_await state->launcher->open(spec);
    opening->cancel();
    found = state->places.find(function);
    const bool is_current = found != state->places.end() && found->second.generation == generation;
    if (is_current) found->second.opening = nullptr;
    if (!opened) co_return pass_on(std::move(opened));
    if (!is_current) continue;
    watch(state, *opened, function);
    found->second.replica = std::move(*opened);
  }
}

/// Makes replicas one after the other, so that a start with many functions leaves room for calls.
asio::awaitable<void> warm(State* state) {
  while (!state->to_warm.empty()) {
    const FunctionName function = std::move(state->to_warm.front());
    state->to_warm.pop_front();
    if (!state->places.contains(function)) continue;
    const auto replica = co_await replica_of(state, function);
    if (!replica && state->places.contains(function)) {
      log_event(LogLevel::error, "replica_not_made",
                {{"function", function.full()}, {"error", replica.error().message}});
    }
  }
  state->is_warming = false;
}

}  // namespace

FunctionHost::FunctionHost(std::unique_ptr<State> state) : state_(std::move(state)) {}
FunctionHost::~FunctionHost() = default;

Result<std::unique_ptr<FunctionHost>> FunctionHost::start(asio::any_io_executor executor,
                                                          std::filesystem::path launcher,
                                                          SandboxSettings settings) {
  auto link = LauncherLink::start(executor, std::move(launcher), settings);
  if (!link) return pass_on(std::move(link));
  return std::unique_ptr<FunctionHost>(new FunctionHost(
      std::make_unique<State>(std::move(executor), std::move(settings), std::move(*link))));
}

const SandboxSettings& FunctionHost::settings() const { return state_->settings; }
const SandboxReport& FunctionHost::sandbox() const { return state_->launcher->report(); }
bool FunctionHost::healthy() const { return state_->launcher->alive(); }

void FunctionHost::put(const FunctionName& function, ReplicaSpec spec) {
  State* state = state_.get();
  const auto found = state->places.find(function);
  if (found != state->places.end()) {
    spec.user = found->second.spec.user;
    if (found->second.spec == spec) return;
  } else {
    spec.user = state->next_user++ % users_max;
  }
  state->places.insert_or_assign(
      function, Place{.spec = std::move(spec), .generation = state->next_generation++});
  warm_soon(state, function);
}

void FunctionHost::erase(const FunctionName& function) { state_->places.erase(function); }

asio::awaitable<Result<RunningProcess>> FunctionHost::spawn(FunctionName function,
                                                            ProcessCommand command) {
  State* state = state_.get();
  for (int tries = 1;; ++tries) {
    const auto replica = co_await replica_of(state, function);
    if (!replica) co_return fail(replica.error().code, replica.error().message);
    ProcessCommand attempt = command;
    if (!replica->temporary().empty()) {
      attempt.environment.push_back("TMPDIR=" + replica->temporary());
    }
    // One that died between these lines started nothing.
    if (!replica->alive() && tries < tries_max) continue;
    co_return co_await replica->spawn(std::move(attempt));
  }
}

}  // namespace dfaas
