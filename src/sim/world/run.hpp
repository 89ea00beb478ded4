// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Runs a scenario under virtual time, call by call, with the code that decides in production.
///
/// Every node is a Controller and a Dispatcher, as agent and gateway have them; the world around them is
/// modelled: users, slots, links, faults, and what handling a call costs a processor.
///
/// Input       A valid scenario, a strategy, a seed. The same seed gives the same arrivals and service
///             times whatever the strategy, so that strategies are compared in pairs.
/// Output      Each call once to the listener, in the order in which they end; totals at the end.
/// Guarantees  Same input, same bytes. Every call that arrives ends exactly once; the run ends by itself:
///             `drain_max` after the last arrival what is still open counts as lost.
/// Limits      No bandwidth: a message takes its link's delay whatever its size. Slots of one pool do not
///             slow each other. Users wait for their answer, however late.
/// Cost        Under a microsecond a call; memory linear in nodes, links and calls under way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/control/external_observer.hpp"
#include "core/dataplane/dispatcher.hpp"
#include "core/model/routing_plan.hpp"
#include "core/scenario/scenario.hpp"
#include "core/strategy/strategy.hpp"
#include "sim/world/call_record.hpp"

namespace dfaas {

/// The reference that knows the present state of every neighbour, and needs no strategy.
inline constexpr std::string_view omni_name = "omni";

/// The model of strategy external_model: its answer to one question of `node`, `at` from the start; nothing
/// where it gives none. Question and answer are those of a live node, ids are those of node_id_of().
using ExternalModel = std::function<std::optional<ExternalShares>(
    Micros at, NodeIndex node, const ExternalQuestion& question)>;

struct RunOptions {
  Strategy strategy;  ///< Ignored with is_omni.
  bool is_omni = false;
  bool as_published = false;  ///< By strategy.plan_as_published, which must exist.
  std::uint64_t seed = 1;
  std::optional<Millis> period;  ///< Of control; unset: the strategy's own.
  Millis heartbeat{500};
  DispatcherSettings dispatcher;
  OutlierSettings outliers;
  /// Asked by each agent about each of its functions, once a period, if the strategy is external_model;
  /// answers at once. Unset, and where it said nothing usable yet: every call stays at its node.
  ExternalModel external;
  Millis external_keep{10'000};  ///< How long an answer holds, as setting external_model.keep_ms.

  [[nodiscard]] std::string_view name() const { return is_omni ? omni_name : strategy.name; }
  [[nodiscard]] Millis effective_period() const { return period.value_or(strategy.period); }
};

/// What the world tells while it runs. Overriding nothing is allowed.
class RunListener {
 public:
  virtual ~RunListener() = default;
  virtual void on_end(const CallRecord& /*call*/) {}
  virtual void on_plan(Micros /*at*/, NodeIndex /*node*/, const RoutingPlan& /*plan*/) {}
  /// Every simulated second: what is done of the whole.
  virtual void on_progress(Micros /*at*/, Micros /*duration*/) {}
};

struct NodeTotals {
  double busy_seconds = 0;     ///< Of its slots, together.
  std::uint64_t messages = 0;  ///< Of control that it sent, answers included.
  std::uint64_t forwards = 0;  ///< Tries at neighbours that it made.
  std::uint64_t forwards_refused = 0;
  std::uint64_t forwards_lost = 0;  ///< No answer in time.
  double handling_seconds = 0;      ///< Of its processor, beside running functions.
};

struct RunTotals {
  std::uint64_t calls = 0;
  std::uint64_t events = 0;
  std::uint64_t plans = 0;
  Micros ended{0};  ///< The last call.
  std::vector<NodeTotals> nodes;
};

/// Errors: invalid_input for a scenario that is not valid, or a strategy without a published form.
Result<RunTotals> run_scenario(const Scenario& scenario, const RunOptions& options,
                               RunListener& listener);

}  // namespace dfaas
