// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/oracle/arrival_counts.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/base/assert.hpp"

namespace dfaas {

Result<std::vector<OracleSpan>> oracle_spans(const Scenario& scenario) {
  std::vector<Micros> cuts;
  for (const ScenarioFault& fault : scenario.faults) {
    if (fault.kind == FaultKind::agent_crash) continue;  // Takes no capacity away.
    cuts.push_back(fault.at);
    if (fault.until) cuts.push_back(*fault.until);
  }
  for (const ScenarioNode& node : scenario.nodes) cuts.push_back(node.joins_at);

  const auto whole = (scenario.duration - scenario.warm_up) / scenario.window;
  if (static_cast<std::size_t>(whole) + cuts.size() >= oracle_windows_max) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("window of {} s: {} windows and {} changes in a scenario are more than {}",
                    to_seconds(scenario.window), whole + 1, cuts.size(), oracle_windows_max));
  }
  for (auto at = scenario.warm_up; at < scenario.duration; at += scenario.window) {
    cuts.push_back(at);
  }
  cuts.push_back(scenario.duration);
  std::erase_if(
      cuts, [&scenario](Micros cut) { return cut < scenario.warm_up || cut > scenario.duration; });
  std::ranges::sort(cuts);
  cuts.erase(std::ranges::unique(cuts).begin(), cuts.end());

  std::vector<OracleSpan> spans;
  for (std::size_t at = 1; at < cuts.size(); ++at) spans.push_back({cuts[at - 1], cuts[at]});
  return spans;
}

Result<ArrivalCounts> ArrivalCounts::of(const Scenario& scenario) {
  auto spans = oracle_spans(scenario);
  if (!spans) return pass_on(std::move(spans));
  return ArrivalCounts(std::move(*spans), scenario.functions.size());
}

void ArrivalCounts::add(Micros at, NodeIndex node, FunctionIndex function) {
  DFAAS_ASSERT(function < functions_, "calls are of the scenario's functions");
  const auto after = std::ranges::upper_bound(spans_, at, {}, &OracleSpan::from);
  if (after == spans_.begin() || at >= spans_.back().until) return;
  const auto window = static_cast<std::size_t>(after - spans_.begin()) - 1;
  ++counts_[window][node * functions_ + function];
}

std::vector<ArrivalCount> ArrivalCounts::in(std::size_t window) const {
  std::vector<ArrivalCount> counts;
  for (const auto& [key, requests] : counts_[window]) {
    counts.push_back(
        {.node = key / functions_, .function = key % functions_, .requests = requests});
  }
  std::ranges::sort(
      counts, {}, [](const ArrivalCount& count) { return std::pair(count.node, count.function); });
  return counts;
}

}  // namespace dfaas
