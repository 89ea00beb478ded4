// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/telemetry/log.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

struct Sink {
  std::string program = "dfaas";
  std::string node;
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  std::shared_ptr<spdlog::logger> logger = make();

  static std::shared_ptr<spdlog::logger> make() {
    auto made = std::make_shared<spdlog::logger>("dfaas",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }
};

Sink& sink() {
  static Sink the_sink;
  return the_sink;
}

std::string_view level_text(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

bool is_bare(std::string_view value) {
  const auto is_plain = [](char letter) {
    const auto code = static_cast<unsigned char>(letter);
    return code > 0x20 && code < 0x7f && letter != '"' && letter != '=' && letter != '\\';
  };
  return !value.empty() && std::ranges::all_of(value, is_plain);
}

std::string json_text(std::string_view value) {
  return nlohmann::json(std::string(value))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
    if (text == level_text(level)) return level;
  }
  return fail(ErrorCode::invalid_input,
              fmt::format("log level {} is not debug, info, warn or error", in_quotes(text)));
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::text;
  if (text == "json") return LogFormat::json;
  return fail(ErrorCode::invalid_input,
              fmt::format("log format {} is not text or json", in_quotes(text)));
}

void log_setup(std::string program, std::string node, LogLevel level, LogFormat format) {
  Sink& the_sink = sink();
  the_sink.program = std::move(program);
  the_sink.node = std::move(node);
  the_sink.level = level;
  the_sink.format = format;
}

std::string log_line(LogFormat format, std::string_view time, LogLevel level,
                     std::string_view program, std::string_view node, std::string_view event,
                     LogFields fields) {
  std::string line;
  const auto add = [&](std::string_view key, std::string_view value) {
    if (format == LogFormat::json) {
      line += (line.empty() ? "{" : ",") + json_text(key) + ":" + json_text(value);
    } else {
      if (!line.empty()) line += ' ';
      line.append(key).append("=").append(is_bare(value) ? std::string(value) : json_text(value));
    }
  };
  add("time", time);
  add("level", level_text(level));
  add("program", program);
  if (!node.empty()) add("node", node);
  add("event", event);
  for (const auto& [key, value] : fields) add(key, value);
  if (format == LogFormat::json) line += '}';
  return line;
}

void log_event(LogLevel level, std::string_view event, LogFields fields) {
  const Sink& the_sink = sink();
  if (level < the_sink.level) return;
  const auto at = std::chrono::system_clock::now();
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count() % 1000;
  const std::string time = fmt::format(
      "{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(at)), millis);
  const std::string line =
      log_line(the_sink.format, time, level, the_sink.program, the_sink.node, event, fields);
  the_sink.logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace dfaas
