// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The per-request rules: serve here, try a neighbour, queue, or refuse.
///
/// The gateway calls it for every request and the simulator for every simulated one; there is no
/// second implementation. It is a state machine without I/O: events in, decisions out, `now` given.
///
/// Use         arrive_user() or arrive_guest() opens a request under an id of the caller's choosing
///             and says what to do first. While the decision is `try_peer`, report what the peer
///             did: accepted(), then finished(); or not_started() or lost(), whose result is the
///             next decision. `serve` ends with finished(); anything can end with abandoned(). Any
///             call may free slots or refuse what waits: after it, started() hands out who may
///             start now, and refused_in_queue() who is over.
/// Liveness    A neighbour that does much worse at a function than the others, ours included, gets no calls
///             of it for a while, then one on trial; at most half of those that are up at a time, and
///             never the last (outliers.hpp). Only the rule `spill` goes by it.
/// Guarantees  A user is never refused while a local slot is free. A guest never waits in front of
///             a user and is never forwarded. Of an organisation's guests never more than its limit are
///             here at once. At most `attempts_max` different peers per user
///             request, paid from a budget that each user's call fills. In-flight never exceeds the slots, except for what
///             ran already when deploy() lowered them. Every request ends exactly once.
/// Limits      queue_length_max requests in line per function and class, whatever their expected
///             wait. State is kept for deployed functions, for those of the plan and their peers,
///             and for requests under way; what leaves all three is forgotten.
/// Cost        O(peers of the function) for a try, O(log functions) otherwise.
/// Source      Ask-and-grant with spill: docs/reference/strategies.md, "grant_and_spill".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/random.hpp"
#include "core/dataplane/outliers.hpp"
#include "core/model/function.hpp"
#include "core/model/observation.hpp"
#include "core/model/routing_plan.hpp"

