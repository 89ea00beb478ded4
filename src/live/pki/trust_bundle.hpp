// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The authorities that a node trusts: one per organisation, as in `pki/ca.pem`.
///
/// Input       PEM certificates one after the other, in any order.
/// Guarantees  An organisation is one authority: two of one name would make it unclear who speaks for it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "live/pki/pki.hpp"

namespace dfaas {

struct TrustedAuthority {
  std::string organisation;
  std::string fingerprint;  ///< SHA-256 of the DER form, upper-case hexadecimal.
  std::string not_after;    ///< ISO 8601, UTC.
  std::string pem;

  friend bool operator==(const TrustedAuthority&, const TrustedAuthority&) = default;
};

class TrustBundle {
 public:
  TrustBundle() = default;  ///< Trusts nobody.

  /// Errors: invalid_input, when there is no certificate, one that is no authority's, one that cannot be read,
  /// two of one organisation, or a private key, which has no place in a file that is given away.
  static Result<TrustBundle> parse(std::string_view pem);
  static Result<TrustBundle> read(const std::filesystem::path& file);

  [[nodiscard]] const std::vector<TrustedAuthority>& authorities() const { return authorities_; }
  [[nodiscard]] const TrustedAuthority* find(std::string_view organisation) const;
  [[nodiscard]] std::string pem() const;

  /// Errors: conflict, when another authority of that organisation is there. The same one again changes nothing.
  Result<void> add(TrustedAuthority authority);
  /// Errors: not_found, naming those that are there.
  Result<void> remove(std::string_view organisation);

  /// The certificate (PEM) of a node, if one of these authorities signed it, it is valid now, and its name
  /// follows from its key. Errors: invalid_input or denied, with the reason.
  [[nodiscard]] Result<Certificate> verify(std::string_view certificate) const;
  /// Is `signature` (base64) that of the organisation's authority over `text`? Errors: denied.
  [[nodiscard]] Result<void> check_signature(std::string_view organisation, std::string_view text,
                                             std::string_view signature) const;

 private:
  std::vector<TrustedAuthority> authorities_;  ///< By organisation.
};

}  // namespace dfaas
