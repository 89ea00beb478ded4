// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/replay.hpp"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::size_t samples_max = 1000;
constexpr Micros warm_up_max{5'000'000};
constexpr int warm_up_part = 10;
/// Of the lead-in: so many plans, and within these bounds.
constexpr int lead_in_periods = 4;
constexpr Micros lead_in_min{5'000'000};
constexpr Micros lead_in_max{60'000'000};

/// Where a recording lies in the joined one, by the clock of the world.
struct Span {
  std::int64_t from = 0;
  std::int64_t until = 0;
};

Span span_of(const Trace& trace) {
  const Recording& recording = *trace.recording;
  const Micros last = trace.calls.empty() ? Micros{0} : trace.calls.back().at;
  const Micros length = recording.end ? recording.end->at : last;
  return {.from = recording.began_unix, .until = recording.began_unix + length.count()};
}

Result<void> check_names(const std::vector<TraceFile>& files) {
  for (std::size_t later = 0; later < files.size(); ++later) {
    if (!files[later].trace.recording) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} does not say when it began: only recordings of dfaas node record "
                              "can be joined, any other trace is replayed alone",
                              files[later].name));
    }
    const Recording& recording = *files[later].trace.recording;
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      const Recording& other = *files[earlier].trace.recording;
      if (other.id == recording.id) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("{} and {} are both recordings of node {} ({}): give one of them",
                                files[earlier].name, files[later].name, recording.node.text(),
                                recording.id.text()));
      }
      if (other.node == recording.node) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("{} and {} are of two nodes that are both called {}: rename one",
                                files[earlier].name, files[later].name, recording.node.text()));
      }
    }
  }
  return {};
}

Result<Span> common_span(const std::vector<TraceFile>& files) {
  std::size_t last_to_begin = 0;
  std::size_t first_to_end = 0;
  std::vector<Span> spans;
  for (std::size_t at = 0; at < files.size(); ++at) {
    spans.push_back(span_of(files[at].trace));
    if (spans[at].from > spans[last_to_begin].from) last_to_begin = at;
    if (spans[at].until < spans[first_to_end].until) first_to_end = at;
  }
  const Span common{.from = spans[last_to_begin].from, .until = spans[first_to_end].until};
  if (common.until > common.from) return common;
  if (last_to_begin == first_to_end) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} is of no time at all", files[first_to_end].name));
  }
  return fail(
      ErrorCode::invalid_input,
      fmt::format("{} began {:.1f} s after {} had ended: recordings are joined for the time "
                  "that they have in common",
                  files[last_to_begin].name, to_seconds(Micros{common.from - common.until}),
                  files[first_to_end].name));
}

using RunKey = std::tuple<NodeId, std::string, FunctionName>;

/// Service times of calls that ran at other recorded nodes. Users may name two calls alike: then in order.
std::map<RunKey, std::deque<Micros>> index_runs(const std::vector<TraceFile>& files) {
  std::map<RunKey, std::deque<Micros>> runs;
  for (const TraceFile& file : files) {
    for (const RecordedRun& run : file.trace.runs) {
      runs[{run.origin, run.call_id, run.function}].push_back(run.service_time);
    }
  }
  return runs;
}

void take_service_times(std::vector<TraceFile>& files) {
  auto runs = index_runs(files);
  for (TraceFile& file : files) {
    for (RecordedCall& call : file.trace.calls) {
      if (call.service_time) continue;
      const auto found = runs.find({file.trace.recording->id, call.call_id, call.function});
      if (found == runs.end() || found->second.empty()) continue;
      call.service_time = found->second.front();
      found->second.pop_front();
    }
  }
}

/// Slots that worked for users who were not recorded: their load is missing.
void note_missing_load(const std::vector<TraceFile>& files, std::vector<std::string>& notes) {
  std::set<NodeId> recorded;
  for (const TraceFile& file : files) recorded.insert(file.trace.recording->id);
  for (const TraceFile& file : files) {
    std::map<NodeId, std::size_t> missing;
    for (const RecordedRun& run : file.trace.runs) {
      if (!recorded.contains(run.origin)) ++missing[run.origin];
    }
    for (const auto& [id, runs] : missing) {
      const auto known = file.trace.recording->neighbours.find(id);
      const std::string name =
          known == file.trace.recording->neighbours.end() ? id.text() : known->second.node.text();
      notes.push_back(
          fmt::format("{} ran {} calls of {}'s users, which are not replayed: record {}, too",
                      file.trace.recording->node.text(), runs, name, name));
    }
  }
}

