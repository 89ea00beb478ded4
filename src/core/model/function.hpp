// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a function is to the load balancer: its labels, read once and checked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/base/units.hpp"

namespace dfaas {

/// How far a function's requests, and so their data, may travel: label `dfaas.share`.
enum class Sharing : std::uint8_t { node, organisation, federation };

std::string_view to_text(Sharing sharing);
/// Errors: invalid_input, naming the allowed words.
Result<Sharing> parse_sharing(std::string_view text);

/// May a function shared so far travel between nodes of these two organisations?
bool admits(Sharing sharing, std::string_view organisation, std::string_view other);

inline constexpr std::size_t share_with_max = 32;

/// How far its owner shares a function, and with which other organisations by name: sorted, each once;
/// only with Sharing::organisation.
struct ShareTerms {
  Sharing share = Sharing::organisation;
  std::span<const std::string> with;

  /// May it travel between its owner's organisation and the other one?
  [[nodiscard]] bool admits(std::string_view owner, std::string_view other) const;
};

/// The `dfaas.*` labels of a function.
struct FunctionTraits {
  std::optional<int> slots;               ///< `dfaas.slots`, 1 to 100000.
  std::optional<Rate> max_rate;           ///< `dfaas.maxrate`, > 0.
  std::optional<Millis> timeout;          ///< `dfaas.timeout_ms`, 1 to 86400000.
  Sharing share = Sharing::organisation;  ///< `dfaas.share`.
  std::vector<std::string> share_with;    ///< `dfaas.share`, where it names organisations.
  bool match_by_name = false;             ///< `dfaas.match`: "digest" (default) or "name".
  bool retry_safe = false;  ///< `dfaas.retry`: "safe": may run twice, so a lost answer is retried.
  std::string pool;  ///< `dfaas.pool`: functions of a node that name one pool share its slots.

  [[nodiscard]] ShareTerms terms() const { return {.share = share, .with = share_with}; }
};

/// Errors: invalid_input naming the label, its value and what is allowed. Unknown labels are
/// ignored, except unknown `dfaas.*` ones: a mistyped label must not be silently without effect.
Result<FunctionTraits> parse_traits(const std::map<std::string, std::string>& labels);

inline constexpr std::size_t pool_name_length_max = 63;

/// Slots of a function, first that exists: the label; max_inflight x replicas; max rate x mean
/// service time (rounded up); cores. Always at least 1.
int effective_slots(const FunctionTraits& traits, std::optional<int> max_inflight_total,
                    std::optional<Micros> service_time_mean, int cores);

}  // namespace dfaas
