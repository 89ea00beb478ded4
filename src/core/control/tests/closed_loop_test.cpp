// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Controllers and dispatchers of a few nodes, wired in memory under virtual time: what they promise
/// together. Messages and plans travel in their JSON forms.
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <queue>
#include <vector>

#include <gtest/gtest.h>

#include "core/control/controller.hpp"
#include "core/dataplane/dispatcher.hpp"

namespace dfaas {
namespace {

using Kind = Decision::Kind;

constexpr Micros one_way{500};
constexpr Micros service_time{100'000};
const FunctionName work = *FunctionName::parse("work");
const FunctionTraits retry_safe{.retry_safe = true};

NodeId node_id(std::size_t index) {
  return *NodeId::parse(std::string(32, static_cast<char>('a' + index)));
}

struct Tally {
  int offered = 0;
  int served = 0;
  int refused = 0;
  int lost = 0;
  int peer_calls = 0;

  [[nodiscard]] double success() const { return offered == 0 ? 1 : 1.0 * served / offered; }
  [[nodiscard]] double calls_per_request() const { return 1.0 * peer_calls / offered; }
};

enum class Arrivals : std::uint8_t {
  even,     ///< As a load generator of constant rate sends, give or take half an interval.
  poisson,  ///< As many users who do not know of each other.
};

/// One request of one user, wherever it is.
struct Call {
  std::size_t home = 0;
  int second = 0;
  RequestId id = 0;
  RequestId guest_id = 0;  ///< At the neighbour, while it is there.
  std::size_t peer = 0;
  int attempt = 0;
};

class World {
 public:
  World(std::vector<int> slots, std::uint64_t seed) : random_(seed) {
    for (std::size_t at = 0; at < slots.size(); ++at) {
      nodes_.push_back(Node{.dispatcher = Dispatcher({}, Random{seed + at}),
                            .controller = new_controller(at, "first"),
                            .slots = slots[at]});
      if (slots[at] > 0) {
        nodes_[at].dispatcher.deploy(work, slots[at], "code", retry_safe, now_);
      }
    }
    for (std::size_t at = 0; at < nodes_.size(); ++at) {
      admit_neighbours(at);
      after(Micros{static_cast<Micros::rep>(at) * 150'000}, [this, at] { heartbeat(at); });
    }
  }

  /// Arrivals at `node` from now on; 0 ends them.
  void load(std::size_t node, double per_second, Arrivals arrivals = Arrivals::even) {
    nodes_[node].rate = per_second;
    nodes_[node].arrivals = arrivals;
    const int era = ++nodes_[node].era;
    if (per_second > 0) next_arrival(node, era);
  }

  void run(double seconds) {
    const Instant end = now_ + from_seconds(seconds);
    while (!events_.empty() && events_.top().at <= end) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.at;
      event.action();
    }
    now_ = end;
  }

  /// The agent dies and another one starts at once, knowing nothing.
  void restart_agent(std::size_t node) {
    nodes_[node].controller = new_controller(node, "second");
    admit_neighbours(node);
  }

  /// The machine is gone: nothing answers any more. Its neighbours' front doors notice for calls made
  /// from now on; those it had are lost when the exchange falls silent.
  void kill(std::size_t node) { nodes_[node].is_dead = true; }

  [[nodiscard]] int second() const { return static_cast<int>(to_seconds(now_.time_since_epoch())); }

  /// What became of the requests that arrived at `node` in seconds [from, to) of the world.
  [[nodiscard]] Tally tally(std::size_t node, int from, int to) const {
    Tally sum;
    for (int second = from; second < to; ++second) {
      const auto found = tallies_.find({node, second});
      if (found == tallies_.end()) continue;
      sum.offered += found->second.offered;
      sum.served += found->second.served;
      sum.refused += found->second.refused;
      sum.lost += found->second.lost;
      sum.peer_calls += found->second.peer_calls;
    }
    return sum;
  }

  [[nodiscard]] const RoutingPlan& plan(std::size_t node) const {
    return nodes_[node].controller.plan();
  }

 private:
  struct Node {
    Dispatcher dispatcher;
    Controller controller;
    int slots = 0;
    double rate = 0;
    Arrivals arrivals = Arrivals::even;
    int era = 0;
    bool is_dead = false;
    RequestId last_id = 0;
    std::map<RequestId, std::function<void()>> waiting;  ///< In line here: what to do once started.
    std::map<RequestId, Call> calls;                     ///< Of own users.
  };

  struct Event {
    Instant at;
    std::uint64_t order;
    std::function<void()> action;
    friend bool operator<(const Event& a, const Event& b) {
      return std::pair(b.at, b.order) < std::pair(a.at, a.order);  // The earliest on top.
    }
  };

  Controller new_controller(std::size_t at, const std::string& boot) {
    return Controller({.self = node_id(at),
                       .name = *NodeName::parse("node-" + std::to_string(at)),
                       .organisation = "org",
                       .boot = boot + std::to_string(at)},
                      *find_strategy("grant_and_spill"), Random{at + 1});
  }

  void admit_neighbours(std::size_t at) {
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
      if (other == at) continue;
      step(at,
           NeighbourAdmitted{
               .id = node_id(other), .organisation = "org", .slot = static_cast<int>(other) + 1});
    }
  }

  void after(Micros delay, std::function<void()> action) {
    events_.push({now_ + delay, ++order_, std::move(action)});
  }

  static std::size_t index_of(const NodeId& id) {
    return static_cast<std::size_t>(id.text().front() - 'a');
  }

  // --- control

  void heartbeat(std::size_t at) {
    if (nodes_[at].is_dead) return;
    GatewayObservation seen = nodes_[at].dispatcher.observe(now_);
    seen.boot = "gateway";
    const auto read = observation_from_json(observation_to_json(seen));
    ASSERT_TRUE(read) << read.error().message;
    step(at, Observed{*read});
    step(at, HeartbeatElapsed{});
    after(Millis{500}, [this, at] { heartbeat(at); });
  }

  std::optional<ExchangeMessage> step(std::size_t at, const ControllerEvent& event) {
    std::optional<ExchangeMessage> answer;
    for (ControllerAction& action : nodes_[at].controller.step(now_, event)) {
      if (auto* install = std::get_if<InstallPlan>(&action)) {
        const auto plan = plan_from_json(plan_to_json(install->plan));
        EXPECT_TRUE(plan) << plan.error().message;
        nodes_[at].dispatcher.install(*plan, now_);
        for (const RequestId id : nodes_[at].dispatcher.requests_at_lost_peers()) lose(at, id);
        pump(at);
      } else if (auto* send = std::get_if<SendExchange>(&action)) {
        exchange(at, index_of(send->to), exchange_to_json(send->message));
      } else if (auto* reply = std::get_if<AnswerExchange>(&action)) {
        answer = std::move(reply->message);
      }
    }
    return answer;
  }

  void exchange(std::size_t from, std::size_t to, const std::string& text) {
    const Instant sent = now_;
    after(one_way, [this, from, to, text, sent] {
      if (nodes_[to].is_dead) {
        after(Millis{1000}, [this, from, to] { step(from, ExchangeFailed{.to = node_id(to)}); });
        return;
      }
      const auto answer =
          step(to, ExchangeArrived{.from = node_id(from), .message = *exchange_from_json(text)});
      ASSERT_TRUE(answer);
      after(one_way, [this, from, to, sent, answer = exchange_to_json(*answer)] {
        step(from, ExchangeAnswered{.from = node_id(to),
                                    .message = *exchange_from_json(answer),
                                    .round_trip = now_ - sent});
      });
    });
  }

  // --- requests

  void next_arrival(std::size_t at, int era) {
    const double mean = 1 / nodes_[at].rate;
    const double gap = nodes_[at].arrivals == Arrivals::even
                           ? uniform(random_, 0.5 * mean, 1.5 * mean)
                           : exponential(random_, mean);
    after(from_seconds(gap), [this, at, era] {
      if (nodes_[at].era != era || nodes_[at].is_dead) return;
      Node& node = nodes_[at];
      const RequestId id = ++node.last_id;
      const Call call{.home = at, .second = second(), .id = id};
      node.calls[id] = call;
      ++tallies_[{at, call.second}].offered;
      follow(call, node.dispatcher.arrive_user(id, work, now_));
      pump(at);
      next_arrival(at, era);
    });
  }

  void follow(const Call& call, const Decision& decision) {
    Node& home = nodes_[call.home];
    switch (decision.kind) {
      case Kind::serve:
        return run_here(call);
      case Kind::queue:
        home.waiting[call.id] = [this, call] { run_here(call); };
        return;
      case Kind::refuse: {
        Tally& tally = tallies_[{call.home, call.second}];
        ++(decision.reason == Outcome::unreachable ? tally.lost : tally.refused);
        home.calls.erase(call.id);
        return;
      }
      case Kind::try_peer:
        return forward(call, index_of(decision.peer));
    }
  }

  void run_here(const Call& call) {
    after(service_time, [this, call] {
      if (nodes_[call.home].is_dead) return;
      ++tallies_[{call.home, call.second}].served;
      nodes_[call.home].calls.erase(call.id);
      nodes_[call.home].dispatcher.finished(call.id, service_time, now_);
      pump(call.home);
    });
  }

  /// The call as it is now, if it still is in this attempt.
  Call* current(const Call& call) {
    const auto found = nodes_[call.home].calls.find(call.id);
    if (found == nodes_[call.home].calls.end() || found->second.attempt != call.attempt) {
      return nullptr;
    }
    return &found->second;
  }

  void forward(const Call& before, std::size_t to) {
    ++tallies_[{before.home, before.second}].peer_calls;
    Call& call = nodes_[before.home].calls.at(before.id);
    call.peer = to;
    ++call.attempt;
    after(one_way, [this, call, to] { offer(call, to); });
  }

  void offer(Call call, std::size_t to) {
    Node& peer = nodes_[to];
    if (peer.is_dead) return refused_there(call, Outcome::unreachable);
    call.guest_id = ++peer.last_id;
    const Decision decision = peer.dispatcher.arrive_guest(call.guest_id, work, "code",
                                                           node_id(call.home), std::nullopt, now_);
    switch (decision.kind) {
      case Kind::serve:
        run_there(call, to);
        break;
      case Kind::queue:
        peer.waiting[call.guest_id] = [this, call, to] { run_there(call, to); };
        break;
      default:
        refused_there(call, decision.reason);
    }
    pump(to);
  }

  void refused_there(const Call& call, Outcome outcome) {
    after(one_way, [this, call, outcome] {
      if (current(call) == nullptr) return;
      follow(call, nodes_[call.home].dispatcher.not_started(call.id, outcome, now_));
      pump(call.home);
    });
  }

  void run_there(const Call& call, std::size_t to) {
    after(one_way, [this, call] {
      if (current(call) != nullptr) nodes_[call.home].dispatcher.accepted(call.id, now_);
    });
    after(service_time, [this, call, to] {
      if (nodes_[to].is_dead) return;
      nodes_[to].dispatcher.finished(call.guest_id, service_time, now_);
      pump(to);
      after(one_way, [this, call] {
        if (current(call) == nullptr) return;
        ++tallies_[{call.home, call.second}].served;
        nodes_[call.home].calls.erase(call.id);
        nodes_[call.home].dispatcher.finished(call.id, std::nullopt, now_);
        pump(call.home);
      });
    });
  }

  void lose(std::size_t at, RequestId id) {
    Call& call = nodes_[at].calls.at(id);
    ++call.attempt;
    follow(call, nodes_[at].dispatcher.lost(id, true, now_));
  }

  void pump(std::size_t at) {
    for (const RequestId id : nodes_[at].dispatcher.started()) {
      const auto found = nodes_[at].waiting.find(id);
      ASSERT_NE(found, nodes_[at].waiting.end());
      const auto start = std::move(found->second);
      nodes_[at].waiting.erase(found);
      start();
    }
  }

  Random random_;
  Instant now_{};
  std::uint64_t order_ = 0;
  std::vector<Node> nodes_;
  std::priority_queue<Event> events_;
  std::map<std::pair<std::size_t, int>, Tally> tallies_;
};

class ClosedLoop : public testing::TestWithParam<std::uint64_t> {};

INSTANTIATE_TEST_SUITE_P(Seeds, ClosedLoop, testing::Range(std::uint64_t{1}, std::uint64_t{9}));

constexpr double per_slot = 10;  ///< Requests/s that one slot serves.

TEST_P(ClosedLoop, ServesEightTenthsOfAllSlotsArrivingAtTheSmallestNode) {
  World world({2, 4, 6}, GetParam());
  world.run(3);
  world.load(0, 0.8 * 12 * per_slot);
  world.run(31);
  const Tally all = world.tally(0, 3, 33);
  EXPECT_GE(all.success(), 0.999) << all.refused << " refused of " << all.offered;
  EXPECT_EQ(all.lost, 0);
  for (int second = 4; second < 33; ++second) {
    EXPECT_GE(world.tally(0, second, second + 1).success(), 0.99) << "second " << second;
  }
}

TEST_P(ClosedLoop, ServesNearlyAllOfTheSameLoadComingInBursts) {
  World world({2, 4, 6}, GetParam());
  world.run(3);
  world.load(0, 0.8 * 12 * per_slot, Arrivals::poisson);
  world.run(31);
  const Tally all = world.tally(0, 3, 33);
  EXPECT_GE(all.success(), 0.985) << all.refused << " refused of " << all.offered;
  EXPECT_EQ(all.lost, 0);
}

TEST_P(ClosedLoop, SpillsNothingWhileSlotsAreFree) {
  World world({8, 8}, GetParam());
  world.load(0, 0.2 * 8 * per_slot);
  world.run(20);
  EXPECT_LE(world.tally(0, 0, 20).calls_per_request(), 0.01);
}

TEST_P(ClosedLoop, ServesUsersOfAFunctionThatOnlyNeighboursRun) {
  World world({0, 4, 6}, GetParam());
  world.run(3);
  world.load(0, 0.6 * 10 * per_slot);
  world.run(20);
  EXPECT_GE(world.tally(0, 4, 22).success(), 0.99);
}

TEST_P(ClosedLoop, MakesAtMostSixFifthsOfAPeerCallPerRequestWhenAllAreFull) {
  // From a trickle to a flood, beside neighbours whose own users fill them.
  for (const double rate : {10.0, 30.0, 60.0, 120.0, 400.0}) {
    World world({2, 4, 6}, GetParam());
    world.load(1, 4 * 4 * per_slot);
    world.load(2, 4 * 6 * per_slot);
    world.load(0, 4 * 2 * per_slot);
    world.run(6);
    world.load(0, rate);
    world.run(1 + 200 / rate + 5);
    Tally all = world.tally(0, 6, 6 + static_cast<int>(200 / rate) + 5);
    EXPECT_LE(all.calls_per_request(), 1.2) << "at " << rate << "/s";
    Tally everyone;
    for (std::size_t node = 0; node < 3; ++node) {
      const Tally one = world.tally(node, 3, 10);
      everyone.offered += one.offered;
      everyone.peer_calls += one.peer_calls;
    }
    EXPECT_LE(everyone.calls_per_request(), 1.2) << "at " << rate << "/s";
  }
}

TEST_P(ClosedLoop, RecoversFromThreefoldOverloadWithinFiveSeconds) {
  World world({2, 4, 6}, GetParam());
  world.run(3);
  world.load(0, 3.0 * 12 * per_slot);
  world.run(30);
  const int over = world.second();
  world.load(0, 0.8 * 12 * per_slot);
  world.run(30);
  const Tally after = world.tally(0, over + 5, over + 29);
  EXPECT_GE(after.success(), 0.999) << after.refused << " refused of " << after.offered;
  const Tally during = world.tally(0, over - 25, over);
  EXPECT_LE(during.calls_per_request(), 1.2);
  EXPECT_GE(during.served, 0.9 * 12 * per_slot * 25) << "overload must not waste the slots";
}

TEST_P(ClosedLoop, CostsOwnUsersNothingMuchWhenANeighbourIsOverloaded) {
  World world({2, 6}, GetParam());
  world.run(3);
  world.load(1, 0.6 * 6 * per_slot, Arrivals::poisson);
  world.run(5);
  world.load(0, 10 * 2 * per_slot, Arrivals::poisson);
  world.run(40);
  const Tally own = world.tally(1, 8, 47);
  EXPECT_GE(own.success(), 0.995) << own.refused << " refused of " << own.offered;
}

TEST_P(ClosedLoop, LosesNothingWhenAnAgentStartsAnew) {
  World world({2, 4, 6}, GetParam());
  world.run(3);
  world.load(0, 0.7 * 12 * per_slot);
  world.run(10);
  world.restart_agent(0);
  world.run(3);
  world.restart_agent(1);
  world.run(10);
  const Tally all = world.tally(0, 4, world.second() - 1);
  EXPECT_EQ(all.lost, 0);
  EXPECT_GE(all.success(), 0.999) << all.refused << " refused of " << all.offered;
}

TEST_P(ClosedLoop, LosesNoRetrySafeRequestWhenANeighbourDies) {
  World world({2, 6, 6}, GetParam());
  world.run(3);
  world.load(0, 0.35 * 14 * per_slot);
  world.run(10);
  world.kill(1);
  world.run(10);
  const Tally all = world.tally(0, 4, world.second() - 1);
  EXPECT_EQ(all.lost, 0);
  EXPECT_EQ(all.served + all.refused, all.offered) << "somebody waits for ever";
  EXPECT_GE(world.tally(0, 16, world.second() - 1).success(), 0.999);
  for (const PeerPlan& peer : world.plan(0).peers) EXPECT_EQ(peer.up, peer.id != node_id(1));
}

}  // namespace
}  // namespace dfaas