/// One round trip for each pair: the middle one of all that both sides saw.
std::vector<RecordedRtt> middle_of(const std::vector<RecordedRtt>& all) {
  std::map<std::pair<NodeName, NodeName>, std::vector<Micros>> pairs;
  for (const RecordedRtt& rtt : all) pairs[std::minmax(rtt.from, rtt.to)].push_back(rtt.rtt);
  std::vector<RecordedRtt> middles;
  for (auto& [ends, times] : pairs) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::ranges::nth_element(times, middle);
    middles.push_back({.from = ends.first, .to = ends.second, .rtt = *middle});
  }
  return middles;
}

/// Plays the beginning once before everything.
void lead_in(JoinedTrace& joined) {
  const Micros wanted = lead_in_periods * Micros(joined.recordings.front().period);
  joined.lead_in = std::min(joined.duration, std::clamp(wanted, lead_in_min, lead_in_max));
  std::vector<RecordedCall> calls;
  for (const RecordedCall& call : joined.trace.calls) {
    if (call.at >= joined.lead_in) break;
    calls.push_back(call);
    calls.back().result = RecordedResult::unknown;
  }
  for (RecordedCall& call : joined.trace.calls) {
    call.at += joined.lead_in;
    calls.push_back(std::move(call));
  }
  joined.trace.calls = std::move(calls);
  joined.duration += joined.lead_in;
}

JoinedTrace join_recordings(std::vector<TraceFile> files, Span span) {
  JoinedTrace joined;
  joined.duration = Micros{span.until - span.from};
  note_missing_load(files, joined.notes);
  std::size_t left_out = 0;
  for (TraceFile& file : files) {
    const Recording& recording = *file.trace.recording;
    if (!recording.end) {
      joined.notes.push_back(fmt::format("{} was cut off: it ends with its last call", file.name));
    }
    const Micros shift{recording.began_unix - span.from};
    for (RecordedCall& call : file.trace.calls) {
      call.at += shift;
      if (call.at < Micros{0} || call.at >= joined.duration) {
        ++left_out;
        continue;
      }
      joined.trace.calls.push_back(std::move(call));
    }
    std::ranges::move(file.trace.rtts, std::back_inserter(joined.trace.rtts));
    std::ranges::move(file.trace.runs, std::back_inserter(joined.trace.runs));
    joined.recordings.push_back(std::move(*file.trace.recording));
  }
  if (left_out > 0 && files.size() > 1) {
    joined.notes.push_back(
        fmt::format("{} calls outside of the {:.1f} s that all recordings cover are left out",
                    left_out, to_seconds(joined.duration)));
  }
  std::ranges::sort(joined.trace.calls, {}, [](const RecordedCall& call) {
    return std::tie(call.at, call.node, call.call_id);
  });
  joined.trace.rtts = middle_of(joined.trace.rtts);
  lead_in(joined);
  return joined;
}

// --- the federation

/// Collects nodes, functions and links under their names.
class FederationBuilder {
 public:
  explicit FederationBuilder(const JoinedTrace& joined) : joined_(joined) {}

  Result<Scenario> build() {
    if (auto added = add_nodes(); !added) return pass_on(std::move(added));
    add_links();
    set_service_times();
    scenario_.name = "recorded";
    scenario_.summary = summary();
    scenario_.duration = joined_.duration;
    const Micros recorded = joined_.duration - joined_.lead_in;
    scenario_.warm_up = joined_.lead_in + std::min(warm_up_max, recorded / warm_up_part);
    if (auto valid = validate(scenario_); !valid) return pass_on(std::move(valid));
    return std::move(scenario_);
  }

