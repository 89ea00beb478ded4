// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/import_original.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::size_t bytes_max = 256U << 20U;
constexpr std::int64_t nodes_max = 10'000;  ///< Guessed: theirs have some hundred.
constexpr std::size_t minutes_max = 24U * 60U;
constexpr std::size_t functions_max = 100;
constexpr std::size_t name_length_max = 200;
constexpr double rate_max = scenario_limits::rate_max.per_second;
constexpr Micros minute = std::chrono::minutes{1};

struct NodeType {
  std::string_view simulation;  ///< As `simulation/` writes it.
  std::string_view framework;
  std::string_view type;  ///< As we do.
  int cpus;               ///< Of the machines behind `framework/`.
};

constexpr std::array<NodeType, 3> node_types{{{"node_1", "LIGHT", "light", 2},
                                              {"node_2", "MID", "mid", 4},
                                              {"node_3", "HEAVY", "heavy", 6}}};

struct Group {
  std::string_view name;
  double light_rate_max;  ///< Highest rate of a light node in the generator, requests/s.
};

constexpr std::array<Group, 3> groups{
    {{"HIGH_USAGE", 40}, {"LOW_USAGE", 330}, {"MEDIUM_USAGE", 180}}};

/// What was read of one function at one node.
struct Share {
  double max_rate = 0;      ///< Of `simulation/`.
  Micros service_time{0};   ///< Of `framework/`.
  std::vector<Rate> rates;  ///< One a minute; shorter than the history where it stopped.
};

struct Node {
  std::string name;
  const NodeType* type = nullptr;
  std::vector<std::string> neighbours;
  std::map<FunctionName, Share> functions;
  std::size_t minutes = 0;
};

const NodeType& read_type(const Fields& fields, std::string_view field,
                          std::string_view NodeType::* spelling) {
  const std::string text = fields.text(field, name_length_max);
  for (const NodeType& type : node_types) {
    if (type.*spelling == text) return type;
  }
  fields.fail_at(field, fmt::format("{} is not one of {}, {}, {}", in_quotes(text, 40),
                                    node_types[0].*spelling, node_types[1].*spelling,
                                    node_types[2].*spelling));
}

/// Puts the rate of `minute_index` in its place; minutes without the function have none.
void add_rate(Share& share, std::size_t minute_index, double rate) {
  share.rates.resize(std::max(share.rates.size(), minute_index + 1));
  share.rates[minute_index] = share.rates[minute_index] + Rate{rate};
}

FunctionName read_function_name(const Fields& fields, std::string_view field) {
  return fields.accept(field, FunctionName::parse(fields.text(field, name_length_max)));
}

void read_history(const Fields& fields, std::string_view field, Node& node) {
  const std::vector<Fields> minutes = fields.objects(field, minutes_max);
  if (minutes.empty()) fields.fail_at(field, "is empty: one entry a minute is right");
  for (const Fields& entry : minutes) {
    for (const Fields& function : entry.objects("functions", functions_max)) {
      Share& share = node.functions[read_function_name(function, "name")];
      add_rate(share, node.minutes, function.number("invoc_rate", 0, rate_max));
      const double max_rate =
          std::round(function.number("max_rate", 0, scenario_limits::slots_max));
      share.max_rate = std::max({share.max_rate, max_rate, 1.0});
    }
    ++node.minutes;
  }
}

void read_loads(const Fields& fields, Node& node) {
  const std::vector<Fields> minutes = fields.objects("load", minutes_max);
  if (minutes.empty()) fields.fail_at("load", "is empty: one entry a minute is right");
  for (const Fields& entry : minutes) {
    for (const std::string& name : entry.names()) {
      const auto group = std::ranges::find(groups, name, &Group::name);
      if (group == groups.end()) {
        fields.fail_at("load",
                       fmt::format("group {} is not one of HIGH_USAGE, LOW_USAGE, MEDIUM_USAGE",
                                   in_quotes(name, 40)));
      }
      const Fields load = entry.object(name);
      for (const Fields& function : load.objects("functions", functions_max)) {
        Share& share = node.functions[read_function_name(function, "function_name")];
        add_rate(share, node.minutes, function.number("function_rate", 0, rate_max));
        share.service_time = Micros{std::llround(node_types[0].cpus * 1e6 / group->light_rate_max)};
      }
    }
    ++node.minutes;
  }
}

Node read_data_file(const Fields& fields) {
  Node node;
  node.type = &read_type(fields.object("input"), "node", &NodeType::simulation);
  read_history(fields, "output", node);
  return node;
}

