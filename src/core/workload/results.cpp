// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/results.hpp"

#include <nlohmann/json.hpp>

namespace dfaas {
namespace {

nlohmann::ordered_json json_of(const LoadCounts& counts, const LatencyMarks& latency) {
  nlohmann::ordered_json peers = nlohmann::ordered_json::object();
  for (const auto& [name, count] : counts.served_by_peer) peers[name] = count;
  nlohmann::ordered_json json;
  json["offered"] = counts.offered;
  json["served"] = counts.served();
  json["served_local"] = counts.served_local;
  json["served_by_peer"] = std::move(peers);
  json["refused"] = counts.refused;
  json["failed"] = counts.failed;
  json["transport_errors"] = counts.transport_errors;
  json["success_ratio"] = counts.success_ratio();
  json["latency_ms"] = {{"p50", to_millis(latency.p50)},
                        {"p95", to_millis(latency.p95)},
                        {"p99", to_millis(latency.p99)},
                        {"max", to_millis(latency.max)}};
  return json;
}

}  // namespace

std::uint64_t LoadCounts::served_by_peers() const {
  std::uint64_t sum = 0;
  for (const auto& [name, count] : served_by_peer) sum += count;
  return sum;
}

double LoadCounts::success_ratio() const {
  if (offered == 0) return 0;
  return static_cast<double>(served()) / static_cast<double>(offered);
}

LatencyMarks LatencyMarks::of(const LatencyHistogram& histogram) {
  return {.p50 = histogram.percentile(50),
          .p95 = histogram.percentile(95),
          .p99 = histogram.percentile(99),
          .max = histogram.max()};
}

bool LoadReport::kept_rate() const {
  return over_limit == 0 && total.generator_late_p99 <= late_max;
}

nlohmann::ordered_json json_of(const LoadSummary& summary) {
  auto json = json_of(summary.counts, summary.latency);
  json["generator_late_ms_p99"] = to_millis(summary.generator_late_p99);
  return json;
}

nlohmann::ordered_json json_of(const LoadSecond& second) {
  nlohmann::ordered_json json;
  json["second"] = second.second;
  json.update(json_of(second.counts, second.latency));
  return json;
}

nlohmann::ordered_json json_of(const LoadReport& report, std::string_view version) {
  nlohmann::ordered_json phases = nlohmann::ordered_json::object();
  for (const auto& [name, summary] : report.phases) phases[name] = json_of(summary);
  nlohmann::ordered_json json;
  json["phases"] = std::move(phases);
  json["total"] = json_of(report.total);
  json["seed"] = report.seed;
  json["version"] = version;
  json["elapsed_ms"] = to_millis(report.elapsed);
  json["kept_rate"] = report.kept_rate();
  json["cancelled"] = report.was_cancelled;
  json["unfinished"] = report.unfinished;
  json["over_limit"] = report.over_limit;
  json["retried"] = report.retried;
  json["errors"] = report.errors;
  json["notes"] = report.notes;
  return json;
}

}  // namespace dfaas
