// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a load met: the one schema in which dfaas reports load, live or simulated.
///
/// Output      JSON objects with the keys offered, served, served_local, served_by_peer (object by node
///             name), refused, failed, transport_errors, success_ratio, latency_ms {p50, p95, p99, max}
///             and, in a summary, generator_late_ms_p99.
/// Meaning     served: an answer with status 2xx. refused: 429 or 503. failed: any other status.
///             transport_errors: no complete answer in time. Latencies are those of served requests,
///             from the intended send time to the last byte of the answer.
/// Guarantees  offered = served + refused + failed + transport_errors;
///             served = served_local + sum of served_by_peer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/instant.hpp"
#include "core/workload/latency_histogram.hpp"

namespace dfaas {

struct LoadCounts {
  std::uint64_t offered = 0;
  std::uint64_t served_local = 0;
  std::map<std::string, std::uint64_t>
      served_by_peer;  ///< By name of the node, its id if it has none.
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t transport_errors = 0;

  [[nodiscard]] std::uint64_t served_by_peers() const;
  [[nodiscard]] std::uint64_t served() const { return served_local + served_by_peers(); }
  /// What has been offered and has come to no end.
  [[nodiscard]] std::uint64_t open() const {
    return offered - served() - refused - failed - transport_errors;
  }
  /// In [0, 1]; 0 where nothing was offered, so that a load that never ran passes no check.
  [[nodiscard]] double success_ratio() const;
};

/// All zero where nothing was served.
struct LatencyMarks {
  Micros p50{0};
  Micros p95{0};
  Micros p99{0};
  Micros max{0};

  static LatencyMarks of(const LatencyHistogram& histogram);
};

struct LoadSummary {
  LoadCounts counts;
  LatencyMarks latency;
  Micros generator_late_p99{0};  ///< Actual start of sending minus intended.
};

/// The requests that were meant to be sent within one second of the run, whenever they ended.
struct LoadSecond {
  std::int64_t second = 0;  ///< 0 is the first one of the run.
  LoadCounts counts;
  LatencyMarks latency;
};

struct LoadReport {
  struct Phase {
    std::string name;
    LoadSummary summary;
  };
  std::vector<Phase> phases;  ///< In the order of the plan.
  LoadSummary total;
  std::uint64_t seed = 0;
  Micros elapsed{0};
  bool was_cancelled = false;
  std::uint64_t unfinished = 0;  ///< Sent, and open when the run was cancelled; in no other count.
  std::uint64_t over_limit = 0;  ///< Transport errors that were never sent: too many were open.
  std::uint64_t retried = 0;     ///< Sent again because a kept connection had been closed.
  /// Why requests got no answer, and how often; the rarer reasons together.
  std::map<std::string, std::uint64_t> errors;
  std::vector<std::string> notes;  ///< What a reader of the figures must know, a sentence each.

  /// Was every request sent, and 99 % of them within late_max? If not, the figures are of another load.
  [[nodiscard]] bool kept_rate() const;
  static constexpr Micros late_max = Millis{10};
};

nlohmann::ordered_json json_of(const LoadSummary& summary);
nlohmann::ordered_json json_of(const LoadSecond& second);
/// {"phases": {name: summary}, "total": summary, "seed", "version", "kept_rate", ...}.
nlohmann::ordered_json json_of(const LoadReport& report, std::string_view version);

}  // namespace dfaas
