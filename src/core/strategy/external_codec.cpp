// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/strategy/external_codec.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

using nlohmann::json;

constexpr std::size_t action_bytes_max = 64 * 1024;
constexpr double sum_tolerance = 1e-6;

std::string key_of(const NodeId& id) { return "node_" + id.text(); }

double finite(double value) { return std::isfinite(value) ? value : 0; }
double ratio(double value) { return std::clamp(finite(value), 0.0, 1.0); }

void add_window(json& out, const std::string& prefix, const ExternalWindow& window) {
  out[prefix + "input_rate"] = finite(window.input.per_second);
  out[prefix + "reject_rate"] = ratio(window.reject_ratio);
  out[prefix + "avg_resp_time_loc"] = finite(window.response_time_ms_mean);
  out[prefix + "cpu_utilization"] = ratio(window.cpu_ratio);
  out[prefix + "n_replicas"] = window.replicas;
}

/// The neighbour of that key, if it was asked for.
const NodeId* neighbour_of(std::string_view key, std::span<const NodeId> neighbours) {
  const auto found = std::ranges::find(neighbours, key, key_of);
  return found == neighbours.end() ? nullptr : &*found;
}

ExternalShares read_shares(const Fields& fields, std::span<const NodeId> neighbours) {
  ExternalShares shares{.local = fields.number("local", 0, 1),
                        .refused = fields.number("reject", 0, 1),
                        .neighbours = {}};
  double sum = shares.local + shares.refused;
  for (const NodeId& id : neighbours) {
    const double share = fields.number(key_of(id), 0, 1);
    shares.neighbours.emplace(id, share);
    sum += share;
  }
  for (const std::string& name : fields.names()) {
    if (name == "local" || name == "reject" || neighbour_of(name, neighbours) != nullptr) continue;
    fields.fail_at(in_quotes(name, 60), "is none of local, reject and the neighbours asked for");
  }
  if (!sums_to_one(sum)) {
    fields.fail_at("local", fmt::format("with the other shares it sums to {}, not to 1", sum));
  }
  shares.local /= sum;
  shares.refused /= sum;
  for (auto& [id, share] : shares.neighbours) share /= sum;
  return shares;
}

}  // namespace

bool sums_to_one(double sum) { return std::abs(sum - 1) <= sum_tolerance; }

std::string external_observation_json(const ExternalObservation& observation) {
  json seen = json::object();
  add_window(seen, "", observation.current);
  add_window(seen, "previous_", observation.previous);
  for (const auto& [id, forwards] : observation.previous_forwards) {
    const std::string to = "fwd_to_" + key_of(id);
    seen["previous_" + to] = finite(forwards.sent.per_second);
    seen["previous_" + to + "_rejected"] = finite(forwards.rejected.per_second);
    seen["previous_avg_resp_time_" + to] = finite(forwards.response_time_ms_mean);
  }
  return json_text({{"function", observation.function.full()},
                    {"observation", {{key_of(observation.self), seen}}},
                    {"agent_parameters", {{"explore", observation.explore}}}});
}

Result<ExternalShares> external_action_from_json(std::string_view text, const NodeId& self,
                                                 std::span<const NodeId> neighbours) {
  ExternalShares shares;
  const auto read = parse_json_object(text, action_bytes_max, [&](const Fields& fields) {
    shares = read_shares(fields.object(key_of(self)), neighbours);
    if (fields.names().size() > 1) fields.fail_at(key_of(self), "is not the only node");
  });
  if (!read) return tl::unexpected(Error(read.error()).within("answer of the model"));
  return shares;
}

}  // namespace dfaas
