// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/function_host.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/net/task_group.hpp"
#include "live/runtime/launcher_link.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t users_max = 60'000;  ///< Then numbers are used again, the oldest first.
constexpr int openings_max = 8;  ///< So that a start with many functions leaves room for calls.
/// A replica that dies sooner is not made again at once: it would do nothing else.
constexpr Micros short_life{1'000'000};
constexpr Micros pause_min{100'000};
constexpr Micros pause_max{5'000'000};
constexpr Millis round_time{1'000};
constexpr Micros busy_window{15'000'000};  ///< Replicas stay for one to two of these after a rush.
constexpr Millis farewell_patience{10'000};
constexpr Millis farewell_pause{20};

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant(std::chrono::duration_cast<Micros>(since));
}

/// A deployed function and its replicas.
struct Place {
  std::shared_ptr<const RunPlan> plan;
  ScaleSettings scale;
  std::uint64_t generation =
      0;  ///< Of `plan`: replicas that were asked for by an older one are not used.
  std::vector<std::shared_ptr<Replica>> replicas;
  std::vector<std::shared_ptr<asio::steady_timer>> waiting;  ///< Cancelled when something changed.
  int wanted = 1;
  int opening = 0;
  int in_flight = 0;
  int busiest = 0;         ///< Most calls in flight in this window,
  int busiest_before = 0;  ///< and in the one before.
  Instant window_since;
  Instant idle_since;
  std::uint64_t failures = 0;
  Error failure{ErrorCode::unavailable, {}};
  Micros pause{0};  ///< After failures.
  Instant retry_at;

  [[nodiscard]] int alive() const {
    return static_cast<int>(std::count_if(replicas.begin(), replicas.end(),
                                          [](const auto& replica) { return replica->alive(); }));
  }
  /// Without replicas, those who wait need one.
  [[nodiscard]] bool needs_one() const {
    return alive() + opening < std::max(wanted, waiting.empty() ? 0 : 1);
  }
  void tell() {
    for (const auto& timer : std::exchange(waiting, {})) timer->cancel();
  }
};

}  // namespace

struct FunctionHost::State : std::enable_shared_from_this<FunctionHost::State> {
  State(asio::any_io_executor executor_, SandboxSettings settings_,
        std::unique_ptr<LauncherLink> launcher_)
      : executor(std::move(executor_)),
        settings(std::move(settings_)),
        launcher(std::move(launcher_)),
        round_timer(executor),
        tasks(executor) {}

  asio::any_io_executor executor;
  SandboxSettings settings;
  std::unique_ptr<LauncherLink> launcher;
  std::map<FunctionName, Place> places;
  std::deque<FunctionName> requested;
  int openings = 0;
  std::uint32_t next_user = 0;
  std::uint64_t next_generation = 1;
  std::function<void(const FunctionName&)> changed;
  OutputSink output;
  asio::steady_timer round_timer;
  TaskGroup tasks;

  Place* find(const FunctionName& function) {
    const auto found = places.find(function);
    return found == places.end() ? nullptr : &found->second;
  }

  void tell(const FunctionName& function) {
    if (Place* place = find(function)) place->tell();
    if (changed) changed(function);
  }

  void request(const FunctionName& function, bool is_urgent) {
    if (is_urgent) {
      requested.push_front(function);
    } else {
      requested.push_back(function);
    }
    start_openings();
  }

  void start_openings() {
    while (openings < openings_max && !requested.empty()) {
      const FunctionName function = std::move(requested.front());
      requested.pop_front();
      Place* place = find(function);
      while (place != nullptr && place->needs_one() && openings < openings_max) {
        ++openings;
        ++place->opening;
        tasks.spawn(open(shared_from_this(), function, place->plan, place->generation));
      }
    }
  }

  static asio::awaitable<void> open(std::shared_ptr<State> self, FunctionName function,
                                    std::shared_ptr<const RunPlan> plan, std::uint64_t generation);
  static asio::awaitable<void> say_farewell(std::shared_ptr<State> self,
                                            std::shared_ptr<Replica> replica);

  void failed(const FunctionName& function, Place& place, Error error) {
    log_event(LogLevel::error, "replica_not_started",
              {{"function", function.full()}, {"error", error.message}});
    ++place.failures;
    place.failure = std::move(error);
    place.pause = std::clamp(2 * place.pause, pause_min, pause_max);
    place.retry_at = now() + place.pause;
  }

  void on_end(const FunctionName& function, const Replica* ended, Instant born) {
    Place* place = find(function);
    if (place == nullptr) return;
    const auto gone = std::find_if(place->replicas.begin(), place->replicas.end(),
                                   [ended](const auto& entry) { return entry.get() == ended; });
    if (gone == place->replicas.end()) return;
    log_event(LogLevel::error, "replica_died", {{"function", function.full()}});
    place->replicas.erase(gone);
    if (now() - born > short_life) {
      place->pause = Micros{0};
      request(function, false);
    } else {
      place->pause = std::clamp(2 * place->pause, pause_min, pause_max);
      place->retry_at = now() + place->pause;
    }
    tell(function);
  }

  void retire(std::shared_ptr<Replica> replica) {
    replica->retiring = true;
    if (replica->in_flight == 0) tasks.spawn(say_farewell(shared_from_this(), std::move(replica)));
  }

  void retire_all(Place& place) {
    for (auto& replica : std::exchange(place.replicas, {})) retire(std::move(replica));
  }

  /// Down to what is wanted, those with the fewest calls first.
  void shrink(Place& place) {
    std::sort(place.replicas.begin(), place.replicas.end(),
              [](const auto& a, const auto& b) { return a->in_flight > b->in_flight; });
    while (static_cast<int>(place.replicas.size()) > place.wanted) {
      retire(std::move(place.replicas.back()));
      place.replicas.pop_back();
    }
  }

  void take_place(const FunctionName& function, Place& place, Replica& replica) {
    ++replica.in_flight;
    ++place.in_flight;
    place.busiest = std::max(place.busiest, place.in_flight);
    // Where slots grow with the replicas, a function that is full needs the next one to take more.
    const int inflight_max = place.plan->watchdog.max_inflight.value_or(0) * place.wanted;
    const bool is_full = inflight_max > 0 && place.in_flight >= inflight_max;
    const int needed = wanted_replicas(place.scale, place.in_flight + (is_full ? 1 : 0), Micros{0});
    if (needed <= place.wanted) return;
    place.wanted = needed;
    request(function, false);
    if (changed) changed(function);
  }

  void leave_place(const FunctionName& function, const std::shared_ptr<Replica>& replica) {
    --replica->in_flight;
    if (replica->retiring && replica->in_flight == 0) {
      tasks.spawn(say_farewell(shared_from_this(), replica));
    }
    Place* place = find(function);
    if (place == nullptr || place->generation != replica->generation) return;
    if (--place->in_flight == 0) place->idle_since = now();
    if (!replica->retiring && place->plan->watchdog.prefork > 0)
      tasks.spawn(Replica::fill(replica));
  }

  void look_after(const FunctionName& function, Place& place) {
    const Instant at = now();
    place.busiest = std::max(place.busiest, place.in_flight);
    if (at - place.window_since > busy_window) {
      place.busiest_before = std::exchange(place.busiest, place.in_flight);
      place.window_since = at;
    }
    const bool is_idle = place.in_flight == 0;
    const Micros idle = is_idle ? at - place.idle_since : Micros{0};
    const bool sleeps = place.scale.zero && is_idle && idle >= place.scale.zero_after;
    const int busiest = sleeps ? 0 : std::max(place.busiest, place.busiest_before);
    const int wanted = place.wanted == 0 ? 0 : wanted_replicas(place.scale, busiest, idle);
    if (wanted < place.wanted) {
      place.wanted = wanted;
      shrink(place);
      tell(function);
    }
    if (place.needs_one() && at >= place.retry_at) request(function, false);
  }

  void wait_for_round() {
    round_timer.expires_after(round_time);
    round_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      for (auto& [function, place] : self->places) self->look_after(function, place);
      self->wait_for_round();
    });
  }
};

