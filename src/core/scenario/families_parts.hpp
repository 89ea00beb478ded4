// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the instance families are built of: streams of randomness, nodes, graphs and loads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/random.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

/// Calls that arrive earlier are not counted: queues and control start empty.
inline constexpr Micros family_warm_up = std::chrono::seconds{10};

/// What randomness is for. Each has its own stream, so that none depends on how much others draw.
enum class Draws : std::uint8_t { graph = 1, nodes = 2, load = 3, faults = 4 };

Random stream(std::uint64_t seed, Draws draws);

/// Uniform in {low, ..., high}.
int between(Random& random, int low, int high);

bool happens(Random& random, double probability);

/// Without regard to what is drawn elsewhere: each order with the same probability.
std::vector<std::size_t> shuffled(Random& random, std::size_t count);

FunctionIndex add_function(Scenario& scenario, std::string_view name, Micros mean);

/// "node-0", "node-1", ... in order of addition.
ScenarioNode& add_node(Scenario& scenario, std::string_view type = "");

/// A pool of its own for the function, named like it, and the max_rate that it can hold.
void deploy_alone(const Scenario& scenario, ScenarioNode& node, FunctionIndex function, int slots);

/// What `slots` can serve of the function.
Rate capacity(const Scenario& scenario, FunctionIndex function, double slots);

struct RttRange {
  Micros low{4000};
  Micros high{20'000};
};

/// Every pair.
void add_complete_graph(Scenario& scenario, Random& random, RttRange range = {});

/// As the generators of DFaaS draw it: each node but the last gets a link to one of the later ones,
/// then one to each later one with the given probability. Connected.
void add_random_graph(Scenario& scenario, Random& random, double probability, RttRange range = {});

/// In the unit square.
struct Place {
  double x = 0;
  double y = 0;
};

double distance(Place a, Place b);

/// Nodes at random places, each linked to its nearest seven, so that they have about eight neighbours;
/// round trips grow with the distance. What is apart is joined where it is nearest. Returns the places.
std::vector<Place> add_geographic_graph(Scenario& scenario, Random& random);

/// `step` long each, from `start`. A load without any rate above 0 is left out.
void add_load(Scenario& scenario, NodeIndex node, FunctionIndex function, Micros start, Micros step,
              std::span<const double> rates);

/// Users who ask for `level` of what each pool of the node can serve, second by second; functions
/// that share a pool get equal parts of its time.
void add_level(Scenario& scenario, NodeIndex node, std::span<const double> level);

std::size_t whole_seconds(Micros time);

}  // namespace dfaas
