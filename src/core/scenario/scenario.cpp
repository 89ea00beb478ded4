// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/scenario.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

using Problem = std::optional<std::string>;

bool is_in(double value, double low, double high) {
  return std::isfinite(value) && value >= low && value <= high;
}

std::string seconds_text(Micros time) { return fmt::format("{} s", to_seconds(time)); }

Problem problem_of(const ScenarioFunction& function) {
  const ServiceTime& time = function.service_time;
  if (function.name.empty()) return "it has no name";
  if (time.mean.count() <= 0 || time.mean > scenario_limits::duration_max) {
    return fmt::format("mean service time {} is not above 0 s and up to 24 h",
                       seconds_text(time.mean));
  }
  if (time.kind == ServiceKind::log_normal && !(time.sigma > 0 && time.sigma <= 5)) {
    return fmt::format("sigma {} is not above 0 and up to 5", time.sigma);
  }
  if (time.kind == ServiceKind::samples && time.samples.empty()) {
    return "it has no samples of its service time";
  }
  const bool has_bad_sample =
      std::ranges::any_of(time.samples, [](Micros sample) { return sample.count() < 0; });
  if (has_bad_sample) return "a sample of its service time is below 0";
  if (function.deadline.count() < 0) return "its deadline is below 0";
  return {};
}

Problem problem_of(const ScenarioNode& node, const Scenario& scenario) {
  if (node.name.empty()) return "it has no name";
  for (const ScenarioPool& pool : node.pools) {
    if (pool.slots < 1 || pool.slots > scenario_limits::slots_max) {
      return fmt::format("pool {}: slots {} is not 1 to {}", in_quotes(pool.name), pool.slots,
                         scenario_limits::slots_max);
    }
  }
  std::set<FunctionIndex> seen;
  for (const ScenarioDeployment& deployment : node.functions) {
    if (deployment.function >= scenario.functions.size()) {
      return fmt::format("function number {} does not exist: there are {}", deployment.function,
                         scenario.functions.size());
    }
    const std::string name = scenario.functions[deployment.function].name.name();
    if (!seen.insert(deployment.function).second) {
      return fmt::format("function {} is deployed twice", in_quotes(name));
    }
    if (deployment.pool >= node.pools.size()) {
      return fmt::format("function {}: pool number {} does not exist: there are {}",
                         in_quotes(name), deployment.pool, node.pools.size());
    }
    if (!is_in(deployment.max_rate.per_second, 0, 1e9)) {
      return fmt::format("function {}: max_rate {} is not 0 to 1e9 requests/s", in_quotes(name),
                         deployment.max_rate.per_second);
    }
  }
  if (!is_in(node.power_idle_watts, 0, node.power_max_watts) ||
      !std::isfinite(node.power_max_watts)) {
    return fmt::format("power {} W when idle is not 0 to {} W, its maximum", node.power_idle_watts,
                       node.power_max_watts);
  }
  if (!is_in(node.processors, 0, scenario_limits::processors_max)) {
    return fmt::format("processors {} is not 0 to {}", node.processors,
                       scenario_limits::processors_max);
  }
  if (node.lie && !(is_in(node.lie->advertise_factor, 0, 1e6) &&
                    is_in(node.lie->slowdown, 1, 1e6) && is_in(node.lie->error_ratio, 0, 1))) {
    return "its lie has an advertise factor outside 0 to 1e6, a slowdown outside 1 to 1e6, or an "
           "error ratio outside 0 to 1";
  }
  return {};
}

