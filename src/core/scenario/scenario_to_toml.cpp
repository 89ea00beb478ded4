// SPDX-License-Identifier: AGPL-3.0-or-later
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/scenario/scenario_file.hpp"
#include "core/scenario/scenario_words.hpp"
#include "core/toml/toml_table.hpp"

namespace dfaas {
namespace {

/// Lines of `key = value`; what is as by default is left out.
class Writer {
 public:
  void table(std::string_view header) { fmt::format_to(out(), "\n[[{}]]\n", header); }
  void raw(std::string_view key, std::string_view value) {
    fmt::format_to(out(), "{} = {}\n", key, value);
  }
  void text(std::string_view key, std::string_view value) { raw(key, toml_text(value)); }
  void time(std::string_view key, Micros value) { text(key, duration_text(value)); }
  void time_unless(std::string_view key, Micros value, Micros usual) {
    if (value != usual) time(key, value);
  }
  void number(std::string_view key, double value) { raw(key, fmt::to_string(value)); }
  void number_unless(std::string_view key, double value, double usual) {
    if (value != usual) number(key, value);
  }
  template <class Range, class Shown>
  void list(std::string_view key, const Range& range, const Shown& shown) {
    fmt::format_to(out(), "{} = [", key);
    bool is_first = true;
    for (const auto& element : range) {
      text_ += is_first ? "" : ", ";
      text_ += shown(element);
      is_first = false;
    }
    text_ += "]\n";
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }

