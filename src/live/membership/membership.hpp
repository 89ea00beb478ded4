// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who might be a neighbour, and the proof that it is one.
///
/// Candidates are hints: addresses from a list or from gossip. Nothing is believed of them before
/// prove() has seen a certificate that one of our authorities signed and whose name follows from its key.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/membership/hint.hpp"
#include "live/net/http.hpp"

namespace dfaas {

/// Where hints come from: a list, gossip.
class MembershipSource {
 public:
  MembershipSource() = default;
  virtual ~MembershipSource() = default;
  MembershipSource(const MembershipSource&) = delete;
  MembershipSource& operator=(const MembershipSource&) = delete;
  MembershipSource(MembershipSource&&) = delete;
  MembershipSource& operator=(MembershipSource&&) = delete;

  /// What changed since the last look.
  virtual std::vector<HintChange> poll() = 0;
};

/// The candidates of a text, one HOST:PORT a line, '#' starts a comment; 10000 at most. Wrong lines become
/// complaints that name line and text.
struct CandidateList {
  std::vector<Endpoint> addresses;
  std::vector<std::string> complaints;
};
CandidateList parse_candidates(std::string_view text);

/// The file of a static federation; a missing file is an empty one. Complaints of a changed file are logged
/// once.
class StaticMembership : public MembershipSource {
 public:
  explicit StaticMembership(std::filesystem::path file) : file_(std::move(file)) {}

  std::vector<HintChange> poll() override;

 private:
  std::filesystem::path file_;
  std::string seen_text_;
  std::vector<Endpoint> seen_;
};

struct ProvedPeer {
  NodeId id;
  std::string organisation;
  std::string fingerprint;
  std::string address;  ///< Numeric, where the proof was seen.
  std::uint16_t port = 0;
  Micros round_trip{0};  ///< Of connecting.
};

/// Our side of the handshake.
struct OwnCertificate {
  std::filesystem::path certificate_and_key;
  std::filesystem::path authorities;
};

/// Errors: unavailable or timed_out when nobody answers; denied, naming address and reason, when somebody
/// does who cannot be trusted.
boost::asio::awaitable<Result<ProvedPeer>> prove(Endpoint candidate, OwnCertificate own,
                                                 Millis patience);

}  // namespace dfaas
