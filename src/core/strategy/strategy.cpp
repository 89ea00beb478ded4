// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/strategy.hpp"

#include <array>
#include <iterator>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/strategy/all_local.hpp"
#include "core/strategy/empirical.hpp"
#include "core/strategy/equal.hpp"
#include "core/strategy/external_model.hpp"
#include "core/strategy/grant_and_spill.hpp"
#include "core/strategy/node_margin.hpp"
#include "core/strategy/power_of_two.hpp"
#include "core/strategy/power_saving.hpp"
#include "core/strategy/random.hpp"
#include "core/strategy/random_spill.hpp"
#include "core/strategy/recalc.hpp"
#include "core/strategy/static.hpp"

namespace dfaas {
namespace {

/// Of the prototype's strategies: a compromise between its minute and what rates need to settle.
constexpr Millis slow{10'000};
constexpr Millis fast{2000};

constexpr std::array<Strategy, 12> table{{
    {.name = "all_local",
     .summary = "serve here or refuse; never ask a neighbour (the baseline)",
     .plan = plan_all_local,
     .period = fast},
    {.name = "empirical",
     .summary = "send the excess to neighbours by six figures of how able each looks",
     .plan = plan_empirical,
     .period = slow},
    {.name = "equal",
     .summary = "when overloaded, send a part of every function away, equally to all neighbours",
     .plan = plan_equal,
     .period = slow},
    {.name = "external_model",
     .summary = "do what a model outside of the node says, such as a trained agent",
     .plan = plan_external_model,
     .period = Millis{1000}},
    {.name = "grant_and_spill",
     .summary =
         "serve here while a slot is free, else spill the single request to a neighbour with room",
     .plan = plan_grant_and_spill,
     .period = fast},
    {.name = "node_margin",
     .summary = "when overloaded, move load in small steps to neighbours with margin left",
     .plan = plan_node_margin,
     .period = slow,
     .plan_as_published = plan_node_margin_as_published},
    {.name = "power_of_two",
     .summary = "spill the single request to the less busy of two neighbours drawn at random",
     .plan = plan_power_of_two,
     .period = fast},
    {.name = "power_saving",
     .summary = "as node_margin, and shed load above a cap on power, too",
     .plan = plan_power_saving,
     .period = slow},
    {.name = "random",
     .summary = "send the excess to neighbours by weights drawn at random",
     .plan = plan_random,
     .period = slow},
    {.name = "random_spill",
     .summary = "spill the single request to a neighbour drawn at random, without any message",
     .plan = plan_random_spill,
     .period = fast},
    {.name = "recalc",
     .summary = "serve up to a rate; tell neighbours in advance what each may send of the rest",
     .plan = plan_recalc,
     .period = slow,
     .plan_as_published = plan_recalc_as_published,
     .published_plans_per_period = recalc_published_plans_per_period},
    {.name = "static",
     .summary = "keep 60 % and send 40 % to the neighbours in equal parts, whatever the load",
     .plan = plan_static,
     .period = slow},
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

std::string strategies_reference() {
  std::string text = "| strategy | period | in one line |\n|---|---|---|\n";
  for (const Strategy& strategy : table) {
    fmt::format_to(std::back_inserter(text), "| [`{0}`](#{0}) | {1} | {2} |\n", strategy.name,
                   duration_text(strategy.period), strategy.summary);
  }
  return text;
}

}  // namespace dfaas
