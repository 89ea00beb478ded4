// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/strategy.hpp"

#include <array>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/strategy/all_local.hpp"
#include "core/strategy/grant_and_spill.hpp"

namespace dfaas {
namespace {

constexpr std::array<Strategy, 2> table{{
    {"all_local", "serve here or refuse; never ask a neighbour (the baseline)", plan_all_local},
    {"grant_and_spill",
     "serve here while a slot is free, else spill the single request to a neighbour with room",
     plan_grant_and_spill},
}};

}  // namespace

std::span<const Strategy> strategies() noexcept { return table; }

Result<Strategy> find_strategy(std::string_view name) {
  std::string known;
  for (const Strategy& strategy : table) {
    if (strategy.name == name) return strategy;
    known += (known.empty() ? "" : ", ") + std::string(strategy.name);
  }
  return fail(ErrorCode::invalid_input,
              fmt::format("strategy {} is not known: {} are", in_quotes(name), known));
}

}  // namespace dfaas
