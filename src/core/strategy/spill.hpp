// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What strategies have in common that spill single requests without messages.
#pragma once

#include "core/strategy/sharers.hpp"
#include "core/strategy/strategy.hpp"

namespace dfaas {

struct SpillKnobs {
  int draws = 1;                           ///< Neighbours drawn per try, 1 or 2.
  double (*weight)(const Sharer& runner);  ///< > 0, relative to the other neighbours.
};

/// Every function spills to all neighbours that run it. Windows are as wide as twice their slots and the
/// way there and back, so that their admission decides, not ours. Guests come behind our own users,
/// without a cap.
StrategyResult plan_spill_with(const SpillKnobs& knobs, const NodeView& view);

}  // namespace dfaas