namespace dfaas {

using RequestId = std::uint64_t;

/// Why a request was not started where it was offered: the value of the header DFaaS-Outcome.
enum class Outcome : std::uint8_t {
  busy,         ///< No slot and no short queue there.
  limit,        ///< The sender is over its share, or not admitted by the sharing rule.
  draining,     ///< The node is about to stop.
  unknown,      ///< No such function, or another digest under its name.
  late,         ///< The deadline would pass first.
  unreachable,  ///< No answer in time, or the front door could not connect.
};

std::string_view to_text(Outcome outcome);
std::optional<Outcome> parse_outcome(std::string_view text);

struct Decision {
  enum class Kind : std::uint8_t {
    serve,     ///< A local slot is taken: run it.
    queue,     ///< Wait for started().
    try_peer,  ///< Offer it to `peer`; a place in its window is taken.
    refuse,    ///< Over; `reason` says why.
  };
  Kind kind = Kind::refuse;
  NodeId peer;                     ///< With try_peer.
  Outcome reason = Outcome::busy;  ///< With refuse.
};

/// The knobs of the rules; defaults from measurements (docs/reference/strategies.md).
struct DispatcherSettings {
  /// Below this expected wait a user queues at once instead of trying a neighbour:
  /// `spill_wait_ratio` of the mean service time, at least `spill_wait_min`.
  double spill_wait_ratio = 0.1;
  Micros spill_wait_min{5'000};
  /// A guest may queue below this expected wait.
  double guest_wait_ratio = 1.0;
  Micros guest_wait_min{20'000};
  /// A user whom no neighbour took may queue below this expected wait.
  double user_wait_ratio = 2.0;
  Micros user_wait_min{100'000};
  /// Of the slots that our own users' load needs on average, the part that is kept free for them. Kept
  /// free is idle: 1 costs 2 % of what could be served, 8 % on sparse graphs, and helps nobody
  /// (docs/reference/strategies.md).
  double home_reserve_ratio = 0;
  int attempts_max = 4;       ///< Neighbours that one request is offered to.
  double retry_ratio = 0.15;  ///< Tries at neighbours per user's call, beyond one, in the long run.
  double tries_burst = 10;    ///< So many may be saved up.
  /// A neighbour that refused gets no further tries for so long, or until it takes one that was under
  /// way: `full_memory_ratio` of the mean service time there, at least `full_memory_min`.
  double full_memory_ratio = 1.0;
  Micros full_memory_min{10'000};
  Micros peer_down_time{1'000'000};  ///< After two consecutive unreachable answers.
  int queue_length_max = 1000;
  Micros service_time_default{100'000};  ///< Until the first request was served.

  friend bool operator==(const DispatcherSettings&, const DispatcherSettings&) = default;
};

/// How a function's answer was.
enum class Answer : std::uint8_t {
  good,
  failed,  ///< Status 500 or above, or cut off.
};

class Dispatcher {
 public:
  Dispatcher(DispatcherSettings settings, Random random, OutlierSettings outliers = {});
  ~Dispatcher();
  Dispatcher(Dispatcher&&) noexcept;
  Dispatcher& operator=(Dispatcher&&) noexcept;
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  /// Adds or changes a function of this node. Requests in flight stay; fewer slots than in flight
  /// is legal and drains. No slots: it is here, but cannot run now; who waits for one is placed
  /// anew, through moved(). `digest` is what peers must match.
  void deploy(const FunctionName& function, int slots, std::string digest,
              const FunctionTraits& traits, Instant now);
  /// Queued requests of the function are refused `unknown` through refused_in_queue().
  void remove(const FunctionName& function, Instant now);

  /// Swaps the plan. A peer that the new plan lacks or has down gets no new requests. Those already
  /// at one that is down are named by requests_at_lost_peers(); one that merely left ends them.
  void install(const RoutingPlan& plan, Instant now);

  /// From now on every guest is refused `draining`.
  void drain();

  Decision arrive_user(RequestId id, const FunctionName& function, Instant now);

  /// `from` must be a proved neighbour. `digest` is what the sender runs under that name, empty
  /// when it has none. `time_left` is its deadline.
  Decision arrive_guest(RequestId id, const FunctionName& function, std::string_view digest,
                        const NodeId& from, std::optional<Micros> time_left, Instant now);

  /// The peer took it: slot taken there. Clears its failure count.
  void accepted(RequestId id, Instant now);

  /// The peer did not start it; safe to go elsewhere.
  Decision not_started(RequestId id, Outcome outcome, Instant now);

  /// It has a slot here, but could not be started, and nothing of it has run: a user's call goes to a
  /// neighbour or is refused `busy`, a guest's is refused `busy`.
  Decision not_run(RequestId id, Instant now);

  /// The peer started it, or may have, and was lost. Another try only where the function is
  /// retry-safe and `replayable` (the caller still has the whole body); else refuse(unreachable).
  Decision lost(RequestId id, bool replayable, Instant now);

  /// Served or failed by the function itself, here or at the peer. `service_time` (of local runs
  /// only) feeds the mean.
  void finished(RequestId id, std::optional<Micros> service_time, Instant now,
                Answer answer = Answer::good);

  /// The user left, or the deadline passed. In any state.
  void abandoned(RequestId id, Instant now);

  /// Requests that left the queue since the last call: start them now. Users come before guests,
  /// each class in order of arrival.
  std::vector<RequestId> started();

  /// Queued requests that were refused since the last call (function removed).
  std::vector<RequestId> refused_in_queue();

  /// Queued requests whose function lost its last slot since the last call, and what to do with each:
  /// try_peer or refuse.
  std::vector<std::pair<RequestId, Decision>> moved();

  /// Requests now at a peer that the plan in force has down: report each with lost() or
  /// not_started().
  std::vector<RequestId> requests_at_lost_peers() const;

  /// Requests that wait at a neighbour which was found stalled since the last call, and may run twice: report
  /// each with lost(), if its body is still here.
  std::vector<RequestId> stalled();

  /// Free admissions left for guests of a function: the value of DFaaS-Room.
  int room(const FunctionName& function, Instant now) const;

  [[nodiscard]] const RoutingPlan& plan() const;                 ///< In force.
  [[nodiscard]] bool knows(const FunctionName& function) const;  ///< Here or in the plan.
  [[nodiscard]] const PeerPlan* peer(const NodeId& id) const;    ///< Of the plan in force, or null.
  /// Digest and traits of a function deployed here, else empty/defaults.
  [[nodiscard]] std::string digest(const FunctionName& function) const;
  [[nodiscard]] FunctionTraits traits(const FunctionName& function) const;

  /// How long the head of an attempt at `peer` may take before it counts as unreachable:
  /// max(250 ms, 4 x RTT + twice the guest queue allowance there, which is a mean).
  [[nodiscard]] Micros attempt_time_limit(const FunctionName& function, const NodeId& peer) const;

  /// Neighbours that get no calls of the function now, and why; by id.
  [[nodiscard]] std::vector<std::pair<NodeId, Ejection>> ejected(
      const FunctionName& function) const;

  /// Counters for the agent. `boot` is left empty for the caller to fill.
  [[nodiscard]] GatewayObservation observe(Instant now) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
