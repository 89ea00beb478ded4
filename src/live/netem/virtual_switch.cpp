// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/netem/virtual_switch.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <queue>
#include <string>
#include <tuple>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace dfaas {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;

/// The largest frame of a tap with a usual MTU of 1500, and room for more.
constexpr std::size_t frame_bytes_max = 2048;
/// Read in one go, so that one busy node does not keep the others waiting.
constexpr int frames_at_once = 32;

Instant now() {
  return Instant{std::chrono::duration_cast<Micros>(SteadyClock::now().time_since_epoch())};
}

struct Flight {
  Instant at;
  std::uint64_t number = 0;  ///< Frames of one moment keep their order.
  NodeIndex to = 0;
  std::string frame;

  bool operator>(const Flight& other) const {
    return std::tie(at, number) > std::tie(other.at, other.number);
  }
};

}  // namespace

struct VirtualSwitch::State : std::enable_shared_from_this<VirtualSwitch::State> {
  State(asio::any_io_executor executor, FrameSwitch switch_model, std::vector<Descriptor> taps)
      : model(std::move(switch_model)), timer(executor) {
    for (Descriptor& tap : taps) ports.emplace_back(executor, tap.release());
  }

  FrameSwitch model;
  std::vector<asio::posix::stream_descriptor> ports;
  asio::steady_timer timer;
  std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights;
  std::uint64_t frames = 0;
  bool is_stopped = false;
  std::array<char, frame_bytes_max> buffer{};

  void listen(NodeIndex node) {
    ports[node].async_wait(
        asio::posix::stream_descriptor::wait_read,
        [self = shared_from_this(), node](const boost::system::error_code& error) {
          if (error || self->is_stopped) return;
          self->read(node);
          self->listen(node);
        });
  }

  void read(NodeIndex node) {
    for (int frame = 0; frame < frames_at_once; ++frame) {
      const ssize_t bytes = ::read(ports[node].native_handle(), buffer.data(), buffer.size());
      if (bytes <= 0) break;
      const std::span<const char> seen(buffer.data(), static_cast<std::size_t>(bytes));
      for (const FrameDelivery& delivery : model.accept(now(), node, seen)) {
        if (flights.size() >= frames_max) continue;
        flights.push({.at = delivery.at,
                      .number = frames++,
                      .to = delivery.to,
                      .frame = std::string(seen.data(), seen.size())});
      }
    }
    deliver();
  }

  void deliver() {
    while (!flights.empty() && flights.top().at <= now()) {
      const Flight& flight = flights.top();
      // A device that is down, or whose queue is full, loses frames: so do real ones.
      std::ignore =
          ::write(ports[flight.to].native_handle(), flight.frame.data(), flight.frame.size());
      flights.pop();
    }
    if (flights.empty()) return;
    timer.expires_at(SteadyClock::time_point{flights.top().at.time_since_epoch()});
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && !self->is_stopped) self->deliver();
    });
  }
};

VirtualSwitch::VirtualSwitch(asio::any_io_executor executor, FrameSwitch model,
                             std::vector<Descriptor> taps)
    : state_(std::make_shared<State>(std::move(executor), std::move(model), std::move(taps))) {}
VirtualSwitch::~VirtualSwitch() { stop(); }

void VirtualSwitch::start() {
  for (NodeIndex node = 0; node < state_->ports.size(); ++node) state_->listen(node);
}

void VirtualSwitch::stop() {
  if (std::exchange(state_->is_stopped, true)) return;
  state_->timer.cancel();
  for (auto& port : state_->ports) {
    boost::system::error_code ignored;  // It is gone either way.
    port.close(ignored);
  }
}

FrameSwitch& VirtualSwitch::model() { return state_->model; }

}  // namespace dfaas
