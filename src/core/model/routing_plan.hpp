// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the agent hands to the gateway: everything the per-request rules need, whole and versioned.
///
/// The gateway swaps plans atomically and keeps the last one when the agent is gone. A plan names
/// destinations and how much of each; the rules that use it are core/dataplane.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/base/units.hpp"

namespace dfaas {

/// A neighbour as the gateway reaches it: slot p<slot> of the front door.
struct PeerPlan {
  NodeId id;
  NodeName name;
  std::string organisation;  ///< Name of the CA that signed its certificate.
  int slot = 0;              ///< 1 to 64.
  bool up = false;           ///< False: silent or proved wrong; in-flight calls to it are given up.
  Micros rtt{0};             ///< Smoothed round trip over the link; 0 while unknown.

  friend bool operator==(const PeerPlan&, const PeerPlan&) = default;
};

/// One neighbour as a destination for one function.
struct FunctionPeer {
  NodeId id;
  double weight = 0;        ///< > 0; relative to the other peers of the function.
  int window = 0;           ///< Most requests of ours it may hold at once, >= 1.
  double floor_weight = 0;  ///< > 0; what is left of the weight once the plan is too old.
  Micros service_time{0};   ///< Mean service time there; 0 while unknown.

  friend bool operator==(const FunctionPeer&, const FunctionPeer&) = default;
};

/// What one neighbour may have running or queued here, enforced while the pool is under pressure.
struct GuestLimit {
  NodeId id;
  Rate rate;  ///< Hard cap: twice what we granted plus a burst.

  friend bool operator==(const GuestLimit&, const GuestLimit&) = default;
};

/// How a user's request finds its place.
enum class RoutingRule : std::uint8_t {
  spill,   ///< Here while a slot is free; else a neighbour by weight; else in line, or refused.
  shares,  ///< Drawn among here, the neighbours and refusal by share, whatever is free where.
  rate,  ///< Here while less than `local_rate` runs here; else a neighbour by weight, else refused.
};

/// What a neighbour's request meets here.
enum class GuestRule : std::uint8_t {
  home_first,  ///< Behind our own users, whose load is kept free; its cap holds under pressure.
  as_users,    ///< As one of our own users, without a cap.
  capped,      ///< As one of our own users, up to its cap, whatever is free.
};

struct FunctionPlan {
  FunctionName function;
  RoutingRule rule = RoutingRule::spill;
  GuestRule guest_rule = GuestRule::home_first;
  int draws =
      2;  ///< Neighbours drawn by weight for a try, 1 or 2: of two the less busy one is taken.
  double local_share = 1;           ///< With `shares`: local_share + refused_share + weights = 1.
  double refused_share = 0;         ///< With `shares`.
  Rate local_rate;                  ///< With `rate`.
  double displaced_ratio = 0;       ///< With `spill`, in [0, 1]: of the users' requests that try a
                                    ///< neighbour first though a slot is free here, to make room.
  std::vector<FunctionPeer> peers;  ///< Sorted by id. Empty: all local.
  std::vector<GuestLimit> guests;   ///< Sorted by id; only neighbours the sharing rule admits.

  friend bool operator==(const FunctionPlan&, const FunctionPlan&) = default;
};

/// Most calls of an organisation's nodes that may be here at once, running or in line.
struct OrganisationLimit {
  std::string organisation;
  int slots = 0;

  friend bool operator==(const OrganisationLimit&, const OrganisationLimit&) = default;
};

struct RoutingPlan {
  std::uint64_t version = 0;    ///< Grows with every plan of one agent.
  std::string strategy;         ///< A name of the strategy table.
  Millis lifetime{6000};        ///< After this long without a new plan, weights fall to the floor.
  std::vector<PeerPlan> peers;  ///< Sorted by id.
  std::vector<OrganisationLimit>
      limits;                           ///< Of organisations of `peers`; sorted. Others have none.
  std::vector<FunctionPlan> functions;  ///< Sorted; one deployed nowhere near is absent.

  friend bool operator==(const RoutingPlan&, const RoutingPlan&) = default;
};

/// The form in which a plan travels from agent to gateway, over a local socket.
std::string plan_to_json(const RoutingPlan& plan);

/// Errors: invalid_input naming the field, its value and what is allowed.
Result<RoutingPlan> plan_from_json(std::string_view text);

}  // namespace dfaas
