// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A trace of answers in the place of the model that gave them.
#pragma once

#include "core/scenario/model_trace.hpp"
#include "core/scenario/scenario.hpp"
#include "sim/world/run.hpp"

namespace dfaas {

/// Says at each question what the trace has as the last answer by then, however long ago. `trace` was
/// parsed for `scenario`.
ExternalModel model_of(ModelTrace trace, const Scenario& scenario);

}  // namespace dfaas
