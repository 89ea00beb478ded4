// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Whom a node knows, in numbers: from the agent to the gateway, which shows them in its status and metrics.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.hpp"

namespace dfaas {

/// What the serf beside the node says.
struct GossipSummary {
  std::string federation;
  bool is_connected = false;     ///< The agent hears it.
  std::uint64_t members = 0;     ///< Believed to be nodes of our federation, without ourselves.
  std::uint64_t not_joined = 0;  ///< Addresses to join where nobody lets us in.
  std::uint64_t other_federation = 0;  ///< From here on: ignored, since the agent started.
  std::uint64_t malformed = 0;
  std::uint64_t copy_of_self = 0;
  std::uint64_t crowded_out = 0;

  friend bool operator==(const GossipSummary&, const GossipSummary&) = default;
};

struct MembershipSummary {
  std::uint64_t up = 0;  ///< To `newcomers`: neighbours.
  std::uint64_t draining = 0;
  std::uint64_t silent = 0;
  std::uint64_t newcomers = 0;  ///< That have not answered yet.
  std::uint64_t proved = 0;  ///< From here on: addresses where a member was named, ours left out.
  std::uint64_t unproved = 0;
  std::uint64_t denied = 0;
  std::optional<GossipSummary> gossip;  ///< None: a list names the members.

  friend bool operator==(const MembershipSummary&, const MembershipSummary&) = default;
};

/// States and reasons under their names in messages and metrics.
inline constexpr std::array<std::pair<std::string_view, std::uint64_t MembershipSummary::*>, 4>
    neighbour_states{{{"up", &MembershipSummary::up},
                      {"draining", &MembershipSummary::draining},
                      {"silent", &MembershipSummary::silent},
                      {"new", &MembershipSummary::newcomers}}};
inline constexpr std::array<std::pair<std::string_view, std::uint64_t MembershipSummary::*>, 3>
    member_states{{{"proved", &MembershipSummary::proved},
                   {"unproved", &MembershipSummary::unproved},
                   {"denied", &MembershipSummary::denied}}};
inline constexpr std::array<std::pair<std::string_view, std::uint64_t GossipSummary::*>, 4>
    gossip_ignored{{{"other_federation", &GossipSummary::other_federation},
                    {"malformed", &GossipSummary::malformed},
                    {"copy_of_self", &GossipSummary::copy_of_self},
                    {"crowded_out", &GossipSummary::crowded_out}}};

std::string membership_summary_to_json(const MembershipSummary& summary);
/// Errors: invalid_input naming the field, its value and what is allowed.
Result<MembershipSummary> membership_summary_from_json(std::string_view text);

}  // namespace dfaas
