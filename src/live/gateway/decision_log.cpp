// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/decision_log.hpp"

#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dfaas {

std::string steps_text(const std::vector<DecisionStep>& steps) {
  std::string text;
  for (const DecisionStep& step : steps) {
    fmt::format_to(std::back_inserter(text), "{}{} {} {:.1f} ms", text.empty() ? "" : "; ",
                   step.where, step.what, to_millis(step.took));
  }
  return text;
}

std::string decision_json(const DecisionRecord& record) {
  nlohmann::json steps = nlohmann::json::array();
  for (const DecisionStep& step : record.steps) {
    steps.push_back({{"where", step.where}, {"what", step.what}, {"ms", to_millis(step.took)}});
  }
  return nlohmann::json{
      {"call_id", record.call_id}, {"function", record.function},  {"origin", record.origin},
      {"time", record.time},       {"result", record.result},      {"reason", record.reason},
      {"status", record.status},   {"ms", to_millis(record.took)}, {"steps", steps}}
      .dump();
}

void DecisionLog::add(DecisionRecord record) {
  if (records_.size() == length_max) records_.pop_front();
  records_.push_back(std::move(record));
}

std::vector<DecisionRecord> DecisionLog::find(std::string_view call_id,
                                              std::size_t count_max) const {
  std::vector<DecisionRecord> found;
  for (auto record = records_.rbegin(); record != records_.rend() && found.size() < count_max;
       ++record) {
    if (call_id.empty() || record->call_id == call_id) found.push_back(*record);
  }
  return found;
}

}  // namespace dfaas
