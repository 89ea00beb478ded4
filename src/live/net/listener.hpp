// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Listening sockets: made here with safe permissions, or taken over from whoever started us.
#pragma once

#include <functional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "core/base/result.hpp"
#include "live/net/http.hpp"

namespace dfaas {

using UnixAcceptor = boost::asio::local::stream_protocol::acceptor;

/// Binds `path` with mode 0600, replacing a socket left by a process that died.
/// Errors: conflict when somebody answers on it; unavailable naming path and reason.
Result<UnixAcceptor> listen_unix(boost::asio::any_io_executor executor, const std::string& path);

/// Takes over a listening unix socket by its descriptor (socket activation).
Result<UnixAcceptor> adopt_unix(boost::asio::any_io_executor executor, int descriptor);

/// Accepts until cancelled or closed, handing each connection to `serve`. Runs out of descriptors
/// gracefully: pauses instead of spinning.
boost::asio::awaitable<void> accept_loop(UnixAcceptor* acceptor,
                                         std::function<void(StreamSocket)> serve);

}  // namespace dfaas
