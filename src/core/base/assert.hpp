// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Assertions that are on in every build: only a bug of ours may reach one, never input.
#pragma once

namespace dfaas {

/// Prints the broken promise and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* why, const char* file,
                                   int line) noexcept;

}  // namespace dfaas

#define DFAAS_ASSERT(condition, why)  \
  ((condition) ? static_cast<void>(0) \
               : ::dfaas::assertion_failed(#condition, (why), __FILE__, __LINE__))
