// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/scenario_file.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/scenario/csv_rows.hpp"
#include "core/scenario/load_shape.hpp"
#include "core/scenario/scenario_words.hpp"
#include "core/scenario/trace.hpp"
#include "core/toml/toml_table.hpp"

namespace dfaas {
namespace {

constexpr double rate_max = scenario_limits::rate_max.per_second;
constexpr double factor_max = 1e6;
constexpr double seconds_max = 86'400;
constexpr std::size_t pool_name_max = 127;  ///< A pool may be called like a function in full.
constexpr Micros no_time{0};

/// Names in the order of the file, for looking up and for saying what there is.
class Names {
 public:
  explicit Names(std::string_view kind) : kind_(kind) {}

  void add(const TomlTable& table, std::string_view key, const std::string& name) {
    if (!index_.emplace(name, order_.size()).second) {
      table.fail_at(key, fmt::format("{} {}: there are two", kind_, in_quotes(name)));
    }
    order_.push_back(name);
  }

  [[nodiscard]] std::size_t at(const TomlTable& table, std::string_view key,
                               const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail_unknown(table, key, name);
    return found->second;
  }

  /// All that `pattern` means: a name, or with a '*' at its end every name that begins like it.
  [[nodiscard]] std::vector<std::size_t> matching(const TomlTable& table, std::string_view key,
                                                  const std::string& pattern) const {
    if (!pattern.ends_with('*')) return {at(table, key, pattern)};
    const std::string_view start = std::string_view(pattern).substr(0, pattern.size() - 1);
    std::vector<std::size_t> found;
    for (std::size_t index = 0; index < order_.size(); ++index) {
      if (order_[index].starts_with(start)) found.push_back(index);
    }
    if (found.empty()) fail_unknown(table, key, pattern);
    return found;
  }

 private:
  [[noreturn]] void fail_unknown(const TomlTable& table, std::string_view key,
                                 const std::string& name) const {
    constexpr std::size_t shown_max = 8;
    const std::size_t shown = std::min(order_.size(), shown_max);
    std::string there(order_.empty() ? "none do" : "");
    for (std::size_t index = 0; index < shown; ++index) {
      there.append(index == 0 ? "" : ", ").append(order_[index]);
    }
    if (shown > 0) there += shown < order_.size() ? ", ... do" : (shown == 1 ? " does" : " do");
    table.fail_at(key, fmt::format("{} {} does not exist: {}", kind_, in_quotes(name), there));
  }

