// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What must hold whatever happens: random events against a bookkeeping too simple to be wrong.
#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "core/dataplane/dispatcher.hpp"

namespace dfaas {
namespace {

using Kind = Decision::Kind;

constexpr int functions_count = 3;
constexpr int peers_count = 5;

NodeId node(std::size_t index) {
  return *NodeId::parse(std::string(32, static_cast<char>('a' + index)));
}
FunctionName function_at(std::size_t index) {
  return *FunctionName::parse("f" + std::to_string(index));
}

/// What the test knows of one request: only what it was told.
struct Known {
  std::size_t function = 0;
  bool is_guest = false;
  std::string organisation;  ///< Of a guest.
  bool is_retry_safe = false;
  enum class Place : std::uint8_t { running, queued, at_peer } place = Place::running;
  NodeId peer;
  std::set<NodeId> tried;
};

struct Pool {
  bool deployed = false;
  int slots = 0;
  bool retry_safe = false;
  int running = 0;
  std::deque<RequestId> users;
  std::deque<RequestId> guests;
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), dispatcher_(settings(), Random{seed + 1}) {}

  void run(int steps) {
    for (int step = 0; step < steps && !testing::Test::HasFatalFailure(); ++step) {
      act();
      now_ += Micros{static_cast<Micros::rep>(below(random_, 20'000))};
      settle();
    }
    empty();
  }

 private:
  static DispatcherSettings settings() {
    return {.queue_length_max = 4, .service_time_default = Micros{50'000}};
  }

  bool chance(double probability) { return uniform(random_, 0, 1) < probability; }

  // --- events

  void act() {
    switch (weighted(random_, std::vector<double>{30, 15, 25, 15, 4, 6, 1.5, 0.7, 1.5})) {
      case 0:
        return arrive_user();
      case 1:
        return arrive_guest();
      case 2:
        return end_one(&World::finish);
      case 3:
        return end_one(&World::refuse_at_peer);
      case 4:
        return end_one(&World::lose_at_peer);
      case 5:
        return end_one(&World::abandon);
      case 6:
        return deploy();
      case 7:
        return remove();
      default:
        return install();
    }
  }

  void arrive_user() {
    const std::size_t function = below(random_, functions_count + 1);
    const RequestId id = ++last_id_;
    user_calls_ += 1;
    const Decision decision = dispatcher_.arrive_user(id, function_at(function), now_);
    if (function == functions_count) {
      ASSERT_EQ(decision.kind, Kind::refuse);
      ASSERT_EQ(decision.reason, Outcome::unknown);
      return;
    }
    known_[id] = {.function = function};
    follow(id, decision);
  }

  void arrive_guest() {
    const std::size_t function = below(random_, functions_count);
    const NodeId from = node(below(random_, peers_count + 1));
    const RequestId id = ++last_id_;
    const bool other_code = chance(0.1);
    const Decision decision = dispatcher_.arrive_guest(
        id, function_at(function), other_code ? "other" : "code", from, std::nullopt, now_);
    ASSERT_NE(decision.kind, Kind::try_peer) << "a guest is never forwarded";
    if (decision.kind == Kind::refuse) return;
    ASSERT_FALSE(other_code);
    const auto plan =
        std::ranges::find(plan_.functions, function_at(function), &FunctionPlan::function);
    ASSERT_NE(plan, plan_.functions.end());
    ASSERT_NE(std::ranges::find(plan->guests, from, &GuestLimit::id), plan->guests.end());
    const auto peer = std::ranges::find(plan_.peers, from, &PeerPlan::id);
    ASSERT_NE(peer, plan_.peers.end());
    const auto limit =
        std::ranges::find(plan_.limits, peer->organisation, &OrganisationLimit::organisation);
    if (limit != plan_.limits.end()) {
      ASSERT_LT(std::ranges::count_if(known_,
                                      [&](const auto& entry) {
                                        return entry.second.organisation == peer->organisation;
                                      }),
                limit->slots)
          << "an organisation has no more calls here than its limit";
    }
    known_[id] = {.function = function, .is_guest = true, .organisation = peer->organisation};
    follow(id, decision);
  }

  void end_one(void (World::*how)(RequestId)) {
    if (known_.empty()) return;
    auto chosen = known_.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(below(random_, known_.size())));
    (this->*how)(chosen->first);
  }

  void finish(RequestId id) {
    const Known request = known_.at(id);
    if (request.place == Known::Place::queued) return;
    if (request.place == Known::Place::at_peer && chance(0.9)) dispatcher_.accepted(id, now_);
    const bool here = request.place == Known::Place::running;
    forget(id);
    dispatcher_.finished(id, here ? std::optional(Micros{40'000}) : std::nullopt, now_);
  }

  void refuse_at_peer(RequestId id) {
    if (known_.at(id).place != Known::Place::at_peer) return;
    const auto outcome = static_cast<Outcome>(below(random_, 6));
    leave_peer(id);
    follow(id, dispatcher_.not_started(id, outcome, now_), true);
  }

  void lose_at_peer(RequestId id) {
    if (known_.at(id).place != Known::Place::at_peer) return;
    if (chance(0.5)) dispatcher_.accepted(id, now_);
    const bool replayable = chance(0.7);
    const bool may_run_again = replayable && pools_[known_.at(id).function].retry_safe;
    leave_peer(id);
    const Decision decision = dispatcher_.lost(id, replayable, now_);
    if (!may_run_again) {
      ASSERT_EQ(decision.kind, Kind::refuse);
      ASSERT_EQ(decision.reason, Outcome::unreachable);
      known_.erase(id);
      return;
    }
    follow(id, decision, false);
  }

  void abandon(RequestId id) {
    forget(id);
    dispatcher_.abandoned(id, now_);
  }

  void deploy() {
    const std::size_t function = below(random_, functions_count);
    Pool& pool = pools_[function];
    pool.deployed = true;
    pool.slots = 1 + static_cast<int>(below(random_, 4));
    pool.retry_safe = chance(0.5);
    dispatcher_.deploy(function_at(function), pool.slots, "code", {.retry_safe = pool.retry_safe},
                       now_);
  }

  void remove() {
    const std::size_t function = below(random_, functions_count);
    Pool& pool = pools_[function];
    pool.deployed = false;
    pool.slots = 0;
    pool.retry_safe = false;
    dispatcher_.remove(function_at(function), now_);
    // What waited is refused at once.
    std::vector<RequestId> expected(pool.users.begin(), pool.users.end());
    expected.insert(expected.end(), pool.guests.begin(), pool.guests.end());
    std::vector<RequestId> refused = dispatcher_.refused_in_queue();
    std::ranges::sort(expected);
    std::ranges::sort(refused);
    ASSERT_EQ(refused, expected);
    for (const RequestId id : refused) forget(id);
  }

  void install() {
    RoutingPlan plan{.version = plan_.version + 1, .lifetime = Millis{200}};
    for (std::size_t peer = 0; peer < peers_count; ++peer) {
      if (chance(0.2)) continue;
      plan.peers.push_back({.id = node(peer),
                            .organisation = peer % 2 == 0 ? "even" : "odd",
                            .slot = static_cast<int>(peer) + 1,
                            .up = chance(0.8)});
    }
    for (const char* organisation : {"even", "odd"}) {
      if (chance(0.5)) plan.limits.push_back({organisation, static_cast<int>(below(random_, 4))});
    }
    for (std::size_t function = 0; function < functions_count; ++function) {
      if (chance(0.15)) continue;
      FunctionPlan entry{.function = function_at(function)};
      for (const PeerPlan& peer : plan.peers) {
        if (chance(0.7)) {
          entry.peers.push_back({.id = peer.id,
                                 .weight = uniform(random_, 0.1, 10),
                                 .window = 1 + static_cast<int>(below(random_, 3)),
                                 .floor_weight = uniform(random_, 0.1, 1)});
        }
        if (chance(0.7)) entry.guests.push_back({.id = peer.id, .rate = Rate{20}});
      }
      plan.functions.push_back(std::move(entry));
    }
    plan_ = plan;
    dispatcher_.install(plan, now_);
  }

  // --- what it answers

  void follow(RequestId id, const Decision& decision, bool is_paid = true) {
    Known& request = known_.at(id);
    Pool& pool = pools_[request.function];
    switch (decision.kind) {
      case Kind::serve:
        ASSERT_TRUE(pool.deployed);
        ++pool.running;
        ASSERT_LE(pool.running, pool.slots) << "in-flight exceeds the slots";
        request.place = Known::Place::running;
        if (request.is_guest) {
          ASSERT_TRUE(pool.users.empty()) << "a guest overtook a user";
        }
        return;
      case Kind::queue: {
        ASSERT_GE(pool.running, pool.slots) << "waits although a slot is free";
        request.place = Known::Place::queued;
        auto& line = request.is_guest ? pool.guests : pool.users;
        line.push_back(id);
        ASSERT_LE(line.size(), 4U);
        return;
      }
      case Kind::try_peer:
        return follow_to_peer(id, decision.peer, is_paid);
      case Kind::refuse:
        if (!request.is_guest) {
          ASSERT_GE(pool.running, pool.slots) << "a user was refused while a slot was free";
        }
        known_.erase(id);
        return;
    }
  }

  void follow_to_peer(RequestId id, const NodeId& peer, bool is_paid) {
    Known& request = known_.at(id);
    ASSERT_FALSE(request.is_guest);
    ASSERT_GE(pools_[request.function].running, pools_[request.function].slots);
    ASSERT_TRUE(request.tried.insert(peer).second) << "the same neighbour twice";
    ASSERT_LE(request.tried.size(), 4U);
    if (is_paid) tries_ += 1;
    ASSERT_LE(tries_, 10 + 1.15 * user_calls_ + 1e-6);
    const auto to = std::ranges::find(plan_.peers, peer, &PeerPlan::id);
    ASSERT_NE(to, plan_.peers.end());
    ASSERT_TRUE(to->up);
    const auto plan =
        std::ranges::find(plan_.functions, function_at(request.function), &FunctionPlan::function);
    ASSERT_NE(plan, plan_.functions.end());
    const auto entry = std::ranges::find(plan->peers, peer, &FunctionPeer::id);
    ASSERT_NE(entry, plan->peers.end());
    request.place = Known::Place::at_peer;
    request.peer = peer;
    int& outstanding = outstanding_[{peer, request.function}];
    ASSERT_LE(++outstanding, entry->window);
  }

  void leave_peer(RequestId id) {
    const Known& request = known_.at(id);
    --outstanding_[{request.peer, request.function}];
  }

  void forget(RequestId id) {
    const Known& request = known_.at(id);
    Pool& pool = pools_[request.function];
    switch (request.place) {
      case Known::Place::running:
        --pool.running;
        break;
      case Known::Place::queued:
        std::erase(request.is_guest ? pool.guests : pool.users, id);
        break;
      case Known::Place::at_peer:
        leave_peer(id);
        break;
    }
    known_.erase(id);
  }

  /// Takes note of who may start, and compares books.
  void settle() {
    for (const RequestId id : dispatcher_.started()) {
      ASSERT_TRUE(known_.contains(id)) << "started after its end";
      Known& request = known_.at(id);
      ASSERT_EQ(request.place, Known::Place::queued);
      Pool& pool = pools_[request.function];
      auto& line = request.is_guest ? pool.guests : pool.users;
      ASSERT_EQ(line.front(), id) << "not in order of arrival";
      line.pop_front();
      if (request.is_guest) {
        ASSERT_TRUE(pool.users.empty()) << "a guest overtook a user";
      }
      request.place = Known::Place::running;
      ++pool.running;
      ASSERT_LE(pool.running, pool.slots);
    }
    ASSERT_TRUE(dispatcher_.refused_in_queue().empty());
    compare();
  }

  void compare() {
    std::map<FunctionName, FunctionObservation> seen;
    for (FunctionObservation& function : dispatcher_.observe(now_).functions) {
      seen.emplace(function.function, std::move(function));
    }
    for (std::size_t at = 0; at < functions_count; ++at) {
      const Pool& pool = pools_[at];
      const FunctionObservation& function = seen[function_at(at)];
      ASSERT_EQ(function.in_flight, pool.running);
      ASSERT_EQ(function.queued, static_cast<int>(pool.users.size() + pool.guests.size()));
      ASSERT_TRUE(pool.users.empty() || pool.running >= pool.slots) << "a slot idles";
      ASSERT_LE(function.peers.size(), static_cast<std::size_t>(peers_count));
      for (const PeerCounters& peer : function.peers) ASSERT_GE(peer.accepted, peer.served);
    }
    std::vector<RequestId> lost;
    for (const auto& [id, request] : known_) {
      if (request.place != Known::Place::at_peer) continue;
      const auto peer = std::ranges::find(plan_.peers, request.peer, &PeerPlan::id);
      if (peer != plan_.peers.end() && !peer->up) lost.push_back(id);
    }
    ASSERT_EQ(dispatcher_.requests_at_lost_peers(), lost);
  }

  /// Everything under way ends, then nothing may be left: nobody waits for ever.
  void empty() {
    while (!known_.empty() && !testing::Test::HasFatalFailure()) {
      const auto busy = std::ranges::find_if(
          known_, [](const auto& entry) { return entry.second.place != Known::Place::queued; });
      ASSERT_NE(busy, known_.end()) << known_.size() << " wait, and nothing will ever wake them";
      finish(busy->first);
      settle();
    }
    dispatcher_.install({}, now_);
    for (std::size_t at = 0; at < functions_count; ++at) {
      dispatcher_.remove(function_at(at), now_);
    }
    ASSERT_TRUE(dispatcher_.observe(now_).functions.empty()) << "something is remembered for ever";
  }

  Random random_;
  Dispatcher dispatcher_;
  Instant now_ = Instant{} + Micros{5'000'000};
  RequestId last_id_ = 0;
  RoutingPlan plan_;
  std::map<RequestId, Known> known_;
  std::array<Pool, functions_count> pools_;
  std::map<std::pair<NodeId, std::size_t>, int> outstanding_;
  double user_calls_ = 0;
  double tries_ = 0;
};

TEST(DispatcherProperty, KeepsItsGuaranteesUnderRandomEvents) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World(seed).run(1000);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace dfaas
