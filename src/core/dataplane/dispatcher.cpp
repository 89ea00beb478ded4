// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/dataplane/dispatcher.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <list>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/base/assert.hpp"

namespace dfaas {
namespace {

constexpr Micros arrival_memory{2'000'000};  ///< Time constant of the own arrival rate.
constexpr double service_time_weight =
    0.1;  ///< Of the newest run in the mean, after the first ten.
constexpr std::uint64_t service_time_warm_up = 10;
constexpr int failures_until_down = 2;
constexpr Micros attempt_time_min{250'000};
constexpr double guest_burst_seconds = 1.0;
/// A neighbour that told of no room gets no further tries for so long, or until it takes a first one.
constexpr double full_memory_seconds = 1;

/// Tokens that come back with time.
struct TokenBucket {
  double tokens = 0;
  Instant filled{};

  void refill(double per_second, double size, Instant now) {
    if (now > filled) tokens += per_second * to_seconds(now - filled);
    tokens = std::min(tokens, size);
    filled = now;
  }
  bool take() {
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  }
};

/// A rate that forgets exponentially.
struct DecayingRate {
  double value = 0;  ///< Requests per second.
  Instant at{};

  [[nodiscard]] double now_is(Instant now) const {
    return value * std::exp(-to_seconds(now - at) / to_seconds(arrival_memory));
  }
  void count(Instant now) {
    value = now_is(now) + 1.0 / to_seconds(arrival_memory);
    at = now;
  }
};

/// How one neighbour stands with one function.
struct PeerState {
  PeerCounters counters;
  int outstanding = 0;
  Instant full_until{};  ///< It told that it has no room.
};

struct FunctionState {
  const FunctionName* name = nullptr;  ///< The key of the map that holds this.
  bool deployed = false;
  int slots = 0;
  std::string digest;
  FunctionTraits traits;
  int in_flight = 0;
  int own_in_flight = 0;
  std::size_t requests = 0;    ///< Under way, wherever; while there are any, this must stay.
  std::list<RequestId> users;  ///< In line here.
  std::list<RequestId> guests;
  double service_seconds = 0;
  std::uint64_t served = 0;
  DecayingRate own_rate;
  std::uint64_t user_arrivals = 0;
  std::uint64_t guest_arrivals = 0;
  const FunctionPlan* plan = nullptr;
  std::map<NodeId, PeerState> peers;
  std::map<NodeId, TokenBucket> guest_caps;
};

enum class Phase : std::uint8_t { running, queued, at_peer };

struct Request {
  FunctionState* function = nullptr;
  Phase phase = Phase::running;
  bool is_guest = false;
  bool is_accepted = false;                      ///< By the peer; while at_peer.
  std::list<RequestId>::iterator place_in_line;  ///< While queued.
  NodeId peer;                                   ///< While at_peer.
  std::vector<NodeId> tried;
};

/// How one neighbour stands with all functions.
struct PeerHealth {
  int outstanding = 0;
  int failures = 0;
  Instant down_until{};

  [[nodiscard]] bool is_suspect() const { return failures >= failures_until_down; }
};

/// Why a request looks for a place.
enum class Cause : std::uint8_t { arrived, not_started, lost };

}  // namespace

std::string_view to_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::busy:
      return "busy";
    case Outcome::limit:
      return "limit";
    case Outcome::draining:
      return "draining";
    case Outcome::unknown:
      return "unknown";
    case Outcome::late:
      return "late";
    case Outcome::unreachable:
      return "unreachable";
  }
  return "busy";
}

std::optional<Outcome> parse_outcome(std::string_view text) {
  for (const Outcome outcome : {Outcome::busy, Outcome::limit, Outcome::draining, Outcome::unknown,
                                Outcome::late, Outcome::unreachable}) {
    if (text == to_text(outcome)) return outcome;
  }
  return std::nullopt;
}

struct Dispatcher::State {
  State(DispatcherSettings given_settings, Random given_random)
      : settings(given_settings), random(given_random) {
    retries.tokens = settings.retries_per_second;
  }

  DispatcherSettings settings;
  Random random;
  RoutingPlan plan;
  Instant plan_at{};
  bool draining = false;
  std::map<FunctionName, FunctionState> functions;
  std::unordered_map<RequestId, Request> requests;
  std::map<NodeId, PeerHealth> health;
  TokenBucket retries;
  std::vector<RequestId> started;
  std::vector<RequestId> refused;

  // --- what the rules look at

