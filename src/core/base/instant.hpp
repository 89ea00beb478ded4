// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Points in time, as pure code sees them: given by the caller, never asked for.
///
/// Live code fills them from the steady clock, the simulator from its event queue.
#pragma once

#include <chrono>

namespace dfaas {

/// A clock without now(): monotonic, its epoch is whatever the world started with.
struct WorldClock {
  using duration = std::chrono::microseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<WorldClock>;
  static constexpr bool is_steady = true;
};

using Instant = WorldClock::time_point;
using Micros = std::chrono::microseconds;
using Millis = std::chrono::milliseconds;

/// `duration` as seconds with fraction.
template <class Rep, class Period>
constexpr double to_seconds(std::chrono::duration<Rep, Period> duration) {
  return std::chrono::duration<double>(duration).count();
}

/// `duration` as milliseconds with fraction.
template <class Rep, class Period>
constexpr double to_millis(std::chrono::duration<Rep, Period> duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

constexpr Micros from_seconds(double seconds) {
  return Micros{static_cast<Micros::rep>(seconds * 1e6)};
}

}  // namespace dfaas
