// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The query and the lines of GET /system/logs.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

using WallTime = std::chrono::sys_time<Millis>;

/// "2026-01-01T00:00:00.5Z" or with an offset such as +01:00. Errors: invalid_input showing the form.
Result<WallTime> parse_rfc3339(std::string_view text);
/// UTC with milliseconds.
std::string rfc3339_text(WallTime time);

struct LogQuery {
  FunctionName function;
  std::string instance;             ///< Only of this instance; empty for all.
  std::optional<WallTime> since;    ///< Only lines from then on.
  std::optional<std::size_t> tail;  ///< At most so many lines of the past; none for -1.
  bool follow = false;
};

/// Errors: invalid_input naming the parameter.
Result<LogQuery> parse_log_query(std::string_view query);

struct LogLine {
  WallTime time;
  std::string instance;
  std::string text;
};

/// {"name", "namespace", "instance", "timestamp", "text"} and the end of the line.
std::string log_line_json(const FunctionName& function, const LogLine& line);

}  // namespace dfaas