asio::awaitable<void> FunctionHost::State::open(std::shared_ptr<State> self, FunctionName function,
                                                std::shared_ptr<const RunPlan> plan,
                                                std::uint64_t generation) {
  const ReplicaSpec spec = plan->spec;
  auto opened = co_await self->launcher->open(spec);
  std::shared_ptr<Replica> replica;
  Result<void> started;
  const Instant born = now();
  if (opened) {
    replica = std::make_shared<Replica>(
        self->executor, &self->tasks, function, plan, std::move(*opened),
        [weak = self->weak_from_this()](const FunctionName& name, std::string line) {
          const auto host = weak.lock();
          if (host && host->output) host->output(name, std::move(line));
        });
    replica->on_end([weak = self->weak_from_this(), function, ended = replica.get(), born] {
      if (const auto host = weak.lock()) host->on_end(function, ended, born);
    });
    replica->generation = generation;
    started = co_await Replica::start(replica);
  } else {
    started = pass_on(std::move(opened));
  }
  --self->openings;
  Place* place = self->find(function);
  if (place != nullptr && place->generation == generation) {
    --place->opening;
    if (!started) {
      self->failed(function, *place, std::move(started).error());
    } else {
      place->replicas.push_back(replica);
      // Fewer may be wanted by now, but somebody may wait for this one.
      if (place->waiting.empty()) self->shrink(*place);
    }
    self->tell(function);
  }
  self->start_openings();
}

