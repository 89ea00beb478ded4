// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/control/flap_damper.hpp"

#include <algorithm>
#include <cmath>

namespace dfaas {
namespace {

constexpr double free_penalty = 1.5;  ///< One loss, and what is left of another one.
constexpr double penalty_max = 10;    ///< So that it is forgiven within some half-lives.

}  // namespace

double FlapDamper::penalty(Instant now) const {
  const double half_lives = to_seconds(now - counted_at_) / to_seconds(rules_.half_life);
  return penalty_ * std::exp2(-std::max(0.0, half_lives));
}

void FlapDamper::lost(Instant now) {
  penalty_ = std::min(penalty(now) + 1, penalty_max);
  counted_at_ = now;
}

void FlapDamper::returned(Instant now) {
  const double losses = penalty(now);
  if (losses < free_penalty) return;
  const double hold = to_seconds(rules_.hold) * std::exp2(losses - 2);
  held_until_ = now + std::min(from_seconds(hold), rules_.hold_max);
}

Micros FlapDamper::held_for(Instant now) const {
  return std::max(Micros{0}, std::chrono::duration_cast<Micros>(held_until_ - now));
}

}  // namespace dfaas
