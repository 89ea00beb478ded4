// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who might be a neighbour, and the proof that it is one.
///
/// Candidates are hints: addresses from a list (later from gossip). Nothing is believed of them before
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
#include "live/net/http.hpp"

namespace dfaas {

/// A line of a membership source that appeared or went.
struct CandidateChange {
  Endpoint address;
  bool is_gone = false;
};

/// The candidates of a text, one HOST:PORT a line, '#' starts a comment. Wrong lines become complaints
/// that name line and text.
struct CandidateList {
  std::vector<Endpoint> addresses;
  std::vector<std::string> complaints;
};
CandidateList parse_candidates(std::string_view text);

/// The file of a static federation; a missing file is an empty one.
class StaticMembership {
 public:
  explicit StaticMembership(std::filesystem::path file) : file_(std::move(file)) {}

  /// What changed since the last look. Complaints of a changed file are logged once.
  std::vector<CandidateChange> poll();

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