Problem problem_of(const ScenarioLink& link, const Scenario& scenario) {
  const std::size_t nodes = scenario.nodes.size();
  if (link.a >= nodes || link.b >= nodes) {
    return fmt::format("node number {} does not exist: there are {}", std::max(link.a, link.b),
                       nodes);
  }
  if (link.a == link.b)
    return fmt::format("it links {} to itself", scenario.nodes[link.a].name.text());
  if (link.rtt.count() < 0 || link.rtt > scenario_limits::rtt_max) {
    return fmt::format("rtt {} is not 0 to 60 s", seconds_text(link.rtt));
  }
  if (link.jitter.count() < 0 || link.jitter > scenario_limits::rtt_max) {
    return fmt::format("jitter {} is not 0 to 60 s", seconds_text(link.jitter));
  }
  if (!is_in(link.loss_ratio, 0, 1)) return fmt::format("loss {} is not 0 to 1", link.loss_ratio);
  if (!is_in(link.duplicate_ratio, 0, 1)) {
    return fmt::format("duplicates {} is not 0 to 1", link.duplicate_ratio);
  }
  if (!is_in(link.bandwidth_mbps, 0, scenario_limits::bandwidth_mbps_max)) {
    return fmt::format("bandwidth {} Mbit/s is not 0 to {}", link.bandwidth_mbps,
                       scenario_limits::bandwidth_mbps_max);
  }
  return {};
}

Problem problem_of(const ScenarioLoad& load, const Scenario& scenario) {
  if (load.node >= scenario.nodes.size()) {
    return fmt::format("node number {} does not exist: there are {}", load.node,
                       scenario.nodes.size());
  }
  if (load.function >= scenario.functions.size()) {
    return fmt::format("function number {} does not exist: there are {}", load.function,
                       scenario.functions.size());
  }
  if (load.start.count() < 0) return "it starts before the scenario";
  if (load.step.count() <= 0)
    return fmt::format("step {} is not above 0 s", seconds_text(load.step));
  for (const Rate rate : load.rates) {
    if (!is_in(rate.per_second, 0, scenario_limits::rate_max.per_second)) {
      return fmt::format("rate {} is not 0 to {:.0f} requests/s", rate.per_second,
                         scenario_limits::rate_max.per_second);
    }
  }
  if (!std::ranges::is_sorted(load.calls, {}, &TraceCall::at))
    return "its calls are not in order of time";
  if (!load.calls.empty() && load.calls.front().at.count() < 0)
    return "a call is before the scenario";
  return {};
}

Problem problem_of(const ScenarioFault& fault, const Scenario& scenario) {
  for (const NodeIndex node : fault.nodes) {
    if (node >= scenario.nodes.size()) {
      return fmt::format("node number {} does not exist: there are {}", node,
                         scenario.nodes.size());
    }
  }
  const bool is_pair = fault.kind == FaultKind::link_cut || fault.kind == FaultKind::one_way_cut;
  if (is_pair && fault.nodes.size() != 2) {
    return fmt::format("{} nodes are named, where a cut is between 2", fault.nodes.size());
  }
  if (fault.nodes.empty()) return "it names no node";
  if (fault.at.count() < 0) return "it is before the scenario";
  if (fault.until && *fault.until <= fault.at) {
    return fmt::format("it ends at {}, not after it begins at {}", seconds_text(*fault.until),
                       seconds_text(fault.at));
  }
  if (fault.kind == FaultKind::slowdown && !is_in(fault.factor, 1, 1e6)) {
    return fmt::format("factor {} is not 1 to 1e6", fault.factor);
  }
  return {};
}

/// "link of a and b", as far as they exist.
std::string scope_of(const ScenarioLink& link, const Scenario& scenario) {
  const auto name = [&scenario](NodeIndex node) {
    return node < scenario.nodes.size() ? in_quotes(scenario.nodes[node].name.text())
                                        : std::to_string(node);
  };
  return fmt::format("link of {} and {}", name(link.a), name(link.b));
}

std::string scope_of(const ScenarioLoad& load, const Scenario& scenario) {
  const bool is_known =
      load.node < scenario.nodes.size() && load.function < scenario.functions.size();
  return is_known ? fmt::format("load of {} at {}",
                                in_quotes(scenario.functions[load.function].name.name()),
                                in_quotes(scenario.nodes[load.node].name.text()))
                  : std::string("load");
}

