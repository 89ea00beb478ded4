// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/load_shape.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/assert.hpp"

namespace dfaas {
namespace {

/// How much of [from, until) lies in [low, high), as a ratio.
double overlap_ratio(Micros from, Micros until, Micros low, Micros high) {
  const Micros shared = std::min(until, high) - std::max(from, low);
  return shared.count() <= 0 ? 0 : to_seconds(shared) / to_seconds(until - from);
}

/// The two states of Bursts, walked through forwards in time.
class BurstWalk {
 public:
  BurstWalk(const Bursts& bursts, Random random) : bursts_(bursts), random_(random) {
    const double high = to_seconds(bursts.mean_high);
    is_high_ = uniform(random_, 0, high + to_seconds(bursts.mean_low)) < high;
    left_ = draw();
  }

  /// The mean rate over the next `seconds`.
  Rate next(double seconds) {
    double calls = 0;
    double rest = seconds;
    while (left_ < rest) {
      calls += left_ * now().per_second;
      rest -= left_;
      is_high_ = !is_high_;
      left_ = draw();
    }
    left_ -= rest;
    calls += rest * now().per_second;
    return {calls / seconds};
  }

 private:
  [[nodiscard]] Rate now() const { return is_high_ ? bursts_.high : bursts_.low; }
  double draw() {
    return exponential(random_, to_seconds(is_high_ ? bursts_.mean_high : bursts_.mean_low));
  }

  Bursts bursts_;
  Random random_;
  bool is_high_ = false;
  double left_ = 0;  ///< Seconds until the state changes.
};

}  // namespace

std::vector<Rate> rates_of(const LoadShape& shape, const Steps& steps, Random random) {
  DFAAS_ASSERT(steps.step.count() > 0, "a step takes time");
  std::optional<BurstWalk> walk;
  if (shape.bursts) walk.emplace(*shape.bursts, random);
  std::vector<Rate> rates;
  rates.reserve(steps.count);
  Micros from = steps.start;
  for (std::size_t step = 0; step < steps.count; ++step) {
    const Micros until = from + steps.step;
    Rate rate = walk ? walk->next(to_seconds(steps.step)) : shape.rate;
    if (shape.flash) {
      const Flash& flash = *shape.flash;
      const double share = overlap_ratio(from, until, flash.at, flash.at + flash.duration);
      rate = rate * (1 + share * (flash.factor - 1));
    }
    if (shape.diurnal) {
      const Diurnal& diurnal = *shape.diurnal;
      const double turns =
          to_seconds(from + steps.step / 2 + diurnal.phase) / to_seconds(diurnal.period);
      rate = rate * (1 + diurnal.amplitude * std::sin(2 * std::numbers::pi * turns));
    }
    rates.push_back(rate);
    from = until;
  }
  return rates;
}

Random random_for(std::uint64_t seed, std::string_view what) {
  // FNV-1a, 64 bits; Random's seeding spreads what is alike.
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char letter : what) {
    hash = (hash ^ static_cast<std::uint8_t>(letter)) * 0x100000001b3U;
  }
  return Random{Random{seed}.next() ^ hash};
}

}  // namespace dfaas
