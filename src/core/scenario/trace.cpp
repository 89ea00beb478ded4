// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/trace.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/scenario/csv_rows.hpp"

namespace dfaas {
namespace {

constexpr double seconds_max = 86'400;
constexpr double millis_max = seconds_max * 1000;
constexpr std::size_t name_length_max = 200;
constexpr std::size_t line_length_max = 256 * 1024;  ///< A neighbour with 1000 functions.
constexpr std::size_t call_id_length_max = 64;
constexpr std::array<std::string_view, 5> result_words{"unknown", "served_here", "served_by_peer",
                                                       "refused", "failed"};
constexpr std::string_view header_text = "at_s,node,function,service_ms";

Micros from_number(double number, double micros_per_unit) {
  return Micros{std::llround(number * micros_per_unit)};
}

/// Where a line stands in time. Throws what `Bad` is.
struct Order {
  Micros last{0};
  std::size_t last_line = 0;

  std::optional<std::string> problem_of(Micros at, std::size_t line) {
    if (at < last) {
      return fmt::format("at_s {} is before the {} of line {}: a trace is in order of time",
                         to_seconds(at), to_seconds(last), last_line);
    }
    last = at;
    last_line = line;
    return {};
  }
};

void check_count(std::size_t calls) {
  if (calls > trace_calls_max) {
    throw BadCell{fmt::format("more than {} calls are too many for one trace", trace_calls_max)};
  }
}

template <class T>
T cell(const CsvRows& rows, std::size_t column, Result<T> value) {
  if (!value) rows.fail_at(column, value.error().message);
  return std::move(*value);
}

Trace read_csv(std::string_view text) {
  CsvRows rows(text);
  const std::vector<std::string_view> names = split(header_text, ',');
  if (!rows.next() || rows.cells().size() < 3 || rows.cells().size() > 4 ||
      !std::equal(rows.cells().begin(), rows.cells().end(), names.begin())) {
    rows.fail_with(fmt::format(
        "a trace begins with the line {}, where the last column may be missing, or is JSON lines",
        header_text));
  }
  rows.take_header();
  Trace trace;
  Order order;
  while (rows.next_of_header()) {
    RecordedCall call{.at = from_number(rows.number(0, 0, seconds_max), 1e6),
                      .node = cell(rows, 1, NodeName::parse(rows.cells()[1])),
                      .function = cell(rows, 2, FunctionName::parse(rows.cells()[2]))};
    if (rows.cells().size() == 4 && !rows.cells()[3].empty()) {
      call.service_time = from_number(rows.number(3, 0, millis_max), 1e3);
    }
    if (const auto problem = order.problem_of(call.at, rows.line())) rows.fail_with(*problem);
    trace.calls.push_back(std::move(call));
    check_count(trace.calls.size());
  }
  return trace;
}

/// Recordings are of one node, and know how many calls they hold.
void check_end(const Recording& recording, const RecordingEnd& end, std::size_t calls) {
  if (end.calls == calls) return;
  throw BadField{fmt::format("the recording of {} holds {} of its {} calls: lines are missing",
                             recording.node.text(), calls, end.calls)};
}

Recording& recording_of(Trace& trace, std::string_view kind) {
  if (!trace.recording) {
    throw BadField{fmt::format("{} comes before the line of the recording", kind)};
  }
  return *trace.recording;
}

void read_recording_line(const Fields& fields, Trace& trace) {
  allow_only(fields, {"recording"});
  const Fields content = fields.object("recording");
  Recording recording = read_recording(content);
  if (trace.recording) {
    throw BadField{fmt::format("{} and {} are recorded in one file: give each a file of its own",
                               trace.recording->node.text(), recording.node.text())};
  }
  if (!trace.calls.empty()) throw BadField{"a recording begins with the line that says of whom"};
  trace.recording = std::move(recording);
}

void read_function_line(const Fields& fields, Trace& trace) {
  allow_only(fields, {"function"});
  RecordedFunction function = read_recorded_function(fields.object("function"));
  auto& functions = recording_of(trace, "a function").functions;
  functions.insert_or_assign(function.name, function);
  if (functions.size() > recording_limits::functions_max) {
    throw BadField{fmt::format("more than {} functions", recording_limits::functions_max)};
  }
}

void read_neighbour_line(const Fields& fields, Trace& trace) {
  allow_only(fields, {"neighbour"});
  RecordedNeighbour neighbour = read_recorded_neighbour(fields.object("neighbour"));
  auto& neighbours = recording_of(trace, "a neighbour").neighbours;
  neighbours.insert_or_assign(neighbour.id, neighbour);
  if (neighbours.size() > recording_limits::neighbours_max) {
    throw BadField{fmt::format("more than {} neighbours", recording_limits::neighbours_max)};
  }
}

void read_end_line(const Fields& fields, Trace& trace, const Order& order) {
  allow_only(fields, {"end"});
  const RecordingEnd end = read_recording_end(fields.object("end"));
  Recording& recording = recording_of(trace, "the end");
  if (end.at < order.last) {
    throw BadField{fmt::format("the end, {}, is before the {} of line {}", to_seconds(end.at),
                               to_seconds(order.last), order.last_line)};
  }
  check_end(recording, end, trace.calls.size());
  recording.end = end;
}

void read_rtt_line(const Fields& fields, Trace& trace) {
  allow_only(fields, {"rtt"});
  const Fields rtt = fields.object("rtt");
  allow_only(rtt, {"from", "to", "ms"});
  trace.rtts.push_back(
      {.from = rtt.accept("from", NodeName::parse(rtt.text("from", name_length_max))),
       .to = rtt.accept("to", NodeName::parse(rtt.text("to", name_length_max))),
       .rtt = from_number(rtt.number("ms", 0, to_millis(scenario_limits::rtt_max)), 1e3)});
}

void read_run_line(const Fields& fields, Trace& trace) {
  allow_only(fields, {"run"});
  const Fields run = fields.object("run");
  allow_only(run, {"node_id", "call", "function", "service_ms"});
  trace.runs.push_back(
      {.origin = run.accept("node_id", NodeId::parse(run.text("node_id", name_length_max))),
       .call_id = run.text("call", call_id_length_max),
       .function =
           run.accept("function", FunctionName::parse(run.text("function", name_length_max))),
       .service_time = from_number(run.number("service_ms", 0, millis_max), 1e3)});
  check_count(trace.runs.size());
}

void read_call_line(const Fields& fields, std::size_t line, Trace& trace, Order& order) {
  allow_only(fields, {"at_s", "node", "function", "service_ms", "call", "ended", "rtt", "run",
                      "recording", "neighbour", "end"});
  RecordedCall call{
      .at = from_number(fields.number("at_s", 0, seconds_max), 1e6),
      .node = fields.accept("node", NodeName::parse(fields.text("node", name_length_max))),
      .function =
          fields.accept("function", FunctionName::parse(fields.text("function", name_length_max))),
      .service_time = {},
      .call_id = fields.text_or("call", call_id_length_max, "")};
  if (fields.has("service_ms")) {
    call.service_time = from_number(fields.number("service_ms", 0, millis_max), 1e3);
  }
  if (fields.has("ended")) {
    call.result =
        fields.accept("ended", parse_recorded_result(fields.text("ended", name_length_max)));
  }
  if (const auto problem = order.problem_of(call.at, line)) throw BadField{*problem};
  if (trace.recording && call.node != trace.recording->node) {
    throw BadField{fmt::format("a call of {} in the recording of {}", call.node.text(),
                               trace.recording->node.text())};
  }
  trace.calls.push_back(std::move(call));
  check_count(trace.calls.size());
}

void read_json_line(const Fields& fields, std::size_t line, Trace& trace, Order& order) {
  if (trace.recording && trace.recording->end) {
    throw BadField{"the recording ended in the line before"};
  }
  if (fields.has("recording")) return read_recording_line(fields, trace);
  if (fields.has("rtt")) return read_rtt_line(fields, trace);
  if (fields.has("run")) return read_run_line(fields, trace);
  if (fields.has("neighbour")) return read_neighbour_line(fields, trace);
  if (fields.has("end")) return read_end_line(fields, trace, order);
  // A call has a function, too, which is a text there.
  if (fields.has("function") && !fields.has("at_s") && !fields.has("node")) {
    return read_function_line(fields, trace);
  }
  read_call_line(fields, line, trace, order);
}

Trace read_json_lines(std::string_view text) {
  Trace trace;
  Order order;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto read = parse_json_object(line, line_length_max, [&](const Fields& fields) {
      read_json_line(fields, number, trace, order);
    });
    if (!read) throw BadCell{fmt::format("line {}: {}", number, read.error().message)};
  }
  return trace;
}

std::map<std::string, NodeIndex> index_nodes(const Scenario& scenario) {
  std::map<std::string, NodeIndex> index;
  for (NodeIndex node = 0; node < scenario.nodes.size(); ++node) {
    index.emplace(scenario.nodes[node].name.text(), node);
  }
  return index;
}

/// The index of `key`, or a sentence on what there is.
template <class Key>
Result<std::size_t> look_up(const std::map<Key, std::size_t>& index, const Key& key,
                            std::string_view kind, std::string_view shown) {
  const auto found = index.find(key);
  if (found != index.end()) return found->second;
  return fail(ErrorCode::not_found,
              fmt::format("{} {} of the trace is not in the scenario", kind, in_quotes(shown)));
}

using LoadKey = std::pair<NodeIndex, FunctionIndex>;

/// The calls of each node and function, in an order that does not hang on the trace.
Result<std::map<LoadKey, std::vector<TraceCall>>> group(
    const Scenario& scenario, const std::map<std::string, NodeIndex>& nodes, const Trace& trace) {
  std::map<std::string, FunctionIndex> functions;
  for (FunctionIndex function = 0; function < scenario.functions.size(); ++function) {
    functions.emplace(scenario.functions[function].name.full(), function);
  }
  std::map<LoadKey, std::vector<TraceCall>> calls;
  for (const RecordedCall& call : trace.calls) {
    const auto node = look_up(nodes, call.node.text(), "node", call.node.text());
    if (!node) return tl::unexpected(node.error());
    const auto function =
        look_up(functions, call.function.full(), "function", short_name(call.function));
    if (!function) return tl::unexpected(function.error());
    calls[{*node, *function}].push_back({.at = call.at, .service_time = call.service_time});
  }
  return calls;
}

Result<void> set_rtts(Scenario& scenario, const std::map<std::string, NodeIndex>& nodes,
                      const Trace& trace) {
  std::map<std::pair<NodeIndex, NodeIndex>, std::size_t> links;
  for (std::size_t link = 0; link < scenario.links.size(); ++link) {
    links.emplace(std::minmax(scenario.links[link].a, scenario.links[link].b), link);
  }
  for (const RecordedRtt& rtt : trace.rtts) {
    const auto from = look_up(nodes, rtt.from.text(), "node", rtt.from.text());
    if (!from) return tl::unexpected(from.error());
    const auto to = look_up(nodes, rtt.to.text(), "node", rtt.to.text());
    if (!to) return tl::unexpected(to.error());
    const std::pair<NodeIndex, NodeIndex> ends = std::minmax(*from, *to);
    const auto link = look_up(links, ends, "link", rtt.from.text() + " to " + rtt.to.text());
    if (!link) return tl::unexpected(link.error());
    scenario.links[*link].rtt = rtt.rtt;
  }
  return {};
}

}  // namespace

