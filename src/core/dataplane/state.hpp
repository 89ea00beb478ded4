// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the dispatcher remembers: pools of slots with their lines, functions, neighbours, requests.
///
/// Internal to core/dataplane. Everything a request needs is reached by pointer: names are looked up
/// once, when it arrives, and neighbours once, when a plan is installed.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory_resource>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/dataplane/dispatcher.hpp"
#include "core/dataplane/outliers.hpp"
#include "core/model/function.hpp"
#include "core/model/observation.hpp"
#include "core/model/routing_plan.hpp"

namespace dfaas::dataplane {

inline constexpr Micros arrival_memory{2'000'000};  ///< Time constant of the own arrival rate.
inline constexpr int failures_until_down = 2;
inline constexpr std::size_t tries_max = 8;  ///< More than any setting asks for.

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
  Instant full_until{};    ///< It refused a moment ago.
  Micros service_time{0};  ///< Of one run there, as the plan has it.
  bool is_up = false;      ///< By the plan.
  OutlierState outlier;
};

/// How one neighbour stands with all functions.
struct PeerHealth {
  int outstanding = 0;
  int failures = 0;
  Instant down_until{};

  [[nodiscard]] bool is_suspect() const { return failures >= failures_until_down; }
};

/// A neighbour of the plan in force as a destination for one function.
struct PeerLink {
  const FunctionPeer* to = nullptr;
  bool is_up = false;
  PeerState* state = nullptr;
  PeerHealth* health = nullptr;
};

/// Neighbours within their caps that found no slot lately: the last one, and the last other one.
struct Pressure {
  NodeId newest;
  NodeId other;
  Instant newest_at{};
  Instant other_at{};

  void note(const NodeId& guest, Instant now) {
    if (guest != newest) {
      other = newest;
      other_at = newest_at;
      newest = guest;
    }
    newest_at = now;
  }
  /// By somebody else than `guest`.
  [[nodiscard]] bool is_on(const NodeId& guest, Micros memory, Instant now) const {
    const NodeId& by = newest == guest ? other : newest;
    return !by.empty() && now - (newest == guest ? other_at : newest_at) <= memory;
  }
};

struct FunctionState;
using Line = std::pmr::list<RequestId>;

/// Slots that one function has for itself, or that several share, and who waits for them.
struct PoolState {
  explicit PoolState(std::pmr::memory_resource* memory) : users(memory), guests(memory) {}

  int slots = 0;
  int in_flight = 0;
  int own_in_flight = 0;
  std::size_t requests = 0;  ///< Running or in line: while there are any, this must stay.
  Line users;                ///< In line, in order of arrival.
  Line guests;               ///< Behind all users.
  Pressure pressure;
  std::vector<FunctionState*> members;  ///< Deployed functions, in order of deployment.

  [[nodiscard]] bool is_full() const { return in_flight >= slots; }
  [[nodiscard]] std::size_t waiting() const { return users.size() + guests.size(); }
};

struct FunctionState {
  const FunctionName* name = nullptr;  ///< The key of the map that holds this.
  bool deployed = false;
  int slots = 0;
  std::string digest;
  FunctionTraits traits;
  PoolState* pool = nullptr;  ///< While deployed.
  int in_flight = 0;
  std::size_t requests = 0;  ///< Under way, wherever; while there are any, this must stay.
  std::size_t users_waiting = 0;
  std::size_t guests_waiting = 0;
  double service_seconds = 0;
  std::uint64_t served = 0;
  AnswerRecord own_answers;  ///< Of runs here.
  DecayingRate own_rate;
  std::uint64_t user_arrivals = 0;
  std::uint64_t guest_arrivals = 0;
  const FunctionPlan* plan = nullptr;
  std::vector<PeerLink> links;  ///< One for each peer of the plan, in its order.
  double displacement = 0;      ///< Collects displaced_ratio until it is worth a request.
  TokenBucket local_tokens;     ///< Of the rule `rate`.
  std::map<NodeId, PeerState> peers;
  std::map<NodeId, TokenBucket> guest_caps;
};

enum class Phase : std::uint8_t { running, queued, at_peer };

/// What every request needs lies in its first cache line; the rest is for those that went to neighbours.
struct alignas(64) Request {
  FunctionState* function = nullptr;
  PoolState* pool = nullptr;  ///< While running or queued.
  Phase phase = Phase::running;
  bool is_guest = false;
  bool waits_as_user = false;    ///< While queued: in which line.
  bool is_accepted = false;      ///< By the peer; while at_peer.
  bool is_trial = false;         ///< Of a peer that is ejected; while at_peer.
  std::uint8_t tries = 0;        ///< How many of `tried` count.
  Line::iterator place_in_line;  ///< While queued.
  PeerState* peer_state = nullptr;
  PeerHealth* peer_health = nullptr;
  int* of_organisation = nullptr;  ///< Of a guest: how many of its organisation are here.
  NodeId peer;                     ///< While at_peer; of a guest, whose it is.
  Instant sent{};                  ///< To the peer.
  std::array<const PeerHealth*, tries_max> tried{};

  [[nodiscard]] bool has_tried(const PeerHealth* peer_to_try) const {
    for (std::size_t at = 0; at < tries; ++at) {
      if (tried[at] == peer_to_try) return true;
    }
    return false;
  }
};

}  // namespace dfaas::dataplane
