// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The three published tests of DFaaS, phases of five minutes compressed.
///
/// Source  DFaaS, test_environment/README and the attack files of its results: nodes of 2, 4 and 6
///         processors, figlet and shasum, max rates as its recalc strategy had them.
#include <array>
#include <string_view>
#include <vector>

#include "core/scenario/families_makers.hpp"
#include "core/scenario/families_parts.hpp"

namespace dfaas {
namespace {

constexpr NodeIndex light = 0;
constexpr NodeIndex mid = 1;
constexpr NodeIndex heavy = 2;
constexpr std::array<std::string_view, 3> types{"light", "mid", "heavy"};

/// What the nodes can serve, requests/s.
constexpr std::array<double, 3> node_rates{200, 450, 700};

/// Guessed: the measured latencies are 30 ms and more, most of it on the way. With it the rates above
/// are 20, 45 and 70 slots.
constexpr Micros service_time = std::chrono::milliseconds{100};

/// They stand in one rack.
constexpr RttRange rack{.low = Micros{1000}, .high = Micros{3000}};

constexpr Micros phase = std::chrono::seconds{70};

/// Three nodes whose functions share what the node can do; each may use `max_rate_part` of it by its
/// label.
Scenario three_nodes(std::string_view name, std::uint64_t seed,
                     const std::vector<std::string_view>& functions, double max_rate_part) {
  Scenario scenario{.name = std::string(name), .warm_up = family_warm_up};
  for (const std::string_view function : functions) add_function(scenario, function, service_time);
  for (NodeIndex at = 0; at < types.size(); ++at) {
    ScenarioNode& node = add_node(scenario, types[at]);
    node.name = *NodeName::parse(types[at]);
    node.pools.push_back(
        {.name = "cpu", .slots = static_cast<int>(node_rates[at] * to_seconds(service_time))});
    for (FunctionIndex function = 0; function < functions.size(); ++function) {
      node.functions.push_back(
          {.function = function, .max_rate = Rate{node_rates[at] * max_rate_part}});
    }
  }
  Random graph = stream(seed, Draws::graph);
  add_complete_graph(scenario, graph, rack);
  return scenario;
}

}  // namespace

Scenario make_test1(std::uint64_t seed) {
  Scenario scenario = three_nodes("test1", seed, {"figlet"}, 1);
  scenario.duration = family_warm_up + phase;
  add_load(scenario, light, 0, Micros{0}, scenario.duration, std::array{250.0});
  return scenario;
}

Scenario make_test2(std::uint64_t seed) {
  // Two functions on one processor: the labels give each of them half.
  Scenario scenario = three_nodes("test2", seed, {"figlet", "shasum"}, 0.5);
  scenario.duration = 2 * phase;
  add_load(scenario, mid, 0, Micros{0}, phase, std::array{100.0, 300.0});
  add_load(scenario, mid, 1, Micros{0}, phase, std::array{50.0, 50.0});
  return scenario;
}

Scenario make_test3(std::uint64_t seed) {
  Scenario scenario = three_nodes("test3", seed, {"figlet"}, 1);
  scenario.duration = 3 * phase;
  add_load(scenario, light, 0, Micros{0}, phase, std::array{350.0, 350.0, 350.0});
  add_load(scenario, mid, 0, Micros{0}, phase, std::array{0.0, 100.0, 600.0});
  add_load(scenario, heavy, 0, Micros{0}, phase, std::array{0.0, 100.0, 100.0});
  scenario.stress_from = 2 * phase;
  scenario.stress_until = 3 * phase;
  return scenario;
}

}  // namespace dfaas
