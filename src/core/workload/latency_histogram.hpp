// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A histogram of durations with bounded memory and a bounded relative error.
///
/// Guarantees  percentile() is never below the exact one and at most 1/128 (0.8 %) above it, for
///             durations up to 71 minutes; below 256 us it is exact, and so are max() and count().
///             Merging two histograms gives what recording everything into one would have given.
/// Limits      At most 3328 counters, 26 kB; it grows to what the largest duration needs. Longer
///             durations share the last counter: only max() tells them apart.
/// Cost        record() is a shift and an increment.
/// Source      The bucket layout follows G. Tene's HdrHistogram (log-linear: each power of two is cut
///             into 128 equal pieces); the code is ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/instant.hpp"

namespace dfaas {

class LatencyHistogram {
 public:
  /// A negative duration counts as zero: clocks are read in an order that can produce one.
  void record(Micros duration);
  void merge(const LatencyHistogram& other);

  /// The duration that `percent` of all recorded ones do not exceed (nearest rank); zero when there
  /// are none. Requires 0 <= percent <= 100.
  [[nodiscard]] Micros percentile(double percent) const;
  [[nodiscard]] Micros max() const { return max_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

  static constexpr std::size_t counters_max = 3328;
  /// Of the counters, not of the object around them.
  [[nodiscard]] std::size_t bytes() const { return counters_.capacity() * sizeof(std::uint64_t); }

 private:
  std::vector<std::uint64_t> counters_;
  std::uint64_t count_ = 0;
  Micros max_{0};
};

}  // namespace dfaas