std::string_view to_text(RecordedResult result) {
  return result_words.at(static_cast<std::size_t>(result));
}

Result<RecordedResult> parse_recorded_result(std::string_view text) {
  const auto found = std::find(result_words.begin() + 1, result_words.end(), text);
  if (found != result_words.end()) {
    return static_cast<RecordedResult>(found - result_words.begin());
  }
  return fail(
      ErrorCode::invalid_input,
      fmt::format("{} is not served_here, served_by_peer, refused or failed", in_quotes(text, 40)));
}

Result<Trace> parse_trace(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string_view::npos && text[first] == '{';
  try {
    return is_json ? read_json_lines(text) : read_csv(text);
  } catch (const BadCell& bad) {
    return fail(ErrorCode::invalid_input, bad.message);
  }
}

std::string trace_line(const RecordedCall& call) {
  const auto field = [](std::string_view name, const std::string& value) {
    return value.empty() ? std::string() : fmt::format(", \"{}\": {}", name, value);
  };
  const auto text = [](std::string_view value) {
    return value.empty() ? std::string() : json_text(nlohmann::json(value));
  };
  return fmt::format(
      "{{\"at_s\": {}, \"node\": \"{}\", \"function\": \"{}\"{}{}{}}}\n", to_seconds(call.at),
      call.node.text(), short_name(call.function),
      field("service_ms",
            call.service_time ? fmt::to_string(to_millis(*call.service_time)) : std::string()),
      field("call", text(call.call_id)),
      field("ended",
            call.result == RecordedResult::unknown ? std::string() : text(to_text(call.result))));
}

