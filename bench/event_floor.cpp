// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The least that a simulation of requests can do: each arrives, takes one of its node's slots or is
/// refused, and ends. A binary heap of events and nothing else: no neighbours, no messages, no record.
///
///     event_floor NODES SLOTS REQUESTS_PER_SECOND_AND_NODE SECONDS
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <random>
#include <vector>

namespace {

struct Event {
  double at;
  std::uint32_t node;
  bool is_arrival;

  friend bool operator>(const Event& a, const Event& b) { return a.at > b.at; }
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::fputs("usage: event_floor NODES SLOTS REQUESTS_PER_SECOND_AND_NODE SECONDS\n", stderr);
    return 2;
  }
  const auto nodes = static_cast<std::uint32_t>(std::atoi(arguments[1]));
  const int slots = std::atoi(arguments[2]);
  const double rate = std::atof(arguments[3]);
  const double duration = std::atof(arguments[4]);
  std::mt19937_64 random{1};
  std::exponential_distribution<double> between(rate);
  std::exponential_distribution<double> service(rate / (0.8 * slots));
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  std::vector<int> busy(nodes);
  std::uint64_t requests = 0;
  std::uint64_t served = 0;
  for (std::uint32_t node = 0; node < nodes; ++node) events.push({between(random), node, true});
  while (!events.empty()) {
    const Event event = events.top();
    events.pop();
    if (!event.is_arrival) {
      --busy[event.node];
      ++served;
      continue;
    }
    const double next = event.at + between(random);
    if (next < duration) events.push({next, event.node, true});
    ++requests;
    if (busy[event.node] == slots) continue;
    ++busy[event.node];
    events.push({event.at + service(random), event.node, false});
  }
  std::printf("%llu %llu\n", static_cast<unsigned long long>(requests),
              static_cast<unsigned long long>(served));
  return 0;
}
