// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/recorder.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dfaas {
namespace {

constexpr std::size_t line_length_max = 64 * 1024;
constexpr std::size_t name_length_max = 200;
constexpr std::size_t call_id_length_max = 64;
constexpr std::int64_t number_max = std::int64_t{1} << 53;

/// A day is the most that a trace can hold.
Micros read_micros(const Fields& fields, std::string_view name) {
  return Micros{fields.integer(name, 0, Micros(recording_limits::duration_max).count())};
}

std::uint64_t read_number(const Fields& fields) {
  return static_cast<std::uint64_t>(fields.integer("n", 0, number_max));
}

}  // namespace

std::string event_line(const recorded_event::Called& event) {
  return fmt::format(
      "{{\"call\": {{\"n\": {}, \"at_us\": {}, \"function\": \"{}\", \"id\": {}}}}}\n",
      event.number, event.at.count(), event.function.full(),
      json_text(nlohmann::json(event.call_id)));
}

std::string event_line(const recorded_event::Ran& event) {
  return fmt::format("{{\"ran\": {{\"n\": {}, \"us\": {}}}}}\n", event.number,
                     event.service_time.count());
}

std::string event_line(const recorded_event::Ended& event) {
  return fmt::format("{{\"ended\": {{\"n\": {}, \"how\": \"{}\"}}}}\n", event.number,
                     to_text(event.result));
}

std::string event_line(const recorded_event::Now& event) {
  return fmt::format("{{\"now_us\": {}}}\n", event.at.count());
}

Result<void> CallRecorder::feed(std::string_view line) {
  bool passes = false;
  auto read = parse_json_object(line, line_length_max, [&](const Fields& fields) {
    if (fields.has("call")) {
      const Fields call = fields.object("call");
      begin({.number = read_number(call),
             .at = read_micros(call, "at_us"),
             .function = call.accept("function",
                                     FunctionName::parse(call.text("function", name_length_max))),
             .call_id = call.text("id", call_id_length_max)});
    } else if (fields.has("ran")) {
      const Fields ran = fields.object("ran");
      note_run({.number = read_number(ran), .service_time = read_micros(ran, "us")});
    } else if (fields.has("ended")) {
      const Fields ended = fields.object("ended");
      note_end({.number = read_number(ended),
                .result = ended.accept("how",
                                       parse_recorded_result(ended.text("how", name_length_max)))});
    } else if (fields.has("now_us")) {
      now_ = std::max(now_, read_micros(fields, "now_us"));
    } else if (fields.has("run") || fields.has("function")) {
      passes = true;
    } else {
      throw BadField{"no event of a recording"};
    }
  });
  if (!read) return tl::unexpected(std::move(read).error().within("the gateway's recording"));
  if (passes) ready_.append(line).append("\n");
  return {};
}

void CallRecorder::end_at(Micros end) { end_ = std::min(end_, end); }

void CallRecorder::begin(const recorded_event::Called& event) {
  if (event.at > end_) return;
  last_at_ = std::max(last_at_, event.at);
  const bool is_new = waiting_
                          .try_emplace(event.number, Waiting{.call = {.at = last_at_,
                                                                      .node = node_,
                                                                      .function = event.function,
                                                                      .service_time = {},
                                                                      .call_id = event.call_id}})
                          .second;
  if (!is_new) return;
  ++calls_;
  ++open_;
}

void CallRecorder::note_run(const recorded_event::Ran& event) {
  const auto found = waiting_.find(event.number);
  if (found != waiting_.end()) found->second.call.service_time = event.service_time;
}

void CallRecorder::note_end(const recorded_event::Ended& event) {
  const auto found = waiting_.find(event.number);
  if (found == waiting_.end() || std::exchange(found->second.has_ended, true)) return;
  found->second.call.result = event.result;
  --open_;
}

std::string CallRecorder::take() {
  while (!waiting_.empty() && waiting_.begin()->second.has_ended) {
    ready_ += trace_line(waiting_.begin()->second.call);
    waiting_.erase(waiting_.begin());
  }
  return std::exchange(ready_, {});
}

std::string CallRecorder::finish() {
  std::string text = take();
  for (const auto& [number, waiting] : waiting_) text += trace_line(waiting.call);
  waiting_.clear();
  open_ = 0;
  const Micros end = std::max(last_at_, std::min(end_, now_));
  return text + trace_line(RecordingEnd{.at = end, .calls = calls_});
}

}  // namespace dfaas
