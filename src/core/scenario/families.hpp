// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The instance families that strategies are compared on: a name and a seed make a scenario.
///
/// Use         `find_family("flash")->make(7)`.
/// Guarantees  Same name and seed, same scenario. Every scenario passes validate(), is connected, and
///             leaves its first 10 s uncounted. Topology, nodes, load and faults are drawn from streams
///             of their own, so that tuning one leaves the others as they were.
/// Limits      Rates are kept to 0.001 requests/s.
/// Source      The families of the study that chose our strategy. Constants marked "calibrated" were set
///             so that serving locally and the all-knowing reference do about as well as they did there.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

struct Family {
  std::string_view name;
  std::string_view summary;
  Scenario (*make)(std::uint64_t seed);
  bool in_comparison = true;  ///< Of the results table; the others measure speed and scale.
};

/// In the order of the results table.
std::span<const Family> families() noexcept;

/// Errors: invalid_input, naming the families there are.
Result<Family> find_family(std::string_view name);

}  // namespace dfaas
