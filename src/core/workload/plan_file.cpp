// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/plan_file.hpp"

#include "core/base/text.hpp"
#include "core/toml/toml_table.hpp"

namespace dfaas {
namespace {

std::string read_body(const TomlTable& table, const ReadPlanData& read_data) {
  if (!table.has("data_file")) return table.text("data", "");
  if (table.has("data")) table.fail_with("data and data_file are both given: one is enough");
  return table.accept("data_file", read_data(table.text("data_file", "")));
}

Headers read_headers(const TomlTable& table) {
  Headers headers;
  for (auto& [name, value] : table.text_map("headers")) headers.add(name, value);
  return headers;
}

LoadPhase read_phase(const TomlTable& table, Micros default_start, const ReadPlanData& read_data) {
  table.allow_only({"name", "url", "start", "duration", "rate", "arrivals", "method", "headers",
                    "data", "data_file", "expected_node"});
  table.require("name", "a text such as \"warm\"");
  table.require("url", "http://HOST:PORT/PATH");
  table.require("duration", "a text such as \"30s\"");
  const bool has_body = table.has("data") || table.has("data_file");
  LoadPhase phase{.name = table.text("name", ""),
                  .start = table.duration("start", default_start),
                  .duration = table.duration("duration", {}),
                  .rate = {table.number("rate")},
                  .arrivals = table.text("arrivals", "constant"),
                  .target = table.accept("url", parse_load_target(table.text("url", ""))),
                  .method = table.text("method", has_body ? "POST" : "GET"),
                  .headers = read_headers(table),
                  .body = read_body(table, read_data)};
  if (table.has("expected_node")) {
    phase.expected_node =
        table.accept("expected_node", NodeId::parse(table.text("expected_node", "")));
  }
  return phase;
}

LoadPlan read_plan(const TomlTable& table, const ReadPlanData& read_data) {
  table.allow_only({"seed", "timeout", "outstanding_max", "phase"});
  LoadPlan plan;
  plan.seed = table.count("seed", plan.seed);
  plan.timeout = table.duration("timeout", plan.timeout);
  plan.outstanding_max = table.count("outstanding_max", plan.outstanding_max);
  Micros end{0};
  for (const toml::table* phase_table : table.some_tables("phase")) {
    const auto* name = phase_table->get_as<std::string>("name");
    const std::string which =
        name == nullptr ? std::to_string(plan.phases.size() + 1) : in_quotes(name->get());
    plan.phases.push_back(read_phase({*phase_table, "phase " + which}, end, read_data));
    end = plan.phases.back().start + plan.phases.back().duration;
  }
  return plan;
}

}  // namespace

Result<LoadPlan> parse_plan_file(std::string_view text, const ReadPlanData& read_data) {
  LoadPlan plan;
  auto read = parse_toml(
      text, [&plan, &read_data](const TomlTable& table) { plan = read_plan(table, read_data); });
  if (!read) return pass_on(std::move(read));
  if (auto valid = validate(plan); !valid) return pass_on(std::move(valid));
  return plan;
}

}  // namespace dfaas
