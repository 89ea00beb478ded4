// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How much memory and processor time a function may take, as OpenFaaS and Kubernetes write it.
///
/// Source  Kubernetes, "Resource Management for Pods and Containers": quantities with the suffixes k, M, G,
///         T (powers of 1000), Ki, Mi, Gi, Ti (of 1024), and m for thousandths of a processor. Memory may
///         also end in m or g as for Docker, as in older OpenFaaS files: "20m" is 20Mi, not 20 millibytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace dfaas {

struct ResourceLimits {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::uint32_t> cpu_millis;  ///< Thousandths of a processor.

  friend bool operator==(const ResourceLimits&, const ResourceLimits&) = default;
};

/// `text` is a JSON object such as {"memory": "128Mi", "cpu": "500m"}, or empty; an empty value is none.
/// `name` is the field it came from. Errors: invalid_input naming field, value and what is allowed; unknown
/// fields too, because a limit that nobody enforces is none.
Result<ResourceLimits> parse_limits(std::string_view name, std::string_view text);

/// "128Mi" in bytes. Errors: invalid_input.
Result<std::uint64_t> parse_memory(std::string_view text);
/// "500m", "0.5" or "2" in thousandths. Errors: invalid_input.
Result<std::uint32_t> parse_cpu(std::string_view text);

}  // namespace dfaas