  std::string_view kind_;
  std::map<std::string, std::size_t> index_;
  std::vector<std::string> order_;
};

/// Everything that the parts of the file are read into and with.
struct Reader {
  std::uint64_t seed;
  const ReadScenarioData* read_file;
  Scenario scenario;
  Names nodes{"node"};
  Names functions{"function"};
  std::size_t rates = 0;                     ///< Of all loads so far.
  std::map<std::string, std::size_t> draws;  ///< How often a stream was asked for, by its name.
};

void forbid(const TomlTable& table, std::string_view given,
            std::initializer_list<std::string_view> others) {
  for (const std::string_view other : others) {
    if (table.has(other)) {
      table.fail_at(other, fmt::format("{} is given too: one is enough", given));
    }
  }
}

/// Keys that mean something only beside what `table` does not say.
void forbid_without(const TomlTable& table, std::string_view needed,
                    std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (table.has(key)) table.fail_at(key, fmt::format("it means nothing without {}", needed));
  }
}

Micros positive(const TomlTable& table, std::string_view key, Micros otherwise) {
  const Micros time = table.duration(key, otherwise);
  if (time <= no_time) table.fail_at(key, "0s is not above 0s");
  return time;
}

std::string read_data(const Reader& reader, const TomlTable& table, std::string_view key) {
  if (!*reader.read_file) table.fail_at(key, "no other file is at hand here");
  return table.accept(key, (*reader.read_file)(table.text(key, "")));
}

/// The complaint of a data file, with its name.
[[noreturn]] void fail_in_file(const TomlTable& table, std::string_view key,
                               const std::string& why) {
  table.fail_at(key, fmt::format("{}: {}", in_quotes(table.text(key, "")), why));
}

// Functions.

std::vector<Micros> read_samples_file(const Reader& reader, const TomlTable& table) {
  const std::string text = read_data(reader, table, "samples_file");
  std::vector<Micros> samples;
  try {
    for (CsvRows rows(text); rows.next();) {
      if (rows.cells().size() != 1) rows.fail_with("one number of milliseconds a line is right");
      samples.emplace_back(std::llround(rows.number(0, 0, seconds_max * 1e3) * 1e3));
    }
  } catch (const BadCell& bad) {
    fail_in_file(table, "samples_file", bad.message);
  }
  if (samples.empty()) fail_in_file(table, "samples_file", "it holds no number");
  return samples;
}

ServiceTime read_service_time(const Reader& reader, const TomlTable& table) {
  ServiceTime time;
  time.kind =
      static_cast<ServiceKind>(table.word("distribution", scenario_words::service_kinds, 0));
  if (time.kind != ServiceKind::log_normal) {
    forbid_without(table, "distribution = \"log_normal\"", {"sigma"});
  }
  if (time.kind != ServiceKind::samples) {
    forbid_without(table, "distribution = \"samples\"", {"samples", "samples_file"});
    time.mean = positive(table, "service", time.mean);
    time.sigma = table.number("sigma", 0.001, 5, time.sigma);
    return time;
  }
  forbid(table, "distribution = \"samples\"", {"service"});
  if (table.has("samples")) forbid(table, "samples", {"samples_file"});
  if (!table.has("samples")) table.require("samples_file", "a file of numbers, or samples");
  time.samples =
      table.has("samples") ? table.durations("samples") : read_samples_file(reader, table);
  if (time.samples.empty()) table.fail_at("samples", "at least one is needed");
  const double sum = std::accumulate(
      time.samples.begin(), time.samples.end(), 0.0,
      [](double total, Micros sample) { return total + static_cast<double>(sample.count()); });
  time.mean = Micros{std::llround(sum / static_cast<double>(time.samples.size()))};
  return time;
}

void read_function(Reader& reader, const TomlTable& table) {
  table.allow_only({"name", "service", "distribution", "sigma", "samples", "samples_file",
                    "deadline", "share", "retry_safe"});
  table.require("name", "a text such as \"figlet\"");
  ScenarioFunction function{
      .name = table.accept("name", FunctionName::parse(table.text("name", ""))),
      .service_time = read_service_time(reader, table),
      .deadline = table.duration("deadline", no_time),
      .share = static_cast<Sharing>(table.word("share", scenario_words::sharings,
                                               static_cast<std::size_t>(Sharing::federation))),
      .retry_safe = table.flag("retry_safe", false)};
  reader.functions.add(table, "name", short_name(function.name));
  reader.scenario.functions.push_back(std::move(function));
}

// Nodes.

std::size_t read_slots(const TomlTable& table) {
  table.require("slots", fmt::format("an integer from 1 to {}", scenario_limits::slots_max));
  return static_cast<std::size_t>(table.integer("slots", 1, scenario_limits::slots_max, 1));
}

void add_pool(const TomlTable& table, std::string_view key, ScenarioNode& node,
              const std::string& name, std::size_t slots) {
  if (name.empty() || name.size() > pool_name_max) {
    table.fail_at(
        key, fmt::format("pool {} is not 1 to {} letters long", in_quotes(name), pool_name_max));
  }
  if (std::ranges::find(node.pools, name, &ScenarioPool::name) != node.pools.end()) {
    table.fail_at(key, fmt::format("pool {}: there are two", in_quotes(name)));
  }
  node.pools.push_back({.name = name, .slots = static_cast<int>(slots)});
}

void read_pools(const TomlTable& table, ScenarioNode& node) {
  if (table.has("slots")) {
    forbid(table, "slots", {"pool"});
    add_pool(table, "slots", node, "cpu", read_slots(table));
  }
  for (const TomlTable& pool : table.tables("pool", "[[node.pool]]")) {
    pool.allow_only({"name", "slots"});
    pool.require("name", "a text such as \"cpu\"");
    add_pool(pool, "name", node, pool.text("name", ""), read_slots(pool));
  }
}

/// The pool of a function that names none.
std::size_t only_pool(const TomlTable& table, std::string_view key, const ScenarioNode& node,
                      const std::string& function) {
  if (node.pools.empty()) {
    table.fail_at(key, fmt::format("function {} has no slots: give the node slots, or the function "
                                   "slots of its own in [[node.function]]",
                                   in_quotes(function)));
  }
  if (node.pools.size() > 1) {
    table.fail_at(key, fmt::format("function {} could use any of {} pools: name one in "
                                   "[[node.function]]",
                                   in_quotes(function), node.pools.size()));
  }
  return 0;
}

std::size_t named_pool(const TomlTable& table, const ScenarioNode& node) {
  Names pools("pool");
  for (const ScenarioPool& pool : node.pools) pools.add(table, "pool", pool.name);
  return pools.at(table, "pool", table.text("pool", ""));
}

void read_deployments(const Reader& reader, const TomlTable& table, ScenarioNode& node) {
  for (const std::string& name : table.texts("functions")) {
    const std::size_t function = reader.functions.at(table, "functions", name);
    node.functions.push_back(
        {.function = function, .pool = only_pool(table, "functions", node, name)});
  }
  // Pools of single functions come after all others, so that only those are without a name.
  const ScenarioNode shared = node;
  for (const TomlTable& entry : table.tables("function", "[[node.function]]")) {
    entry.allow_only({"name", "pool", "slots", "max_rate", "cold_start", "idle_timeout"});
    entry.require("name", "the name of a [[function]]");
    const std::string name = entry.text("name", "");
    ScenarioDeployment deployment{.function = reader.functions.at(entry, "name", name),
                                  .max_rate = {entry.number("max_rate", 0, 1e9, 0)},
                                  .cold_start = entry.duration("cold_start", no_time),
                                  .idle_timeout = entry.duration("idle_timeout", no_time)};
    if (entry.has("slots")) {
      forbid(entry, "slots", {"pool"});
      deployment.pool = node.pools.size();
      add_pool(entry, "name", node, name, read_slots(entry));
    } else {
      deployment.pool =
          entry.has("pool") ? named_pool(entry, shared) : only_pool(entry, "name", shared, name);
    }
    node.functions.push_back(deployment);
  }
  std::set<FunctionIndex> seen;
  for (const ScenarioDeployment& deployment : node.functions) {
    if (seen.insert(deployment.function).second) continue;
    table.fail_with(
        fmt::format("function {} is deployed twice",
                    in_quotes(short_name(reader.scenario.functions[deployment.function].name))));
  }
}

void read_power(const TomlTable& table, ScenarioNode& node) {
  table.allow_only({"idle_watts", "max_watts"});
  node.power_idle_watts = table.number("idle_watts", 0, 1e6, node.power_idle_watts);
  node.power_max_watts = table.number("max_watts", 0, 1e6, node.power_max_watts);
  if (node.power_max_watts < node.power_idle_watts) {
    table.fail_with(fmt::format("max_watts {} is below idle_watts {}", node.power_max_watts,
                                node.power_idle_watts));
  }
}

Lie read_lie(const TomlTable& table) {
  table.allow_only(
      {"advertise_factor", "refuses_guests", "slowdown", "error_ratio", "swallows_guests"});
  return {.advertise_factor = table.number("advertise_factor", 0, factor_max, 1),
          .refuses_guests = table.flag("refuses_guests", false),
          .slowdown = table.number("slowdown", 1, factor_max, 1),
          .error_ratio = table.number("error_ratio", 0, 1, 0),
          .swallows_guests = table.flag("swallows_guests", false)};
}

Policy read_policy(const TomlTable& table) {
  table.allow_only({"allow", "deny", "limits", "credits"});
  return {.allow = table.accept("allow", parse_partners(table.text("allow", ""))),
          .deny = table.accept("deny", parse_partners(table.text("deny", ""))),
          .limits = table.accept("limits", parse_guest_slots(table.text("limits", ""))),
          .has_credits = table.flag("credits", false)};
}

void read_node(Reader& reader, const TomlTable& table) {
  table.allow_only({"name", "count", "organisation", "type", "slots", "pool", "functions",
                    "function", "power", "lie", "policy", "joins_at", "agent", "processors"});
  table.require("name", "a text such as \"light\"");
  ScenarioNode node;
  node.organisation = table.text("organisation", node.organisation);
  node.type = table.text("type", "");
  read_pools(table, node);
  read_deployments(reader, table, node);
  if (table.has("power")) read_power(table.table("power"), node);
  if (table.has("lie")) node.lie = read_lie(table.table("lie"));
  if (table.has("policy")) node.policy = read_policy(table.table("policy"));
  node.joins_at = table.duration("joins_at", no_time);
  node.runs_agent = table.flag("agent", true);
  node.processors = table.number("processors", 0, scenario_limits::processors_max, 0);
  const std::string name = table.text("name", "");
  const bool is_group = table.has("count");
  const std::int64_t count = table.integer("count", 1, scenario_limits::nodes_max, 1);
  if (reader.scenario.nodes.size() + static_cast<std::size_t>(count) > scenario_limits::nodes_max) {
    table.fail_with(fmt::format("more than {} nodes are too many", scenario_limits::nodes_max));
  }
  for (std::int64_t number = 1; number <= count; ++number) {
    node.name =
        table.accept("name", NodeName::parse(is_group ? fmt::format("{}-{}", name, number) : name));
    reader.nodes.add(table, "name", node.name.text());
    reader.scenario.nodes.push_back(node);
  }
}

// Links.

/// What the links of the topology, and [[link]] tables that say nothing else, are like.
ScenarioLink read_link_values(const TomlTable& table, ScenarioLink link) {
  link.rtt = table.duration("rtt", link.rtt);
  link.jitter = table.duration("jitter", link.jitter);
  link.loss_ratio = table.number("loss", 0, 1, link.loss_ratio);
  link.duplicate_ratio = table.number("duplicates", 0, 1, link.duplicate_ratio);
  link.bandwidth_mbps =
      table.number("bandwidth_mbps", 0, scenario_limits::bandwidth_mbps_max, link.bandwidth_mbps);
  for (const auto& [key, time] : {std::pair{"rtt", link.rtt}, std::pair{"jitter", link.jitter}}) {
    if (time > scenario_limits::rtt_max) {
      table.fail_at(key, fmt::format("{} is not 0s to {}", duration_text(time),
                                     duration_text(scenario_limits::rtt_max)));
    }
  }
  return link;
}

using Pairs = std::set<std::pair<NodeIndex, NodeIndex>>;

/// Each node but the last gets a link to one of those behind it, and to each other of them with
/// probability `edge_probability`: connected, as the instances of the DFaaS simulators are.
void link_randomly(Pairs& pairs, std::size_t nodes, double edge_probability, Random random) {
  for (NodeIndex node = 0; node + 1 < nodes; ++node) {
    pairs.emplace(node, node + 1 + below(random, nodes - node - 1));
    // The gap to the next link is geometric, so that large sparse graphs are cheap.
    for (double other = static_cast<double>(node);;) {
      other += edge_probability >= 1
                   ? 1
                   : 1 + std::floor(exponential(random, -1 / std::log1p(-edge_probability)));
      if (other >= static_cast<double>(nodes)) break;
      pairs.emplace(node, static_cast<NodeIndex>(other));
    }
  }
}

Pairs read_topology(const Reader& reader, const TomlTable& root) {
  const std::size_t nodes = reader.scenario.nodes.size();
  constexpr std::size_t neighbours_max = scenario_limits::neighbours_max;
  const auto kind = scenario_words::topologies[root.word("topology", scenario_words::topologies,
                                                         root.has("link") ? 0 : 1)];
  if (kind != "random") forbid_without(root, "topology = \"random\"", {"edge_probability"});
  Pairs pairs;
  if (kind == "full") {
    if (nodes > neighbours_max + 1) {
      root.fail_at("topology", fmt::format("\"full\" links each node to {} others, where {} are "
                                           "the most: \"ring\" or \"random\" link fewer",
                                           nodes - 1, neighbours_max));
    }
    for (NodeIndex a = 0; a < nodes; ++a) {
      for (NodeIndex b = a + 1; b < nodes; ++b) pairs.emplace(a, b);
    }
  } else if (kind == "ring") {
    for (NodeIndex a = 0; a + 1 < nodes; ++a) pairs.emplace(a, a + 1);
    if (nodes > 2) pairs.emplace(0, nodes - 1);
  } else if (kind == "random") {
    const double probability = root.number("edge_probability", 1e-9, 1, 0.1);
    if (probability * static_cast<double>(nodes) > 2 * static_cast<double>(neighbours_max)) {
      root.fail_at("topology",
                   fmt::format("edge_probability {} links each of {} nodes to {:.0f} "
                               "others, where {} are the most",
                               probability, nodes, probability * static_cast<double>(nodes),
                               neighbours_max));
    }
    link_randomly(pairs, nodes, probability, random_for(reader.seed, "topology"));
  }
  return pairs;
}

void read_links(Reader& reader, const TomlTable& root) {
  const ScenarioLink usual = read_link_values(root, {});
  std::map<std::pair<NodeIndex, NodeIndex>, std::size_t> index;
  std::vector<ScenarioLink>& links = reader.scenario.links;
  for (const auto& pair : read_topology(reader, root)) {
    ScenarioLink link = usual;
    link.a = pair.first;
    link.b = pair.second;
    index.emplace(pair, links.size());
    links.push_back(link);
  }
  Pairs written;
  for (const TomlTable& table : root.tables("link", "[[link]]")) {
    table.allow_only({"between", "rtt", "jitter", "loss", "duplicates", "bandwidth_mbps"});
    table.require("between", "two nodes such as [\"light\", \"mid\"]");
    const std::vector<std::string> ends = table.texts("between");
    if (ends.size() != 2) {
      table.fail_at("between", fmt::format("{} nodes are not two", ends.size()));
    }
    ScenarioLink link = read_link_values(table, usual);
    link.a = reader.nodes.at(table, "between", ends[0]);
    link.b = reader.nodes.at(table, "between", ends[1]);
    if (link.a == link.b) table.fail_at("between", "it links " + ends[0] + " to itself");
    const std::pair<NodeIndex, NodeIndex> pair = std::minmax(link.a, link.b);
    if (!written.insert(pair).second) {
      table.fail_at("between", fmt::format("{} and {} have a [[link]] already", ends[0], ends[1]));
    }
    const auto [at, is_new] = index.emplace(pair, links.size());
    if (is_new) links.emplace_back();
    links[at->second] = link;
  }
}

// Loads.

std::vector<NodeIndex> read_nodes(const Reader& reader, const TomlTable& table) {
  std::vector<NodeIndex> nodes;
  if (table.has("node")) {
    forbid(table, "node", {"nodes"});
    return reader.nodes.matching(table, "node", table.text("node", ""));
  }
  std::set<NodeIndex> seen;
  table.require("nodes", "a list such as [\"light\", \"mid\"], [\"edge-*\"] or [\"*\"]");
  for (const std::string& pattern : table.texts("nodes")) {
    for (const NodeIndex node : reader.nodes.matching(table, "nodes", pattern)) {
      if (seen.insert(node).second) nodes.push_back(node);
    }
  }
  if (nodes.empty()) table.fail_at("nodes", "at least one is needed");
  return nodes;
}

LoadShape read_shape(const TomlTable& table, Micros step) {
  LoadShape shape;
  if (table.has("bursts")) {
    const TomlTable bursts = table.table("bursts");
    bursts.allow_only({"high", "low", "mean_high", "mean_low"});
    for (const std::string_view key : {"mean_high", "mean_low"}) {
      bursts.require(key, "a text such as \"5s\"");
      if (bursts.duration(key, step) < step) {
        bursts.fail_at(key,
                       fmt::format("{} is below the step of {}, which would hide the bursts",
                                   duration_text(bursts.duration(key, step)), duration_text(step)));
      }
    }
    shape.bursts = {.high = {bursts.number("high", 0, rate_max)},
                    .low = {bursts.number("low", 0, rate_max)},
                    .mean_high = bursts.duration("mean_high", step),
                    .mean_low = bursts.duration("mean_low", step)};
  } else {
    shape.rate = {table.number("rate", 0, rate_max)};
  }
  if (table.has("flash")) {
    const TomlTable flash = table.table("flash");
    flash.allow_only({"at", "duration", "factor"});
    flash.require("at", "a text such as \"20s\"");
    flash.require("duration", "a text such as \"10s\"");
    shape.flash = {.at = flash.duration("at", no_time),
                   .duration = positive(flash, "duration", no_time),
                   .factor = flash.number("factor", 0, factor_max)};
  }
  if (table.has("diurnal")) {
    const TomlTable diurnal = table.table("diurnal");
    diurnal.allow_only({"period", "amplitude", "phase"});
    shape.diurnal = {.period = positive(diurnal, "period", Diurnal{}.period),
                     .amplitude = diurnal.number("amplitude", 0, 1, Diurnal{}.amplitude),
                     .phase = diurnal.duration("phase", no_time)};
  }
  return shape;
}

void count_rates(Reader& reader, const TomlTable& table, std::size_t rates) {
  if (rates > scenario_file_rates_max - reader.rates) {
    table.fail_with(fmt::format("more than {} rates are too many for one file: use a longer step",
                                scenario_file_rates_max));
  }
  reader.rates += rates;
}

/// How long the load lasts: as it says, or to the end of the scenario.
Micros read_load_duration(const Reader& reader, const TomlTable& table, Micros start) {
  const Micros end = reader.scenario.duration;
  if (table.has("duration")) return positive(table, "duration", no_time);
  if (start >= end) {
    table.fail_at("start", fmt::format("{} is not before the end at {}", duration_text(start),
                                       duration_text(end)));
  }
  return end - start;
}

void read_shaped_load(Reader& reader, const TomlTable& table, ScenarioLoad load,
                      const std::vector<NodeIndex>& nodes) {
  const bool has_shape = table.has("bursts") || table.has("flash") || table.has("diurnal");
  if (!has_shape) forbid_without(table, "rates, bursts, flash or diurnal", {"step"});
  if (table.has("bursts")) forbid(table, "bursts", {"rate"});
  const Micros duration = read_load_duration(reader, table, load.start);
  load.step = has_shape ? positive(table, "step", std::chrono::seconds{1}) : duration;
  if (table.has("duration") && duration % load.step != no_time) {
    table.fail_at("duration", fmt::format("{} is no multiple of the step of {}",
                                          duration_text(duration), duration_text(load.step)));
  }
  const LoadShape shape = read_shape(table, load.step);
  const auto steps = static_cast<std::size_t>((duration + load.step - Micros{1}) / load.step);
  const std::string function = short_name(reader.scenario.functions[load.function].name);
  for (const NodeIndex node : nodes) {
    count_rates(reader, table, steps);
    std::string stream =
        fmt::format("load/{}/{}", reader.scenario.nodes[node].name.text(), function);
    stream += fmt::format("/{}", reader.draws[stream]++);
    load.node = node;
    load.rates = rates_of(shape, {.start = load.start, .step = load.step, .count = steps},
                          random_for(reader.seed, stream));
    for (const Rate rate : load.rates) {
      if (rate.per_second > rate_max) {
        table.fail_with(fmt::format("the rate reaches {:.0f}, where {} requests/s are the most",
                                    rate.per_second, rate_max));
      }
    }
    reader.scenario.loads.push_back(load);
  }
}

/// The columns of a rates file: by node, or the one column "rate" for all.
std::map<std::string, std::vector<Rate>> read_rates_file(const Reader& reader,
                                                         const TomlTable& table) {
  const std::string text = read_data(reader, table, "rates_file");
  std::map<std::string, std::vector<Rate>> columns;
  try {
    CsvRows rows(text);
    if (!rows.next())
      rows.fail_with("it is empty: a header and one line of rates a step are right");
    rows.take_header();
    std::vector<std::vector<Rate>*> lists;
    for (std::size_t column = 0; column < rows.header().size(); ++column) {
      const auto [at, is_new] = columns.try_emplace(std::string(rows.header()[column]));
      if (!is_new) rows.fail_at(column, "there are two");
      lists.push_back(&at->second);
    }
    while (rows.next_of_header()) {
      for (std::size_t column = 0; column < lists.size(); ++column) {
        lists[column]->push_back({rows.number(column, 0, rate_max)});
      }
    }
  } catch (const BadCell& bad) {
    fail_in_file(table, "rates_file", bad.message);
  }
  return columns;
}

void read_stepped_load(Reader& reader, const TomlTable& table, ScenarioLoad load,
                       const std::vector<NodeIndex>& nodes) {
  load.step = positive(table, "step", load.step);
  if (table.has("rates")) {
    for (const double rate : table.numbers("rates", 0, rate_max)) load.rates.push_back({rate});
    for (const NodeIndex node : nodes) {
      count_rates(reader, table, load.rates.size());
      load.node = node;
      reader.scenario.loads.push_back(load);
    }
    return;
  }
  const auto columns = read_rates_file(reader, table);
  for (const NodeIndex node : nodes) {
    const std::string& name = reader.scenario.nodes[node].name.text();
    const auto found = columns.contains(name) ? columns.find(name) : columns.find("rate");
    if (found == columns.end()) {
      fail_in_file(table, "rates_file",
                   fmt::format("no column is called {} or \"rate\"", in_quotes(name)));
    }
    count_rates(reader, table, found->second.size());
    load.node = node;
    load.rates = found->second;
    reader.scenario.loads.push_back(load);
  }
}

void read_calls(Reader& reader, const TomlTable& table, ScenarioLoad load,
                const std::vector<NodeIndex>& nodes) {
  load.arrivals = ArrivalKind::trace;
  for (const std::vector<double>& call : table.number_lists("calls", 0, seconds_max * 1e3)) {
    if (call.empty() || call.size() > 2 || call[0] > seconds_max) {
      table.fail_at("calls",
                    fmt::format("[{}] is not [seconds] or [seconds, milliseconds of service]",
                                fmt::join(call, ", ")));
    }
    const Micros at{std::llround(call[0] * 1e6)};
    if (!load.calls.empty() && at < load.calls.back().at) {
      table.fail_at("calls", fmt::format("{} is after {}, where they are in order of time", call[0],
                                         to_seconds(load.calls.back().at)));
    }
    load.calls.push_back({.at = at});
    if (call.size() == 2) load.calls.back().service_time = Micros{std::llround(call[1] * 1e3)};
  }
  for (const NodeIndex node : nodes) {
    count_rates(reader, table, load.calls.size());
    load.node = node;
    reader.scenario.loads.push_back(load);
  }
}

/// The calls of a trace file that are of these nodes and this function; of all where unset.
void read_trace_load(Reader& reader, const TomlTable& table,
                     const std::optional<std::vector<NodeIndex>>& nodes,
                     std::optional<FunctionIndex> function) {
  const auto trace = parse_trace(read_data(reader, table, "trace"));
  if (!trace) fail_in_file(table, "trace", trace.error().message);
  std::set<NodeIndex> wanted_nodes;
  if (nodes) wanted_nodes.insert(nodes->begin(), nodes->end());
  std::map<std::pair<NodeIndex, FunctionIndex>, std::vector<TraceCall>> loads;
  for (const RecordedCall& call : trace->calls) {
    // Names are looked up even where they are passed over: a mistyped one must not get lost.
    const NodeIndex node = reader.nodes.at(table, "trace", call.node.text());
    const FunctionIndex wanted = reader.functions.at(table, "trace", short_name(call.function));
    if (nodes && !wanted_nodes.contains(node)) continue;
    if (function && *function != wanted) continue;
    loads[{node, wanted}].push_back({.at = call.at, .service_time = call.service_time});
  }
  if (loads.empty()) fail_in_file(table, "trace", "it holds no call for this load");
  for (auto& [key, calls] : loads) {
    count_rates(reader, table, calls.size());
    reader.scenario.loads.push_back({.node = key.first,
                                     .function = key.second,
                                     .arrivals = ArrivalKind::trace,
                                     .calls = std::move(calls)});
  }
}

void read_load(Reader& reader, const TomlTable& table) {
  table.allow_only({"node", "nodes", "function", "arrivals", "start", "duration", "rate", "flash",
                    "diurnal", "bursts", "rates", "rates_file", "step", "calls", "trace"});
  const bool is_trace = table.has("trace");
  const bool has_node = table.has("node") || table.has("nodes");
  std::optional<FunctionIndex> function;
  if (!is_trace) table.require("function", "the name of a [[function]]");
  if (table.has("function")) {
    function = reader.functions.at(table, "function", table.text("function", ""));
  }
  if (!is_trace && !has_node) table.require("node", "a name such as \"light\", or \"*\" for all");
  std::optional<std::vector<NodeIndex>> nodes;
  if (has_node) nodes = read_nodes(reader, table);
  if (is_trace) {
    forbid(table, "trace",
           {"calls", "rates", "rates_file", "rate", "bursts", "flash", "diurnal", "arrivals",
            "start", "duration", "step"});
    read_trace_load(reader, table, nodes, function);
    return;
  }
  ScenarioLoad load{.function = *function,
                    .arrivals = static_cast<ArrivalKind>(
                        table.word("arrivals", scenario_words::arrival_kinds, 0)),
                    .start = table.duration("start", no_time)};
  if (table.has("calls")) {
    forbid(table, "calls",
           {"rates", "rates_file", "rate", "bursts", "flash", "diurnal", "arrivals", "start",
            "duration", "step"});
    read_calls(reader, table, load, *nodes);
  } else if (table.has("rates") || table.has("rates_file")) {
    const std::string_view given = table.has("rates") ? "rates" : "rates_file";
    if (given == "rates") forbid(table, given, {"rates_file"});
    forbid(table, given, {"rate", "bursts", "flash", "diurnal", "duration"});
    read_stepped_load(reader, table, load, *nodes);
  } else {
    if (!table.has("bursts")) {
      table.require("rate", "requests/s, or one of rates, rates_file, bursts, calls and trace");
    }
    read_shaped_load(reader, table, load, *nodes);
  }
}

// Faults and the rest.

void read_fault(Reader& reader, const TomlTable& table) {
  table.allow_only({"kind", "at", "until", "node", "nodes", "factor"});
  table.require("kind",
                fmt::format("one of \"{}\"", fmt::join(scenario_words::fault_kinds, "\", \"")));
  ScenarioFault fault{
      .kind = static_cast<FaultKind>(table.word("kind", scenario_words::fault_kinds, 0)),
      .at = table.duration("at", no_time),
      .nodes = read_nodes(reader, table)};
  if (table.has("until")) {
    fault.until = table.duration("until", no_time);
    if (*fault.until <= fault.at) {
      table.fail_at("until", fmt::format("{} is not after the beginning at {}",
                                         duration_text(*fault.until), duration_text(fault.at)));
    }
  }
  const bool is_cut = fault.kind == FaultKind::link_cut || fault.kind == FaultKind::one_way_cut;
  if (is_cut && fault.nodes.size() != 2) {
    table.fail_at(table.has("node") ? "node" : "nodes",
                  fmt::format("a cut is between 2 nodes, and here are {}", fault.nodes.size()));
  }
  if (fault.kind == FaultKind::slowdown) {
    fault.factor = table.number("factor", 1, factor_max);
  } else {
    forbid_without(table, "kind = \"slowdown\"", {"factor"});
  }
  reader.scenario.faults.push_back(std::move(fault));
}

void read_stress(const TomlTable& root, Scenario& scenario) {
  if (!root.has("stress")) return;
  const std::vector<Micros> times = root.durations("stress");
  if (times.size() != 2 || times[0] >= times[1]) {
    root.fail_at("stress", "give its beginning and its end, such as [\"60s\", \"120s\"]");
  }
  scenario.stress_from = times[0];
  scenario.stress_until = times[1];
}

void read_times(const TomlTable& root, Scenario& scenario) {
  scenario.duration = positive(root, "duration", scenario.duration);
  if (scenario.duration > scenario_limits::duration_max) {
    root.fail_at("duration", fmt::format("{} is above {}", duration_text(scenario.duration),
                                         duration_text(scenario_limits::duration_max)));
  }
  scenario.warm_up = root.duration("warm_up", scenario.warm_up);
  if (scenario.warm_up >= scenario.duration) {
    root.fail_at("warm_up",
                 fmt::format("{} is not below the duration of {}", duration_text(scenario.warm_up),
                             duration_text(scenario.duration)));
  }
  scenario.window = positive(root, "window", scenario.window);
  read_stress(root, scenario);
  if (root.has("handling")) {
    const TomlTable handling = root.table("handling");
    handling.allow_only({"call", "forward"});
    scenario.handling.call = handling.duration("call", scenario.handling.call);
    scenario.handling.forward = handling.duration("forward", scenario.handling.forward);
  }
}

/// A function that nobody runs is a mistake, asked for or not.
void check_deployed(const Reader& reader, const std::vector<TomlTable>& tables) {
  std::vector<bool> is_deployed(reader.scenario.functions.size());
  for (const ScenarioNode& node : reader.scenario.nodes) {
    for (const ScenarioDeployment& deployment : node.functions) {
      is_deployed[deployment.function] = true;
    }
  }
  for (FunctionIndex function = 0; function < is_deployed.size(); ++function) {
    if (is_deployed[function]) continue;
    tables[function].fail_at(
        "name", fmt::format("no node deploys {}: name it in the functions of a [[node]]",
                            in_quotes(short_name(reader.scenario.functions[function].name))));
  }
}

void read_scenario(Reader& reader, const TomlTable& root) {
  root.allow_only({"name", "summary", "duration", "warm_up", "window", "stress", "topology", "rtt",
                   "jitter", "loss", "duplicates", "bandwidth_mbps", "edge_probability", "handling",
                   "function", "node", "link", "load", "fault"});
  root.require("name", "a text such as \"three-nodes\"");
  reader.scenario.name = root.text("name", "");
  reader.scenario.summary = root.text("summary", "");
  read_times(root, reader.scenario);
  const std::vector<TomlTable> functions = root.tables("function", "[[function]]");
  if (functions.empty()) root.fail_with("there is no function: write at least one [[function]]");
  for (const TomlTable& table : functions) read_function(reader, table);
  const std::vector<TomlTable> nodes = root.tables("node", "[[node]]");
  if (nodes.empty()) root.fail_with("there is no node: write at least one [[node]]");
  for (const TomlTable& table : nodes) read_node(reader, table);
  check_deployed(reader, functions);
  read_links(reader, root);
  for (const TomlTable& table : root.tables("load", "[[load]]")) read_load(reader, table);
  for (const TomlTable& table : root.tables("fault", "[[fault]]")) read_fault(reader, table);
}

}  // namespace

Result<Scenario> parse_scenario_file(std::string_view text, std::uint64_t seed,
                                     const ReadScenarioData& read_file) {
  Reader reader{.seed = seed, .read_file = &read_file};
  auto read = parse_toml(text, [&reader](const TomlTable& root) { read_scenario(reader, root); });
  if (!read) return pass_on(std::move(read));
  if (auto valid = validate(reader.scenario); !valid) return pass_on(std::move(valid));
  return std::move(reader.scenario);
}

}  // namespace dfaas
