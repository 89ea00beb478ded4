// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/all_local.hpp"

namespace dfaas {

StrategyResult plan_all_local(const NodeView& view, const StrategyMemory& /*memory*/,
                              Random& /*random*/) {
  StrategyResult result;
  for (const FunctionView& function : view.functions) {
    if (function.deployed) result.functions.push_back({.function = function.function});
  }
  return result;
}

}  // namespace dfaas
