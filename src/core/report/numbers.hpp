// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Numbers for people: how they are written, and where the ticks of an axis go.
///
/// Guarantees  The same in every locale. Thousands are set apart by a narrow no-break space; minus
///             is U+2212.
/// Source      The steps 1, 2, 5 times a power of ten: P. Heckbert, "Nice numbers for graph
///             labels", Graphics Gems, 1990; we accept the first step that leaves few enough ticks
///             instead of rounding one.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dfaas {

/// Three digits that matter; from 100 up the whole number: "1 920", "21.4", "0.031". A dash where
/// the value is not finite.
std::string format_number(double value);

/// `ratio` as percent. Never rounds to "100 %" or "0 %" what is not: "> 99.99 %", "< 0.01 %".
std::string format_share(double ratio);

/// Marks of an axis, ascending, and how many decimals tell them apart.
struct Ticks {
  std::vector<double> at;
  int decimals = 0;
};

/// `value` as the label of one of `ticks`.
std::string format_tick(double value, const Ticks& ticks);

/// 3 to 8 round numbers in equal steps, the first at or below `low`, the last at or above `high`.
/// Requires finite low <= high, magnitudes up to 1e15.
Ticks ticks_covering(double low, double high);

/// Round numbers in equal steps within [low, high], at most `count_max` of them, at least one where
/// count_max >= 3. Requires finite low < high, magnitudes up to 1e15, count_max >= 2.
Ticks ticks_within(double low, double high, std::size_t count_max);

/// 3 to 8 round numbers for a logarithmic axis, the first at or below `low`, the last at or above
/// `high`. Requires 1e-15 <= low <= high <= 1e15.
Ticks log_ticks_covering(double low, double high);

}  // namespace dfaas
