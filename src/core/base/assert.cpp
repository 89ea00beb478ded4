// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace dfaas {

void assertion_failed(const char* condition, const char* why, const char* file, int line) noexcept {
  std::fprintf(stderr, "dfaas: bug at %s:%d: %s (%s)\n", file, line, why, condition);
  std::abort();
}

}  // namespace dfaas