std::vector<Node> read_instance(const Fields& fields) {
  const std::int64_t count = fields.integer("nodes_number", 1, nodes_max);
  std::vector<Node> nodes;
  for (std::int64_t number = 0; number < count; ++number) {
    Node node;
    node.name = fmt::format("node_{}", number);
    const Fields entry = fields.object(node.name);
    node.neighbours =
        entry.texts("neighbours", static_cast<std::size_t>(nodes_max), name_length_max);
    if (entry.has("exp_history")) {
      node.type = &read_type(entry, "node_type", &NodeType::simulation);
      read_history(entry, "exp_history", node);
    } else {
      node.type = &read_type(entry, "node_type", &NodeType::framework);
      read_loads(entry, node);
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

NodeName name_of(std::size_t number) {
  return *NodeName::parse(fmt::format("node-{}", number));  // Always a name.
}

/// Every pair that names each other, or one of which names the other.
Result<void> link_neighbours(Scenario& scenario, const std::vector<Node>& nodes) {
  std::map<std::string, NodeIndex> index;
  for (NodeIndex node = 0; node < nodes.size(); ++node) index.emplace(nodes[node].name, node);
  std::set<std::pair<NodeIndex, NodeIndex>> pairs;
  for (NodeIndex node = 0; node < nodes.size(); ++node) {
    for (const std::string& neighbour : nodes[node].neighbours) {
      const auto found = index.find(neighbour);
      if (found == index.end() || found->second == node) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("{}.neighbours: {} is not another node", nodes[node].name,
                                in_quotes(neighbour, 40)));
      }
      pairs.insert(std::minmax(node, found->second));
    }
  }
  for (const auto& [a, b] : pairs) scenario.links.push_back({.a = a, .b = b});
  return {};
}

/// The functions of all nodes in order of their names, and what each node's share of them is made of.
void add_functions(Scenario& scenario, const std::vector<Node>& nodes) {
  std::map<FunctionName, Micros> times;
  std::map<FunctionName, std::int64_t> divisors;
  for (const Node& node : nodes) {
    for (const auto& [name, share] : node.functions) {
      times[name] = std::max(times[name], share.service_time);
      divisors[name] =
          std::gcd(divisors[name], static_cast<std::int64_t>(std::lround(share.max_rate)));
    }
  }
  for (const auto& [name, time] : times) {
    const std::int64_t divisor = divisors[name];
    // The largest rate of which every max_rate is a multiple is that of one slot.
    const Micros mean = divisor > 0 ? Micros{1'000'000 / divisor} : time;
    scenario.functions.push_back({.name = name, .service_time = {.mean = mean}});
  }
}

/// Slots: those that max_rate means, or all of the machine's for `framework/`.
void deploy(ScenarioNode& node, const Node& read, FunctionIndex function, const Share& share,
            const Scenario& scenario) {
  ScenarioDeployment deployment{.function = function};
  if (share.max_rate > 0) {
    const ScenarioFunction& declared = scenario.functions[function];
    const double slots = share.max_rate * to_seconds(declared.service_time.mean);
    deployment.pool = node.pools.size();
    deployment.max_rate = {share.max_rate};
    node.pools.push_back(
        {.name = declared.name.name(), .slots = std::max(1, static_cast<int>(std::lround(slots)))});
  } else if (node.pools.empty()) {
    node.pools.push_back({.name = "cpu", .slots = read.type->cpus});
  }
  node.functions.push_back(deployment);
}

Result<Scenario> assemble(const std::vector<Node>& nodes, std::string name) {
  Scenario scenario{.name = std::move(name)};
  add_functions(scenario, nodes);
  std::map<FunctionName, FunctionIndex> index;
  for (FunctionIndex function = 0; function < scenario.functions.size(); ++function) {
    index.emplace(scenario.functions[function].name, function);
  }
  std::size_t minutes = 0;
  for (NodeIndex at = 0; at < nodes.size(); ++at) {
    ScenarioNode node{.name = name_of(at), .type = std::string(nodes[at].type->type)};
    for (const auto& [function, share] : nodes[at].functions) {
      deploy(node, nodes[at], index.at(function), share, scenario);
      scenario.loads.push_back(
          {.node = at, .function = index.at(function), .step = minute, .rates = share.rates});
    }
    scenario.nodes.push_back(std::move(node));
    minutes = std::max(minutes, nodes[at].minutes);
  }
  scenario.duration = static_cast<Micros::rep>(minutes) * minute;
  return scenario;
}

void set_stress(Scenario& scenario, std::int64_t from, std::int64_t until) {
  if (scenario.duration < until * minute) return;
  scenario.stress_from = from * minute;
  scenario.stress_until = until * minute;
}

Result<Scenario> validated(Scenario scenario) {
  if (auto valid = validate(scenario); !valid) return pass_on(std::move(valid));
  return scenario;
}

}  // namespace

Result<Scenario> import_original(std::string_view json) {
  std::vector<Node> nodes;
  bool is_simulation = true;
  const auto read = parse_json_object(json, bytes_max, [&](const Fields& fields) {
    if (fields.has("input") && fields.has("output")) {
      nodes.push_back(read_data_file(fields));
      return;
    }
    nodes = read_instance(fields);
    is_simulation = fields.object("node_0").has("exp_history");
  });
  if (!read) return tl::unexpected(read.error());
  auto scenario = assemble(nodes, is_simulation ? "dfaas-simulation" : "dfaas-framework");
  if (!scenario) return scenario;
  scenario->summary = fmt::format("Imported from an instance of the DFaaS prototype's {}/",
                                  is_simulation ? "simulation" : "framework");
  if (auto linked = link_neighbours(*scenario, nodes); !linked) return pass_on(std::move(linked));
  set_stress(*scenario, is_simulation ? 1 : 2, is_simulation ? 6 : 4);
  return validated(std::move(*scenario));
}

Result<Scenario> import_original_data(std::span<const OriginalDataFile> files) {
  std::vector<Node> nodes;
  for (const OriginalDataFile& file : files) {
    const auto read = parse_json_object(file.json, bytes_max, [&nodes](const Fields& fields) {
      nodes.push_back(read_data_file(fields));
    });
    if (!read) return tl::unexpected(Error(read.error()).within(in_quotes(file.name)));
  }
  auto scenario = assemble(nodes, "dfaas-data");
  if (!scenario) return scenario;
  scenario->summary = "Imported from measured data of the DFaaS prototype";
  for (NodeIndex a = 0; a < nodes.size(); ++a) {
    for (NodeIndex b = a + 1; b < nodes.size(); ++b) scenario->links.push_back({.a = a, .b = b});
  }
  set_stress(*scenario, 1, 6);
  return validated(std::move(*scenario));
}

}  // namespace dfaas
