// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The users of one emulated node: its calls, at the times and with the service times that the simulator draws
/// from the same seed, offered inside its network by the load generator on a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "apps/dfaas/emulate_federation.hpp"
#include "core/scenario/scenario.hpp"
#include "core/workload/results.hpp"
#include "live/netem/network_namespace.hpp"
#include "sim/world/call_record.hpp"

namespace dfaas {

struct NodeUsersPlan {
  const Scenario* scenario = nullptr;
  NodeIndex node = 0;
  NodeId id;  ///< Of the node.
  std::uint64_t seed = 1;
  std::chrono::steady_clock::time_point begin;
  std::uint16_t port = 0;
};

class NodeUsers {
 public:
  /// On `executor`: each call as it ends, then once the generator's own report.
  using OnCall = std::function<void(const CallRecord&)>;
  using OnDone = std::function<void(Result<LoadReport>)>;

  /// Null where the node has no users. All must outlive this.
  static std::unique_ptr<NodeUsers> start(boost::asio::any_io_executor executor,
                                          const NetworkNamespace& network,
                                          const NodeUsersPlan& plan, OnCall on_call,
                                          OnDone on_done);
  ~NodeUsers();  ///< Calls cancel() and waits for the thread.
  NodeUsers(const NodeUsers&) = delete;
  NodeUsers& operator=(const NodeUsers&) = delete;
  NodeUsers(NodeUsers&&) = delete;
  NodeUsers& operator=(NodeUsers&&) = delete;

  /// Gives up what is open and sends nothing more.
  void cancel();

 private:
  struct State;
  explicit NodeUsers(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
  std::thread thread_;
};

/// The users of all nodes.
class EmulatedLoad {
 public:
  /// `on_end` comes once from `executor`, unless nobody has users. All must outlive this.
  EmulatedLoad(boost::asio::any_io_executor executor, const EmulatedFederation& federation,
               const Scenario& scenario, std::uint64_t seed, const NodeUsers::OnCall& on_call,
               std::function<void()> on_end);

  /// The scenario's time 0.
  [[nodiscard]] std::chrono::steady_clock::time_point begin() const { return begin_; }
  [[nodiscard]] bool has_ended() const { return outcome_->open == 0; }
  void cancel();

  /// Why it could not begin somewhere.
  [[nodiscard]] const std::optional<Error>& error() const { return outcome_->error; }
  [[nodiscard]] bool kept_rate() const { return outcome_->kept_rate; }
  [[nodiscard]] Micros late_p99() const { return outcome_->late_p99; }

 private:
  struct Outcome {
    std::size_t open = 0;
    bool kept_rate = true;
    Micros late_p99{0};
    std::optional<Error> error;
    std::function<void()> on_end;

    void add(const Result<LoadReport>& report);
  };
  std::chrono::steady_clock::time_point begin_;
  std::shared_ptr<Outcome> outcome_;  ///< Reports may still be under way when this is gone.
  std::vector<std::unique_ptr<NodeUsers>> users_;
};

}  // namespace dfaas
