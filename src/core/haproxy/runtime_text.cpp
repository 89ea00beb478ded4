// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/haproxy/runtime_text.hpp"

#include <algorithm>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (const std::string_view word : split(trim(line), ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

}  // namespace

std::string_view info_value(std::string_view answer, std::string_view name) {
  for (const std::string_view line : split(answer, '\n')) {
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      return trim(line.substr(name.size() + 1));
    }
  }
  return {};
}

bool is_complaint(std::string_view answer) {
  return std::ranges::any_of(split(answer, '\n'), [](std::string_view line) {
    const std::string_view text = trim(line);
    return !text.empty() && text.find("changed from") == std::string_view::npos &&
           text.find("no need to change") == std::string_view::npos;
  });
}

std::vector<std::pair<std::string, std::string>> map_entries(std::string_view answer) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (const std::string_view line : split(answer, '\n')) {
    const auto words = words_of(line);  // Its address in memory, key, value.
    if (words.size() == 3 && words[0].starts_with("0x")) {
      entries.emplace_back(std::string(words[1]), std::string(words[2]));
    }
  }
  return entries;
}

std::vector<ServerState> server_states(std::string_view answer) {
  std::vector<ServerState> states;
  std::vector<std::string_view> columns;
  for (const std::string_view line : split(answer, '\n')) {
    auto words = words_of(line);
    if (!words.empty() && words[0] == "#") {
      columns.assign(words.begin() + 1, words.end());
      continue;
    }
    const auto value = [&columns, &words](std::string_view name) {
      const auto at = static_cast<std::size_t>(std::ranges::find(columns, name) - columns.begin());
      return at < words.size() && at < columns.size() ? words[at] : std::string_view();
    };
    const auto port = parse_unsigned(value("srv_port"));
    const auto admin_state = parse_unsigned(value("srv_admin_state"));
    if (value("srv_name").empty() || !port || *port > 65535 || !admin_state) continue;
    constexpr std::uint64_t forced_maintenance = 1;
    states.push_back({.name = std::string(value("srv_name")),
                      .address = std::string(value("srv_addr")),
                      .port = static_cast<int>(*port),
                      .in_maintenance = (*admin_state & forced_maintenance) != 0});
  }
  return states;
}

}  // namespace dfaas