  std::string text_;
};

template <class Words, class Kind>
std::string_view word_of(const Words& words, Kind kind) {
  return words[static_cast<std::size_t>(kind)];
}

std::string time_in_quotes(Micros time) { return toml_text(duration_text(time)); }

void write_head(Writer& writer, const Scenario& scenario) {
  const Scenario usual;
  writer.text("name", scenario.name);
  if (!scenario.summary.empty()) writer.text("summary", scenario.summary);
  writer.time("duration", scenario.duration);
  writer.time_unless("warm_up", scenario.warm_up, usual.warm_up);
  writer.time_unless("window", scenario.window, usual.window);
  if (scenario.stress_from && scenario.stress_until) {
    writer.list("stress", std::array{*scenario.stress_from, *scenario.stress_until},
                time_in_quotes);
  }
  writer.text("topology", "none");
  if (scenario.handling != usual.handling) {
    writer.raw("handling",
               fmt::format("{{ call = {}, forward = {} }}", time_in_quotes(scenario.handling.call),
                           time_in_quotes(scenario.handling.forward)));
  }
}

void write_function(Writer& writer, const ScenarioFunction& function) {
  const ServiceTime& time = function.service_time;
  writer.table("function");
  writer.text("name", short_name(function.name));
  if (time.kind != ServiceKind::exponential) {
    writer.text("distribution", word_of(scenario_words::service_kinds, time.kind));
  }
  if (time.kind == ServiceKind::samples) {
    writer.list("samples", time.samples, time_in_quotes);
  } else {
    writer.time("service", time.mean);
  }
  if (time.kind == ServiceKind::log_normal) writer.number("sigma", time.sigma);
  writer.time_unless("deadline", function.deadline, Micros{0});
  if (function.share != Sharing::federation) {
    writer.text("share", word_of(scenario_words::sharings, function.share));
  }
  if (function.retry_safe) writer.raw("retry_safe", "true");
}

/// One pool "cpu" that all functions use, none of which says more: slots and functions are enough.
bool is_plain(const ScenarioNode& node) {
  return node.pools.size() == 1 && node.pools[0].name == "cpu" &&
         std::ranges::all_of(node.functions, [](const ScenarioDeployment& deployment) {
           return deployment == ScenarioDeployment{.function = deployment.function};
         });
}

void write_pools(Writer& writer, const ScenarioNode& node, const Scenario& scenario) {
  const auto name_of = [&scenario](const ScenarioDeployment& deployment) {
    return short_name(scenario.functions[deployment.function].name);
  };
  if (is_plain(node)) {
    writer.raw("slots", fmt::to_string(node.pools[0].slots));
    writer.list("functions", node.functions, [&name_of](const ScenarioDeployment& deployment) {
      return toml_text(name_of(deployment));
    });
    return;
  }
  for (const ScenarioPool& pool : node.pools) {
    writer.table("node.pool");
    writer.text("name", pool.name);
    writer.raw("slots", fmt::to_string(pool.slots));
  }
  for (const ScenarioDeployment& deployment : node.functions) {
    writer.table("node.function");
    writer.text("name", name_of(deployment));
    writer.text("pool", node.pools[deployment.pool].name);
    writer.number_unless("max_rate", deployment.max_rate.per_second, 0);
    writer.time_unless("cold_start", deployment.cold_start, Micros{0});
    writer.time_unless("idle_timeout", deployment.idle_timeout, Micros{0});
  }
}

void write_node(Writer& writer, const ScenarioNode& node, const Scenario& scenario) {
  const ScenarioNode usual;
  writer.table("node");
  writer.text("name", node.name.text());
  if (node.organisation != usual.organisation) writer.text("organisation", node.organisation);
  if (!node.type.empty()) writer.text("type", node.type);
  if (node.power_idle_watts != usual.power_idle_watts ||
      node.power_max_watts != usual.power_max_watts) {
    writer.raw("power", fmt::format("{{ idle_watts = {}, max_watts = {} }}", node.power_idle_watts,
                                    node.power_max_watts));
  }
  if (node.lie) {
    writer.raw("lie",
               fmt::format("{{ advertise_factor = {}, refuses_guests = {}, slowdown = {}, "
                           "error_ratio = {}, swallows_guests = {} }}",
                           node.lie->advertise_factor, node.lie->refuses_guests, node.lie->slowdown,
                           node.lie->error_ratio, node.lie->swallows_guests));
  }
  if (node.policy != usual.policy) {
    writer.raw("policy",
               fmt::format("{{ allow = \"{}\", deny = \"{}\", limits = \"{}\", credits = {} }}",
                           to_text(node.policy.allow), to_text(node.policy.deny),
                           to_text(node.policy.limits), node.policy.has_credits));
  }
  writer.time_unless("joins_at", node.joins_at, Micros{0});
  if (!node.runs_agent) writer.raw("agent", "false");
  writer.number_unless("processors", node.processors, 0);
  write_pools(writer, node, scenario);
}

void write_link(Writer& writer, const ScenarioLink& link, const Scenario& scenario) {
  const ScenarioLink usual;
  writer.table("link");
  writer.list("between", std::array{link.a, link.b},
              [&scenario](NodeIndex node) { return toml_text(scenario.nodes[node].name.text()); });
  writer.time_unless("rtt", link.rtt, usual.rtt);
  writer.time_unless("jitter", link.jitter, usual.jitter);
  writer.number_unless("loss", link.loss_ratio, usual.loss_ratio);
  writer.number_unless("duplicates", link.duplicate_ratio, usual.duplicate_ratio);
  writer.number_unless("bandwidth_mbps", link.bandwidth_mbps, usual.bandwidth_mbps);
}

std::string call_text(const TraceCall& call) {
  if (!call.service_time) return fmt::format("[{}]", to_seconds(call.at));
  return fmt::format("[{}, {}]", to_seconds(call.at), to_millis(*call.service_time));
}

void write_load(Writer& writer, const ScenarioLoad& load, const Scenario& scenario) {
  writer.table("load");
  writer.text("node", scenario.nodes[load.node].name.text());
  writer.text("function", short_name(scenario.functions[load.function].name));
  if (load.arrivals == ArrivalKind::trace) {
    writer.list("calls", load.calls, call_text);
    return;
  }
  if (load.arrivals != ArrivalKind::poisson) {
    writer.text("arrivals", word_of(scenario_words::arrival_kinds, load.arrivals));
  }
  writer.time_unless("start", load.start, Micros{0});
  if (load.rates.size() == 1) {
    writer.number("rate", load.rates[0].per_second);
    writer.time("duration", load.step);
    return;
  }
  writer.time("step", load.step);
  writer.list("rates", load.rates, [](Rate rate) { return fmt::to_string(rate.per_second); });
}

void write_fault(Writer& writer, const ScenarioFault& fault, const Scenario& scenario) {
  writer.table("fault");
  writer.text("kind", word_of(scenario_words::fault_kinds, fault.kind));
  writer.time("at", fault.at);
  if (fault.until) writer.time("until", *fault.until);
  writer.list("nodes", fault.nodes,
              [&scenario](NodeIndex node) { return toml_text(scenario.nodes[node].name.text()); });
  if (fault.kind == FaultKind::slowdown) writer.number("factor", fault.factor);
}

}  // namespace

std::string scenario_to_toml(const Scenario& scenario) {
  Writer writer;
  write_head(writer, scenario);
  for (const ScenarioFunction& function : scenario.functions) write_function(writer, function);
  for (const ScenarioNode& node : scenario.nodes) write_node(writer, node, scenario);
  for (const ScenarioLink& link : scenario.links) write_link(writer, link, scenario);
  for (const ScenarioLoad& load : scenario.loads) write_load(writer, load, scenario);
  for (const ScenarioFault& fault : scenario.faults) write_fault(writer, fault, scenario);
  return writer.take();
}

}  // namespace dfaas
