// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Max-min fair division of one capacity among several demands, by weights where they are given.
///
/// Guarantees  No share over its demand; shares sum to min(capacity, sum of demands); raising one
///             share would lower a smaller or equal one; the order of demands does not matter.
/// Cost        O(n log n).
/// Source      D. Bertsekas, R. Gallager, "Data Networks", 2nd ed., section 6.5.2 (max-min
///             fairness).
#pragma once

#include <span>
#include <vector>

namespace dfaas {

/// `demands` and `capacity` in one unit, finite; negative ones count as 0. The result is in the
/// order of `demands`.
std::vector<double> water_fill(std::span<const double> demands, double capacity);

/// The same in proportion to `weights`, one > 0 for each demand: raising one share would lower one that
/// has no more for its weight.
std::vector<double> water_fill(std::span<const double> demands, std::span<const double> weights,
                               double capacity);

}  // namespace dfaas
