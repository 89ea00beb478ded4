// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/sim_replay.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "live/files/files.hpp"

namespace dfaas {
namespace {

constexpr std::size_t trace_bytes_max = 1024U << 20U;

/// One for all nodes of a simulation; what only some have is told.
template <class Value>
void note_difference(JoinedTrace& joined, std::string_view what, Value Recording::* member) {
  for (const Recording& recording : joined.recordings) {
    const Recording& first = joined.recordings.front();
    if (recording.*member == first.*member) continue;
    joined.notes.push_back(fmt::format("{} and {} have different {}: replayed with those of {}",
                                       first.node.text(), recording.node.text(), what,
                                       first.node.text()));
    return;
  }
}

}  // namespace

Result<std::shared_ptr<const JoinedTrace>> read_traces(const std::vector<std::string>& names) {
  std::vector<TraceFile> files;
  for (const std::string& name : names) {
    const auto text = read_file(name, trace_bytes_max);
    if (!text) return fail(text.error().code, text.error().message);
    auto trace = parse_trace(*text);
    if (!trace) return tl::unexpected(std::move(trace).error().within(name));
    files.push_back({.name = name, .trace = std::move(*trace)});
  }
  auto joined = join_traces(std::move(files));
  if (!joined) return pass_on(std::move(joined));
  note_difference(*joined, "strategies", &Recording::strategy);
  note_difference(*joined, "periods of control", &Recording::period);
  note_difference(*joined, "heartbeats", &Recording::heartbeat);
  note_difference(*joined, "dispatcher settings", &Recording::dispatcher);
  return std::make_shared<const JoinedTrace>(std::move(*joined));
}

ScenarioSource replaying(std::optional<ScenarioSource> source,
                         std::shared_ptr<const JoinedTrace> joined) {
  std::string name = source ? source->name : "recorded";
  return {std::move(name),
          [source = std::move(source),
           joined = std::move(joined)](std::uint64_t seed) -> Result<Scenario> {
            auto scenario = source ? source->make(seed) : scenario_of(*joined);
            if (!scenario) return scenario;
            scenario->warm_up = std::max(scenario->warm_up, joined->lead_in);
            if (auto applied = apply_trace(*scenario, joined->trace); !applied) {
              return tl::unexpected(std::move(applied).error().within("--trace"));
            }
            return scenario;
          }};
}

std::string recorded_strategy(const JoinedTrace& joined) {
  return joined.recordings.empty() ? std::string() : joined.recordings.front().strategy;
}

void take_recorded_settings(ComparisonPlan& plan, const JoinedTrace& joined, bool takes_heartbeat) {
  if (joined.recordings.empty()) return;
  const Recording& first = joined.recordings.front();
  plan.dispatcher = first.dispatcher;
  if (!plan.period && first.period.count() > 0) plan.period = first.period;
  if (takes_heartbeat && first.heartbeat.count() > 0) plan.heartbeat = first.heartbeat;
}

std::string recorded_lines(const RecordedFigures& recorded, const RunFigures& simulated) {
  if (recorded.offered == 0) return {};
  const auto line = [](std::string_view name, double value, double other) {
    return fmt::format("{:34} {:12.4f}  simulated {:+.2f} points\n", name, value,
                       100 * (other - value));
  };
  return line("recorded: success", recorded.success_ratio(), simulated.success_ratio) +
         line("recorded: served by neighbours", recorded.forwarded_ratio(),
              simulated.forwarded_ratio);
}

nlohmann::ordered_json recorded_json(const RecordedFigures& recorded) {
  if (recorded.offered == 0) return nullptr;
  return {{"offered", recorded.offered},
          {"served_here", recorded.served_here},
          {"served_by_peers", recorded.served_by_peers},
          {"refused", recorded.refused},
          {"failed", recorded.failed},
          {"success_ratio", recorded.success_ratio()},
          {"forwarded_ratio", recorded.forwarded_ratio()}};
}

}  // namespace dfaas
