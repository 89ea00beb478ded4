// SPDX-License-Identifier: AGPL-3.0-or-later
#include "targets.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/assert.hpp"
#include "core/base/names.hpp"
#include "core/base/text.hpp"
#include "core/dataplane/dispatcher.hpp"
#include "core/federation/joining.hpp"
#include "core/haproxy/runtime_text.hpp"
#include "core/membership/gossip_view.hpp"
#include "core/membership/msgpack_frames.hpp"
#include "core/membership/serf_rpc.hpp"
#include "core/model/exchange_message.hpp"
#include "core/model/observation.hpp"
#include "core/model/routing_plan.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/image.hpp"
#include "core/openfaas/platform.hpp"
#include "core/openfaas/route.hpp"
#include "core/openfaas/status.hpp"
#include "core/openfaas/usage.hpp"
#include "core/scenario/import_azure.hpp"
#include "core/scenario/import_original.hpp"
#include "core/scenario/model_trace.hpp"
#include "core/scenario/recorder.hpp"
#include "core/scenario/replay.hpp"
#include "core/scenario/scenario_file.hpp"
#include "core/scenario/trace.hpp"
#include "core/settings/settings.hpp"
#include "core/strategy/external_codec.hpp"
#include "core/workload/plan_file.hpp"

namespace dfaas {
namespace {

/// A refusal must be a sentence that can go into a log line.
void check_sentence(const std::string& sentence) {
  DFAAS_ASSERT(!sentence.empty(), "a refusal says why");
  DFAAS_ASSERT(sentence.size() < 2000, "a refusal is short, whatever was refused");
  const auto is_control = [](char letter) { return static_cast<unsigned char>(letter) < 0x20; };
  DFAAS_ASSERT(std::ranges::none_of(sentence, is_control), "a refusal is one harmless line");
}

template <class T>
bool is_accepted(const Result<T>& read) {
  if (read) return true;
  check_sentence(read.error().message);
  return false;
}

void run_exchange(std::string_view bytes) {
  const auto read = exchange_from_json(bytes);
  if (!is_accepted(read)) return;
  const std::string text = exchange_to_json(*read);
  DFAAS_ASSERT(text.size() <= exchange_bytes_max, "what was taken can be sent");
  const auto again = exchange_from_json(text);
  DFAAS_ASSERT(again.has_value(), "what was written can be read");
  // What did not fit is left out, so that only what fits comes back whole.
  const bool is_whole = again->functions.size() == read->functions.size() &&
                        again->asks.size() == read->asks.size() &&
                        again->grants.size() == read->grants.size();
  DFAAS_ASSERT(!is_whole || *again == *read, "a message keeps its meaning");
}

void run_plan(std::string_view bytes) {
  const auto read = plan_from_json(bytes);
  if (!is_accepted(read)) return;
  DFAAS_ASSERT(plan_from_json(plan_to_json(*read)) == *read, "a plan keeps its meaning");
  // Whatever plan was taken must be safe to go by.
  Dispatcher dispatcher({}, Random{1});
  Instant now{};
  dispatcher.install(*read, now);
  RequestId id = 0;
  for (const FunctionPlan& function : read->functions) {
    if (++id > 50) break;
    Decision decision = dispatcher.arrive_user(id, function.function, now);
    while (decision.kind == Decision::Kind::try_peer) {
      now += Millis{10};
      decision = dispatcher.not_started(id, Outcome::busy, now);
    }
    DFAAS_ASSERT(decision.kind == Decision::Kind::refuse, "nothing runs here");
  }
}

void run_observation(std::string_view bytes) {
  const auto read = observation_from_json(bytes);
  if (!is_accepted(read)) return;
  const std::string text = observation_to_json(*read);
  const auto again = observation_from_json(text);
  DFAAS_ASSERT(again && observation_to_json(*again) == text, "an observation keeps its meaning");
}

void run_deployment(std::string_view bytes) {
  const auto read = deployment_from_json(bytes);
  if (!is_accepted(read)) return;
  DFAAS_ASSERT(deployment_from_json(deployment_to_json(*read)) == *read,
               "a deployment keeps its meaning");
}

/// What images and their names say, and what the programs that read them complain of.
void run_image(std::string_view bytes) {
  if (const auto name = parse_image(bytes); is_accepted(name) && is_container(*name)) {
    const bool is_local = name->kind != ImageKind::registry;
    DFAAS_ASSERT(!name->place.empty() && name->place.front() != '/', "a place is below another");
    DFAAS_ASSERT(name->place.find("..") == std::string::npos || !is_local ||
                     ("/" + name->place + "/").find("/../") == std::string::npos,
                 "a path stays below its directory");
    DFAAS_ASSERT(parse_image(name->text) == *name, "a name keeps its meaning");
  }
  std::ignore = is_accepted(manifest_from_json(bytes));
  if (const auto config = image_config_from_json(bytes); is_accepted(config)) {
    const auto again = image_config_from_json(image_config_to_json(*config));
    DFAAS_ASSERT(again.has_value(), "what was written can be read");
    FunctionDeployment deployment{.function = FunctionName::parse("f").value(), .image = "oci:f"};
    std::ignore = is_accepted(plan_image_run(deployment, *config));
  }
  if (const std::string complaint = last_complaint(bytes); !complaint.empty()) {
    check_sentence(complaint);
  }
}

void run_deletion(std::string_view bytes) {
  const auto read = deletion_from_json(bytes);
  if (!is_accepted(read)) return;
  DFAAS_ASSERT(deletion_from_json(deletion_to_json(*read)) == *read, "a name keeps its meaning");
}

void run_status(std::string_view bytes) {
  if (const auto list = function_list_from_json(bytes); is_accepted(list)) {
    DFAAS_ASSERT(function_list_from_json(function_list_json(*list)).has_value(),
                 "a list that was taken can be given");
  }
  is_accepted(function_status_from_json(bytes));
}

void run_platform(std::string_view bytes) {
  const std::string name = platform_name_from_json(bytes);
  if (!name.empty()) check_sentence(name);
  const auto list = platform_list_from_json(bytes);
  if (!is_accepted(list)) return;
  for (const std::string& why : list->left_out) check_sentence(why);
  const PlatformFunction* before = nullptr;
  for (const PlatformFunction& function : list->functions) {
    const int slots = platform_slots(function, Micros{100'000}, 2);
    DFAAS_ASSERT(slots >= 1 && slots <= 100'000, "what the platform has can be called");
    const FunctionName& own = function.status.deployment.function;
    DFAAS_ASSERT(before == nullptr || before->status.deployment.function < own,
                 "sorted, each name once");
    before = &function;
  }
}

void run_route(std::string_view bytes) {
  const Route route = parse_route(bytes);
  if (const auto* refused = std::get_if<RefusedRoute>(&route)) {
    check_sentence(refused->sentence);
    DFAAS_ASSERT(refused->status >= 400 && refused->status < 500, "it is the user's mistake");
  } else if (const auto* call = std::get_if<FunctionCallRoute>(&route)) {
    DFAAS_ASSERT(FunctionName::parse(call->function.full()) == call->function,
                 "a routed name is a name");
    DFAAS_ASSERT(call->path.empty() || call->path.front() == '/', "a path starts with '/'");
    DFAAS_ASSERT(call->path.find("//") == std::string::npos, "ambiguous targets are refused");
    for (const std::string_view segment : split(call->path, '/')) {
      DFAAS_ASSERT(segment != "." && segment != "..", "nobody climbs out of a function");
    }
  }
}

/// The answer of an outside model about a node with two neighbours.
void run_external_action(std::string_view bytes) {
  const auto id = [](char letter) { return *NodeId::parse(std::string(NodeId::length, letter)); };
  const std::array<NodeId, 2> neighbours{id('b'), id('c')};
  const auto read = external_action_from_json(bytes, id('a'), neighbours);
  if (!is_accepted(read)) return;
  double sum = read->local + read->refused;
  DFAAS_ASSERT(read->local >= 0 && read->refused >= 0, "shares are parts");
  DFAAS_ASSERT(read->neighbours.size() == 2, "each neighbour has a share");
  for (const auto& [neighbour, share] : read->neighbours) {
    DFAAS_ASSERT(share >= 0, "shares are parts");
    sum += share;
  }
  DFAAS_ASSERT(sum > 1 - 1e-9 && sum < 1 + 1e-9, "shares are parts of one");
}

bool is_harmless(std::string_view name) {
  return name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
         std::string_view::npos;
}

void run_joining(std::string_view bytes) {
  if (const auto token = parse_join_token(bytes); is_accepted(token)) {
    DFAAS_ASSERT(parse_join_token(to_text(*token)) == *token, "a token keeps its meaning");
  }
  if (const auto request = join_request_from_json(bytes); is_accepted(request)) {
    DFAAS_ASSERT(join_request_from_json(to_json(*request)) == *request, "a request stays as it is");
  }
  if (const auto answer = join_answer_from_json(bytes); is_accepted(answer)) {
    DFAAS_ASSERT(join_answer_from_json(to_json(*answer)) == *answer, "an answer stays as it is");
  }
  if (const auto request = renew_request_from_json(bytes); is_accepted(request)) {
    DFAAS_ASSERT(renew_request_from_json(renew_request_to_json(*request)) == *request,
                 "a request stays as it is");
  }
}

void run_names(std::string_view bytes) {
  if (const auto name = FunctionName::parse(bytes); is_accepted(name)) {
    DFAAS_ASSERT(is_harmless(name->name()) && is_harmless(name->space()), "names are harmless");
    DFAAS_ASSERT(FunctionName::parse(name->full()) == *name, "a name keeps its meaning");
  }
  if (const auto name = NodeName::parse(bytes); is_accepted(name)) {
    DFAAS_ASSERT(is_harmless(name->text()), "names are harmless");
  }
  if (const auto id = NodeId::parse(bytes); is_accepted(id)) {
    DFAAS_ASSERT(is_harmless(id->text()) && id->text().size() == 32, "ids are harmless");
  }
  const std::size_t half = bytes.size() / 2;
  is_accepted(FunctionName::parse(bytes.substr(0, half), bytes.substr(half)));
}

/// NAME=VALUE lines.
void run_settings(std::string_view bytes) {
  std::vector<SettingText> texts;
  for (const std::string_view line : split(bytes.substr(0, 4096), '\n')) {
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    texts.push_back({.name = std::string(line.substr(0, equals)),
                     .value = std::string(line.substr(equals + 1)),
                     .origin = "fuzz"});
  }
  const auto settings = Settings::parse(texts);
  if (!is_accepted(settings)) return;
  for (const Setting& setting : settings_table()) {
    switch (setting.kind) {
      case SettingKind::integer: {
        const auto value = static_cast<double>(settings->integer(setting.name));
        DFAAS_ASSERT(value >= setting.low && value <= setting.high, "bounds hold");
        break;
      }
      case SettingKind::number: {
        const double value = settings->number(setting.name);
        DFAAS_ASSERT(value >= setting.low && value <= setting.high, "bounds hold");
        break;
      }
      default:
        DFAAS_ASSERT(!settings->origin(setting.name).empty(), "each has an origin");
    }
  }
}

void run_text(std::string_view bytes) {
  if (const auto decoded = base64_decode(bytes)) {
    DFAAS_ASSERT(base64_decode(base64_encode(*decoded)) == decoded, "base64 keeps its meaning");
  }
  DFAAS_ASSERT(base64_decode(base64_encode(bytes)) == bytes, "base64 keeps its meaning");
  if (const auto number = parse_unsigned(bytes)) {
    DFAAS_ASSERT(parse_unsigned(std::to_string(*number)) == number, "numbers keep their meaning");
  }
  if (const auto number = parse_number(bytes)) {
    DFAAS_ASSERT(*number - *number == 0, "numbers are finite");
  }
  if (const auto outcome = parse_outcome(bytes)) {
    DFAAS_ASSERT(to_text(*outcome) == bytes, "outcomes are words");
  }
  check_sentence(in_quotes(bytes));
  DFAAS_ASSERT(split(bytes, ',').size() >= 1, "there is always a piece");
  DFAAS_ASSERT(equal_ignoring_case(bytes, to_lower(bytes)), "case does not matter");
}

/// What is small enough to be written and read again in every round.
bool is_small(const Scenario& scenario) {
  std::size_t size = scenario.nodes.size() + scenario.links.size();
  for (const ScenarioLoad& load : scenario.loads) size += load.rates.size() + load.calls.size();
  return size < 2000;
}

void check_scenario(const Scenario& scenario) {
  DFAAS_ASSERT(validate(scenario).has_value(), "what was taken is valid");
  if (!is_small(scenario)) return;
  const auto again = parse_scenario_file(scenario_to_toml(scenario), 2, {});
  DFAAS_ASSERT(again == scenario, "a scenario keeps its meaning");
}

void run_scenario(std::string_view bytes) {
  // Any file holds the input itself.
  const auto scenario = parse_scenario_file(
      bytes, 1,
      [bytes](const std::string& /*file*/) -> Result<std::string> { return std::string(bytes); });
  if (is_accepted(scenario)) check_scenario(*scenario);
}

void run_trace(std::string_view bytes) {
  const auto trace = parse_trace(bytes);
  if (!is_accepted(trace)) return;
  DFAAS_ASSERT(
      parse_trace(trace_to_text(*trace, TraceFormat::json_lines)) == *trace ||
          (trace->calls.empty() && trace->rtts.empty() && trace->runs.empty() && !trace->recording),
      "a trace keeps its meaning");
  const auto csv = parse_trace(trace_to_text(*trace, TraceFormat::csv));
  DFAAS_ASSERT(csv && csv->calls.size() == trace->calls.size(), "calls stay");
  for (std::size_t at = 0; at < csv->calls.size(); ++at) {
    RecordedCall call = trace->calls[at];
    call.call_id.clear();
    call.result = RecordedResult::unknown;
    DFAAS_ASSERT(csv->calls[at] == call, "calls keep their meaning");
  }
  const auto joined = join_traces({{.name = "fuzz", .trace = *trace}});
  if (!is_accepted(joined)) return;
  auto scenario = scenario_of(*joined);
  if (!is_accepted(scenario)) return;
  DFAAS_ASSERT(validate(*scenario).has_value(), "what was recorded is valid");
  if (is_small(*scenario)) {
    DFAAS_ASSERT(parse_scenario_file(scenario_to_toml(*scenario), 1, {}).has_value(),
                 "what was recorded can be written");
  }
  is_accepted(apply_trace(*scenario, joined->trace));
}

/// Of three nodes in a row, light - mid - heavy.
void run_model_trace(std::string_view bytes) {
  Scenario scenario{.name = "fuzz"};
  for (const char* name : {"figlet", "ocr"}) {
    scenario.functions.push_back({.name = *FunctionName::parse(name)});
  }
  for (const char* name : {"light", "mid", "heavy"}) {
    scenario.nodes.push_back({.name = *NodeName::parse(name),
                              .pools = {{.name = "cpu", .slots = 1}},
                              .functions = {{.function = 0}, {.function = 1}}});
  }
  scenario.links = {{.a = 0, .b = 1}, {.a = 1, .b = 2}};
  const auto trace = parse_model_trace(bytes, scenario);
  if (!is_accepted(trace)) return;
  for (const auto& [of, answers] : trace->answers) {
    DFAAS_ASSERT(of.first < 3 && of.second < 2, "only what the scenario has");
    DFAAS_ASSERT(std::ranges::is_sorted(answers, {}, &RecordedAnswer::at), "in order of time");
    for (const RecordedAnswer& answer : answers) {
      double sum = answer.local + answer.refused;
      DFAAS_ASSERT(answer.local >= 0 && answer.refused >= 0, "shares are parts");
      for (const auto& [neighbour, share] : answer.neighbours) {
        DFAAS_ASSERT(share >= 0, "shares are parts");
        DFAAS_ASSERT(neighbour == of.first + 1 || neighbour + 1 == of.first, "of neighbours");
        sum += share;
      }
      DFAAS_ASSERT(sum > 1 - 1e-9 && sum < 1 + 1e-9, "shares are parts of one");
    }
    DFAAS_ASSERT(trace->in_force(of.first, of.second, answers.back().at) == &answers.back(),
                 "the last one holds");
  }
}

/// Lines of a gateway's recording: what is taken becomes a recording that can be read.
void run_recorder(std::string_view bytes) {
  CallRecorder recorder(*NodeName::parse("fuzz"));
  recorder.end_at(std::chrono::seconds{10});
  Recording head{.node = *NodeName::parse("fuzz"), .id = *NodeId::parse(std::string(32, 'a'))};
  std::string text = trace_lines(head);
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    is_accepted(recorder.feed(bytes.substr(0, end)));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    text += recorder.take();
  }
  text += recorder.finish();
  // Lines of others pass unread: only without them the whole is ours to promise.
  const bool is_ours = text.find("{\"run\"") == std::string::npos &&
                       text.find("\"function\": {") == std::string::npos;
  if (is_ours) DFAAS_ASSERT(parse_trace(text).has_value(), "a recording can be read");
}

void run_import_original(std::string_view bytes) {
  if (const auto scenario = import_original(bytes); is_accepted(scenario)) {
    DFAAS_ASSERT(validate(*scenario).has_value(), "what was taken is valid");
    if (is_small(*scenario)) {
      DFAAS_ASSERT(parse_scenario_file(scenario_to_toml(*scenario), 1, {}) == *scenario,
                   "a scenario keeps its meaning");
    }
  }
  const std::vector<OriginalDataFile> files(2, {.name = "fuzz", .json = std::string(bytes)});
  is_accepted(import_original_data(files));
}

/// The kind of file shows in its first letter; a line "#" separates invocations from durations.
void run_import_azure(std::string_view bytes) {
  Scenario scenario{.name = "fuzz"};
  for (const char* name : {"a", "b"}) {
    scenario.nodes.push_back(
        {.name = *NodeName::parse(name), .pools = {{.name = "cpu", .slots = 1}}});
  }
  const AzureSelection selection{.functions = 3, .duration = std::chrono::minutes{2}};
  Result<void> added;
  if (bytes.starts_with('H')) {
    const std::size_t border = bytes.find("#\n");
    const bool is_whole = border == std::string_view::npos;
    added = add_azure_2019(scenario, bytes.substr(0, border),
                           is_whole ? "" : bytes.substr(border + 2), selection);
  } else {
    added = add_azure_2021(scenario, bytes, selection);
  }
  if (is_accepted(added)) check_scenario(scenario);
}

/// Files of the kernel with the name that a process chose in them.
void run_usage(std::string_view bytes) {
  if (const auto usage = process_usage(bytes)) {
    DFAAS_ASSERT(bytes.find(')') != std::string_view::npos, "the name ends before the numbers");
  }
  for (const int process : process_ids(bytes)) DFAAS_ASSERT(process > 0, "a process has a number");
  constexpr std::uint64_t held = 1U << 20U;
  DFAAS_ASSERT(memory_in_use(held, bytes) <= held, "no more is in use than is held");
  number_in(bytes);
  number_of(bytes, "usage_usec");
}

/// Any answer may come to any command.
void run_haproxy(std::string_view bytes) {
  is_complaint(bytes);
  for (const std::string_view name : {"Pid", "Version", ""}) {
    const std::string_view value = info_value(bytes, name);
    DFAAS_ASSERT(value == trim(value), "a value ends where its line does");
    DFAAS_ASSERT(value.find('\n') == std::string_view::npos, "a value is of one line");
  }
  for (const auto& [key, value] : map_entries(bytes)) {
    DFAAS_ASSERT(!key.empty() && !value.empty(), "an entry has a key and a value");
    DFAAS_ASSERT(map_entries("0x1 " + key + " " + value).size() == 1, "an entry is read as it is");
  }
  for (const ServerState& state : server_states(bytes)) {
    DFAAS_ASSERT(!state.name.empty(), "a server has a name");
    DFAAS_ASSERT(state.port >= 0 && state.port <= 65535, "a server has a port");
  }
}

void run_load_plan(std::string_view bytes) {
  is_accepted(parse_plan_file(
      bytes, [](const std::string& /*file*/) -> Result<std::string> { return "body"; }));
}

void run_serf(std::string_view bytes) {
  constexpr std::size_t members_max = 10;
  GossipView view({.self = *NodeId::parse("abcdefghijklmnopqrstuvwxyz234567"),
                   .federation = "dfaas",
                   .members_max = members_max});
  const auto check_view = [&view] {
    DFAAS_ASSERT(view.size() <= members_max, "what gossip says is kept within bounds");
    for (const HintChange& change : view.take_changes()) {
      DFAAS_ASSERT(!change.hint.id.empty() && change.hint.port > 0, "a hint can be tried");
    }
    for (const std::string& sentence : view.take_complaints()) check_sentence(sentence);
  };
  MsgpackFrames whole(64U << 10U);
  MsgpackFrames cut(64U << 10U);
  whole.feed(bytes);
  std::size_t fed = 0;
  for (;;) {
    auto value = whole.next();
    if (!is_accepted(value) || !*value) break;
    // However the bytes are cut, the same values come out.
    auto again = cut.next();
    while (again && !*again && fed < bytes.size()) {
      cut.feed(bytes.substr(fed++, 1));
      again = cut.next();
    }
    DFAAS_ASSERT(again && *again && **again == **value, "a value ends where it ends");
    const auto frame = serf_frame(**value);
    if (!is_accepted(frame) || frame->is_header) continue;
    std::ignore = is_accepted(serf_keys_from(frame->body));
    std::ignore = is_accepted(serf_joined_from(frame->body));
    const auto members = serf_members_from(frame->body);
    if (!is_accepted(members)) continue;
    if (members->event.empty()) {
      view.replace(members->members);
    } else {
      view.apply(*members);
    }
    check_view();
  }
  std::ignore = is_accepted(serf_door_from(bytes));
  std::ignore = is_accepted(parse_keyring(bytes));
  check_sentence(join_complaint("a:1", bytes));
}

constexpr std::array<FuzzTarget, 24> table{{{"deletion", run_deletion},
                                            {"deployment", run_deployment},
                                            {"exchange", run_exchange},
                                            {"external_action", run_external_action},
                                            {"haproxy", run_haproxy},
                                            {"image", run_image},
                                            {"import_azure", run_import_azure},
                                            {"import_original", run_import_original},
                                            {"joining", run_joining},
                                            {"load_plan", run_load_plan},
                                            {"model_trace", run_model_trace},
                                            {"names", run_names},
                                            {"observation", run_observation},
                                            {"plan", run_plan},
                                            {"platform", run_platform},
                                            {"recorder", run_recorder},
                                            {"route", run_route},
                                            {"scenario", run_scenario},
                                            {"serf", run_serf},
                                            {"settings", run_settings},
                                            {"status", run_status},
                                            {"text", run_text},
                                            {"trace", run_trace},
                                            {"usage", run_usage}}};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() noexcept { return table; }

}  // namespace dfaas
