// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the operator of a node decided about other members: who is no neighbour, and how many of whose
/// calls run here at once.
///
/// Input       Texts of the settings policy.allow, policy.deny, policy.limits; the same in scenarios.
/// Guarantees  Deny wins over allow. Without texts everybody is welcome, without a limit.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

inline constexpr std::size_t policy_entries_max = 200;  ///< Of one list.

/// Organisations and single nodes.
struct PartnerList {
  std::set<std::string> organisations;
  std::set<NodeId> nodes;

  [[nodiscard]] bool empty() const { return organisations.empty() && nodes.empty(); }
  [[nodiscard]] bool names(const NodeId& node, std::string_view organisation) const;

  friend bool operator==(const PartnerList&, const PartnerList&) = default;
};

/// "globex, initech, 3n4o...": names of organisations and ids of nodes. What looks like an id is one.
/// Errors: invalid_input naming the entry and what is allowed.
Result<PartnerList> parse_partners(std::string_view text);

/// Calls of an organisation's nodes that may be here at once, running or in line, whichever the function.
struct GuestSlots {
  std::map<std::string, int> of;  ///< By organisation.
  std::optional<int> of_others;   ///< Of each organisation that is not named, our own aside: `*`.

  friend bool operator==(const GuestSlots&, const GuestSlots&) = default;
};

/// "globex=4, initech=0, *=8". Errors: invalid_input naming the entry and what is allowed.
Result<GuestSlots> parse_guest_slots(std::string_view text);

/// As parse_partners() and parse_guest_slots() read them back.
std::string to_text(const PartnerList& list);
std::string to_text(const GuestSlots& slots);

struct Policy {
  PartnerList allow;  ///< Empty: everybody.
  PartnerList deny;
  GuestSlots limits;
  bool has_credits = false;  ///< Who gave more gets more where not all can have what they ask for.

  /// Why this node is no neighbour of ours: names the setting. Empty when it may be one.
  [[nodiscard]] std::string complaint_of(const NodeId& node, std::string_view organisation) const;

  /// None: no limit. `own` is the organisation of this node.
  [[nodiscard]] std::optional<int> slots_for(std::string_view organisation,
                                             std::string_view own) const;

  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace dfaas
