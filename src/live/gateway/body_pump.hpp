// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The body of a call on its way to whoever runs it: a process of ours, a neighbour, a platform.
///
/// Internal to live/gateway.
#pragma once

#include <string>

#include <boost/asio/awaitable.hpp>

#include "live/gateway/gateway_core.hpp"

namespace dfaas {

/// Lives in the frame of whoever runs the call, as long as both directions do.
struct BodyPump {
  GatewayCore* core;
  CallPtr call;
  ClientConnection* to;
  std::string first_piece =
      {};  ///< What was read of the body beside Call::body, and goes out behind it.
  bool wanted = true;
};

/// Sends what was read ahead, then the rest as it comes, then watches for a user who hangs up. A user who
/// leaves meanwhile, or a body that is too large or too slow, closes `to` and is told by the call.
boost::asio::awaitable<void> pump_body(BodyPump* pump);

/// The answer is over: nobody wants the rest of the body.
void stop_pump(BodyPump* pump);

}  // namespace dfaas
