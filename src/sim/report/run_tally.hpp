// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Counts a run as it happens: what was served, for whom, how fast, second by second.
///
/// Use         Give it to run_scenario() as the listener, then read the figures with figures_of().
/// Guarantees  Counts calls that arrive after the warm-up, each in the second and window of its arrival.
/// Limits      Keeps no call: memory grows with nodes, functions, seconds and windows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/scenario/scenario.hpp"
#include "core/workload/latency_histogram.hpp"
#include "sim/world/run.hpp"

namespace dfaas {

struct CallCounts {
  std::uint64_t offered = 0;
  std::uint64_t served_here = 0;      ///< In time.
  std::uint64_t served_by_peers = 0;  ///< In time.
  std::uint64_t late = 0;             ///< Served, too late.
  std::uint64_t refused = 0;
  std::uint64_t lost = 0;
  double work_offered = 0;  ///< Slot-seconds, where nothing slows them.
  double work_served = 0;

  [[nodiscard]] std::uint64_t served() const { return served_here + served_by_peers; }
  /// 1 where nothing was offered.
  [[nodiscard]] double success_ratio() const;
  void count(const CallRecord& call);
};

/// Calls of one node's users that another one served.
struct ForwardCount {
  NodeIndex to = 0;
  std::uint64_t calls = 0;
};

/// The weights that one node gave its neighbours, for the function it was asked for most.
struct WeightSample {
  Micros at{0};
  std::vector<double> shares;  ///< By neighbour, in order of node; together 1, or all 0.
};

class RunTally : public RunListener {
 public:
  /// `scenario` must outlive this.
  explicit RunTally(const Scenario& scenario);

  void on_end(const CallRecord& call) override;
  void on_plan(Micros at, NodeIndex node, const RoutingPlan& plan) override;
  void on_progress(Micros at, Micros duration) override;

  /// Told every simulated second.
  std::function<void(Micros at, Micros duration)> progress;
  /// Told of every call, counted or not.
  std::function<void(const CallRecord& call)> each_call;

  [[nodiscard]] const Scenario& scenario() const { return *scenario_; }
  [[nodiscard]] const CallCounts& total() const { return total_; }
  [[nodiscard]] const CallCounts& stress() const { return stress_; }
  [[nodiscard]] const std::vector<CallCounts>& nodes() const { return nodes_; }
  [[nodiscard]] const std::vector<CallCounts>& functions() const { return functions_; }
  /// From second 0 on, the warm-up included.
  [[nodiscard]] const std::vector<CallCounts>& seconds() const { return seconds_; }
  /// By window after the warm-up, then by function.
  [[nodiscard]] const std::vector<std::vector<CallCounts>>& windows() const { return windows_; }
  [[nodiscard]] const LatencyHistogram& latency() const { return latency_; }
  [[nodiscard]] std::uint64_t tries() const { return tries_; }
  /// By node whose users called: who served how many of their calls, in time or not, by node.
  [[nodiscard]] const std::vector<std::vector<ForwardCount>>& forwards() const { return forwards_; }
  /// The node whose weights were kept: the one asked for most.
  [[nodiscard]] NodeIndex watched() const { return watched_; }
  [[nodiscard]] const std::vector<NodeIndex>& watched_neighbours() const { return neighbours_; }
  [[nodiscard]] const std::vector<WeightSample>& weights() const { return weights_; }

 private:
  const Scenario* scenario_;
  CallCounts total_;
  CallCounts stress_;
  std::vector<CallCounts> nodes_;
  std::vector<CallCounts> functions_;
  std::vector<CallCounts> seconds_;
  std::vector<std::vector<CallCounts>> windows_;
  LatencyHistogram latency_;
  std::uint64_t tries_ = 0;
  std::vector<std::vector<ForwardCount>> forwards_;
  NodeIndex watched_ = 0;
  FunctionIndex watched_function_ = 0;
  std::vector<NodeIndex> neighbours_;
  std::vector<WeightSample> weights_;
};

}  // namespace dfaas
