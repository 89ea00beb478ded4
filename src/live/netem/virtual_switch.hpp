// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Carries the frames between tap devices, as a FrameSwitch says.
///
/// Use     On the thread of the executor's loop. Keep it until after stop().
/// Limits  `frames_max` frames under way; more are dropped, as by a wire that is too short for its bandwidth.
#pragma once

#include <memory>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "core/netem/frame_switch.hpp"
#include "live/netem/network_namespace.hpp"

namespace dfaas {

class VirtualSwitch {
 public:
  /// One tap for each node of the model.
  VirtualSwitch(boost::asio::any_io_executor executor, FrameSwitch model,
                std::vector<Descriptor> taps);
  ~VirtualSwitch();
  VirtualSwitch(const VirtualSwitch&) = delete;
  VirtualSwitch& operator=(const VirtualSwitch&) = delete;
  VirtualSwitch(VirtualSwitch&&) = delete;
  VirtualSwitch& operator=(VirtualSwitch&&) = delete;

  void start();
  void stop();
  /// What is cut and shaped here holds for frames from now on.
  [[nodiscard]] FrameSwitch& model();

  static constexpr std::size_t frames_max = 50'000;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
