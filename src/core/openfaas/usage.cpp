// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/usage.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr Micros window_min{1'000'000};

/// The next word of `rest`, which loses it; empty at the end.
std::string_view next_word(std::string_view& rest) {
  const auto is_blank = [](char letter) { return letter == ' ' || letter == '\n'; };
  const auto* const from = std::find_if_not(rest.begin(), rest.end(), is_blank);
  const auto* const to = std::find_if(from, rest.end(), is_blank);
  const std::string_view word(from, static_cast<std::size_t>(to - from));
  rest.remove_prefix(static_cast<std::size_t>(to - rest.begin()));
  return word;
}

template <class Number>
std::optional<Number> to_number(std::string_view word) {
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

}  // namespace

double CpuMeter::read(Instant now, Micros used) {
  if (now - newer_.at >= window_min) older_ = std::exchange(newer_, {.at = now, .used = used});
  const Micros passed = now - older_.at;
  if (passed <= Micros{0}) return 0;
  const Micros spent = std::max(used - older_.used, Micros{0});
  return 1000.0 * static_cast<double>(spent.count()) / static_cast<double>(passed.count());
}

std::optional<std::uint64_t> number_in(std::string_view text) {
  return to_number<std::uint64_t>(next_word(text));
}

std::optional<std::uint64_t> number_of(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    if (next_word(line) == key) return to_number<std::uint64_t>(next_word(line));
  }
  return std::nullopt;
}

std::uint64_t memory_in_use(std::uint64_t held, std::string_view statistics) {
  // Version 1 counts those of groups below under another name; version 2 always counts them.
  auto idle = number_of(statistics, "total_inactive_file");
  if (!idle) idle = number_of(statistics, "inactive_file");
  return held - std::min(held, idle.value_or(0));
}

std::optional<ProcessUsage> process_usage(std::string_view stat) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::string_view rest = stat.substr(name_end + 1);
  constexpr int first = 3;  // The field behind the name, counted as proc(5) does.
  ProcessUsage usage;
  for (int field = first; field <= 24; ++field) {
    const std::string_view word = next_word(rest);
    if (word.empty()) return std::nullopt;
    const bool is_time = field >= 14 && field <= 17;  // utime, stime, cutime, cstime.
    if (!is_time && field != 24) continue;
    const auto value = to_number<std::int64_t>(word);
    if (!value) return std::nullopt;
    const auto amount = static_cast<std::uint64_t>(std::max<std::int64_t>(*value, 0));
    (is_time ? usage.ticks : usage.pages) += amount;
  }
  return usage;
}

std::vector<int> process_ids(std::string_view text) {
  std::vector<int> ids;
  for (std::string_view word = next_word(text); !word.empty(); word = next_word(text)) {
    const auto id = to_number<int>(word);
    if (!id || *id <= 0) break;
    ids.push_back(*id);
  }
  return ids;
}

}  // namespace dfaas
