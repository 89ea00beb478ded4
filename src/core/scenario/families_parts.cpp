// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/families_parts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "core/base/assert.hpp"

namespace dfaas {
namespace {

/// Of a geographic graph. Nearest seven of each, taken both ways, are about eight.
constexpr std::size_t nearest_count = 7;

template <class Name>
Name named(std::string_view text) {
  auto name = Name::parse(text);
  DFAAS_ASSERT(name.has_value(), "families use legal names");
  return *std::move(name);
}

Micros drawn(Random& random, RttRange range) {
  return Micros{static_cast<Micros::rep>(uniform(random, static_cast<double>(range.low.count()),
                                                 static_cast<double>(range.high.count())))};
}

/// Whole thousandths, so that the last digits of a machine's sine do not matter.
double rounded(double rate) { return std::round(rate * 1000) / 1000; }

using Pair = std::pair<NodeIndex, NodeIndex>;

std::vector<Pair> nearest_pairs(std::span<const Place> places) {
  std::vector<Pair> pairs;
  for (NodeIndex a = 0; a < places.size(); ++a) {
    std::vector<std::pair<double, NodeIndex>> others;
    for (NodeIndex b = 0; b < places.size(); ++b) {
      if (a != b) others.emplace_back(distance(places[a], places[b]), b);
    }
    const std::size_t count = std::min(nearest_count, others.size());
    std::ranges::partial_sort(others, others.begin() + static_cast<std::ptrdiff_t>(count));
    for (std::size_t at = 0; at < count; ++at) {
      pairs.emplace_back(std::minmax(a, others[at].second));
    }
  }
  std::ranges::sort(pairs);
  pairs.erase(std::ranges::unique(pairs).begin(), pairs.end());
  return pairs;
}

/// Which nodes hang together: the same number for all of a component.
std::vector<std::size_t> components(std::size_t nodes, std::span<const Pair> pairs) {
  std::vector<std::size_t> component(nodes);
  std::iota(component.begin(), component.end(), 0);
  bool has_changed = true;
  while (has_changed) {
    has_changed = false;
    for (const auto& [a, b] : pairs) {
      const std::size_t least = std::min(component[a], component[b]);
      has_changed = has_changed || component[a] != component[b];
      component[a] = least;
      component[b] = least;
    }
  }
  return component;
}

/// Adds shortest links between what hangs together with node 0 and the rest, until nothing is apart.
void join(std::span<const Place> places, std::vector<Pair>& pairs) {
  while (true) {
    const std::vector<std::size_t> component = components(places.size(), pairs);
    double shortest = std::numeric_limits<double>::infinity();
    Pair best{0, 0};
    for (NodeIndex a = 0; a < places.size(); ++a) {
      if (component[a] != component[0]) continue;
      for (NodeIndex b = 0; b < places.size(); ++b) {
        const double length = distance(places[a], places[b]);
        if (component[b] == component[0] || length >= shortest) continue;
        shortest = length;
        best = std::minmax(a, b);
      }
    }
    if (best.first == best.second) return;
    pairs.push_back(best);
  }
}

}  // namespace

Random stream(std::uint64_t seed, Draws draws) {
  // Far apart for neighbouring seeds, and from the streams of a run, which start at its seed.
  Random mix(seed ^ (static_cast<std::uint64_t>(draws) << 56U));
  return Random(mix.next());
}

int between(Random& random, int low, int high) {
  return low + static_cast<int>(below(random, static_cast<std::size_t>(high - low) + 1));
}

bool happens(Random& random, double probability) { return uniform(random, 0, 1) < probability; }

std::vector<std::size_t> shuffled(Random& random, std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t left = count; left > 1; --left) {
    std::swap(order[left - 1], order[below(random, left)]);
  }
  return order;
}

FunctionIndex add_function(Scenario& scenario, std::string_view name, Micros mean) {
  scenario.functions.push_back({.name = named<FunctionName>(name), .service_time = {.mean = mean}});
  return scenario.functions.size() - 1;
}

