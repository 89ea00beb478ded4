// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/schedule.hpp"

#include <utility>

#include "core/base/assert.hpp"

namespace dfaas {

LoadSchedule::LoadSchedule(const LoadPlan& plan) {
  Random seeds{plan.seed};
  lanes_.reserve(plan.phases.size());
  for (const LoadPhase& phase : plan.phases) {
    const auto process = find_arrival_process(phase.arrivals);
    DFAAS_ASSERT(process.has_value(), "the plan was validated");
    Lane lane{.stream = {}, .times = {}, .start = phase.start, .head = std::nullopt};
    const Random random{seeds.next()};
    if (phase.requests.empty()) {
      lane.stream.emplace(*process, phase.rate, phase.duration, random);
    }
    for (const TimedRequest& request : phase.requests) lane.times.push_back(request.at);
    lane.advance(0);
    lanes_.push_back(std::move(lane));
  }
}

void LoadSchedule::Lane::advance(std::size_t to) {
  number = to;
  std::optional<Micros> next;
  if (stream) {
    next = stream->next();
  } else if (number < times.size()) {
    next = times[number];
  }
  head = next ? std::optional(start + *next) : std::nullopt;
}

std::optional<LoadArrival> LoadSchedule::next() {
  Lane* earliest = nullptr;
  for (Lane& lane : lanes_) {
    if (lane.head && (earliest == nullptr || *lane.head < *earliest->head)) earliest = &lane;
  }
  if (earliest == nullptr) return std::nullopt;
  const LoadArrival arrival{.phase = static_cast<std::size_t>(earliest - lanes_.data()),
                            .at = *earliest->head,
                            .number = earliest->number};
  earliest->advance(earliest->number + 1);
  return arrival;
}

}  // namespace dfaas
