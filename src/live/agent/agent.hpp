// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The agent: the controller of core/control with sockets and timers around it.
///
/// It decides nothing itself: it proves candidates, carries messages, hands plans to the gateway and keeps
/// the front door's slots in step. When it is gone, the gateway goes on with its last plan.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "core/control/controller.hpp"
#include "core/membership/neighbours.hpp"
#include "core/model/routing_plan.hpp"
#include "live/agent/model_client.hpp"
#include "live/agent/trust.hpp"
#include "live/membership/serf_membership.hpp"
#include "live/net/http.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {

struct AgentSettings {
  NodeDirectory directory{"."};
  std::filesystem::path peers_file;
  std::optional<SerfSettings> serf;  ///< Without, the list alone says who might be there.
  NeighbourRules neighbours;
  ControllerSettings controller;
  Strategy strategy;
  std::optional<ModelSettings>
      model;  ///< Of strategy external_model; without, it is not to be had.
  TrustSettings trust;
  std::uint64_t seed = 0;
};

/// One thread runs it; every call comes from that thread.
class Agent {
 public:
  /// Binds its sockets and starts its loops. Errors: conflict or unavailable naming the socket.
  static Result<std::unique_ptr<Agent>> start(boost::asio::any_io_executor executor,
                                              AgentSettings settings);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  Agent(Agent&&) = delete;
  Agent& operator=(Agent&&) = delete;

  /// Writes down what must outlive this agent; before another one takes its place.
  void keep_credits();

  /// Tells neighbours and the gateway that this node is about to stop, then calls back.
  void stop(std::function<void()> done);

 private:
  struct State;
  explicit Agent(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