  [[nodiscard]] const PeerPlan* find_peer(const NodeId& id) const {
    const auto found = std::ranges::lower_bound(plan.peers, id, {}, &PeerPlan::id);
    return found != plan.peers.end() && found->id == id ? &*found : nullptr;
  }

  [[nodiscard]] double service_seconds(const FunctionState& f) const {
    return f.served > 0 ? f.service_seconds : to_seconds(settings.service_time_default);
  }

  /// Seconds until a request behind `ahead` others in line gets a slot, on average.
  [[nodiscard]] double expected_wait(const FunctionState& f, std::size_t ahead) const {
    if (f.slots < 1) return 1e9;
    return (static_cast<double>(ahead) + 1) * service_seconds(f) / f.slots;
  }

  [[nodiscard]] double allowance(const FunctionState& f, double ratio, Micros least) const {
    return std::max(ratio * service_seconds(f), to_seconds(least));
  }

  /// Slots kept for own users: as many as their load needs on average, less those they hold now.
  [[nodiscard]] int home_reserve(const FunctionState& f, Instant now) const {
    const double load = f.own_rate.now_is(now) * service_seconds(f);
    // Below a twentieth of a slot the own side counts as idle: a stray request waits for one run.
    const int wanted = load < 0.05 ? 0 : static_cast<int>(std::ceil(load));
    return std::max(0, std::min(wanted, f.slots) - f.own_in_flight);
  }

  [[nodiscard]] bool has_slot_for_guest(const FunctionState& f, Instant now) const {
    return f.deployed && f.users.empty() && f.in_flight + home_reserve(f, now) < f.slots;
  }

  // --- moves

  Request& open(RequestId id, FunctionState& f, bool is_guest) {
    const auto [place, is_new] =
        requests.try_emplace(id, Request{.function = &f, .is_guest = is_guest});
    DFAAS_ASSERT(is_new, "a request arrives once");
    ++f.requests;
    return place->second;
  }

  /// The one way out. The function may be gone afterwards.
  void close(std::unordered_map<RequestId, Request>::iterator request) {
    FunctionState& f = *request->second.function;
    requests.erase(request);
    --f.requests;
    forget_if_unused(f);
  }

  void forget_if_unused(FunctionState& f) {
    if (!f.deployed && f.plan == nullptr && f.requests == 0)
      functions.erase(functions.find(*f.name));
  }

  FunctionState& state_of(const FunctionName& function) {
    const auto place = functions.try_emplace(function).first;
    place->second.name = &place->first;
    return place->second;
  }

  Decision serve(Request& request) {
    request.phase = Phase::running;
    ++request.function->in_flight;
    if (!request.is_guest) ++request.function->own_in_flight;
    return {.kind = Decision::Kind::serve};
  }

  Decision enqueue(RequestId id, Request& request) {
    request.phase = Phase::queued;
    auto& line = request.is_guest ? request.function->guests : request.function->users;
    request.place_in_line = line.insert(line.end(), id);
    return {.kind = Decision::Kind::queue};
  }

  Decision refuse(RequestId id, Outcome reason) {
    close(requests.find(id));
    return {.kind = Decision::Kind::refuse, .reason = reason};
  }

  /// Takes the request back from its peer; the caller puts it somewhere at once.
  void leave_peer(Request& request) {
    DFAAS_ASSERT(request.phase == Phase::at_peer, "only a request at a peer comes back from one");
    --request.function->peers[request.peer].outstanding;
    --health[request.peer].outstanding;
  }

  void release_slot(const Request& request) {
    FunctionState& f = *request.function;
    --f.in_flight;
    if (!request.is_guest) --f.own_in_flight;
    DFAAS_ASSERT(f.in_flight >= 0 && f.own_in_flight >= 0, "a slot is freed once");
  }

  /// Users first, each class in order of arrival.
  void fill_slots(FunctionState& f, Instant now) {
    while (f.deployed && f.in_flight < f.slots) {
      const bool is_user = !f.users.empty();
      // While nothing runs, nothing will end and look here again: then one guest starts whatever
      // the reserve, lest it wait for ever.
      const bool may_guest = !f.guests.empty() && (f.in_flight == 0 || has_slot_for_guest(f, now));
      if (!is_user && !may_guest) return;
      auto& line = is_user ? f.users : f.guests;
      const RequestId id = line.front();
      line.pop_front();
      serve(requests.at(id));
      started.push_back(id);
    }
  }

