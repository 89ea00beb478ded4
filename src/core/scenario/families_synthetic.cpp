// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Families of one difficulty each: crowds, rotation, failure, unlike functions, bursts, liars.
///
/// A node's load is a level: its part of what the node's pools can serve, second by second.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/scenario/families_makers.hpp"
#include "core/scenario/families_parts.hpp"

namespace dfaas {
namespace {

using std::chrono::seconds;
using Level = std::vector<double>;

constexpr int slots_min = 2;
constexpr int slots_max = 8;

/// Nodes that all run the same two functions, in pools of 2 to 8 slots.
Scenario pools_of_two(std::string_view name, std::uint64_t seed, std::size_t count, Micros duration,
                      int slots_least = slots_min, int slots_most = slots_max) {
  Scenario scenario{.name = std::string(name), .duration = duration, .warm_up = family_warm_up};
  add_function(scenario, "resize", std::chrono::milliseconds{60});
  add_function(scenario, "classify", std::chrono::milliseconds{150});
  Random random = stream(seed, Draws::nodes);
  for (std::size_t at = 0; at < count; ++at) {
    ScenarioNode& node = add_node(scenario);
    for (FunctionIndex function = 0; function < scenario.functions.size(); ++function) {
      deploy_alone(scenario, node, function, between(random, slots_least, slots_most));
    }
  }
  return scenario;
}

/// `mean` that goes slowly up and down by `swing` of itself, from a phase of its own.
Level swaying(Random& random, Micros duration, double mean, double swing) {
  const double phase = uniform(random, 0, 1);
  const double period_s = uniform(random, 40, 80);
  Level level;
  for (std::size_t second = 0; second < whole_seconds(duration); ++second) {
    const double turn = static_cast<double>(second) / period_s + phase;
    level.push_back(mean * (1 + swing * std::sin(2 * std::numbers::pi * turn)));
  }
  return level;
}

struct Split {
  double busy_low = 0;
  double busy_high = 0;
  double calm_low = 0;
  double calm_high = 0;
};

/// Half of the nodes have too much to do, the other half too little.
std::vector<Level> half_busy(Random& random, const Scenario& scenario, Split split) {
  constexpr double swing = 0.15;
  const std::size_t count = scenario.nodes.size();
  std::vector<Level> levels(count);
  const std::vector<std::size_t> order = shuffled(random, count);
  for (std::size_t rank = 0; rank < count; ++rank) {
    const bool is_busy = rank < count / 2;
    const double mean = is_busy ? uniform(random, split.busy_low, split.busy_high)
                                : uniform(random, split.calm_low, split.calm_high);
    levels[order[rank]] = swaying(random, scenario.duration, mean, swing);
  }
  return levels;
}

double mean_of(const Level& level) {
  double sum = 0;
  for (const double part : level) sum += part;
  return sum / static_cast<double>(level.size());
}

/// What the node leaves unused, in slots.
double spare_of(const ScenarioNode& node, const Level& level) {
  double slots = 0;
  for (const ScenarioPool& pool : node.pools) slots += pool.slots;
  return slots * (1 - mean_of(level));
}

void add_levels(Scenario& scenario, const std::vector<Level>& levels) {
  for (NodeIndex node = 0; node < levels.size(); ++node) add_level(scenario, node, levels[node]);
}

// Calibrated.
constexpr Split liar_split{.busy_low = 1.2, .busy_high = 1.5, .calm_low = 0.25, .calm_high = 0.5};
/// Liars that are slow fail users of their own; the others have less to do to make up for it.
constexpr Split slow_liar_split{
    .busy_low = 1.15, .busy_high = 1.4, .calm_low = 0.25, .calm_high = 0.45};
constexpr Split failure_split = liar_split;
constexpr double dense = 0.7;  ///< Probability of a link, where trouble is to be shared by many.

Scenario make_liars(std::string_view name, std::uint64_t seed, Lie lie, Split split = liar_split) {
  constexpr std::size_t liars = 2;
  Scenario scenario = pools_of_two(name, seed, 10, seconds{110});
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  const std::vector<Level> levels = half_busy(load, scenario, split);
  add_levels(scenario, levels);
  add_random_graph(scenario, graph, dense);
  // Nodes with little to do: a promise of theirs is one that others would have built on.
  std::vector<NodeIndex> calmest(levels.size());
  std::iota(calmest.begin(), calmest.end(), 0);
  std::ranges::sort(calmest, {}, [&](NodeIndex at) { return std::pair(mean_of(levels[at]), at); });
  for (std::size_t at = 0; at < liars; ++at) scenario.nodes[calmest[at]].lie = lie;
  return scenario;
}

constexpr double boast = 50;

}  // namespace

Scenario make_flash(std::uint64_t seed) {
  constexpr std::size_t crowded = 2;
  constexpr double crowd_level = 3;
  constexpr Micros from = seconds{60};
  constexpr Micros until = seconds{100};
  Scenario scenario = pools_of_two("flash", seed, 12, seconds{180}, 4);
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  const std::vector<std::size_t> order = shuffled(load, scenario.nodes.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    Level level = swaying(load, scenario.duration, uniform(load, 0.45, 0.55), 0.1);
    if (rank < crowded) {
      for (std::size_t at = whole_seconds(from); at < whole_seconds(until); ++at) {
        level[at] = crowd_level;
      }
    }
    add_level(scenario, order[rank], level);
  }
  add_complete_graph(scenario, graph);
  scenario.stress_from = from;
  scenario.stress_until = until;
  return scenario;
}

Scenario make_diurnal(std::uint64_t seed) {
  constexpr std::size_t count = 24;
  constexpr double mean = 0.85;  // Calibrated.
  constexpr double swing = 0.8;  // Calibrated.
  constexpr double day_s = 100;
  Scenario scenario = pools_of_two("diurnal", seed, count, seconds{110});
  Random graph = stream(seed, Draws::graph);
  constexpr RttRange range;
  const auto link = [&](NodeIndex a, NodeIndex b) {
    const double rtt = uniform(graph, static_cast<double>(range.low.count()),
                               static_cast<double>(range.high.count()));
    scenario.links.push_back({.a = a, .b = b, .rtt = Micros{static_cast<Micros::rep>(rtt)}});
  };
  for (NodeIndex at = 0; at < count; ++at) {
    Level level;
    for (std::size_t second = 0; second < whole_seconds(scenario.duration); ++second) {
      const double turn = static_cast<double>(second) / day_s +
                          static_cast<double>(at) / static_cast<double>(count);
      level.push_back(mean * (1 + swing * std::sin(2 * std::numbers::pi * turn)));
    }
    add_level(scenario, at, level);
    // The ring, and chords to where it is another time of the day.
    for (const std::size_t ahead : {1U, 5U, 9U}) link(at, (at + ahead) % count);
    if (at < count / 2) link(at, at + count / 2);
  }
  return scenario;
}

Scenario make_failure(std::uint64_t seed) {
  constexpr Micros crash = seconds{60};
  constexpr Micros back = seconds{100};
  Scenario scenario = pools_of_two("failure", seed, 10, seconds{130});
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  std::vector<Level> levels = half_busy(load, scenario, failure_split);
  NodeIndex most = 0;
  for (NodeIndex at = 1; at < levels.size(); ++at) {
    if (spare_of(scenario.nodes[at], levels[at]) > spare_of(scenario.nodes[most], levels[most])) {
      most = at;
    }
  }
  // Its own users are cut off with it; what is asked is how the others fare.
  for (std::size_t at = whole_seconds(crash); at < whole_seconds(back); ++at) levels[most][at] = 0;
  add_levels(scenario, levels);
  add_random_graph(scenario, graph, dense);
  scenario.faults.push_back(
      {.kind = FaultKind::node_crash, .at = crash, .until = back, .nodes = {most}});
  scenario.stress_from = crash;
  scenario.stress_until = back;
  return scenario;
}

Scenario make_hetero(std::uint64_t seed) {
  constexpr std::array<int, 6> service_times_ms{10, 20, 50, 100, 200, 500};
  constexpr double deployed_ratio = 0.6;
  constexpr Split split{.busy_low = 0.95, .busy_high = 1.2, .calm_low = 0.3, .calm_high = 0.5};
  Scenario scenario{.name = "hetero", .duration = seconds{110}, .warm_up = family_warm_up};
  for (const int time : service_times_ms) {
    add_function(scenario, "takes-" + std::to_string(time) + "ms", std::chrono::milliseconds{time});
  }
  Random random = stream(seed, Draws::nodes);
  for (std::size_t at = 0; at < 12; ++at) {
    ScenarioNode& node = add_node(scenario);
    node.pools.push_back({.name = "cpu", .slots = between(random, 4, slots_max)});
    const FunctionIndex sure = below(random, service_times_ms.size());
    for (FunctionIndex function = 0; function < service_times_ms.size(); ++function) {
      const bool is_drawn = happens(random, deployed_ratio);
      if (function == sure || is_drawn) node.functions.push_back({.function = function});
    }
  }
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  add_levels(scenario, half_busy(load, scenario, split));
  add_random_graph(scenario, graph, dense);
  return scenario;
}

Scenario make_mmpp(std::uint64_t seed) {
  constexpr double burst_level = 2.5;
  constexpr double calm_level = 0.5;
  constexpr double burst_s = 6;
  constexpr double calm_s = 42;  // Calibrated: an eighth of the time is burst.
  Scenario scenario = pools_of_two("mmpp", seed, 10, seconds{190});
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  for (NodeIndex at = 0; at < scenario.nodes.size(); ++at) {
    Level level;
    bool is_burst = happens(load, burst_s / (burst_s + calm_s));
    while (level.size() < whole_seconds(scenario.duration)) {
      level.push_back(is_burst ? burst_level : calm_level);
      if (happens(load, 1 / (is_burst ? burst_s : calm_s))) is_burst = !is_burst;
    }
    add_level(scenario, at, level);
  }
  add_complete_graph(scenario, graph);
  return scenario;
}

Scenario make_liar1(std::uint64_t seed) {
  return make_liars("liar1", seed, {.advertise_factor = boast});
}

Scenario make_liar2(std::uint64_t seed) {
  return make_liars("liar2", seed, {.advertise_factor = boast, .refuses_guests = true});
}

Scenario make_liar3(std::uint64_t seed) {
  return make_liars("liar3", seed, {.advertise_factor = boast, .slowdown = 5}, slow_liar_split);
}

Scenario make_uniform(std::uint64_t seed) {
  constexpr double level = 0.8;
  Scenario scenario = pools_of_two("uniform", seed, 10, seconds{70}, slots_min, 6);
  Random graph = stream(seed, Draws::graph);
  for (NodeIndex at = 0; at < scenario.nodes.size(); ++at) {
    add_level(scenario, at, Level(whole_seconds(scenario.duration), level));
  }
  add_complete_graph(scenario, graph);
  return scenario;
}

}  // namespace dfaas
