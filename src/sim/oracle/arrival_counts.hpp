// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The windows of a scenario, and how many calls arrived in each.
///
/// Windows start at the warm-up's end and are `Scenario::window` long, the last perhaps shorter. They
/// are cut where a fault begins or ends and where a node joins, so that nothing changes within one.
///
/// Limits      Changes close together make short windows, of which a run carries more over to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

/// [from, until), from the start of the scenario.
struct OracleSpan {
  Micros from{0};
  Micros until{0};
  friend bool operator==(const OracleSpan&, const OracleSpan&) = default;
};

inline constexpr std::size_t oracle_windows_max = 100'000;

/// In order, without gaps. Requires a valid scenario. Errors: invalid_input for more windows than
/// oracle_windows_max.
Result<std::vector<OracleSpan>> oracle_spans(const Scenario& scenario);

struct ArrivalCount {
  NodeIndex node = 0;
  FunctionIndex function = 0;
  std::uint64_t requests = 0;
  friend bool operator==(const ArrivalCount&, const ArrivalCount&) = default;
};

/// Counts calls as a run tells of them, in any order.
class ArrivalCounts {
 public:
  /// Requires a valid scenario. Errors: as oracle_spans().
  static Result<ArrivalCounts> of(const Scenario& scenario);

  /// A call outside of every window is not counted: in the warm-up, or after the end.
  void add(Micros at, NodeIndex node, FunctionIndex function);

  [[nodiscard]] std::span<const OracleSpan> spans() const { return spans_; }
  /// Of one window, sorted by node and function, none of them 0.
  [[nodiscard]] std::vector<ArrivalCount> in(std::size_t window) const;

 private:
  ArrivalCounts(std::vector<OracleSpan> spans, std::size_t functions)
      : spans_(std::move(spans)), functions_(functions), counts_(spans_.size()) {}

  std::vector<OracleSpan> spans_;
  std::size_t functions_;
  /// By window: by node and function, as one number.
  std::vector<std::unordered_map<std::uint64_t, std::uint64_t>> counts_;
};

}  // namespace dfaas
