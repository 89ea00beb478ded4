// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Tells the result of an asynchronous call to the URL that its caller named.
///
/// Limits  HTTP/1.1, a connection per callback, no redirects. https is checked against the system's
///         authorities (and SSL_CERT_FILE).
#pragma once

#include <string>

#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/http/message.hpp"
#include "core/openfaas/asynchronous.hpp"

namespace dfaas {

/// POST; the status of the answer. Errors: unavailable or timed_out, naming the host and why.
boost::asio::awaitable<Result<int>> post_callback(CallbackUrl url, Headers headers,
                                                  std::string body, Millis patience);

}  // namespace dfaas
