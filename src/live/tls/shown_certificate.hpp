// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The certificate that the other side of a finished TLS handshake showed.
#pragma once

#include <openssl/ssl.h>

#include "core/base/result.hpp"
#include "live/pki/pki.hpp"

namespace dfaas {

/// Errors: denied when it showed none.
inline Result<Certificate> shown_certificate(SSL* session) {
  X509* const shown = ::SSL_get1_peer_certificate(session);
  if (shown == nullptr) return fail(ErrorCode::denied, "it showed no certificate");
  unsigned char* der = nullptr;
  const int size = ::i2d_X509(shown, &der);
  ::X509_free(shown);
  auto certificate = inspect_certificate_der(der, size);
  ::OPENSSL_free(der);
  return certificate;
}

}  // namespace dfaas
