// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/model_trace.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/scenario/recording.hpp"
#include "core/strategy/external_codec.hpp"

namespace dfaas {
namespace {

constexpr double seconds_max = 86'400;
constexpr std::size_t name_length_max = 200;
constexpr std::size_t line_length_max = 64 * 1024;

/// The scenario by name, and what was read so far.
class Reader {
 public:
  explicit Reader(const Scenario& scenario) : scenario_(scenario) {
    for (NodeIndex node = 0; node < scenario.nodes.size(); ++node) {
      nodes_.emplace(scenario.nodes[node].name.text(), node);
    }
    for (FunctionIndex function = 0; function < scenario.functions.size(); ++function) {
      functions_.emplace(scenario.functions[function].name.full(), function);
    }
    for (const ScenarioLink& link : scenario.links) {
      links_.insert({link.a, link.b});
      links_.insert({link.b, link.a});
    }
  }

  void read(const Fields& fields, std::size_t line) {
    allow_only(fields, {"at_s", "node", "function", "local", "reject", "neighbours"});
    RecordedAnswer answer{.at = Micros{std::llround(fields.number("at_s", 0, seconds_max) * 1e6)}};
    if (answer.at < last_) {
      throw BadField{fmt::format("at_s {} is before the {} of line {}: a trace is in order of time",
                                 to_seconds(answer.at), to_seconds(last_), last_line_)};
    }
    const NodeIndex node = node_of(fields);
    const FunctionIndex function = function_of(fields);
    answer.local = fields.number("local", 0, 1);
    answer.refused = fields.number("reject", 0, 1);
    if (fields.has("neighbours")) {
      answer.neighbours = neighbours_of(fields.object("neighbours"), node, function);
    }
    make_parts(fields, answer);
    if (++count_ > model_trace_answers_max) {
      throw BadField{fmt::format("more than {} answers", model_trace_answers_max)};
    }
    last_ = answer.at;
    last_line_ = line;
    trace_.answers[{node, function}].push_back(std::move(answer));
  }

  ModelTrace take() { return std::move(trace_); }

 private:
  NodeIndex node_of(const Fields& fields) const {
    const std::string name = fields.text("node", name_length_max);
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) {
      fields.fail_at("node", fmt::format("{} is not in the scenario", in_quotes(name, 40)));
    }
    if (!scenario_.nodes[found->second].runs_agent) {
      fields.fail_at("node", fmt::format("{} has no agent, which would ask the model", name));
    }
    return found->second;
  }

  FunctionIndex function_of(const Fields& fields) const {
    const auto name =
        fields.accept("function", FunctionName::parse(fields.text("function", name_length_max)));
    const auto found = functions_.find(name.full());
    if (found == functions_.end()) {
      fields.fail_at("function", fmt::format("{} is not in the scenario", short_name(name)));
    }
    return found->second;
  }

  std::map<NodeIndex, double> neighbours_of(const Fields& fields, NodeIndex node,
                                            FunctionIndex function) const {
    std::map<NodeIndex, double> shares;
    for (const std::string& name : fields.names()) {
      const auto found = nodes_.find(name);
      if (found == nodes_.end()) {
        fields.fail_at(in_quotes(name, 40), "is no node of the scenario");
      }
      if (const std::string why = why_not(node, found->second, function); !why.empty()) {
        fields.fail_at(name, why);
      }
      shares.emplace(found->second, fields.number(name, 0, 1));
    }
    return shares;
  }

  /// Why `other` is never offered calls of `node`; empty where it is. A live node asks its model about no
  /// such neighbour, either.
  [[nodiscard]] std::string why_not(NodeIndex node, NodeIndex other, FunctionIndex function) const {
    const ScenarioNode& from = scenario_.nodes[node];
    const ScenarioNode& to = scenario_.nodes[other];
    const ScenarioFunction& what = scenario_.functions[function];
    if (!links_.contains({node, other}) || !to.runs_agent) {
      return fmt::format("is no neighbour of {}", from.name.text());
    }
    const bool runs = std::ranges::find(to.functions, function, &ScenarioDeployment::function) !=
                      to.functions.end();
    if (!runs) return fmt::format("does not run {}", short_name(what.name));
    if (!admits(what.share, from.organisation, to.organisation)) {
      return fmt::format("takes no calls of {} from {}: it is shared within the {}",
                         short_name(what.name), from.name.text(), to_text(what.share));
    }
    return {};
  }

  static void make_parts(const Fields& fields, RecordedAnswer& answer) {
    double sum = answer.local + answer.refused;
    for (const auto& [node, share] : answer.neighbours) sum += share;
    if (!sums_to_one(sum)) {
      fields.fail_at("local", fmt::format("with the other shares it sums to {}, not to 1", sum));
    }
    answer.local /= sum;
    answer.refused /= sum;
    for (auto& [node, share] : answer.neighbours) share /= sum;
  }

  const Scenario& scenario_;
  std::map<std::string, NodeIndex, std::less<>> nodes_;
  std::map<std::string, FunctionIndex, std::less<>> functions_;
  std::set<std::pair<NodeIndex, NodeIndex>> links_;
  ModelTrace trace_;
  std::size_t count_ = 0;
  Micros last_{0};
  std::size_t last_line_ = 0;
};

}  // namespace

const RecordedAnswer* ModelTrace::in_force(NodeIndex node, FunctionIndex function,
                                           Micros at) const {
  const auto found = answers.find({node, function});
  if (found == answers.end()) return nullptr;
  const auto next = std::ranges::upper_bound(found->second, at, {}, &RecordedAnswer::at);
  return next == found->second.begin() ? nullptr : &*std::prev(next);
}

Result<ModelTrace> parse_model_trace(std::string_view text, const Scenario& scenario) {
  Reader reader(scenario);
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto read = parse_json_object(line, line_length_max,
                                        [&](const Fields& fields) { reader.read(fields, number); });
    if (!read) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("line {}: {}", number, read.error().message));
    }
  }
  ModelTrace trace = reader.take();
  if (trace.answers.empty()) {
    return fail(ErrorCode::invalid_input,
                "line 1: a trace of a model's answers has one at least, a JSON object a line");
  }
  return trace;
}

}  // namespace dfaas
