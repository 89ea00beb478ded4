// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What of a scenario decides its best possible result, as JSON: so that another program can work it out
/// anew. tools/check-score reads it, and describes each field.
#pragma once

#include <string>

#include "core/scenario/scenario.hpp"

namespace dfaas {

/// Requires a valid scenario.
std::string oracle_input_json(const Scenario& scenario);

}  // namespace dfaas
