// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The oracle's problems of a scenario: who could have served whom, window by window.
///
/// A node serves its own users and, where both run an agent, those of its neighbours, as far as a
/// function is shared. A node that is down, or has not joined, serves nobody, and nobody serves its
/// users. A cut of either direction ends a link: a call goes forth, its answer back. A node that refuses
/// guests serves only its own. Faults and lies that slow a node make each request take longer there.
/// An agent that crashes changes nothing: a better system would not depend on it.
///
/// Limits      A request takes the mean of its function's service time: cold starts, and what handling
///             costs, are not counted.
/// Cost        Linear in links, deployments and the nodes that faults name, a window.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/scenario/scenario.hpp"
#include "sim/oracle/arrival_counts.hpp"
#include "sim/oracle/oracle.hpp"

namespace dfaas {

class OracleProblems {
 public:
  /// Requires a valid scenario, which must outlive this.
  explicit OracleProblems(const Scenario& scenario);

  /// Of a window of oracle_spans(), with what arrived in it.
  [[nodiscard]] OracleProblem at(OracleSpan span, std::span<const ArrivalCount> arrivals) const;

 private:
  struct Neighbour {
    NodeIndex node = 0;
    std::size_t link = 0;
  };
  struct Host {
    bool is_deployed = false;
    std::size_t pool = 0;  ///< Into the problem's.
  };
  struct State;

  [[nodiscard]] State state_at(Micros at) const;
  [[nodiscard]] Host host(NodeIndex node, FunctionIndex function) const;
  [[nodiscard]] bool may_forward(NodeIndex home, const Neighbour& to, FunctionIndex function,
                                 const State& state) const;

  const Scenario& scenario_;
  std::vector<std::vector<Neighbour>> neighbours_;  ///< By node, sorted by node.
  std::vector<std::size_t> first_pool_;             ///< By node.
  std::vector<std::size_t> slots_;                  ///< By pool.
};

}  // namespace dfaas
