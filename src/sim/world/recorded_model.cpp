// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/world/recorded_model.hpp"

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "sim/world/node_ids.hpp"

namespace dfaas {

ExternalModel model_of(ModelTrace trace, const Scenario& scenario) {
  std::map<FunctionName, FunctionIndex> functions;
  for (FunctionIndex function = 0; function < scenario.functions.size(); ++function) {
    functions.emplace(scenario.functions[function].name, function);
  }
  const auto kept = std::make_shared<const ModelTrace>(std::move(trace));
  return [kept, functions = std::move(functions)](
             Micros at, NodeIndex node,
             const ExternalQuestion& question) -> std::optional<ExternalShares> {
    const RecordedAnswer* answer = kept->in_force(node, functions.at(question.function), at);
    if (answer == nullptr) return {};
    ExternalShares shares{.local = answer->local, .refused = answer->refused, .neighbours = {}};
    for (const auto& [neighbour, share] : answer->neighbours) {
      shares.neighbours.emplace(node_id_of(neighbour), share);
    }
    return shares;
  };
}

}  // namespace dfaas
