// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The calls of one load, one after the other: when, and how long each takes where nothing slows it.
///
/// Guarantees  Depends on the scenario and the seed alone, so every strategy meets the same calls.
/// Source      Arrivals of a rate that changes: time change of a unit-rate Poisson process (S. Ross,
///             "Simulation", 5th ed., section 5.5), constant rates within a step.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/random.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

/// A stream of its own for each purpose and thing, so that one more draw here shifts nothing there.
Random random_stream(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index);

struct Arrival {
  Micros at{0};
  Micros service_time{0};
};

class CallStream {
 public:
  /// Both must outlive this.
  CallStream(const ScenarioLoad& load, const ServiceTime& service_time, std::uint64_t seed,
             std::size_t number);

  std::optional<Arrival> next();

 private:
  std::optional<Micros> next_time();
  std::optional<Micros> after_work(double work);
  Micros draw_service_time();

  const ScenarioLoad* load_;
  const ServiceTime* service_time_;
  Random arrivals_;
  Random services_;
  std::size_t step_ = 0;  ///< Of the rates.
  double into_step_ = 0;  ///< Seconds.
  std::size_t call_ = 0;  ///< Of the trace.
  bool is_first_ = true;
};

/// The calls of all loads of a scenario, those of each load in order of time.
class Arrivals {
 public:
  /// `scenario` must outlive this.
  Arrivals(const Scenario& scenario, std::uint64_t seed);

  /// Goes on to the next call of a load and says when it comes; nothing after the end of the scenario.
  /// Not to be called again then.
  std::optional<Micros> advance(std::size_t load);
  /// The call that advance() went to last.
  [[nodiscard]] const Arrival& head(std::size_t load) const { return heads_[load]; }
  /// Loads that have not come to their end.
  [[nodiscard]] std::size_t open() const { return open_; }

 private:
  Micros end_;
  std::vector<CallStream> streams_;
  std::vector<Arrival> heads_;
  std::size_t open_;
};

}  // namespace dfaas
