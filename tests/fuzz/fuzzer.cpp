// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One target under libFuzzer: DFAAS_FUZZ_TARGET names it.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "targets.hpp"

// The name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto target = std::ranges::find(
      dfaas::fuzz_targets(), std::string_view(DFAAS_FUZZ_TARGET), &dfaas::FuzzTarget::name);
  target->run({reinterpret_cast<const char*>(data), size});  // NOLINT: bytes are bytes.
  return 0;
}
