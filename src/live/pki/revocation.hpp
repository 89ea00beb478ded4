// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Which nodes of an organisation are no longer members: a list that its authority signs and every member
/// passes on.
///
/// Form        JSON with two texts, `list` and `signature`; the list is JSON again, signed as it stands. Ids are
///             revoked, not certificates: whatever certificate a node has, its key makes it the same node.
/// Guarantees  An authority can revoke nodes of its own organisation only. Of two lists the higher number counts,
///             so an old one that is sent again brings nobody back.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/trust_bundle.hpp"

namespace dfaas {

constexpr std::size_t revocations_bytes_max = 512U << 10U;
constexpr std::size_t revocations_max = 10'000;  ///< Nodes in one list.

struct RevocationList {
  std::string organisation;
  std::uint64_t number = 0;
  std::set<NodeId> nodes;

  friend bool operator==(const RevocationList&, const RevocationList&) = default;
};

Result<std::string> sign_revocations(const RevocationList& list, const Authority& authority);

/// Errors: invalid_input naming the field; denied when the signature is not of the organisation's authority.
Result<RevocationList> parse_revocations(std::string_view text, const TrustBundle& trusted);

}  // namespace dfaas