  void end(RequestId id, Instant now) {
    const auto found = requests.find(id);
    if (found == requests.end()) return;
    Request& request = found->second;
    FunctionState& f = *request.function;
    switch (request.phase) {
      case Phase::running:
        release_slot(request);
        fill_slots(f, now);
        break;
      case Phase::queued:
        (request.is_guest ? f.guests : f.users).erase(request.place_in_line);
        fill_slots(f, now);  // A user who leaves the line may make way for a guest.
        break;
      case Phase::at_peer:
        leave_peer(request);
        break;
    }
    close(found);
  }

  // --- neighbours

  [[nodiscard]] bool is_candidate(const FunctionState& f, const Request& request,
                                  const FunctionPeer& to, bool needs_room, Instant now) const {
    if (std::ranges::find(request.tried, to.id) != request.tried.end()) return false;
    const PeerPlan* peer = find_peer(to.id);
    if (peer == nullptr || !peer->up) return false;
    if (const auto found = health.find(to.id); found != health.end()) {
      if (found->second.is_suspect() && now < found->second.down_until) return false;
    }
    const auto state = f.peers.find(to.id);
    if (state == f.peers.end()) return true;
    if (state->second.outstanding >= to.window) return false;
    return !needs_room || now >= state->second.full_until;
  }

  /// The neighbour for the next try: two draws by weight, the less busy one for its weight wins.
  [[nodiscard]] const FunctionPeer* choose_peer(const FunctionState& f, const Request& request,
                                                bool needs_room, Instant now) {
    if (f.plan == nullptr) return nullptr;
    const bool is_stale = now - plan_at > plan.lifetime;
    std::array<const FunctionPeer*, 64> candidates{};
    std::array<double, 64> weights{};
    std::size_t count = 0;
    for (const FunctionPeer& to : f.plan->peers) {
      if (count == candidates.size() || !is_candidate(f, request, to, needs_room, now)) continue;
      candidates.at(count) = &to;
      weights.at(count) = is_stale ? to.floor_weight : to.weight;
      ++count;
    }
    if (count == 0) return nullptr;
    const std::span<const double> choices(weights.data(), count);
    const std::size_t first = weighted(random, choices);
    const std::size_t second = weighted(random, choices);
    const auto burden = [&](std::size_t at) {
      const auto state = f.peers.find(candidates.at(at)->id);
      const int outstanding = state == f.peers.end() ? 0 : state->second.outstanding;
      return (outstanding + 1) / weights.at(at);
    };
    return candidates.at(burden(second) < burden(first) ? second : first);
  }

  Decision send(Request& request, const FunctionPeer& to, Instant now) {
    request.phase = Phase::at_peer;
    request.is_accepted = false;
    request.peer = to.id;
    request.tried.push_back(to.id);
    PeerState& peer = request.function->peers[to.id];
    peer.counters.id = to.id;
    ++peer.outstanding;
    PeerHealth& state = health[to.id];
    ++state.outstanding;
    // After its pause a silent neighbour gets one request; the others wait for what that one tells.
    if (state.is_suspect()) state.down_until = now + settings.peer_down_time;
    return {.kind = Decision::Kind::try_peer, .peer = to.id};
  }

  /// First tries are free and fill the budget; what was lost is replayed whatever the budget says,
  /// because it happens at most once per try; other further tries are paid.
  bool pay_for_try(Cause cause, Instant now) {
    retries.refill(settings.retries_per_second, settings.retries_per_second, now);
    if (cause == Cause::not_started) return retries.take();
    if (cause == Cause::arrived) {
      retries.tokens = std::min(retries.tokens + settings.retry_ratio, settings.retries_per_second);
    }
    return true;
  }

  /// A place for a request that has none: here, at a neighbour, in the line, or nowhere.
  Decision place(RequestId id, Request& request, Cause cause, Instant now) {
    FunctionState& f = *request.function;
    if (f.deployed && f.in_flight < f.slots) return serve(request);
    if (static_cast<int>(request.tried.size()) < settings.attempts_max) {
      const FunctionPeer* to = choose_peer(f, request, cause == Cause::not_started, now);
      if (to != nullptr && pay_for_try(cause, now)) return send(request, *to, now);
    }
    // What was lost has waited already: it is not refused for the length of the line.
    const bool is_short =
        cause == Cause::lost || expected_wait(f, f.users.size()) <=
                                    allowance(f, settings.user_wait_ratio, settings.user_wait_min);
    if (f.deployed && is_short && has_place_in(f.users)) return enqueue(id, request);
    const bool is_unknown = !f.deployed && f.plan == nullptr;
    return refuse(id, is_unknown ? Outcome::unknown : Outcome::busy);
  }

