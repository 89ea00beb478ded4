// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Holds back a neighbour that comes and goes: each return within a short time costs it a longer wait.
///
/// Guarantees  The first loss costs nothing. The wait doubles with each further one, up to `hold_max`; the
///             count of losses halves with each `half_life`, so that a quiet neighbour starts anew.
/// Source      Penalty and decay as in RFC 2439 (route flap damping); waits are ours, and start with the
///             return, so that one that is away for long is not let in the moment it comes.
#pragma once

#include "core/base/instant.hpp"

namespace dfaas {

struct DampingRules {
  Micros half_life{30'000'000};
  Micros hold{1'000'000};  ///< After the second loss in short order.
  Micros hold_max{30'000'000};
};

class FlapDamper {
 public:
  FlapDamper() = default;
  explicit FlapDamper(DampingRules rules) : rules_(rules) {}

  void lost(Instant now);
  /// It is there again: held back from now on, if it was lost too often.
  void returned(Instant now);

  /// Losses, those long ago counting less.
  [[nodiscard]] double penalty(Instant now) const;
  /// Until when nothing new goes to it; zero where it is not held.
  [[nodiscard]] Micros held_for(Instant now) const;

 private:
  DampingRules rules_;
  double penalty_ = 0;
  Instant counted_at_{};
  Instant held_until_{};
};

}  // namespace dfaas