 private:
  [[nodiscard]] std::string summary() const {
    std::vector<std::string> names;
    names.reserve(joined_.recordings.size());
    for (const Recording& recording : joined_.recordings) names.push_back(recording.node.text());
    return fmt::format("{:.1f} s recorded at {}", to_seconds(joined_.duration - joined_.lead_in),
                       fmt::join(names, ", "));
  }

  Result<void> add_nodes() {
    for (const Recording& recording : joined_.recordings) {
      ScenarioNode node{.name = recording.node,
                        .organisation = organisation_of(recording.organisation)};
      for (const auto& [name, function] : recording.functions) {
        deploy(node, add_function(function), function.pool, function.slots, function.max_rate);
      }
      if (auto added = add_node(recording.id, std::move(node)); !added) return added;
    }
    for (const Recording& recording : joined_.recordings) {
      for (const auto& [id, neighbour] : recording.neighbours) {
        if (indexes_.contains(id)) continue;
        ScenarioNode node{.name = neighbour.node,
                          .organisation = organisation_of(neighbour.organisation)};
        for (const RecordedOffer& offer : neighbour.functions) {
          // How a neighbour shares slots among functions it does not tell.
          deploy(node, add_function({.name = offer.function}), "", offer.slots, {});
        }
        if (auto added = add_node(id, std::move(node)); !added) return added;
      }
    }
    return {};
  }

  static std::string organisation_of(const std::string& told) {
    return told.empty() ? "org" : told;
  }

  Result<void> add_node(const NodeId& id, ScenarioNode node) {
    for (const ScenarioNode& other : scenario_.nodes) {
      if (other.name == node.name) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("two recorded nodes are called {}: rename one", node.name.text()));
      }
    }
    if (node.pools.empty()) node.pools.push_back({.name = "cpu", .slots = 1});
    indexes_.emplace(id, scenario_.nodes.size());
    scenario_.nodes.push_back(std::move(node));
    return {};
  }

  void deploy(ScenarioNode& node, FunctionIndex function, const std::string& pool, int slots,
              Rate max_rate) const {
    // Of its own, it is called like the function in full: a label has no dot.
    const std::string name = pool.empty() ? scenario_.functions[function].name.full() : pool;
    auto found = std::ranges::find(node.pools, name, &ScenarioPool::name);
    if (found == node.pools.end()) {
      node.pools.push_back({.name = name, .slots = slots});
      found = node.pools.end() - 1;
    }
    // As in the dispatcher: slots of a pool are those of the member that has most.
    found->slots = std::max(found->slots, slots);
    const auto at = static_cast<std::size_t>(found - node.pools.begin());
    node.functions.push_back({.function = function, .pool = at, .max_rate = max_rate});
  }

  /// Nodes may disagree about a function: the longest deadline and the least sharing count.
  FunctionIndex add_function(const RecordedFunction& told) {
    const bool is_full = told.deadline > Micros{0};
    const auto [place, is_new] = functions_.try_emplace(told.name, scenario_.functions.size());
    if (is_new) scenario_.functions.push_back({.name = told.name});
    ScenarioFunction& function = scenario_.functions[place->second];
    if (!is_full) return place->second;
    const bool is_first = detailed_.insert(told.name).second;
    function.deadline = std::max(function.deadline, told.deadline);
    function.share = is_first ? told.share : std::min(function.share, told.share);
    function.retry_safe = told.retry_safe && (is_first || function.retry_safe);
    return place->second;
  }

  void add_links() {
    std::map<std::pair<NodeIndex, NodeIndex>, std::optional<Micros>> told;
    for (const Recording& recording : joined_.recordings) {
      for (const auto& [id, neighbour] : recording.neighbours) {
        told[std::minmax(indexes_.at(recording.id), indexes_.at(id))];
      }
    }
    std::map<std::string, NodeIndex> names;
    for (NodeIndex node = 0; node < scenario_.nodes.size(); ++node) {
      names.emplace(scenario_.nodes[node].name.text(), node);
    }
    for (const RecordedRtt& rtt : joined_.trace.rtts) {
      const auto from = names.find(rtt.from.text());
      const auto to = names.find(rtt.to.text());
      if (from == names.end() || to == names.end()) continue;
      const auto link = told.find(std::minmax(from->second, to->second));
      if (link != told.end()) link->second = rtt.rtt;
    }
    for (const auto& [ends, rtt] : told) {
      scenario_.links.push_back(
          {.a = ends.first, .b = ends.second, .rtt = rtt.value_or(ScenarioLink{}.rtt)});
    }
  }

  /// Of calls that never ran, the replay draws how long they would have taken.
  void set_service_times() {
    std::map<FunctionName, std::vector<Micros>> times;
    for (const RecordedCall& call : joined_.trace.calls) {
      if (call.service_time && call.at >= joined_.lead_in) {
        times[call.function].push_back(*call.service_time);
      }
    }
    // Those of recorded nodes' users are in their calls.
    for (const RecordedRun& run : joined_.trace.runs) {
      const bool is_counted = std::ranges::find(joined_.recordings, run.origin, &Recording::id) !=
                              joined_.recordings.end();
      if (!is_counted) times[run.function].push_back(run.service_time);
    }
    for (auto& [name, all] : times) {
      const auto found = functions_.find(name);
      if (found == functions_.end()) continue;
      scenario_.functions[found->second].service_time = {.kind = ServiceKind::samples,
                                                         .samples = thin_out(std::move(all))};
      mean_of_samples(scenario_.functions[found->second].service_time);
    }
  }

  static std::vector<Micros> thin_out(std::vector<Micros> times) {
    std::ranges::sort(times);
    const std::size_t count = std::min(times.size(), samples_max);
    std::vector<Micros> chosen;
    chosen.reserve(count);
    for (std::size_t at = 0; at < count; ++at) {
      chosen.push_back(std::max(times[(2 * at + 1) * times.size() / (2 * count)], Micros{1}));
    }
    return chosen;
  }

  static void mean_of_samples(ServiceTime& time) {
    Micros sum{0};
    for (const Micros sample : time.samples) sum += sample;
    time.mean = std::max(sum / static_cast<Micros::rep>(time.samples.size()), Micros{1});
  }

  const JoinedTrace& joined_;
  Scenario scenario_;
  std::map<NodeId, NodeIndex> indexes_;
  std::map<FunctionName, FunctionIndex> functions_;
  std::set<FunctionName> detailed_;
};

}  // namespace

