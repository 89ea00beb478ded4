// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Durations as people write them: "500ms", "30s", "1m30s".
///
/// Input   One or more pairs of number and unit, largest first by habit but not by rule; units are
///         us, ms, s, m and h. The number is decimal, with a fraction if need be. No sign, no blank.
#pragma once

#include <string>
#include <string_view>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

/// Errors: invalid_input, naming the text and showing the form; over 1000 days is too long.
Result<Micros> parse_duration(std::string_view text);

/// The shortest exact form in one unit: "500ms", "30s", "90s", "2h".
std::string duration_text(Micros duration);

}  // namespace dfaas
