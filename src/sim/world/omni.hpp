// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The instant-knowledge reference: local first, else whichever neighbour has most free slots now.
///
/// At each arrival the true state of all neighbours is known, news takes no time, and a slot is taken at
/// the moment of the decision. What lies between it and the oracle is the price of finite slots and of
/// chance, not of control. A call on the wire occupies its slot, so where round trips are long against
/// service times it is no ceiling any more.
///
#pragma once

#include "sim/world/run.hpp"

namespace dfaas {

Result<RunTotals> run_omni(const Scenario& scenario, const RunOptions& options,
                           RunListener& listener);

}  // namespace dfaas
