// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/body_pump.hpp"

#include <array>
#include <span>
#include <tuple>

namespace dfaas {

namespace asio = boost::asio;

namespace {
constexpr std::size_t piece_bytes = 32 * 1024;
}  // namespace

asio::awaitable<void> pump_body(BodyPump* pump) {
  const CallPtr call = pump->call;
  ClientConnection& to = *pump->to;
  for (const std::string* text : {&call->body, &pump->first_piece}) {
    if (text->empty()) continue;
    if (!co_await to.write_body(*text, time_left(call))) co_return;
  }
  std::array<char, piece_bytes> piece{};
  while (!call->body_complete && pump->wanted && !call->connection->body_done()) {
    const GatewaySettings* const settings = &pump->core->settings;
    const auto filled = co_await read_upload(settings, call, piece);
    if (!pump->wanted) co_return;
    if (!filled) {
      call->upload_failed();
      to.close();
      co_return;
    }
    if (*filled == 0) break;
    if (!co_await to.write_body(std::span(piece).first(*filled), time_left(call))) co_return;
  }
  if (!pump->wanted) co_return;
  std::ignore = co_await to.finish_body(time_left(call));
  if (!call->body_complete && call->connection->body_done()) watch_hangup(call);
}

void stop_pump(BodyPump* pump) {
  pump->wanted = false;
  if (!pump->call->connection->body_done()) pump->call->connection->stop_reading();
}

void watch_hangup(const CallPtr& call) {
  call->connection->watch_hangup([weak = std::weak_ptr<Call>(call)] {
    if (const CallPtr waiting = weak.lock()) {
      waiting->gone = true;
      waiting->interrupt();
    }
  });
}

}  // namespace dfaas
