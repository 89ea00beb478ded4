// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What became of one simulated call of a user: the row of the request log.
#pragma once

#include <cstdint>

#include "core/base/instant.hpp"

namespace dfaas {

enum class CallEnd : std::uint8_t {
  served_here,     ///< By a slot of the node that the user asked.
  served_by_peer,  ///< By a slot of a neighbour.
  refused,         ///< Told so, not started.
  lost,            ///< Started, or perhaps so, and never answered: a node or a link died.
};

struct CallRecord {
  Micros arrival{0};           ///< From the start of the scenario.
  Micros end{0};               ///< When the user knew.
  std::uint32_t node = 0;      ///< NodeIndex of the node that the user asked.
  std::uint32_t function = 0;  ///< FunctionIndex.
  std::uint32_t server = 0;    ///< NodeIndex of who served; `node` where nobody did.
  std::uint16_t tries = 0;     ///< Neighbours it was offered to.
  CallEnd how = CallEnd::refused;
  bool is_late = false;    ///< Served, but after the function's deadline: worth nothing.
  Micros service_time{0};  ///< What it takes, or would have taken, where nothing slows it.

  /// What the score counts.
  [[nodiscard]] bool is_success() const { return how <= CallEnd::served_by_peer && !is_late; }
};

}  // namespace dfaas