/// It has no call left: SIGTERM, and time to clean up.
asio::awaitable<void> FunctionHost::State::say_farewell(std::shared_ptr<State> self,
                                                        std::shared_ptr<Replica> replica) {
  replica->terminate();
  const Instant until = now() + farewell_patience;
  while (!replica->is_over() && now() < until) {
    asio::steady_timer timer(self->executor, farewell_pause);
    std::ignore = co_await timer.async_wait(as_result);
  }
}

FunctionHost::Lease::Lease(std::weak_ptr<State> host, FunctionName function,
                           std::shared_ptr<Replica> replica)
    : host_(std::move(host)), function_(std::move(function)), replica_(std::move(replica)) {}

FunctionHost::Lease::~Lease() {
  if (!replica_) return;
  if (const auto host = host_.lock()) host->leave_place(function_, replica_);
}

FunctionHost::FunctionHost(std::shared_ptr<State> state) : state_(std::move(state)) {}
FunctionHost::~FunctionHost() = default;

Result<std::unique_ptr<FunctionHost>> FunctionHost::start(asio::any_io_executor executor,
                                                          std::filesystem::path launcher,
                                                          SandboxSettings settings) {
  auto link = LauncherLink::start(executor, std::move(launcher), settings);
  if (!link) return pass_on(std::move(link));
  auto state = std::make_shared<State>(std::move(executor), std::move(settings), std::move(*link));
  state->wait_for_round();
  return std::unique_ptr<FunctionHost>(new FunctionHost(std::move(state)));
}

const SandboxSettings& FunctionHost::settings() const { return state_->settings; }
const SandboxReport& FunctionHost::sandbox() const { return state_->launcher->report(); }
bool FunctionHost::healthy() const { return state_->launcher->alive(); }

void FunctionHost::put(const FunctionName& function, RunPlan plan) {
  State& state = *state_;
  if (plan.watchdog.max_inflight) {
    plan.scale.target = std::min(plan.scale.target, *plan.watchdog.max_inflight);
  }
  Place* existing = state.find(function);
  if (existing != nullptr) {
    plan.spec.user = existing->plan->spec.user;
    if (*existing->plan == plan) return;
    state.retire_all(*existing);
    existing->tell();
  } else {
    plan.spec.user = state.next_user++ % users_max;
  }
  Place place{.scale = plan.scale,
              .generation = state.next_generation++,
              .wanted = plan.scale.min,
              .window_since = now(),
              .idle_since = now()};
  place.plan = std::make_shared<const RunPlan>(std::move(plan));
  state.places.insert_or_assign(function, std::move(place));
  state.request(function, false);
}

void FunctionHost::erase(const FunctionName& function) {
  Place* place = state_->find(function);
  if (place == nullptr) return;
  state_->retire_all(*place);
  place->tell();
  state_->places.erase(function);
}

