// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Load-balancing strategies: what a node knows in, where its requests may go out.
///
/// A strategy is a pure function. It has no clock, socket or log, so the agent and the simulator
/// run the same code, and a decision from production replays in a test. What it remembers between
/// calls is a value that goes in and comes out; what is random, it draws from `random`.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/names.hpp"
#include "core/base/random.hpp"
#include "core/base/result.hpp"
#include "core/model/exchange_message.hpp"
#include "core/model/node_view.hpp"
#include "core/model/routing_plan.hpp"

namespace dfaas {

/// A strategy's memory of one neighbour for one function.
struct PeerMemory {
  double quality = 1;        ///< Success quality q in [0.02, 1].
  double trust_clamp = 1e9;  ///< Most we believe it takes from us, requests/s.
};

/// A strategy's memory of one function of its own.
struct FunctionMemory {
  double relayed = 0;       ///< Demand we carry for others on top of our own, requests/s.
  double displaced = 0;     ///< Own demand we send away to make room, requests/s.
  bool overloaded = false;  ///< When last measured, by those that act on it one plan later.
};

struct StrategyMemory {
  std::map<std::pair<NodeId, FunctionName>, PeerMemory> peers;
  std::map<FunctionName, FunctionMemory> functions;
  /// Of strategies that measure in one plan and act in the next.
  std::uint64_t plans = 0;  ///< Made so far.
  Micros period{0};         ///< Of the first; a call after much less is for news between two plans.
  std::vector<FunctionPlan> plan_in_force;
  std::map<NodeId, std::vector<FunctionGrant>> announced;
};

struct StrategyResult {
  std::vector<FunctionPlan> functions;                  ///< Sorted by function.
  std::map<NodeId, std::vector<FunctionAsk>> asks;      ///< What to ask of each neighbour.
  std::map<NodeId, std::vector<FunctionGrant>> grants;  ///< What to answer each neighbour.
  StrategyMemory memory;
};

struct Strategy {
  std::string_view name;     ///< As written in settings and results: "grant_and_spill".
  std::string_view summary;  ///< One line, shown by `dfaas strategy list`.
  StrategyResult (*plan)(const NodeView& view, const StrategyMemory& memory, Random& random);
  /// The period that it is made for: what the simulator uses where nothing else is said.
  Millis period{2000};
  /// As its authors published it, errors included: for comparison with their measurements. Or null.
  StrategyResult (*plan_as_published)(const NodeView& view, const StrategyMemory& memory,
                                      Random& random) = nullptr;
  int published_plans_per_period = 1;  ///< How often that is called per period.
};

/// Every strategy in the build, sorted by name. Adding one is one function and one line here.
std::span<const Strategy> strategies() noexcept;

/// All of them as a Markdown table: what docs/reference/strategies.md begins with.
std::string strategies_reference();

/// Errors: invalid_input, naming the strategies that do exist.
Result<Strategy> find_strategy(std::string_view name);

}  // namespace dfaas
