// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Every reader of untrusted text that is pure, as a function that takes any bytes.
///
/// Guarantees  A target aborts where its reader broke a promise: accepted what it cannot write again,
///             or an answer that differs from reading that once more. Crashes and sanitizer findings
///             come on top.
#pragma once

#include <span>
#include <string_view>

namespace dfaas {

struct FuzzTarget {
  std::string_view name;  ///< Also the folder of its seeds: corpus/<name>.
  void (*run)(std::string_view bytes);
};

/// Sorted by name.
std::span<const FuzzTarget> fuzz_targets() noexcept;

}  // namespace dfaas