ScenarioNode& add_node(Scenario& scenario, std::string_view type) {
  const std::string name = fmt::format("node-{}", scenario.nodes.size());
  scenario.nodes.push_back({.name = named<NodeName>(name), .type = std::string(type)});
  return scenario.nodes.back();
}

void deploy_alone(const Scenario& scenario, ScenarioNode& node, FunctionIndex function, int slots) {
  node.functions.push_back({.function = function,
                            .pool = node.pools.size(),
                            .max_rate = capacity(scenario, function, slots)});
  node.pools.push_back({.name = scenario.functions[function].name.name(), .slots = slots});
}

Rate capacity(const Scenario& scenario, FunctionIndex function, double slots) {
  return Rate{slots / to_seconds(scenario.functions[function].service_time.mean)};
}

void add_complete_graph(Scenario& scenario, Random& random, RttRange range) {
  for (NodeIndex a = 0; a < scenario.nodes.size(); ++a) {
    for (NodeIndex b = a + 1; b < scenario.nodes.size(); ++b) {
      scenario.links.push_back({.a = a, .b = b, .rtt = drawn(random, range)});
    }
  }
}

void add_random_graph(Scenario& scenario, Random& random, double probability, RttRange range) {
  const std::size_t count = scenario.nodes.size();
  for (NodeIndex a = 0; a + 1 < count; ++a) {
    const NodeIndex forced = a + 1 + below(random, count - a - 1);
    for (NodeIndex b = a + 1; b < count; ++b) {
      const bool is_drawn = happens(random, probability);
      if (b != forced && !is_drawn) continue;
      scenario.links.push_back({.a = a, .b = b, .rtt = drawn(random, range)});
    }
  }
}

double distance(Place a, Place b) { return std::hypot(a.x - b.x, a.y - b.y); }

std::vector<Place> add_geographic_graph(Scenario& scenario, Random& random) {
  std::vector<Place> places;
  for (std::size_t at = 0; at < scenario.nodes.size(); ++at) {
    const double x = uniform(random, 0, 1);
    places.push_back({.x = x, .y = uniform(random, 0, 1)});
  }
  std::vector<Pair> pairs = nearest_pairs(places);
  join(places, pairs);
  double longest = 0;
  for (const auto& [a, b] : pairs) longest = std::max(longest, distance(places[a], places[b]));
  constexpr RttRange range;
  for (const auto& [a, b] : pairs) {
    const double part = distance(places[a], places[b]) / longest;
    const double extra = part * static_cast<double>((range.high - range.low).count());
    scenario.links.push_back(
        {.a = a, .b = b, .rtt = range.low + Micros{static_cast<Micros::rep>(extra)}});
  }
  return places;
}

void add_load(Scenario& scenario, NodeIndex node, FunctionIndex function, Micros start, Micros step,
              std::span<const double> rates) {
  if (std::ranges::none_of(rates, [](double rate) { return rounded(rate) > 0; })) return;
  ScenarioLoad load{.node = node, .function = function, .start = start, .step = step};
  for (const double rate : rates) load.rates.push_back(Rate{rounded(rate)});
  scenario.loads.push_back(std::move(load));
}

void add_level(Scenario& scenario, NodeIndex node, std::span<const double> level) {
  const std::vector<ScenarioDeployment> deployments = scenario.nodes[node].functions;
  for (const ScenarioDeployment& deployment : deployments) {
    const auto sharers =
        std::ranges::count(deployments, deployment.pool, &ScenarioDeployment::pool);
    const double slots = static_cast<double>(scenario.nodes[node].pools[deployment.pool].slots) /
                         static_cast<double>(sharers);
    const double full = capacity(scenario, deployment.function, slots).per_second;
    std::vector<double> rates;
    rates.reserve(level.size());
    for (const double part : level) rates.push_back(part * full);
    add_load(scenario, node, deployment.function, Micros{0}, std::chrono::seconds{1}, rates);
  }
}

std::size_t whole_seconds(Micros time) {
  return static_cast<std::size_t>(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

}  // namespace dfaas
