// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One HTTP exchange over TLS, with a node that is known by its id or a server that is known by its name.
///
/// Guarantees  By id: whatever authority signed its certificate, the other side is that node, because the id
///             follows from the key that it used. So nothing has to be trusted before. By name: its certificate is
///             for that name and of an authority that this machine trusts (or SSL_CERT_FILE names).
/// Errors      unavailable, timed_out; denied when somebody else answers; overloaded over `bytes_max`.
#pragma once

#include <filesystem>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "live/net/http.hpp"

namespace dfaas {

struct SecurePlace {
  Endpoint address;
  NodeId id;                  ///< Empty: `address.host` is the name that counts.
  std::filesystem::path own;  ///< Certificate and key to show; empty for none.
};

boost::asio::awaitable<Result<HttpReply>> secure_fetch(SecurePlace place, RequestHead head,
                                                       std::string body, Millis patience,
                                                       std::size_t bytes_max);

/// The same for programs without an event loop.
Result<HttpReply> secure_fetch_blocking(const SecurePlace& place, RequestHead head,
                                        std::string body, Millis patience, std::size_t bytes_max);

}  // namespace dfaas
