// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Lets nodes join and renew, on the node whose directory holds the organisation's authority.
///
/// Form        Beside `ca.key`: `invitations.json` (0600), in which secrets are only as their SHA-256, and
///             `issued.json`, who joined when, by which invitation.
/// Guarantees  An invitation is used up on disk before the certificate is given. Who is revoked gets none.
/// Limits      1000 invitations at a time; expired ones are forgotten.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/federation/joining.hpp"
#include "live/pki/authority.hpp"

namespace dfaas {

struct Invitation {
  std::string id;
  std::string secret_digest;  ///< SHA-256, upper-case hexadecimal.
  std::chrono::sys_seconds expires{};
  int uses_left = 1;
};

/// A node that got its first certificate here.
struct IssuedNode {
  NodeId id;
  NodeName name;
  std::string joined;  ///< ISO 8601, UTC.
  std::string invitation;
};

class Issuer {
 public:
  using IsRevoked = std::function<bool(const NodeId&)>;

  /// Errors: not_found where the directory holds no authority; else as Authority::open().
  static Result<Issuer> open(const std::filesystem::path& directory, std::chrono::minutes validity);

  [[nodiscard]] const Authority& authority() const { return authority_; }
  [[nodiscard]] const std::vector<IssuedNode>& issued() const { return issued_; }

  /// `address` and `self` are where and who this node is. Errors: invalid_input, overloaded, unavailable.
  Result<JoinToken> invite(std::string address, const NodeId& self, int uses,
                           std::chrono::minutes valid_for, std::chrono::sys_seconds now);
  /// The certificate (PEM) of the node that asks. Errors: denied, one sentence; invalid_input.
  Result<std::string> admit(const JoinRequest& request, const IsRevoked& is_revoked,
                            std::chrono::sys_seconds now);
  /// The next certificate of the node that showed `present` (both PEM). Errors: denied, invalid_input.
  Result<std::string> renew(std::string_view present, std::string_view request,
                            const IsRevoked& is_revoked) const;

 private:
  Issuer(std::filesystem::path directory, Authority authority, std::chrono::minutes validity)
      : directory_(std::move(directory)), authority_(std::move(authority)), validity_(validity) {}
  Result<void> load();
  [[nodiscard]] Result<void> save_invitations() const;
  [[nodiscard]] Result<void> save_issued() const;

  std::filesystem::path directory_;
  Authority authority_;
  std::chrono::minutes validity_;
  std::vector<Invitation> invitations_;
  std::vector<IssuedNode> issued_;
};

}  // namespace dfaas