Result<void> FunctionHost::scale(const FunctionName& function, int replicas) {
  Place* place = state_->find(function);
  if (place == nullptr) return fail(ErrorCode::not_found, "no function " + function.full());
  if (replicas < 0 || replicas > place->scale.max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} replicas of {} are not 0 to {} (label com.openfaas.scale.max)",
                            replicas, function.full(), place->scale.max));
  }
  place->scale.min = std::max(replicas, 1);
  place->wanted = replicas;
  state_->shrink(*place);
  state_->request(function, false);
  state_->tell(function);
  return {};
}

ReplicaCounts FunctionHost::counts(const FunctionName& function) const {
  const Place* place = state_->find(function);
  if (place == nullptr) return {};
  const auto ready = std::count_if(place->replicas.begin(), place->replicas.end(),
                                   [](const auto& replica) { return replica->ready(); });
  return {.wanted = place->wanted, .available = static_cast<int>(ready)};
}

std::optional<FunctionUsage> FunctionHost::usage(const FunctionName& function) const {
  const Place* place = state_->find(function);
  FunctionUsage sum;
  if (place == nullptr) return sum;
  for (const auto& replica : place->replicas) {
    if (!replica->alive()) continue;
    const auto used = replica->usage();
    if (!used) return std::nullopt;
    sum.cpu_millis += used->cpu_millis;
    sum.memory_bytes += used->memory_bytes;
  }
  return sum;
}

void FunctionHost::on_change(std::function<void(const FunctionName&)> callback) {
  state_->changed = std::move(callback);
}

void FunctionHost::on_output(OutputSink callback) { state_->output = std::move(callback); }

void FunctionHost::renew(const FunctionName& function) {
  Place* place = state_->find(function);
  if (place == nullptr) return;
  place->generation = state_->next_generation++;
  place->opening = 0;  // Those under way belong to the generation before.
  place->in_flight = 0;
  state_->retire_all(*place);
  state_->request(function, false);
  state_->tell(function);
}

asio::awaitable<Result<FunctionHost::Lease>> FunctionHost::lease(FunctionName function,
                                                                 Millis patience) {
  const std::shared_ptr<State> state = state_;
  const Instant until = now() + patience;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> seen;  // Generation and failures.
  for (;;) {
    Place* place = state->find(function);
    if (place == nullptr) {
      co_return fail(ErrorCode::not_found, "the function was removed meanwhile");
    }
    std::shared_ptr<Replica> best;
    for (const auto& replica : place->replicas) {
      if (replica->ready() && (!best || replica->in_flight < best->in_flight)) best = replica;
    }
    if (best) {
      state->take_place(function, *place, *best);
      co_return Lease(state, function, std::move(best));
    }
    if (!seen || seen->first != place->generation) seen = {place->generation, place->failures};
    if (place->failures != seen->second) {
      co_return fail(place->failure.code,
                     "the function could not be started: " + place->failure.message);
    }
    if (now() >= until) co_return fail(ErrorCode::timed_out, "the function did not start in time");
    const auto timer = std::make_shared<asio::steady_timer>(state->executor, until - now());
    place->waiting.push_back(timer);
    if (place->wanted == 0) place->wanted = 1;
    state->request(function, true);
    std::ignore = co_await timer->async_wait(as_result);
  }
}

asio::awaitable<void> FunctionHost::drain(Millis patience) {
  const std::shared_ptr<State> state = state_;
  std::vector<std::shared_ptr<Replica>> ending;
  for (auto& [function, place] : state->places) {
    for (auto& replica : std::exchange(place.replicas, {})) {
      replica->retiring = true;
      replica->terminate();
      ending.push_back(std::move(replica));
    }
    place.wanted = 0;
  }
  const Instant until = now() + patience;
  const auto is_over = [](const auto& replica) { return replica->is_over(); };
  while (!std::all_of(ending.begin(), ending.end(), is_over) && now() < until) {
    asio::steady_timer timer(state->executor, farewell_pause);
    std::ignore = co_await timer.async_wait(as_result);
  }
}

}  // namespace dfaas
