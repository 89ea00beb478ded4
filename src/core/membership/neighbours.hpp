// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Which of the members that were proved are our neighbours, and whose proof is tried next.
///
/// Guarantees  Never more than `neighbours_max`. Where all members have room, all are neighbours. Else the nearest
///             ones, and some by lot, so that what is far apart stays connected. A neighbour stays while no
///             other is nearer by a fifth: noise of a tenth changes nothing. Whom the operator
///             names is alone.
///             The lot of two nodes is the same on both sides, so they mostly choose each other.
/// Cost        n log n.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"

namespace dfaas {

constexpr int front_door_slots = 64;
/// Fewer than slots: those that are being closed do not keep newcomers waiting.
constexpr std::size_t neighbours_limit = 60;

/// A member whose certificate was seen.
struct ProvedMember {
  NodeId id;
  std::string name;  ///< As claimed; may be empty.
  Micros rtt{0};     ///< Measured on the way to it.
  bool is_neighbour = false;
  bool is_doubtful = false;  ///< Silent, or came and went too often: after all others.
};

struct NeighbourRules {
  NodeId self;
  std::size_t neighbours_max = neighbours_limit;
  std::size_t by_lot = 6;      ///< Of them.
  std::set<std::string> only;  ///< Ids or names; empty for everybody.
};

/// Their ids, sorted. `members` have different ids.
std::vector<NodeId> choose_neighbours(std::span<const ProvedMember> members,
                                      const NeighbourRules& rules);

/// Remembers how often a neighbour was lost: one that comes and goes gives way to others, for 10 s after the
/// second loss, then twice as long with each, up to 10 min. What it lost is forgotten after 20 min without.
class FlapMeter {
 public:
  void lost(Instant now);
  [[nodiscard]] bool is_damped(Instant now) const;

 private:
  int losses_ = 0;
  Instant last_{};
};

/// A candidate whose proof is due.
struct ProofWish {
  std::size_t index = 0;   ///< Of the caller.
  std::string_view group;  ///< Empty: the operator's list.
  bool is_neighbour = false;
  Instant since{};  ///< When it became due.
};

struct ProofLimits {
  std::size_t under_way_max = 64;
  std::size_t under_way_max_each = 16;  ///< Of a group.
};

/// Whose proof begins now, in order: neighbours and the list first, then one of each group in turn, so that a
/// group with thousands of candidates holds up nobody else. `under_way` counts proofs by group.
std::vector<std::size_t> order_proofs(std::vector<ProofWish> wishes,
                                      std::map<std::string, std::size_t> under_way,
                                      const ProofLimits& limits);

}  // namespace dfaas
