// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/scaling.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::size_t bytes_max = 1U << 20U;
constexpr std::size_t alerts_max = 1000;

using Labels = std::map<std::string, std::string>;

tl::unexpected<Error> refused(std::string_view label, const std::string& value,
                              std::string_view allowed) {
  return fail(ErrorCode::invalid_input,
              fmt::format("label {}: {} is not {}", label, in_quotes(value), allowed));
}

/// The label as a number from `low` to `high`; nothing where it is absent.
Result<std::optional<int>> number_label(const Labels& labels, const std::string& label, int low,
                                        int high) {
  const auto found = labels.find(label);
  if (found == labels.end()) return std::optional<int>();
  const auto value = parse_unsigned(found->second);
  if (!value || *value < static_cast<std::uint64_t>(low) ||
      *value > static_cast<std::uint64_t>(high)) {
    return refused(label, found->second, fmt::format("a number from {} to {}", low, high));
  }
  return std::optional<int>(static_cast<int>(*value));
}

int highest(const ScalingLabels& labels, int node_max) {
  return std::max(labels.min, std::min(labels.max.value_or(node_max), node_max));
}

}  // namespace

Result<ScalingLabels> scaling_labels(const Labels& labels) {
  ScalingLabels scaling;
  const auto min = number_label(labels, "com.openfaas.scale.min", 1, replicas_bound);
  if (!min) return tl::unexpected(min.error());
  scaling.min = min->value_or(scaling.min);
  const auto max = number_label(labels, "com.openfaas.scale.max", 1, replicas_bound);
  if (!max) return tl::unexpected(max.error());
  scaling.max = *max;
  if (scaling.max && *scaling.max < scaling.min) {
    return fail(ErrorCode::invalid_input,
                fmt::format("label com.openfaas.scale.max: {} is below com.openfaas.scale.min, {}",
                            *scaling.max, scaling.min));
  }
  const auto factor = number_label(labels, "com.openfaas.scale.factor", 0, 100);
  if (!factor) return tl::unexpected(factor.error());
  scaling.factor_percent = factor->value_or(scaling.factor_percent);
  if (const auto zero = labels.find("com.openfaas.scale.zero"); zero != labels.end()) {
    if (zero->second != "true" && zero->second != "false") {
      return refused(zero->first, zero->second, "true or false");
    }
    scaling.to_zero = zero->second == "true";
  }
  if (const auto idle = labels.find("com.openfaas.scale.zero-duration"); idle != labels.end()) {
    const auto time = parse_duration(idle->second);
    if (!time) return refused(idle->first, idle->second, "a time such as 90s, 15m or 1h30m");
    scaling.zero_duration = std::chrono::ceil<Millis>(*time);
  }
  if (const auto target = labels.find("com.openfaas.scale.target"); target != labels.end()) {
    scaling.target = parse_number(target->second);
    if (!scaling.target || *scaling.target <= 0) {
      return refused(target->first, target->second, "a number above 0");
    }
  }
  return scaling;
}

Result<ScaleRequest> scale_request_from_json(std::string_view text) {
  ScaleRequest request;
  const auto read = parse_json_object(text, bytes_max, [&request](const Fields& fields) {
    request.name = fields.text_or("serviceName", 200, "");
    request.space = fields.text_or("namespace", 200, "");
    request.replicas = static_cast<int>(fields.integer("replicas", 0, replicas_bound));
  });
  if (!read) return tl::unexpected(Error(read.error()).within("scaling"));
  return request;
}

Result<int> accept_replicas(const ScalingLabels& labels, int wanted, int node_max) {
  const int low = labels.to_zero ? 0 : labels.min;
  const int high = highest(labels, node_max);
  if (wanted == 0 && labels.to_zero) return 0;
  if (wanted >= labels.min && wanted <= high) return wanted;
  return fail(
      ErrorCode::invalid_input,
      fmt::format("replicas: {} is not from {} to {}, the bounds by labels and node{}", wanted, low,
                  high, wanted == 0 ? " (zero takes the label com.openfaas.scale.zero=true)" : ""));
}

int initial_replicas(const ScalingLabels& labels, std::optional<int> before, int node_max) {
  if (before == 0 && labels.to_zero) return 0;
  return std::clamp(before.value_or(labels.min), labels.min, highest(labels, node_max));
}

Result<std::vector<Alert>> alerts_from_json(std::string_view text) {
  std::vector<Alert> alerts;
  const auto read = parse_json_object(text, bytes_max, [&alerts](const Fields& fields) {
    const std::string overall = fields.text("status", 64);
    for (const Fields& entry : fields.objects("alerts", alerts_max)) {
      const std::string status = entry.text_or("status", 64, overall);
      if (status != "firing" && status != "resolved") {
        entry.fail_at("status", in_quotes(status) + " is not firing or resolved");
      }
      const Fields labels = entry.object("labels");
      alerts.push_back({.function = labels.accept("function_name", FunctionName::parse(labels.text(
                                                                       "function_name", 200))),
                        .firing = status == "firing"});
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("alert"));
  return alerts;
}

int replicas_after_alert(const ScalingLabels& labels, int current, bool firing, int node_max) {
  if (!firing) return labels.min;
  const int high = highest(labels, node_max);
  const int step = static_cast<int>(std::ceil(high * labels.factor_percent / 100.0));
  return std::clamp(current + step, labels.min, high);
}

}  // namespace dfaas
