// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/plan_file.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"

namespace dfaas {
namespace {

/// A key that is missing or wrong. Never leaves parse_plan_file().
struct BadKey {
  std::string message;
};

/// A value as it stands in the file, for messages.
std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return in_quotes(text->get());
  std::ostringstream stream;
  node.visit([&stream](const auto& value) { stream << value; });
  return in_quotes(stream.str());
}

/// One TOML table, read key by key; the first wrong one ends it.
class PlanTable {
 public:
  PlanTable(const toml::table& table, std::string scope)
      : table_(&table), scope_(std::move(scope)) {}

  void allow_only(std::initializer_list<std::string_view> known) const {
    for (const auto& [key, node] : *table_) {
      if (std::ranges::find(known, key.str()) == known.end()) {
        fail_with(fmt::format("key {} is not known: {} are", in_quotes(key.str()),
                              fmt::join(known, ", ")));
      }
    }
  }

  [[nodiscard]] bool has(std::string_view key) const { return table_->contains(key); }

  [[nodiscard]] std::string text(std::string_view key, std::string_view otherwise) const {
    const toml::node* node = table_->get(key);
    if (node == nullptr) return std::string(otherwise);
    if (const auto* text = node->as_string()) return text->get();
    fail_at(key, *node, "a text in quotes");
  }

  [[nodiscard]] Micros duration(std::string_view key, Micros otherwise) const {
    if (!has(key)) return otherwise;
    return accept(key, parse_duration(text(key, "")));
  }

  [[nodiscard]] std::uint64_t count(std::string_view key, std::uint64_t otherwise) const {
    const toml::node* node = table_->get(key);
    if (node == nullptr) return otherwise;
    const auto* number = node->as_integer();
    if (number == nullptr || number->get() < 0) fail_at(key, *node, "an integer from 0");
    return static_cast<std::uint64_t>(number->get());
  }

  [[nodiscard]] double number(std::string_view key) const {
    const toml::node* node = table_->get(key);
    if (node == nullptr || !node->is_number()) {
      if (node == nullptr) fail_with(fmt::format("{} is missing: give a number", key));
      fail_at(key, *node, "a number");
    }
    return *node->value<double>();
  }

  [[nodiscard]] Headers headers(std::string_view key) const {
    Headers headers;
    const toml::node* node = table_->get(key);
    if (node == nullptr) return headers;
    const auto* table = node->as_table();
    if (table == nullptr) fail_at(key, *node, "a table of names and texts");
    for (const auto& [name, value] : *table) {
      const auto* text = value.as_string();
      if (text == nullptr) fail_at("header " + in_quotes(name.str()), value, "a text in quotes");
      headers.add(std::string(name.str()), text->get());
    }
    return headers;
  }

  [[nodiscard]] std::vector<const toml::table*> tables(std::string_view key) const {
    std::vector<const toml::table*> tables;
    const toml::node* node = table_->get(key);
    if (node == nullptr || !node->is_array_of_tables()) {
      fail_with(fmt::format("there is no {0}: write at least one [[{0}]] table", key));
    }
    for (const toml::node& element : *node->as_array()) tables.push_back(element.as_table());
    return tables;
  }

  /// `value`, or the error of the key that it came from.
  template <class T>
  T accept(std::string_view key, Result<T> value) const {
    if (!value) fail_with(fmt::format("{}: {}", key, value.error().message));
    return std::move(*value);
  }

  void require(std::string_view key, std::string_view right) const {
    if (!has(key)) fail_with(fmt::format("{} is missing: give {}", key, right));
  }

  [[noreturn]] void fail_with(const std::string& why) const {
    throw BadKey{scope_.empty() ? why : scope_ + ": " + why};
  }

 private:
  [[noreturn]] void fail_at(std::string_view key, const toml::node& node,
                            std::string_view right) const {
    fail_with(fmt::format("{} {} is not {}", key, shown(node), right));
  }

  const toml::table* table_;
  std::string scope_;
};

std::string read_body(const PlanTable& table, const ReadPlanData& read_data) {
  if (!table.has("data_file")) return table.text("data", "");
  if (table.has("data")) table.fail_with("data and data_file are both given: one is enough");
  return table.accept("data_file", read_data(table.text("data_file", "")));
}

LoadPhase read_phase(const PlanTable& table, Micros default_start, const ReadPlanData& read_data) {
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
                  .headers = table.headers("headers"),
                  .body = read_body(table, read_data)};
  if (table.has("expected_node")) {
    phase.expected_node =
        table.accept("expected_node", NodeId::parse(table.text("expected_node", "")));
  }
  return phase;
}

LoadPlan read_plan(const toml::table& root, const ReadPlanData& read_data) {
  const PlanTable table(root, "");
  table.allow_only({"seed", "timeout", "outstanding_max", "phase"});
  LoadPlan plan;
  plan.seed = table.count("seed", plan.seed);
  plan.timeout = table.duration("timeout", plan.timeout);
  plan.outstanding_max = table.count("outstanding_max", plan.outstanding_max);
  Micros end{0};
  for (const toml::table* phase_table : table.tables("phase")) {
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
  try {
    LoadPlan plan = read_plan(toml::parse(text), read_data);
    if (auto valid = validate(plan); !valid) return pass_on(std::move(valid));
    return plan;
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::invalid_input,
                fmt::format("line {}: {}", error.source().begin.line, error.description()));
  } catch (const BadKey& bad) {
    return fail(ErrorCode::invalid_input, bad.message);
  }
}

}  // namespace dfaas