Result<JoinedTrace> join_traces(std::vector<TraceFile> files) {
  if (files.size() == 1 && !files[0].trace.recording) {
    Trace& trace = files[0].trace;
    const Micros duration = trace.calls.empty() ? Micros{0} : trace.calls.back().at;
    return JoinedTrace{.trace = std::move(trace), .duration = duration};
  }
  if (auto checked = check_names(files); !checked) return pass_on(std::move(checked));
  auto span = common_span(files);
  if (!span) return pass_on(std::move(span));
  take_service_times(files);
  return join_recordings(std::move(files), *span);
}

Result<Scenario> scenario_of(const JoinedTrace& joined) {
  if (joined.recordings.empty()) {
    return fail(ErrorCode::invalid_input,
                "this trace does not tell of its nodes: name a scenario, too; only recordings of "
                "dfaas node record are replayed without");
  }
  return FederationBuilder(joined).build();
}

double RecordedFigures::success_ratio() const {
  return offered == 0
             ? 1
             : static_cast<double>(served_here + served_by_peers) / static_cast<double>(offered);
}

double RecordedFigures::forwarded_ratio() const {
  return offered == 0 ? 0 : static_cast<double>(served_by_peers) / static_cast<double>(offered);
}

RecordedFigures recorded_figures(const Trace& trace, Micros warm_up, Micros duration) {
  RecordedFigures figures;
  for (const RecordedCall& call : trace.calls) {
    if (call.at < warm_up || call.at >= duration) continue;
    switch (call.result) {
      case RecordedResult::unknown:
        continue;
      case RecordedResult::served_here:
        ++figures.served_here;
        break;
      case RecordedResult::served_by_peer:
        ++figures.served_by_peers;
        break;
      case RecordedResult::refused:
        ++figures.refused;
        break;
      case RecordedResult::failed:
        ++figures.failed;
        break;
    }
    ++figures.offered;
  }
  return figures;
}

}  // namespace dfaas
