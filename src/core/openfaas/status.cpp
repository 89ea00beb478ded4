// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/status.hpp"

#include <nlohmann/json.hpp>

#include "core/json/fields.hpp"

namespace dfaas {
namespace {

using nlohmann::json;
constexpr std::size_t bytes_max = 64U << 20U;

json to_object(const FunctionStatus& status) {
  json out = json::parse(deployment_to_json(status.deployment));
  out["name"] = out["service"];
  out.erase("service");
  out["createdAt"] = status.created_at;
  out["invocationCount"] = status.invocation_count;
  out["replicas"] = status.replicas;
  out["availableReplicas"] = status.available_replicas;
  if (!status.image_digest.empty()) {
    out["imageDigest"] = status.image_digest;
    out["imageBytes"] = status.image_bytes;
  }
  if (status.usage) {
    out["usage"] = {{"cpu", status.usage->cpu_millis},
                    {"totalMemoryBytes", status.usage->memory_bytes}};
  }
  return out;
}

/// Beside what concerns platforms, whose usage nobody here needs.
FunctionStatus read_shown_status(const Fields& fields) {
  FunctionStatus status = read_function_status(fields);
  if (!fields.has("usage")) return status;
  const Fields usage = fields.object("usage");
  status.usage = FunctionUsage{
      .cpu_millis = usage.number_or("cpu", 0, 1e12, 0),
      .memory_bytes = static_cast<std::uint64_t>(usage.number_or("totalMemoryBytes", 0, 1e18, 0))};
  return status;
}

}  // namespace

FunctionStatus read_function_status(const Fields& fields) {
  FunctionStatus status;
  status.deployment.function = fields.accept(
      "name", FunctionName::parse(fields.text("name", 200), fields.text_or("namespace", 200, "")));
  status.deployment.image = fields.text_or("image", 1024, "");
  status.deployment.process = fields.text_or("envProcess", 65536, "");
  for (auto& [key, value] : fields.text_map("labels", 1000, 65536)) {
    status.deployment.labels.emplace(std::move(key), std::move(value));
  }
  for (auto& [key, value] : fields.text_map("envVars", 1000, 65536)) {
    status.deployment.env.emplace(std::move(key), std::move(value));
  }
  for (auto& [key, value] : fields.text_map("annotations", 1000, 65536)) {
    status.deployment.annotations.emplace(std::move(key), std::move(value));
  }
  status.created_at = fields.text_or("createdAt", 64, "");
  status.invocation_count = fields.number_or("invocationCount", 0, 1e18, 0);
  status.replicas = static_cast<int>(fields.integer_or("replicas", 0, 1'000'000, 0));
  status.available_replicas =
      static_cast<int>(fields.integer_or("availableReplicas", 0, 1'000'000, 0));
  status.image_digest = fields.text_or("imageDigest", 200, "");
  status.image_bytes =
      static_cast<std::uint64_t>(fields.integer_or("imageBytes", 0, 1LL << 60U, 0));
  return status;
}

std::string function_status_json(const FunctionStatus& status) { return to_object(status).dump(); }

std::string function_list_json(std::span<const FunctionStatus> statuses) {
  json list = json::array();
  for (const FunctionStatus& status : statuses) list.push_back(to_object(status));
  return list.dump();
}

std::string info_json(const InfoFacts& facts) {
  const json versions{{"release", facts.version}, {"sha", ""}, {"commit_message", ""}};
  json info{
      {"provider", {{"provider", "dfaas"}, {"orchestration", "dfaas"}, {"version", versions}}},
      {"version", versions},
      {"arch", facts.arch},
      {"dfaas", {{"node", facts.node}, {"id", facts.id}}}};
  if (!facts.sandbox.empty()) info["sandbox"] = json::parse(facts.sandbox);
  if (!facts.platform.empty()) info["platform"] = json::parse(facts.platform);
  return info.dump();
}

Result<FunctionStatus> function_status_from_json(std::string_view text) {
  FunctionStatus status;
  const auto read = parse_json_object(
      text, bytes_max, [&status](const Fields& fields) { status = read_shown_status(fields); });
  if (!read) return tl::unexpected(Error(read.error()).within("function status"));
  return status;
}

Result<std::vector<FunctionStatus>> function_list_from_json(std::string_view text) {
  std::vector<FunctionStatus> list;
  const std::string wrapped = "{\"functions\":" + std::string(text) + "}";
  const auto read = parse_json_object(wrapped, bytes_max, [&list](const Fields& fields) {
    for (const Fields& entry : fields.objects("functions", 100'000)) {
      list.push_back(read_shown_status(entry));
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("function list"));
  return list;
}

}  // namespace dfaas
