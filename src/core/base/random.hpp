// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Seeded randomness and our own distributions: same seed, same numbers, whatever the machine.
///
/// Source  xoshiro256** 1.0 and splitmix64 for seeding (D. Blackman, S. Vigna, "Scrambled linear
///         pseudorandom number generators", ACM TOMS 47(4), 2021).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dfaas {

class Random {
 public:
  explicit Random(std::uint64_t seed);

  /// 64 uniform bits.
  std::uint64_t next();

 private:
  std::array<std::uint64_t, 4> state_;
};

/// Uniform in [low, high). Requires low <= high, both finite.
double uniform(Random& random, double low, double high);

/// Uniform in {0, ..., count - 1}. Requires count >= 1.
std::size_t below(Random& random, std::size_t count);

/// Exponential with the given mean; never negative. Requires mean >= 0.
double exponential(Random& random, double mean);

/// Index drawn with probability weight / sum of weights. Weights must be finite and >= 0; where all
/// are 0 the draw is uniform. Requires at least one weight.
std::size_t weighted(Random& random, std::span<const double> weights);

}  // namespace dfaas