std::string trace_line(const RecordedRun& run) {
  return fmt::format(
      "{{\"run\": {{\"node_id\": \"{}\", \"call\": {}, \"function\": \"{}\", \"service_ms\": "
      "{}}}}}\n",
      run.origin.text(), json_text(nlohmann::json(run.call_id)), short_name(run.function),
      to_millis(run.service_time));
}

std::string trace_line(const RecordedRtt& rtt) {
  return fmt::format("{{\"rtt\": {{\"from\": \"{}\", \"to\": \"{}\", \"ms\": {}}}}}\n",
                     rtt.from.text(), rtt.to.text(), to_millis(rtt.rtt));
}

std::string trace_to_text(const Trace& trace, TraceFormat format) {
  std::string text;
  if (format == TraceFormat::json_lines) {
    if (trace.recording) text += trace_lines(*trace.recording);
    for (const RecordedRtt& rtt : trace.rtts) text += trace_line(rtt);
    for (const RecordedCall& call : trace.calls) text += trace_line(call);
    for (const RecordedRun& run : trace.runs) text += trace_line(run);
    if (trace.recording && trace.recording->end) text += trace_line(*trace.recording->end);
    return text;
  }
  text.append(header_text).append("\n");
  for (const RecordedCall& call : trace.calls) {
    text += fmt::format("{},{},{},{}\n", to_seconds(call.at), call.node.text(),
                        short_name(call.function),
                        call.service_time ? fmt::to_string(to_millis(*call.service_time)) : "");
  }
  return text;
}

Result<void> apply_trace(Scenario& scenario, const Trace& trace) {
  const std::map<std::string, NodeIndex> nodes = index_nodes(scenario);
  auto calls = group(scenario, nodes, trace);
  if (!calls) return pass_on(std::move(calls));
  Scenario changed = scenario;
  if (auto set = set_rtts(changed, nodes, trace); !set) return set;
  std::set<NodeIndex> recorded;
  for (const auto& [key, unused] : *calls) recorded.insert(key.first);
  std::erase_if(changed.loads,
                [&recorded](const ScenarioLoad& load) { return recorded.contains(load.node); });
  for (auto& [key, list] : *calls) {
    changed.loads.push_back({.node = key.first,
                             .function = key.second,
                             .arrivals = ArrivalKind::trace,
                             .calls = std::move(list)});
  }
  if (auto valid = validate(changed); !valid) return valid;
  scenario = std::move(changed);
  return {};
}

}  // namespace dfaas
