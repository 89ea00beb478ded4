// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The arrivals of all phases of a plan in one order of time.
///
/// Guarantees  Same plan and seed, same arrivals. A phase draws from a generator of its own, so phases
///             added behind it do not change it.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "core/workload/arrivals.hpp"
#include "core/workload/plan.hpp"

namespace dfaas {

struct LoadArrival {
  std::size_t phase = 0;   ///< Index in the plan.
  Micros at{0};            ///< Intended send time, from the start of the run.
  std::size_t number = 0;  ///< Within its phase, from 0.

  friend bool operator==(const LoadArrival&, const LoadArrival&) = default;
};

class LoadSchedule {
 public:
  /// `plan` must be valid.
  explicit LoadSchedule(const LoadPlan& plan);

  /// In order of time, ties by phase; nothing after the last.
  std::optional<LoadArrival> next();

 private:
  struct Lane {
    std::optional<ArrivalStream> stream;  ///< Of a phase with a rate.
    std::vector<Micros> times;            ///< Of one without.
    Micros start;
    std::size_t number = 0;      ///< Of the head.
    std::optional<Micros> head;  ///< Its next arrival, from the start of the run.

    void advance(std::size_t to);
  };
  std::vector<Lane> lanes_;
};

}  // namespace dfaas
