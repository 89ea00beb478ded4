// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How a client speaks TLS, and who the server at the other end must be.
///
/// Guarantees TLS 1.2 or newer. A server that does not verify is an error, never a connection without TLS.
/// Limits     Certificates are not looked up in lists of revoked ones. Authorities are read once.
#pragma once

#include <openssl/ssl.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/ssl/context.hpp>

#include "core/base/result.hpp"

namespace dfaas {

struct TlsClient {
  std::shared_ptr<boost::asio::ssl::context> context;
  /// The name or address that the server's certificate must be for; empty where `check` alone decides.
  std::string name;
  /// Looks at the finished handshake; nothing where the name says it all.
  std::function<Result<void>(SSL* session)> check;
};

/// A context without anybody who is trusted.
std::shared_ptr<boost::asio::ssl::context> new_tls_context();

/// The server is `name`, by the authorities in the PEM file `authority`; empty: those that this machine trusts, or
/// SSL_CERT_FILE names. Errors: unavailable, naming the file.
Result<std::shared_ptr<const TlsClient>> tls_client_for(std::string name,
                                                        const std::filesystem::path& authority);

}  // namespace dfaas
