// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/graph_layout.hpp"

#include <algorithm>
#include <cmath>

namespace dfaas {
namespace {

constexpr std::size_t circle_nodes_max = 40;
constexpr double dense_ratio = 0.5;  ///< Of all possible links.
/// Enough to untangle, found by looking; large graphs get fewer.
constexpr double rounds_max = 300;
constexpr double pair_steps_max = 60e6;
constexpr double pull_to_middle = 0.15;

/// The point of the unit circle at `turn` in [0, 1), from the top, clockwise. Without sine, whose last bit
/// differs between libraries: a quarter at a time by (1 - t^2, 2 t) / (1 + t^2), where t is the tangent of
/// half the angle, by its series.
GraphPlace on_circle(double turn) {
  const double quarters = turn * 4;
  const double quarter = std::floor(quarters);
  const double u = quarters - quarter;
  const double half = 0.78539816339744831 * u;
  const double square = half * half;
  const double t =
      half *
      (1 + square * (1.0 / 3 +
                     square * (2.0 / 15 +
                               square * (17.0 / 315 +
                                         square * (62.0 / 2835 + square * (1382.0 / 155925))))));
  const double sine = 2 * t / (1 + t * t);
  const double cosine = (1 - t * t) / (1 + t * t);
  switch (static_cast<int>(quarter)) {
    case 0:
      return {.x = sine, .y = -cosine};
    case 1:
      return {.x = cosine, .y = sine};
    case 2:
      return {.x = -sine, .y = cosine};
    default:
      return {.x = -cosine, .y = -sine};
  }
}

std::vector<GraphPlace> circle(std::size_t nodes) {
  std::vector<GraphPlace> places(nodes);
  if (nodes < 2) return places;
  for (std::size_t node = 0; node < nodes; ++node) {
    const GraphPlace point = on_circle(static_cast<double>(node) / static_cast<double>(nodes));
    places[node] = {.x = 0.5 + 0.5 * point.x, .y = 0.5 + 0.5 * point.y};
  }
  return places;
}

/// To the borders of the unit square, each direction by itself.
void stretch(std::vector<GraphPlace>& places) {
  for (double GraphPlace::* axis : {&GraphPlace::x, &GraphPlace::y}) {
    const auto [low, high] =
        std::ranges::minmax(places, {}, [axis](const GraphPlace& place) { return place.*axis; });
    const double from = low.*axis;
    const double size = high.*axis - from;
    for (GraphPlace& place : places) {
      place.*axis = size > 1e-9 ? (place.*axis - from) / size : 0.5;
    }
  }
}

using Links = std::span<const std::pair<std::size_t, std::size_t>>;

/// Where the springs and the mutual repulsion of one round push each node.
std::vector<GraphPlace> forces(const std::vector<GraphPlace>& places, Links links, double ideal) {
  std::vector<GraphPlace> force(places.size(), GraphPlace{.x = 0, .y = 0});
  for (std::size_t a = 0; a < places.size(); ++a) {
    for (std::size_t b = a + 1; b < places.size(); ++b) {
      double dx = places[a].x - places[b].x;
      const double dy = places[a].y - places[b].y;
      if (dx == 0 && dy == 0) dx = 1e-6;  // On one spot: apart, the first to the right.
      const double repulsion = ideal * ideal / (dx * dx + dy * dy);
      force[a].x += dx * repulsion;
      force[a].y += dy * repulsion;
      force[b].x -= dx * repulsion;
      force[b].y -= dy * repulsion;
    }
    force[a].x += (0.5 - places[a].x) * pull_to_middle;
    force[a].y += (0.5 - places[a].y) * pull_to_middle;
  }
  for (const auto& [a, b] : links) {
    const double dx = places[a].x - places[b].x;
    const double dy = places[a].y - places[b].y;
    const double attraction = std::sqrt(dx * dx + dy * dy) / ideal;
    force[a].x -= dx * attraction;
    force[a].y -= dy * attraction;
    force[b].x += dx * attraction;
    force[b].y += dy * attraction;
  }
  return force;
}

}  // namespace

std::vector<GraphPlace> graph_layout(std::size_t nodes, Links links) {
  std::vector<GraphPlace> places = circle(nodes);
  const auto count = static_cast<double>(nodes);
  const bool is_dense = static_cast<double>(links.size()) >= dense_ratio * count * (count - 1) / 2;
  if (nodes <= 3 || (nodes <= circle_nodes_max && is_dense)) {
    stretch(places);
    return places;
  }
  const double ideal = 0.8 / std::sqrt(count);
  const double rounds = std::clamp(std::floor(pair_steps_max / (count * count)), 30.0, rounds_max);
  for (double round = 0; round < rounds; ++round) {
    const double step_max = 0.1 * (1 - round / rounds);
    const std::vector<GraphPlace> force = forces(places, links, ideal);
    for (std::size_t node = 0; node < nodes; ++node) {
      const double size = std::sqrt(force[node].x * force[node].x + force[node].y * force[node].y);
      const double part = size > step_max ? step_max / size : 1;
      places[node].x += force[node].x * part;
      places[node].y += force[node].y * part;
    }
  }
  stretch(places);
  return places;
}

}  // namespace dfaas
