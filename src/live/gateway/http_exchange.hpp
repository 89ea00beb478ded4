// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A call that an HTTP server runs, a process of ours or a platform: the request out, the answer back, both as they
/// come.
///
/// Internal to live/gateway.
/// Guarantees Server-sent events and other slow answers reach the user piece by piece. A user who hangs up, and a
///            deadline that passes, end it at once. An answer cut off is cut off for the user too.
#pragma once

#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "live/gateway/body_pump.hpp"

namespace dfaas {

/// A try in progress; lives in the frame of whoever makes it, and does not move once it began.
struct HttpExchange {
  HttpExchange(GatewayCore* core_, CallPtr call_, ClientConnection connection_,
               std::string first_piece, Instant since_);

  GatewayCore* core;
  CallPtr call;
  ClientConnection connection;
  BodyPump pump;
  Instant since;
  int status = 0;  ///< 0: there was no answer.
  bool delivered = true;
  bool is_silent = false;          ///< The server said nothing at all.
  bool is_platform_error = false;  ///< The answer carries X-OpenFaaS-Internal.
};

/// Does it. Without an answer (status 0) the user was told nothing yet.
boost::asio::awaitable<void> exchange_http(HttpExchange* exchange, RequestHead request);

/// How the call ended, when there was an answer.
CallEnd end_of_answer(const HttpExchange& exchange);

/// Nothing of an answer came: tells the user whose fault it was. `who` is "the function", "the platform".
boost::asio::awaitable<CallEnd> answer_failure(HttpExchange* exchange, std::string_view who);

/// Has the server, which closed a pooled connection without a word, run nothing, or may it run twice?
bool may_send_again(const HttpExchange& exchange);

}  // namespace dfaas
