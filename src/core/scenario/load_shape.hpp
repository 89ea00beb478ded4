// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Loads that change over time, as formulas with few numbers, and the rates that they mean step by step.
///
/// Guarantees  A step's rate is the mean over that step but for the daily wave, which is taken in its
///             middle; so steps of another length offer the same load.
/// Source      Bursts are a Markov-modulated Poisson process of two states (W. Fischer, K. Meier-Hellstern,
///             "The Markov-modulated Poisson process (MMPP) cookbook", Performance Evaluation 18(2), 1993),
///             with its states drawn here and its arrivals by the run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/random.hpp"
#include "core/base/units.hpp"

namespace dfaas {

/// `factor` times as much from `at` for `duration`; times from the start of the scenario.
struct Flash {
  Micros at{0};
  Micros duration{0};
  double factor = 1;
};

/// 1 + amplitude x sin(2 pi (t + phase) / period) times as much.
struct Diurnal {
  Micros period = std::chrono::hours{24};  ///< > 0.
  double amplitude = 0.5;                  ///< In [0, 1].
  Micros phase{0};
};

/// Between two rates, each held for an exponential time.
struct Bursts {
  Rate high;
  Rate low;
  Micros mean_high{0};  ///< Not below the step.
  Micros mean_low{0};   ///< Not below the step.
};

struct LoadShape {
  Rate rate;                     ///< What the others change, where there are no bursts.
  std::optional<Bursts> bursts;  ///< In place of `rate`.
  std::optional<Flash> flash;
  std::optional<Diurnal> diurnal;
};

struct Steps {
  Micros start{0};
  Micros step{0};  ///< > 0.
  std::size_t count = 0;
};

/// One rate per step. Draws from `random` only for bursts.
std::vector<Rate> rates_of(const LoadShape& shape, const Steps& steps, Random random);

/// A generator of its own for `what`, such as "load/light/figlet": what else is drawn under the same
/// seed, and in which order, changes nothing in it.
Random random_for(std::uint64_t seed, std::string_view what);

}  // namespace dfaas