  [[nodiscard]] bool has_place_in(const std::list<RequestId>& line) const {
    return static_cast<int>(line.size()) < settings.queue_length_max;
  }

  /// Once per try, however often the caller tells.
  void count_acceptance(Request& request) {
    if (std::exchange(request.is_accepted, true)) return;
    PeerState& peer = request.function->peers[request.peer];
    ++peer.counters.accepted;
    peer.full_until = {};
    health[request.peer].failures = 0;
  }

  void count_failure(const NodeId& peer, Instant now) {
    PeerHealth& state = health[peer];
    ++state.failures;
    if (state.is_suspect()) state.down_until = now + settings.peer_down_time;
  }
};

Dispatcher::Dispatcher(DispatcherSettings settings, Random random)
    : state_(std::make_unique<State>(settings, random)) {}
Dispatcher::~Dispatcher() = default;
Dispatcher::Dispatcher(Dispatcher&&) noexcept = default;
Dispatcher& Dispatcher::operator=(Dispatcher&&) noexcept = default;

void Dispatcher::deploy(const FunctionName& function, int slots, std::string digest,
                        const FunctionTraits& traits, Instant now) {
  DFAAS_ASSERT(slots >= 1, "a deployed function has a slot");
  FunctionState& f = state_->state_of(function);
  f.deployed = true;
  f.slots = slots;
  if (f.digest != digest) f.served = 0;  // Other code takes another time.
  f.digest = std::move(digest);
  f.traits = traits;
  state_->fill_slots(f, now);
}

void Dispatcher::remove(const FunctionName& function, Instant /*now*/) {
  State& s = *state_;
  const auto found = s.functions.find(function);
  if (found == s.functions.end()) return;
  FunctionState& f = found->second;
  f.deployed = false;
  f.slots = 0;
  f.digest.clear();
  f.traits = {};
  f.served = 0;
  for (auto* line : {&f.users, &f.guests}) {
    for (const RequestId id : *line) {
      s.requests.erase(id);
      --f.requests;
      s.refused.push_back(id);
    }
    line->clear();
  }
  s.forget_if_unused(f);
}

void Dispatcher::install(const RoutingPlan& plan, Instant now) {
  State& s = *state_;
  const bool same_peers =
      std::ranges::equal(s.plan.peers, plan.peers, {}, &PeerPlan::id, &PeerPlan::id);
  s.plan = plan;
  s.plan_at = now;
  for (auto& [name, function] : s.functions) function.plan = nullptr;
  for (const FunctionPlan& function : s.plan.functions) {
    s.state_of(function.function).plan = &function;
  }
  // What nobody deploys, plans or uses any more is forgotten: names come from neighbours, too.
  std::erase_if(s.functions, [](const auto& entry) {
    const FunctionState& f = entry.second;
    return !f.deployed && f.plan == nullptr && f.requests == 0;
  });
  if (same_peers) return;
  const auto is_gone = [&s](const auto& entry) { return s.find_peer(entry.first) == nullptr; };
  const auto is_idle_and_gone = [&is_gone](const auto& entry) {
    return entry.second.outstanding == 0 && is_gone(entry);
  };
  std::erase_if(s.health, is_idle_and_gone);
  for (auto& [name, function] : s.functions) {
    std::erase_if(function.peers, is_idle_and_gone);
    std::erase_if(function.guest_caps, is_gone);
  }
}

void Dispatcher::drain() { state_->draining = true; }

Decision Dispatcher::arrive_user(RequestId id, const FunctionName& function, Instant now) {
  State& s = *state_;
  const auto found = s.functions.find(function);
  if (found == s.functions.end())
    return {.kind = Decision::Kind::refuse, .reason = Outcome::unknown};
  FunctionState& f = found->second;
  ++f.user_arrivals;
  f.own_rate.count(now);
  Request& request = s.open(id, f, false);
  const bool queues_at_once =
      f.deployed && f.in_flight >= f.slots && s.has_place_in(f.users) &&
      s.expected_wait(f, f.users.size()) <
          s.allowance(f, s.settings.spill_wait_ratio, s.settings.spill_wait_min);
  if (queues_at_once) return s.enqueue(id, request);
  return s.place(id, request, Cause::arrived, now);
}

