// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Certificates read, and the node id that follows from a key.
///
/// Form    P-256 keys. A node's certificate carries its id as CN and DNS name; the id is derived from its
///         key, so no authority can issue one node's id for another's key. An organisation is the CN of
///         its authority's certificate.
/// Errors  One sentence that names the file and what is wrong with it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct Certificate {
  NodeId id;  ///< Derived from the key; empty for an authority.
  std::string common_name;
  std::string organisation;  ///< CN of the issuer.
  std::string fingerprint;   ///< SHA-256 of the DER form, upper-case hexadecimal.
  std::string not_before;    ///< ISO 8601, UTC.
  std::string not_after;
  std::chrono::sys_seconds valid_from{};
  std::chrono::sys_seconds valid_until{};
  bool expired = false;  ///< Now outside its validity.
};

/// The first certificate of a PEM text.
Result<Certificate> inspect_certificate(std::string_view pem);

/// The PEM text of a DER form in base64, as HAProxy hands it on.
std::string pem_from_base64_der(std::string_view base64);

/// From its DER form, as a TLS peer sends it.
Result<Certificate> inspect_certificate_der(const unsigned char* data, long size);

/// A certificate that may speak for a node: its CN is the id derived from its key, and it is valid now.
Result<void> check_node_certificate(const Certificate& certificate);

/// Does the private key in `key_pem` belong to the first certificate in `certificate_pem`?
Result<void> check_key_matches(std::string_view certificate_pem, std::string_view key_pem);

}  // namespace dfaas
