// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/logs.hpp"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/http/query.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

tl::unexpected<Error> not_a_time(std::string_view text) {
  return fail(ErrorCode::invalid_input,
              fmt::format("{} is not a time such as 2026-01-31T12:00:00Z", in_quotes(text)));
}

/// The number in `text[at, at + count)`; nothing where that is not all digits.
std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return std::nullopt;
  const auto value = parse_unsigned(text.substr(at, count));
  if (!value) return std::nullopt;
  return static_cast<int>(*value);
}

/// "Z" or "+hh:mm" as what is to be taken away to get UTC.
std::optional<std::chrono::minutes> parse_offset(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::minutes{0};
  if (text.size() != 6 || text[3] != ':') return std::nullopt;
  const auto hours = digits(text, 1, 2);
  const auto minutes = digits(text, 4, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::chrono::minutes offset{*hours * 60 + *minutes};
  if (text[0] == '+') return offset;
  if (text[0] == '-') return -offset;
  return std::nullopt;
}

}  // namespace

Result<WallTime> parse_rfc3339(std::string_view text) {
  constexpr std::size_t length_min = 20;
  constexpr std::size_t length_max = 64;
  if (text.size() < length_min || text.size() > length_max || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':') {
    return not_a_time(text);
  }
  const std::array<std::optional<int>, 6> parts{digits(text, 0, 4),  digits(text, 5, 2),
                                                digits(text, 8, 2),  digits(text, 11, 2),
                                                digits(text, 14, 2), digits(text, 17, 2)};
  for (const auto& part : parts) {
    if (!part) return not_a_time(text);
  }
  const std::chrono::year_month_day day{std::chrono::year{*parts[0]},
                                        std::chrono::month{static_cast<unsigned>(*parts[1])},
                                        std::chrono::day{static_cast<unsigned>(*parts[2])}};
  if (!day.ok() || *parts[3] > 23 || *parts[4] > 59 || *parts[5] > 60) return not_a_time(text);
  std::size_t at = 19;
  Millis fraction{0};
  if (text[at] == '.') {
    const std::size_t end = text.find_first_not_of("0123456789", at + 1);
    if (end == std::string_view::npos || end == at + 1) return not_a_time(text);
    std::string first(text.substr(at + 1, std::min<std::size_t>(3, end - at - 1)));
    first.resize(3, '0');
    fraction = Millis{static_cast<int>(parse_unsigned(first).value_or(0))};
    at = end;
  }
  const auto offset = parse_offset(text.substr(at));
  if (!offset) return not_a_time(text);
  return WallTime(std::chrono::sys_days{day}) + std::chrono::hours{*parts[3]} +
         std::chrono::minutes{*parts[4]} + std::chrono::seconds{*parts[5]} + fraction - *offset;
}

std::string rfc3339_text(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss<Millis> clock{time - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

Result<LogQuery> parse_log_query(std::string_view query) {
  LogQuery result;
  auto name = FunctionName::parse(query_value(query, "name").value_or(""));
  const std::string space = query_value(query, "namespace").value_or("");
  if (name && !space.empty()) name = FunctionName::parse(name->name(), space);
  if (!name) return tl::unexpected(std::move(name).error().within("name"));
  result.function = std::move(*name);
  result.instance = query_value(query, "instance").value_or("");
  if (const auto since = query_value(query, "since"); since && !since->empty()) {
    auto time = parse_rfc3339(*since);
    if (!time) return tl::unexpected(std::move(time).error().within("since"));
    result.since = *time;
  }
  if (const auto tail = query_value(query, "tail"); tail && !tail->empty() && *tail != "-1") {
    const auto count = parse_unsigned(*tail);
    if (!count) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("tail: {} is not a number of lines, or -1 for all", in_quotes(*tail)));
    }
    result.tail = static_cast<std::size_t>(*count);
  }
  if (const auto follow = query_value(query, "follow"); follow && !follow->empty()) {
    const std::string word = to_lower(*follow);
    const bool is_yes = word == "true" || word == "1" || word == "t";
    if (!is_yes && word != "false" && word != "0" && word != "f") {
      return fail(ErrorCode::invalid_input,
                  fmt::format("follow: {} is not true or false", in_quotes(*follow)));
    }
    result.follow = is_yes;
  }
  return result;
}

std::string log_line_json(const FunctionName& function, const LogLine& line) {
  return json_text({{"name", function.name()},
                    {"namespace", function.space()},
                    {"instance", line.instance},
                    {"timestamp", rfc3339_text(line.time)},
                    {"text", line.text}}) +
         "\n";
}

}  // namespace dfaas
