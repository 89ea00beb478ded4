// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/recording.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t name_length_max = 200;
constexpr std::size_t word_length_max = 64;
constexpr std::int64_t day_ms = 86'400'000;
constexpr std::int64_t unix_max = 4'102'444'800'000'000;  ///< The year 2100, in microseconds.
constexpr int slots_max = 100'000;
constexpr double number_max = 1e9;

/// The settings of the dispatcher that are ratios, under the names that they have as settings.
struct RatioField {
  std::string_view name;
  double DispatcherSettings::* member;
};
constexpr std::array<RatioField, 7> ratio_fields{
    {{"spill_wait_ratio", &DispatcherSettings::spill_wait_ratio},
     {"guest_wait_ratio", &DispatcherSettings::guest_wait_ratio},
     {"user_wait_ratio", &DispatcherSettings::user_wait_ratio},
     {"home_reserve_ratio", &DispatcherSettings::home_reserve_ratio},
     {"retry_ratio", &DispatcherSettings::retry_ratio},
     {"tries_burst", &DispatcherSettings::tries_burst},
     {"full_memory_ratio", &DispatcherSettings::full_memory_ratio}}};

/// Those that are times, in microseconds.
struct TimeField {
  std::string_view name;
  Micros DispatcherSettings::* member;
};
constexpr std::array<TimeField, 6> time_fields{
    {{"spill_wait_min_us", &DispatcherSettings::spill_wait_min},
     {"guest_wait_min_us", &DispatcherSettings::guest_wait_min},
     {"user_wait_min_us", &DispatcherSettings::user_wait_min},
     {"full_memory_min_us", &DispatcherSettings::full_memory_min},
     {"peer_down_us", &DispatcherSettings::peer_down_time},
     {"service_time_default_us", &DispatcherSettings::service_time_default}}};

