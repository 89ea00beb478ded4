// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Units as types, so that a rate is never added to a latency.
#pragma once

#include <compare>

namespace dfaas {

/// Requests per second.
struct Rate {
  double per_second = 0;
  friend auto operator<=>(const Rate&, const Rate&) = default;
  friend Rate operator+(Rate a, Rate b) { return {a.per_second + b.per_second}; }
  friend Rate operator-(Rate a, Rate b) { return {a.per_second - b.per_second}; }
  friend Rate operator*(Rate a, double factor) { return {a.per_second * factor}; }
  friend double operator/(Rate a, Rate b) { return a.per_second / b.per_second; }
};

}  // namespace dfaas
