// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/multicast.hpp"

#include <vector>

#include "core/base/text.hpp"

namespace dfaas {

bool has_multicast_route(std::string_view routes) {
  for (const std::string_view line : split(routes, '\n')) {
    const auto columns = split(line, '\t');
    constexpr std::size_t flags_column = 3;
    constexpr std::size_t mask_column = 7;
    if (columns.size() <= mask_column) continue;
    const std::string_view target = columns[1];
    const bool is_default = target == "00000000" && columns[mask_column] == "00000000";
    const bool is_multicast =
        target.size() == 8 && target.ends_with("E0");  // Bytes are turned round.
    const std::string_view flags = columns[flags_column];
    const bool is_up = !flags.empty() && (flags.back() - '0') % 2 == 1;
    if ((is_default || is_multicast) && is_up) return true;
  }
  return false;
}

}  // namespace dfaas
