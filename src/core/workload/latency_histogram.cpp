// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/latency_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/assert.hpp"

namespace dfaas {
namespace {

/// Pieces of a power of two: 2^7, for a width of at most 1/128 of the value.
constexpr unsigned piece_bits = 7;
constexpr std::uint64_t pieces = 1U << piece_bits;
/// Values are kept apart up to 2^32 us, 71 minutes: longer than any request may take.
constexpr unsigned value_bits = 32;
static_assert(LatencyHistogram::counters_max == (value_bits - piece_bits + 1) * pieces);

/// Below 2 * pieces every value has its own counter. Above, a value keeps its highest 8 bits, and
/// the number of bits dropped says which power of two it is in.
std::size_t index_of(std::uint64_t value) {
  if (value < 2 * pieces) return value;
  const auto dropped_bits = static_cast<unsigned>(std::bit_width(value)) - piece_bits - 1;
  return dropped_bits * pieces + (value >> dropped_bits);
}

/// The largest value that index_of() maps to `index`.
std::uint64_t highest_of(std::size_t index) {
  if (index < 2 * pieces) return index;
  const std::uint64_t dropped_bits = index / pieces - 1;
  const std::uint64_t kept = index - dropped_bits * pieces;
  return ((kept + 1) << dropped_bits) - 1;
}

}  // namespace

void LatencyHistogram::record(Micros duration) {
  duration = std::max(duration, Micros{0});
  const auto value = static_cast<std::uint64_t>(duration.count());
  const std::size_t index = std::min(index_of(value), counters_max - 1);
  if (index >= counters_.size()) {
    counters_.reserve((index / pieces + 1) * pieces);  // Exactly; resize() alone would double.
    counters_.resize(index + 1);
  }
  ++counters_[index];
  ++count_;
  max_ = std::max(max_, duration);
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  if (other.counters_.size() > counters_.size()) {
    counters_.reserve(other.counters_.size());
    counters_.resize(other.counters_.size());
  }
  for (std::size_t index = 0; index < other.counters_.size(); ++index) {
    counters_[index] += other.counters_[index];
  }
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

Micros LatencyHistogram::percentile(double percent) const {
  DFAAS_ASSERT(percent >= 0 && percent <= 100, "a percentile is between 0 and 100");
  if (count_ == 0) return Micros{0};
  const double rank_exact = std::ceil(percent * static_cast<double>(count_) / 100);
  const auto rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(rank_exact), 1, count_);
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index + 1 < counters_max && index < counters_.size(); ++index) {
    seen += counters_[index];
    if (seen >= rank) return std::min(Micros{static_cast<Micros::rep>(highest_of(index))}, max_);
  }
  return max_;
}

}  // namespace dfaas
