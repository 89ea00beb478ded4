// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The instance generators of DFaaS's own two simulators, brought to request level.
///
/// Source  DFaaS, directories simulation/ ("seedsim") and framework/ ("seedfw"): graphs, node types,
///         functions, max rates and shapes of load are theirs. Departures: minutes are compressed;
///         a function takes the same time everywhere, so that faster nodes have more slots instead;
///         seedsim draws replicas and workloads by a law (below) in place of its 61 recorded files.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/scenario/families_makers.hpp"
#include "core/scenario/families_parts.hpp"

namespace dfaas {
namespace {

constexpr std::size_t minutes = 7;

struct Shape {
  std::string_view name;
  std::size_t nodes = 0;
  double edge_probability = 0;
  Micros minute{0};        ///< How long one lasts here.
  double load_factor = 1;  ///< On the source's rates.
};

// ---- seedsim ----

struct SimFunction {
  std::string_view name;
  Micros service_time{0};
  std::array<double, 3> replica_rate;  ///< What one replica can serve on node_1, node_2, node_3.
  double deployed_ratio = 1;           ///< Of nodes.
};

/// Rates by the source. Service times chosen so that rate x time is a few slots a replica: 3, 4 and 6
/// of funca; 1, 2.5 and 5 of qrcode; 1, 3 and 5 of ocr. Ratios guessed after the files that are public.
constexpr std::array<SimFunction, 3> sim_functions{{
    {"funca", std::chrono::milliseconds{200}, {15, 20, 30}, 1},
    {"qrcode", std::chrono::milliseconds{500}, {2, 5, 10}, 0.7},
    {"ocr", std::chrono::milliseconds{1000}, {1, 3, 5}, 0.5},
}};
constexpr std::array<std::string_view, 3> sim_types{"light", "mid", "heavy"};
constexpr std::array<double, 3> sim_type_weights{0.5, 0.3, 0.2};
constexpr int sim_replicas_max = 5;

/// The law of workloads, after simulation/data/node_1/{8,11}, node_2/16 and node_3/23.json: a test asks
/// for 0, 0.8, 1.0, 1.04 or 1.5 times the max rate, all functions of a node from the same minute, five
/// minutes long, 2 to 5 % up and down.
constexpr double sim_idle_probability = 0.2;
constexpr double sim_level_low = 0.3;    // Calibrated.
constexpr double sim_level_high = 1.45;  // The highest seen; calibrated with the lowest.
constexpr double sim_noise = 0.04;
constexpr double sim_late_probability = 0.33;
constexpr std::size_t sim_minutes_busy = 5;

std::vector<double> sim_rates(Random& random, double max_rate, std::size_t from) {
  std::vector<double> rates(minutes);
  if (happens(random, sim_idle_probability)) return rates;
  const double level = uniform(random, sim_level_low, sim_level_high);
  for (std::size_t minute = from; minute < from + sim_minutes_busy; ++minute) {
    rates[minute] = max_rate * level * uniform(random, 1 - sim_noise, 1 + sim_noise);
  }
  return rates;
}

Scenario make_seedsim(const Shape& shape, std::uint64_t seed) {
  Scenario scenario{.name = std::string(shape.name),
                    .duration = minutes * shape.minute,
                    .warm_up = family_warm_up,
                    .stress_from = shape.minute,
                    .stress_until = 6 * shape.minute};
  for (const SimFunction& function : sim_functions) {
    add_function(scenario, function.name, function.service_time);
  }
  Random nodes = stream(seed, Draws::nodes);
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  for (NodeIndex at = 0; at < shape.nodes; ++at) {
    const std::size_t type = weighted(nodes, sim_type_weights);
    add_node(scenario, sim_types[type]);
    const std::size_t from = happens(load, sim_late_probability) ? 2 : 1;
    for (FunctionIndex index = 0; index < sim_functions.size(); ++index) {
      const SimFunction& function = sim_functions[index];
      const int replicas = between(nodes, 1, sim_replicas_max);
      if (!happens(nodes, function.deployed_ratio)) continue;
      const double max_rate = replicas * function.replica_rate[type];
      const double slots = max_rate * to_seconds(function.service_time);
      deploy_alone(scenario, scenario.nodes[at], index, static_cast<int>(std::ceil(slots)));
      scenario.nodes[at].functions.back().max_rate = Rate{max_rate};
      add_load(scenario, at, index, Micros{0}, shape.minute, sim_rates(load, max_rate, from));
    }
  }
  add_random_graph(scenario, graph, shape.edge_probability);
  return scenario;
}

// ---- seedfw ----

struct Group {
  std::array<double, 3> max_rates;  ///< Of a HEAVY, MID, LIGHT node that does nothing else.
  Micros service_time{0};
  std::vector<std::string_view> functions;
};

constexpr std::array<std::string_view, 3> fw_types{"heavy", "mid", "light"};
constexpr std::array<double, 3> fw_type_weights{0.2, 0.3, 0.5};

/// One pool a node. A function takes the same time on all types, so the source's max rates M hold only
/// about: slots / time is 1 to 1.7 times M. Slots and times calibrated.
constexpr std::array<int, 3> fw_slots{8, 8, 6};

/// Rates are divided and service times multiplied by this: fewer calls, the same load.
constexpr int fw_scale = 5;

std::vector<Group> fw_groups() {
  return {{{400, 570, 330}, fw_scale * Micros{14'300}, {"env", "figlet", "shasum"}},
          {{90, 80, 40}, fw_scale * Micros{91'000}, {"eat-memory", "nmap"}},
          {{200, 200, 180}, fw_scale * Micros{31'100}, {"curl"}}};
}

constexpr double fw_overloaded_ratio = 0.6;
constexpr double fw_idle_factor = 0.15;
constexpr std::size_t fw_peak = 4;

/// Of a group in each minute: up to the peak, then down.
std::vector<double> fw_triangle(Random& random, double max_rate) {
  std::vector<double> loads;
  loads.reserve(minutes);
  for (std::size_t minute = 0; minute < minutes; ++minute) {
    const bool is_rising = minute < fw_peak;
    const auto low = static_cast<double>(is_rising ? minute : minutes - 1 - minute);
    const double quarter = max_rate / static_cast<double>(fw_peak);
    loads.push_back(between(random, static_cast<int>(std::floor(low * quarter)),
                            static_cast<int>(std::ceil((low + 1) * quarter))));
  }
  return loads;
}

/// A non-empty subset, each with the same probability.
std::vector<FunctionIndex> fw_subset(Random& random, FunctionIndex first, std::size_t count) {
  const std::size_t bits = 1 + below(random, (std::size_t{1} << count) - 1);
  std::vector<FunctionIndex> subset;
  for (std::size_t at = 0; at < count; ++at) {
    if ((bits >> at & 1U) != 0) subset.push_back(first + at);
  }
  return subset;
}

void add_group_load(Scenario& scenario, Random& random, NodeIndex node,
                    const std::vector<FunctionIndex>& functions, std::span<const double> loads,
                    Micros minute) {
  std::vector<std::vector<double>> rates(functions.size());
  for (const double load : loads) {
    std::vector<double> parts;
    parts.reserve(functions.size());
    for (std::size_t at = 0; at < functions.size(); ++at) parts.push_back(uniform(random, 0, 1));
    const double sum = std::accumulate(parts.begin(), parts.end(), 0.0);
    for (std::size_t at = 0; at < functions.size(); ++at) {
      rates[at].push_back(load * parts[at] / sum / fw_scale);
    }
  }
  for (std::size_t at = 0; at < functions.size(); ++at) {
    add_load(scenario, node, functions[at], Micros{0}, minute, rates[at]);
  }
}

Scenario make_seedfw(const Shape& shape, std::uint64_t seed) {
  Scenario scenario{.name = std::string(shape.name),
                    .duration = minutes * shape.minute,
                    .warm_up = family_warm_up,
                    .stress_from = 2 * shape.minute,
                    .stress_until = 4 * shape.minute};
  const std::vector<Group> groups = fw_groups();
  std::vector<FunctionIndex> first;
  for (const Group& group : groups) {
    first.push_back(scenario.functions.size());
    for (const std::string_view name : group.functions) {
      add_function(scenario, name, group.service_time);
    }
  }
  Random nodes = stream(seed, Draws::nodes);
  Random load = stream(seed, Draws::load);
  Random graph = stream(seed, Draws::graph);
  auto overloaded_left =
      static_cast<std::size_t>(std::lround(fw_overloaded_ratio * static_cast<double>(shape.nodes)));
  for (NodeIndex at = 0; at < shape.nodes; ++at) {
    const std::size_t type = weighted(nodes, fw_type_weights);
    ScenarioNode& node = add_node(scenario, fw_types[type]);
    node.pools.push_back({.name = "cpu", .slots = fw_slots[type]});
    const bool is_overloaded = happens(nodes, fw_overloaded_ratio) && overloaded_left > 0;
    if (is_overloaded) --overloaded_left;
    std::vector<std::size_t> chosen = shuffled(nodes, groups.size());
    chosen.resize(1 + below(nodes, groups.size()));
    for (const std::size_t index : chosen) {
      const Group& group = groups[index];
      const auto functions = fw_subset(nodes, first[index], group.functions.size());
      for (const FunctionIndex function : functions) {
        node.functions.push_back(
            {.function = function, .max_rate = Rate{group.max_rates[type] / fw_scale}});
      }
      const double max_rate = group.max_rates[type] * (is_overloaded ? 1 : fw_idle_factor);
      add_group_load(scenario, load, at, functions, fw_triangle(load, max_rate * shape.load_factor),
                     shape.minute);
    }
  }
  add_random_graph(scenario, graph, shape.edge_probability);
  return scenario;
}

}  // namespace

Scenario make_seedsim_n5(std::uint64_t seed) {
  return make_seedsim({"seedsim_n5_p0.5", 5, 0.5, std::chrono::seconds{30}}, seed);
}

Scenario make_seedsim_n20(std::uint64_t seed) {
  return make_seedsim({"seedsim_n20_p0.3", 20, 0.3, std::chrono::seconds{20}}, seed);
}

Scenario make_seedsim_n50(std::uint64_t seed) {
  return make_seedsim({"seedsim_n50_p0.8", 50, 0.8, std::chrono::seconds{15}}, seed);
}

// Load factors calibrated; at the source's 1.3 the smaller instances come out far more overloaded here.

Scenario make_seedfw_n10(std::uint64_t seed) {
  return make_seedfw({"seedfw_n10_p0.3", 10, 0.3, std::chrono::seconds{25}, 1.0}, seed);
}

Scenario make_seedfw_n30(std::uint64_t seed) {
  return make_seedfw({"seedfw_n30_p0.5", 30, 0.5, std::chrono::seconds{20}, 1.3}, seed);
}

}  // namespace dfaas
