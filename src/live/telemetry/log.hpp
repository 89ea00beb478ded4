// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One line per event to standard error: key=value for people, JSON for machines.
///
/// Levels  error needs a person, warn may, info tells the story, debug is for us.
/// Form    time=2026-01-01T00:00:00.000Z level=info program=gateway node=light event=function_deployed ...
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.hpp"

namespace dfaas {

enum class LogLevel : std::uint8_t { debug, info, warn, error };
enum class LogFormat : std::uint8_t { text, json };

/// Errors: invalid_input naming the allowed words.
Result<LogLevel> parse_log_level(std::string_view text);
Result<LogFormat> parse_log_format(std::string_view text);

/// Before the first log_event() of a program; without it events go out as text from info on.
void log_setup(std::string program, std::string node, LogLevel level, LogFormat format);

using LogFields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// From any thread. Values may hold anything: control characters are escaped.
void log_event(LogLevel level, std::string_view event, LogFields fields);

/// The line that log_event() writes, without its end.
std::string log_line(LogFormat format, std::string_view time, LogLevel level,
                     std::string_view program, std::string_view node, std::string_view event,
                     LogFields fields);

}  // namespace dfaas
