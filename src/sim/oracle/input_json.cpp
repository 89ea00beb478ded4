// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/oracle/input_json.hpp"

#include <cstddef>

#include <nlohmann/json.hpp>

#include "core/scenario/scenario_words.hpp"

namespace dfaas {
namespace {

using Json = nlohmann::ordered_json;

/// As people write it: without the default namespace.
std::string name_of(const FunctionName& name) {
  return name.space() == FunctionName::default_space ? name.name() : name.full();
}

Json json_of(const ScenarioFunction& function) {
  return {{"name", name_of(function.name)},
          {"service_mean_us", function.service_time.mean.count()},
          {"deadline_us", function.effective_deadline().count()},
          {"share", to_text(function.share)}};
}

Json json_of(const ScenarioNode& node, const Scenario& scenario) {
  Json pools = Json::array();
  for (const ScenarioPool& pool : node.pools) pools.push_back({{"slots", pool.slots}});
  Json functions = Json::array();
  for (const ScenarioDeployment& deployment : node.functions) {
    functions.push_back({{"function", name_of(scenario.functions[deployment.function].name)},
                         {"pool", deployment.pool}});
  }
  return {{"name", node.name.text()},
          {"organisation", node.organisation},
          {"pools", std::move(pools)},
          {"functions", std::move(functions)},
          {"joins_at_us", node.joins_at.count()},
          {"runs_agent", node.runs_agent},
          {"refuses_guests", node.lie && node.lie->refuses_guests},
          {"slowdown_factor", node.lie ? node.lie->slowdown : 1}};
}

Json json_of(const ScenarioFault& fault, const Scenario& scenario) {
  Json nodes = Json::array();
  for (const NodeIndex node : fault.nodes) nodes.push_back(scenario.nodes[node].name.text());
  return {{"kind", scenario_words::fault_kinds.at(static_cast<std::size_t>(fault.kind))},
          {"at_us", fault.at.count()},
          {"until_us", fault.until ? Json(fault.until->count()) : Json(nullptr)},
          {"nodes", std::move(nodes)},
          {"factor", fault.factor}};
}

}  // namespace

std::string oracle_input_json(const Scenario& scenario) {
  Json json{{"scenario", scenario.name},
            {"duration_us", scenario.duration.count()},
            {"warm_up_us", scenario.warm_up.count()},
            {"window_us", scenario.window.count()}};
  for (const char* list : {"functions", "nodes", "links", "faults"}) json[list] = Json::array();
  for (const auto& function : scenario.functions) json["functions"].push_back(json_of(function));
  for (const auto& node : scenario.nodes) json["nodes"].push_back(json_of(node, scenario));
  for (const auto& link : scenario.links) {
    json["links"].push_back({{"a", scenario.nodes[link.a].name.text()},
                             {"b", scenario.nodes[link.b].name.text()},
                             {"loss_ratio", link.loss_ratio}});
  }
  for (const auto& fault : scenario.faults) json["faults"].push_back(json_of(fault, scenario));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace dfaas