/// All of them: this does not compile when there is one more, which belongs into a table above, too.
constexpr std::size_t count_settings(const DispatcherSettings& settings) {
  [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = settings;
  return ratio_fields.size() + time_fields.size() + 2;
}
static_assert(count_settings({}) == 15);

ordered_json json_of(const DispatcherSettings& settings) {
  ordered_json json{{"attempts_max", settings.attempts_max},
                    {"queue_length_max", settings.queue_length_max}};
  for (const RatioField& field : ratio_fields) json[field.name] = settings.*field.member;
  for (const TimeField& field : time_fields) json[field.name] = (settings.*field.member).count();
  return json;
}

DispatcherSettings read_dispatcher(const Fields& fields) {
  for (const std::string& name : fields.names()) {
    const bool is_known =
        name == "attempts_max" || name == "queue_length_max" ||
        std::ranges::find(ratio_fields, name, &RatioField::name) != ratio_fields.end() ||
        std::ranges::find(time_fields, name, &TimeField::name) != time_fields.end();
    if (!is_known) fields.fail_at(in_quotes(name, 40), "is no setting of the dispatcher");
  }
  DispatcherSettings settings;
  constexpr int attempts_max = 8;
  settings.attempts_max =
      static_cast<int>(fields.integer_or("attempts_max", 1, attempts_max, settings.attempts_max));
  settings.queue_length_max = static_cast<int>(
      fields.integer_or("queue_length_max", 0, slots_max, settings.queue_length_max));
  for (const RatioField& field : ratio_fields) {
    settings.*field.member = fields.number_or(field.name, 0, 100'000, settings.*field.member);
  }
  for (const TimeField& field : time_fields) {
    settings.*field.member =
        Micros{fields.integer_or(field.name, 0, day_ms * 1000, (settings.*field.member).count())};
  }
  return settings;
}

/// One line under one key. Bytes that are no UTF-8 (a certificate's organisation) must not stop it.
std::string line_of(std::string_view key, const ordered_json& content) {
  return fmt::format("{{\"{}\": {}}}\n", key,
                     content.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace

void allow_only(const Fields& fields, std::initializer_list<std::string_view> known) {
  for (const std::string& name : fields.names()) {
    if (std::ranges::find(known, name) == known.end()) {
      fields.fail_at(in_quotes(name, 40),
                     fmt::format("is not known: {} are", fmt::join(known, ", ")));
    }
  }
}

std::string trace_line(const Recording& recording) {
  return line_of("recording", {{"node", recording.node.text()},
                               {"node_id", recording.id.text()},
                               {"organisation", recording.organisation},
                               {"version", recording.version},
                               {"began_unix_us", recording.began_unix},
                               {"strategy", recording.strategy},
                               {"period_ms", recording.period.count()},
                               {"heartbeat_ms", recording.heartbeat.count()},
                               {"dispatcher", json_of(recording.dispatcher)}});
}

std::string trace_line(const RecordedFunction& function) {
  return line_of("function", {{"name", short_name(function.name)},
                              {"slots", function.slots},
                              {"pool", function.pool},
                              {"deadline_ms", to_millis(function.deadline)},
                              {"share", to_text(function.share)},
                              {"retry_safe", function.retry_safe},
                              {"max_rate", function.max_rate.per_second}});
}

std::string trace_line(const RecordedNeighbour& neighbour) {
  ordered_json functions = ordered_json::array();
  for (const RecordedOffer& offer : neighbour.functions) {
    functions.push_back({{"name", short_name(offer.function)}, {"slots", offer.slots}});
  }
  return line_of("neighbour", {{"node", neighbour.node.text()},
                               {"node_id", neighbour.id.text()},
                               {"organisation", neighbour.organisation},
                               {"functions", functions}});
}

std::string trace_line(const RecordingEnd& end) {
  return line_of("end", {{"at_s", to_seconds(end.at)}, {"calls", end.calls}});
}

std::string trace_lines(const Recording& recording) {
  std::string text = trace_line(recording);
  for (const auto& [name, function] : recording.functions) text += trace_line(function);
  for (const auto& [id, neighbour] : recording.neighbours) text += trace_line(neighbour);
  return text;
}

Recording read_recording(const Fields& fields) {
  allow_only(fields, {"node", "node_id", "organisation", "version", "began_unix_us", "strategy",
                      "period_ms", "heartbeat_ms", "dispatcher"});
  Recording recording{
      .node = fields.accept("node", NodeName::parse(fields.text("node", name_length_max))),
      .id = fields.accept("node_id", NodeId::parse(fields.text("node_id", name_length_max))),
      .organisation = fields.text_or("organisation", name_length_max, ""),
      .version = fields.text_or("version", word_length_max, ""),
      .began_unix = fields.integer("began_unix_us", 0, unix_max),
      .strategy = fields.text_or("strategy", word_length_max, ""),
      .period = Millis{fields.integer_or("period_ms", 0, day_ms, 0)},
      .heartbeat = Millis{fields.integer_or("heartbeat_ms", 0, day_ms, 0)}};
  if (fields.has("dispatcher")) recording.dispatcher = read_dispatcher(fields.object("dispatcher"));
  return recording;
}

RecordedFunction read_recorded_function(const Fields& fields) {
  allow_only(fields, {"name", "slots", "pool", "deadline_ms", "share", "retry_safe", "max_rate"});
  constexpr double millis_min = 0.001;
  return {.name = fields.accept("name", FunctionName::parse(fields.text("name", name_length_max))),
          .slots = static_cast<int>(fields.integer("slots", 1, slots_max)),
          .pool = fields.text_or("pool", pool_name_length_max, ""),
          .deadline = Micros{std::llround(
              fields.number("deadline_ms", millis_min, static_cast<double>(day_ms)) * 1000)},
          .share = fields.accept(
              "share", parse_sharing(fields.text_or("share", word_length_max, "organisation"))),
          .retry_safe = fields.flag_or("retry_safe", false),
          .max_rate = Rate{fields.number_or("max_rate", 0, number_max, 0)}};
}

RecordedNeighbour read_recorded_neighbour(const Fields& fields) {
  allow_only(fields, {"node", "node_id", "organisation", "functions"});
  RecordedNeighbour neighbour{
      .node = fields.accept("node", NodeName::parse(fields.text("node", name_length_max))),
      .id = fields.accept("node_id", NodeId::parse(fields.text("node_id", name_length_max))),
      .organisation = fields.text_or("organisation", name_length_max, "")};
  for (const Fields& offer : fields.objects("functions", recording_limits::functions_max)) {
    allow_only(offer, {"name", "slots"});
    neighbour.functions.push_back(
        {.function = offer.accept("name", FunctionName::parse(offer.text("name", name_length_max))),
         .slots = static_cast<int>(offer.integer("slots", 1, slots_max))});
  }
  return neighbour;
}

RecordingEnd read_recording_end(const Fields& fields) {
  allow_only(fields, {"at_s", "calls"});
  return {.at = Micros{std::llround(
              fields.number("at_s", 0, to_seconds(recording_limits::duration_max)) * 1e6)},
          .calls = static_cast<std::uint64_t>(fields.integer("calls", 0, std::int64_t{1} << 40))};
}

}  // namespace dfaas
