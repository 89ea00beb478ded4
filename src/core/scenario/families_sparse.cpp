// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Large federations over a plane, where each node knows about eight others: hot spots, and speed.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include "core/scenario/families_makers.hpp"
#include "core/scenario/families_parts.hpp"

namespace dfaas {
namespace {

using std::chrono::seconds;

constexpr Micros service_time = std::chrono::milliseconds{200};

struct Spots {
  std::size_t count = 0;
  double peak_level = 0;    ///< In the middle, on top of `base_level`.
  double radius_nodes = 0;  ///< One deviation of the bell, in mean distances of neighbours.
  double base_level = 0;
};

/// A bell of users that goes straight on and turns back at the rim.
struct Spot {
  Place from;
  Place velocity;  ///< Per second.

  [[nodiscard]] Place at(double second) const {
    return {.x = folded(from.x + velocity.x * second), .y = folded(from.y + velocity.y * second)};
  }
  /// Onto [0, 1], as a mirror at either end does.
  static double folded(double value) { return std::abs(value - 2 * std::round(value / 2)); }
};

std::vector<Spot> drawn_spots(Random& random, std::size_t count) {
  constexpr double crossing_s = 120;  // From rim to rim.
  std::vector<Spot> spots;
  for (std::size_t at = 0; at < count; ++at) {
    const double x = uniform(random, 0, 1);
    const double y = uniform(random, 0, 1);
    const double angle = uniform(random, 0, 2 * std::numbers::pi);
    spots.push_back(
        {.from = {.x = x, .y = y},
         .velocity = {.x = std::cos(angle) / crossing_s, .y = std::sin(angle) / crossing_s}});
  }
  return spots;
}

Scenario plane(std::string_view name, std::uint64_t seed, std::size_t count, Micros duration,
               int slots_low, int slots_high) {
  Scenario scenario{.name = std::string(name), .duration = duration, .warm_up = family_warm_up};
  const FunctionIndex function = add_function(scenario, "detect", service_time);
  Random random = stream(seed, Draws::nodes);
  for (std::size_t at = 0; at < count; ++at) {
    ScenarioNode& node = add_node(scenario);
    deploy_alone(scenario, node, function, between(random, slots_low, slots_high));
  }
  return scenario;
}

Scenario make_sparse(std::string_view name, std::uint64_t seed, std::size_t count, Micros duration,
                     Spots spots) {
  Scenario scenario = plane(name, seed, count, duration, 2, 6);
  Random graph = stream(seed, Draws::graph);
  Random load = stream(seed, Draws::load);
  const std::vector<Place> places = add_geographic_graph(scenario, graph);
  const std::vector<Spot> drawn = drawn_spots(load, spots.count);
  const double radius = spots.radius_nodes / std::sqrt(static_cast<double>(count));
  for (NodeIndex node = 0; node < count; ++node) {
    std::vector<double> level;
    for (std::size_t second = 0; second < whole_seconds(duration); ++second) {
      double sum = spots.base_level;
      for (const Spot& spot : drawn) {
        const double far = distance(places[node], spot.at(static_cast<double>(second))) / radius;
        sum += spots.peak_level * std::exp(-far * far / 2);
      }
      level.push_back(sum);
    }
    add_level(scenario, node, level);
  }
  return scenario;
}

/// Of the speed families: 5 slots of 200 ms are 25 requests/s.
constexpr int speed_slots = 5;
constexpr double speed_level = 0.8;
constexpr double speed_swing = 0.35;

Scenario make_speed(std::string_view name, std::uint64_t seed, std::size_t count) {
  Scenario scenario = plane(name, seed, count, seconds{60}, speed_slots, speed_slots);
  Random graph = stream(seed, Draws::graph);
  Random load = stream(seed, Draws::load);
  add_geographic_graph(scenario, graph);
  const std::size_t length = whole_seconds(scenario.duration);
  for (NodeIndex node = 0; node < count; ++node) {
    const double phase = uniform(load, 0, 1);
    std::vector<double> level;
    for (std::size_t second = 0; second < length; ++second) {
      const double turn = static_cast<double>(second) / static_cast<double>(length) + phase;
      level.push_back(speed_level * (1 + speed_swing * std::sin(2 * std::numbers::pi * turn)));
    }
    add_level(scenario, node, level);
  }
  return scenario;
}

// Calibrated.
constexpr Spots spots_100{.count = 3, .peak_level = 2.5, .radius_nodes = 1.15, .base_level = 0.55};
constexpr Spots spots_300{.count = 8, .peak_level = 2.0, .radius_nodes = 1.15, .base_level = 0.5};

}  // namespace

Scenario make_sparse100(std::uint64_t seed) {
  return make_sparse("sparse100", seed, 100, seconds{100}, spots_100);
}

Scenario make_sparse300(std::uint64_t seed) {
  return make_sparse("sparse300", seed, 300, seconds{60}, spots_300);
}

Scenario make_sparse1000(std::uint64_t seed) {
  Spots spots = spots_300;
  spots.count = 27;
  return make_sparse("sparse1000", seed, 1000, seconds{60}, spots);
}

Scenario make_speed100(std::uint64_t seed) { return make_speed("speed100", seed, 100); }

Scenario make_speed1000(std::uint64_t seed) { return make_speed("speed1000", seed, 1000); }

}  // namespace dfaas