Decision Dispatcher::arrive_guest(RequestId id, const FunctionName& function,
                                  std::string_view digest, const NodeId& from,
                                  std::optional<Micros> time_left, Instant now) {
  State& s = *state_;
  const auto no = [](Outcome reason) {
    return Decision{.kind = Decision::Kind::refuse, .reason = reason};
  };
  if (s.draining) return no(Outcome::draining);
  const auto found = s.functions.find(function);
  if (found == s.functions.end() || !found->second.deployed) return no(Outcome::unknown);
  FunctionState& f = found->second;
  if (!f.traits.match_by_name && !digest.empty() && digest != f.digest) return no(Outcome::unknown);
  if (s.find_peer(from) == nullptr || f.plan == nullptr) return no(Outcome::limit);
  const auto limit = std::ranges::lower_bound(f.plan->guests, from, {}, &GuestLimit::id);
  if (limit == f.plan->guests.end() || limit->id != from) return no(Outcome::limit);
  if (time_left && to_seconds(*time_left) < s.service_seconds(f)) return no(Outcome::late);
  ++f.guest_arrivals;

  // Guests who wait come first, should the home reserve have faded since somebody last looked.
  s.fill_slots(f, now);
  // The cap counts every admitted call, but holds only while the pool is under pressure.
  const double rate = limit->rate.per_second;
  const double burst = std::max(1.0, rate * guest_burst_seconds);
  TokenBucket& cap =
      f.guest_caps.try_emplace(from, TokenBucket{.tokens = burst, .filled = now}).first->second;
  cap.refill(rate, burst, now);
  if (s.has_slot_for_guest(f, now) && f.guests.empty()) {
    cap.take();
    return s.serve(s.open(id, f, true));
  }
  const std::size_t ahead = f.users.size() + f.guests.size();
  const bool may_wait = s.has_place_in(f.guests) &&
                        s.expected_wait(f, ahead) <=
                            s.allowance(f, s.settings.guest_wait_ratio, s.settings.guest_wait_min);
  // A line in front of reserved slots would wait for our own users to stop coming: refuse instead.
  if (!may_wait || f.in_flight < f.slots) return no(Outcome::busy);
  if (!cap.take()) return no(Outcome::limit);
  return s.enqueue(id, s.open(id, f, true));
}

void Dispatcher::accepted(RequestId id, Instant /*now*/) {
  State& s = *state_;
  const auto found = s.requests.find(id);
  if (found == s.requests.end() || found->second.phase != Phase::at_peer) return;
  s.count_acceptance(found->second);
}

Decision Dispatcher::not_started(RequestId id, Outcome outcome, std::optional<int> room,
                                 Instant now) {
  State& s = *state_;
  const auto found = s.requests.find(id);
  if (found == s.requests.end()) return {};
  Request& request = found->second;
  FunctionState& f = *request.function;
  s.leave_peer(request);
  PeerState& state = f.peers[request.peer];
  if (outcome == Outcome::unreachable) {
    ++state.counters.unreachable;
    s.count_failure(request.peer, now);
  } else {
    ++state.counters.refused;
    s.health[request.peer].failures = 0;
    const bool is_full = outcome == Outcome::busy && room.value_or(0) == 0;
    if (is_full) state.full_until = now + from_seconds(full_memory_seconds);
  }
  return s.place(id, request, Cause::not_started, now);
}

Decision Dispatcher::lost(RequestId id, bool replayable, Instant now) {
  State& s = *state_;
  const auto found = s.requests.find(id);
  if (found == s.requests.end()) {
    return {.kind = Decision::Kind::refuse, .reason = Outcome::unreachable};
  }
  Request& request = found->second;
  FunctionState& f = *request.function;
  s.leave_peer(request);
  ++f.peers[request.peer].counters.unreachable;
  s.count_failure(request.peer, now);
  if (!f.traits.retry_safe || !replayable) return s.refuse(id, Outcome::unreachable);
  return s.place(id, request, Cause::lost, now);
}

void Dispatcher::finished(RequestId id, std::optional<Micros> service_time, Instant now) {
  State& s = *state_;
  const auto found = s.requests.find(id);
  if (found == s.requests.end()) return;
  Request& request = found->second;
  FunctionState& f = *request.function;
  if (request.phase == Phase::at_peer) {
    s.count_acceptance(request);
    ++f.peers[request.peer].counters.served;
  } else if (service_time) {
    ++f.served;
    const double weight = f.served <= service_time_warm_up ? 1.0 / static_cast<double>(f.served)
                                                           : service_time_weight;
    f.service_seconds += weight * (to_seconds(*service_time) - f.service_seconds);
  }
  s.end(id, now);
}

