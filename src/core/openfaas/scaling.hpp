// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How many replicas a function shall have: scaling labels, the scale request and alerts.
///
/// Source  OpenFaaS: labels com.openfaas.scale.*, POST /system/scale-function/{name}, POST
///         /system/alert with the body of Prometheus' AlertManager. Unlike OpenFaaS CE there is no cap of
///         5 replicas: a function without com.openfaas.scale.max is bounded by its node.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

inline constexpr int replicas_bound = 10'000;

struct ScalingLabels {
  int min = 1;              ///< com.openfaas.scale.min, 1 to 10000.
  std::optional<int> max;   ///< com.openfaas.scale.max, min to 10000.
  int factor_percent = 20;  ///< com.openfaas.scale.factor, 0 to 100: step of an alert.
  bool to_zero = false;     ///< com.openfaas.scale.zero.
  Millis zero_duration{
      900'000};                  ///< com.openfaas.scale.zero-duration: idle before it goes to zero.
  std::optional<double> target;  ///< com.openfaas.scale.target: load that a replica shall carry.
};

/// Errors: invalid_input naming the label, its value and what is allowed.
Result<ScalingLabels> scaling_labels(const std::map<std::string, std::string>& labels);

struct ScaleRequest {
  std::string name;  ///< serviceName; may be empty, as the path names the function, too.
  std::string space;
  int replicas = 1;
};

/// {"serviceName"?: ..., "replicas": ..., "namespace"?: ...}. Errors: invalid_input naming the field.
Result<ScaleRequest> scale_request_from_json(std::string_view text);

/// Checks the number against the function's labels and what the node allows.
/// Errors: invalid_input with the bounds.
Result<int> accept_replicas(const ScalingLabels& labels, int wanted, int node_max);

/// Where a deployment starts: at the minimum, or at what it had as far as the labels still allow it.
int initial_replicas(const ScalingLabels& labels, std::optional<int> before, int node_max);

struct Alert {
  FunctionName function;
  bool firing = false;
};

/// The body of AlertManager: {"status": ..., "alerts": [{"status", "labels": {"function_name"}}]}.
/// Errors: invalid_input naming the field.
Result<std::vector<Alert>> alerts_from_json(std::string_view text);

/// One alert more: a step up, by the factor of the maximum; resolved: back to the minimum.
int replicas_after_alert(const ScalingLabels& labels, int current, bool firing, int node_max);

}  // namespace dfaas
