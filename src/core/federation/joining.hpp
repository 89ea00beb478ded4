// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a node that joins says, and what it hears: the token that an operator carries over, the request for a
/// first certificate, and the later one for the next.
///
/// Form    A token is one word, "dfaas1." and the base64 of a JSON object in letters that a URL may hold. The
///         messages are JSON.
/// Errors  invalid_input, naming the field and what it may be.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

constexpr std::size_t join_bytes_max = 256U
                                       << 10U;  ///< Of a message; bundles of authorities are in it.

/// Whoever has it may join once, or as often as the invitation says, until it expires.
struct JoinToken {
  std::string address;  ///< HOST:PORT where the issuing node lets nodes join.
  NodeId issuer;        ///< Its certificate must be of this key, so that nobody else can answer.
  std::string organisation;
  std::string invitation;    ///< Which one, 16 of [a-z0-9].
  std::string secret;        ///< 32 of [a-z0-9].
  std::int64_t expires = 0;  ///< Seconds since 1970, UTC.

  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};
std::string to_text(const JoinToken& token);
Result<JoinToken> parse_join_token(std::string_view text);

/// POST /dfaas/v1/join.
struct JoinRequest {
  std::string invitation;
  std::string secret;
  NodeName name;
  std::string request;  ///< For a certificate, PEM.
  /// HOST:PORT where other nodes reach the new one; ":PORT" for the host that the request comes from.
  std::string peer_address;

  friend bool operator==(const JoinRequest&, const JoinRequest&) = default;
};
std::string to_json(const JoinRequest& request);
Result<JoinRequest> join_request_from_json(std::string_view text);

/// Among JoinAnswer::secrets: the file with the keys of the federation's gossip.
constexpr std::string_view gossip_keys_secret = "secrets/gossip-keys";

/// The answer to both.
struct JoinAnswer {
  std::string certificate;           ///< PEM.
  std::string authorities;           ///< PEM, one per organisation of the federation.
  std::vector<std::string> members;  ///< HOST:PORT of peer ports, to begin with.
  int peer_port = 0;                 ///< Of the node that answers.
  /// How members find each other: settings, and files of the node's directory with what is to be in them.
  std::map<std::string, std::string> settings;
  std::map<std::string, std::string> secrets;

  friend bool operator==(const JoinAnswer&, const JoinAnswer&) = default;
};
std::string to_json(const JoinAnswer& answer);
Result<JoinAnswer> join_answer_from_json(std::string_view text);

/// POST /dfaas/v1/renew: the request for a certificate, PEM; who asks is proved by the present certificate.
std::string renew_request_to_json(std::string_view request);
Result<std::string> renew_request_from_json(std::string_view text);

}  // namespace dfaas
