// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What is asked of the outside model of strategy external_model, and how its answer is read: the
/// contract of the DFaaS prototype's RL agent, one request per function.
///
/// Form    POST of {"function", "observation": {"node_OWN": {...}}, "agent_parameters": {"explore"}};
///         answer {"node_OWN": {"local": p, "reject": p, "node_ID": p, ...}}, one p for each
///         neighbour of the request. docs/reference/strategies.md has the keys.
/// Units   Rates in requests/s, times in ms, ratios in [0, 1].
/// Limits  64 KiB of answer.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/base/units.hpp"
#include "core/model/node_view.hpp"

namespace dfaas {

/// What became of the requests that went to one neighbour.
struct ExternalForwards {
  Rate sent;
  Rate rejected;  ///< Of them, those without a 2xx answer.
  double response_time_ms_mean = 0;
};

/// What was seen in one stretch of time.
struct ExternalWindow {
  Rate input;                        ///< From users.
  double reject_ratio = 0;           ///< Of those that ran here, without a 2xx answer.
  double response_time_ms_mean = 0;  ///< Of those.
  double cpu_ratio = 0;
  int replicas = 1;
};

struct ExternalObservation {
  NodeId self;
  FunctionName function;
  ExternalWindow current;
  ExternalWindow previous;  ///< Of the time that the last answer was in force.
  std::map<NodeId, ExternalForwards> previous_forwards;  ///< Every neighbour of the function.
  bool explore = false;
};

/// Within 1e-6, of rounding: the shares are scaled by it then.
bool sums_to_one(double sum);

/// What is no number becomes 0, ratios are brought into [0, 1].
std::string external_observation_json(const ExternalObservation& observation);

/// `neighbours`: those of the request, sorted. Shares that sum to 1 within 1e-6 are scaled to it.
/// Errors: invalid_input naming the field, its value and what is allowed: also for a neighbour that is
/// missing or was not asked for, and for another sum.
Result<ExternalShares> external_action_from_json(std::string_view text, const NodeId& self,
                                                 std::span<const NodeId> neighbours);

}  // namespace dfaas
