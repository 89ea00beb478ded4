// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/schedule.hpp"

#include "core/base/assert.hpp"

namespace dfaas {

LoadSchedule::LoadSchedule(const LoadPlan& plan) {
  Random seeds{plan.seed};
  lanes_.reserve(plan.phases.size());
  for (const LoadPhase& phase : plan.phases) {
    const auto process = find_arrival_process(phase.arrivals);
    DFAAS_ASSERT(process.has_value(), "the plan was validated");
    Lane lane{.stream = {*process, phase.rate, phase.duration, Random{seeds.next()}},
              .start = phase.start,
              .head = std::nullopt};
    if (const auto first = lane.stream.next()) lane.head = lane.start + *first;
    lanes_.push_back(lane);
  }
}

std::optional<LoadArrival> LoadSchedule::next() {
  Lane* earliest = nullptr;
  for (Lane& lane : lanes_) {
    if (lane.head && (earliest == nullptr || *lane.head < *earliest->head)) earliest = &lane;
  }
  if (earliest == nullptr) return std::nullopt;
  const LoadArrival arrival{.phase = static_cast<std::size_t>(earliest - lanes_.data()),
                            .at = *earliest->head};
  const auto following = earliest->stream.next();
  earliest->head = following ? std::optional(earliest->start + *following) : std::nullopt;
  return arrival;
}

}  // namespace dfaas