Problem problem_of_graph(const Scenario& scenario) {
  std::vector<std::size_t> degree(scenario.nodes.size());
  std::set<std::pair<NodeIndex, NodeIndex>> pairs;
  for (const ScenarioLink& link : scenario.links) {
    if (!pairs.insert(std::minmax(link.a, link.b)).second) {
      return scope_of(link, scenario) + ": there are two";
    }
    for (const NodeIndex end : {link.a, link.b}) {
      if (++degree[end] > scenario_limits::neighbours_max) {
        return fmt::format("node {} has more than {} links",
                           in_quotes(scenario.nodes[end].name.text()),
                           scenario_limits::neighbours_max);
      }
    }
  }
  return {};
}

/// A function that users ask for and that nobody runs is a mistake, not a scenario.
Problem problem_of_deployment(const Scenario& scenario) {
  std::vector<bool> is_deployed(scenario.functions.size());
  for (const ScenarioNode& node : scenario.nodes) {
    for (const ScenarioDeployment& deployment : node.functions)
      is_deployed[deployment.function] = true;
  }
  for (const ScenarioLoad& load : scenario.loads) {
    if (!is_deployed[load.function]) {
      return scope_of(load, scenario) + ": no node deploys the function";
    }
  }
  return {};
}

Problem problem_of(const Scenario& s) {
  if (s.nodes.empty()) return "there is no node: at least one is needed";
  if (s.nodes.size() > scenario_limits::nodes_max) {
    return fmt::format("{} nodes are more than {}", s.nodes.size(), scenario_limits::nodes_max);
  }
  if (s.functions.empty()) return "there is no function: at least one is needed";
  if (s.functions.size() > scenario_limits::functions_max) {
    return fmt::format("{} functions are more than {}", s.functions.size(),
                       scenario_limits::functions_max);
  }
  if (s.duration.count() <= 0 || s.duration > scenario_limits::duration_max) {
    return fmt::format("duration {} is not above 0 s and up to 24 h", seconds_text(s.duration));
  }
  if (s.warm_up.count() < 0 || s.warm_up >= s.duration) {
    return fmt::format("warm-up {} is not 0 s to below the duration of {}", seconds_text(s.warm_up),
                       seconds_text(s.duration));
  }
  if (s.window.count() <= 0)
    return fmt::format("window {} is not above 0 s", seconds_text(s.window));
  std::set<std::string> names;
  for (const ScenarioFunction& function : s.functions) {
    if (auto problem = problem_of(function)) {
      return fmt::format("function {}: {}", in_quotes(function.name.name()), *problem);
    }
    if (!names.insert(function.name.full()).second) {
      return fmt::format("function {}: there are two", in_quotes(function.name.name()));
    }
  }
  names.clear();
  for (const ScenarioNode& node : s.nodes) {
    if (auto problem = problem_of(node, s)) {
      return fmt::format("node {}: {}", in_quotes(node.name.text()), *problem);
    }
    if (!names.insert(node.name.text()).second) {
      return fmt::format("node {}: there are two", in_quotes(node.name.text()));
    }
  }
  for (const ScenarioLink& link : s.links) {
    if (auto problem = problem_of(link, s)) return scope_of(link, s) + ": " + *problem;
  }
  for (const ScenarioLoad& load : s.loads) {
    if (auto problem = problem_of(load, s)) return scope_of(load, s) + ": " + *problem;
  }
  for (std::size_t at = 0; at < s.faults.size(); ++at) {
    if (auto problem = problem_of(s.faults[at], s)) {
      return fmt::format("fault {}: {}", at + 1, *problem);
    }
  }
  if (auto problem = problem_of_graph(s)) return problem;
  return problem_of_deployment(s);
}

}  // namespace

Micros ScenarioFunction::effective_deadline() const {
  if (deadline.count() > 0) return deadline;
  return std::max(Micros{1'000'000}, 10 * service_time.mean);
}

Result<void> validate(const Scenario& scenario) {
  if (auto problem = problem_of(scenario)) {
    return tl::unexpected(Error{ErrorCode::invalid_input, std::move(*problem)}.within("scenario"));
  }
  return {};
}

std::string short_name(const FunctionName& name) {
  return name.space() == FunctionName::default_space ? name.name() : name.full();
}

}  // namespace dfaas