void Dispatcher::abandoned(RequestId id, Instant now) { state_->end(id, now); }

std::vector<RequestId> Dispatcher::started() {
  std::vector<RequestId> ids = std::exchange(state_->started, {});
  std::erase_if(ids, [this](RequestId id) { return !state_->requests.contains(id); });
  return ids;
}

std::vector<RequestId> Dispatcher::refused_in_queue() { return std::exchange(state_->refused, {}); }

std::vector<RequestId> Dispatcher::requests_at_lost_peers() const {
  std::vector<RequestId> lost;
  const auto is_lost = [this](const NodeId& id) {
    const PeerPlan* peer = state_->find_peer(id);
    return peer != nullptr && !peer->up;
  };
  const bool has_any = std::ranges::any_of(state_->health, [&is_lost](const auto& entry) {
    return entry.second.outstanding > 0 && is_lost(entry.first);
  });
  if (!has_any) return lost;
  for (const auto& [id, request] : state_->requests) {
    if (request.phase == Phase::at_peer && is_lost(request.peer)) lost.push_back(id);
  }
  std::ranges::sort(lost);
  return lost;
}

int Dispatcher::room(const FunctionName& function, Instant now) const {
  const auto found = state_->functions.find(function);
  if (found == state_->functions.end() || !found->second.deployed) return 0;
  const FunctionState& f = found->second;
  if (state_->draining || !f.users.empty() || !f.guests.empty()) return 0;
  return std::max(0, f.slots - f.in_flight - state_->home_reserve(f, now));
}

const RoutingPlan& Dispatcher::plan() const { return state_->plan; }

bool Dispatcher::knows(const FunctionName& function) const {
  const auto found = state_->functions.find(function);
  if (found == state_->functions.end()) return false;
  return found->second.deployed || found->second.plan != nullptr;
}

const PeerPlan* Dispatcher::peer(const NodeId& id) const { return state_->find_peer(id); }

std::string Dispatcher::digest(const FunctionName& function) const {
  const auto found = state_->functions.find(function);
  return found == state_->functions.end() ? std::string() : found->second.digest;
}

FunctionTraits Dispatcher::traits(const FunctionName& function) const {
  const auto found = state_->functions.find(function);
  return found == state_->functions.end() ? FunctionTraits{} : found->second.traits;
}

Micros Dispatcher::attempt_time_limit(const FunctionName& function, const NodeId& peer) const {
  const State& s = *state_;
  const auto found = s.functions.find(function);
  const PeerPlan* plan = s.find_peer(peer);
  const Micros rtt = plan == nullptr ? Micros{0} : plan->rtt;
  double service = to_seconds(s.settings.service_time_default);
  if (found != s.functions.end() && found->second.plan != nullptr) {
    const auto& peers = found->second.plan->peers;
    const auto to = std::ranges::lower_bound(peers, peer, {}, &FunctionPeer::id);
    if (to != peers.end() && to->id == peer && to->service_time.count() > 0) {
      service = to_seconds(to->service_time);
    }
  }
  const Micros queue =
      std::max(s.settings.guest_wait_min, from_seconds(s.settings.guest_wait_ratio * service));
  return std::max(attempt_time_min, 4 * rtt + 2 * queue);
}

GatewayObservation Dispatcher::observe(Instant /*now*/) const {
  const State& s = *state_;
  GatewayObservation observation{
      .boot = {}, .plan_version = s.plan.version, .plan_strategy = s.plan.strategy};
  for (const auto& [name, f] : s.functions) {
    FunctionObservation seen{
        .function = name,
        .digest = f.digest,
        .deployed = f.deployed,
        .traits = f.traits,
        .slots = f.slots,
        .in_flight = f.in_flight,
        .queued = static_cast<int>(f.users.size() + f.guests.size()),
        .service_time = f.served > 0 ? from_seconds(f.service_seconds) : Micros{0},
        .user_arrivals = f.user_arrivals,
        .guest_arrivals = f.guest_arrivals};
    for (const auto& [id, peer] : f.peers) {
      if (!peer.counters.id.empty()) seen.peers.push_back(peer.counters);
    }
    observation.functions.push_back(std::move(seen));
  }
  return observation;
}

}  // namespace dfaas
