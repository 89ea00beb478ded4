// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/random.hpp"

#include <bit>
#include <cmath>

#include "core/base/assert.hpp"

namespace dfaas {

Random::Random(std::uint64_t seed) : state_{} {
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    word = mixed ^ (mixed >> 31U);
  }
}

std::uint64_t Random::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17U;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double uniform(Random& random, double low, double high) {
  DFAAS_ASSERT(low <= high, "uniform() needs an ordered range");
  const double unit = static_cast<double>(random.next() >> 11U) * 0x1.0p-53;
  return low + unit * (high - low);
}

std::size_t below(Random& random, std::size_t count) {
  DFAAS_ASSERT(count >= 1, "below() needs something to choose from");
  // The bias of the plain product is under 2^-40 for the counts of this project (< 2^24).
  const double unit = static_cast<double>(random.next() >> 11U) * 0x1.0p-53;
  const auto index = static_cast<std::size_t>(unit * static_cast<double>(count));
  return index < count ? index : count - 1;
}

double exponential(Random& random, double mean) {
  return -mean * std::log1p(-uniform(random, 0, 1));
}

std::size_t weighted(Random& random, std::span<const double> weights) {
  DFAAS_ASSERT(!weights.empty(), "weighted() needs something to choose from");
  double sum = 0;
  for (const double weight : weights) sum += weight;
  if (!(sum > 0)) return below(random, weights.size());
  double left = uniform(random, 0, sum);
  std::size_t last_positive = 0;
  for (std::size_t index = 0; index < weights.size(); ++index) {
    if (weights[index] <= 0) continue;
    last_positive = index;
    if (left < weights[index]) return index;
    left -= weights[index];
  }
  return last_positive;
}

}  // namespace dfaas
