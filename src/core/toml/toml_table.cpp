// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/toml/toml_table.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"

namespace dfaas {
namespace {

/// A value as it stands in the file, for messages.
std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return in_quotes(text->get());
  std::ostringstream stream;
  node.visit([&stream](const auto& value) { stream << value; });
  return in_quotes(stream.str());
}

/// What the parser says quotes the file, control characters included.
std::string harmless(std::string_view text) {
  std::string line(text.substr(0, 300));
  std::ranges::replace_if(
      line, [](char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f; },
      '?');
  return line;
}

}  // namespace

TomlTable::TomlTable(const toml::table& table, std::string scope)
    : table_(&table), scope_(std::move(scope)) {}

const toml::node* TomlTable::find(std::string_view key) const { return table_->get(key); }

bool TomlTable::has(std::string_view key) const { return find(key) != nullptr; }

void TomlTable::fail_on(const toml::node& node, const std::string& why) const {
  const auto line = node.source().begin.line;
  // What is missing from the file as a whole is on no line.
  const bool is_file = &node == table_ && scope_.empty();
  throw BadToml{(line == 0 || is_file ? std::string() : fmt::format("line {}: ", line)) +
                (scope_.empty() ? why : scope_ + ": " + why)};
}

void TomlTable::fail_with(const std::string& why) const { fail_on(*table_, why); }

void TomlTable::fail_at(std::string_view key, const std::string& why) const {
  const toml::node* node = find(key);
  fail_on(node == nullptr ? *table_ : *node, fmt::format("{}: {}", key, why));
}

void TomlTable::refuse(std::string_view key, const toml::node& node, std::string_view right) const {
  fail_on(node, fmt::format("{} {} is not {}", key, shown(node), right));
}

void TomlTable::allow_only(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, node] : *table_) {
    if (std::ranges::find(known, key.str()) == known.end()) {
      fail_on(node, fmt::format("key {} is not known: {} are", in_quotes(key.str()),
                                fmt::join(known, ", ")));
    }
  }
}

void TomlTable::require(std::string_view key, std::string_view right) const {
  if (!has(key)) fail_with(fmt::format("{} is missing: give {}", key, right));
}

std::string TomlTable::text(std::string_view key, std::string_view otherwise) const {
  const toml::node* node = find(key);
  if (node == nullptr) return std::string(otherwise);
  if (const auto* text = node->as_string()) return text->get();
  refuse(key, *node, "a text in quotes");
}

std::size_t TomlTable::word(std::string_view key, std::span<const std::string_view> words,
                            std::size_t otherwise) const {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  const auto* text = node->as_string();
  const auto found = text == nullptr ? words.end() : std::ranges::find(words, text->get());
  if (found == words.end()) {
    refuse(key, *node, fmt::format("one of \"{}\"", fmt::join(words, "\", \"")));
  }
  return static_cast<std::size_t>(found - words.begin());
}

bool TomlTable::flag(std::string_view key, bool otherwise) const {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  const auto* flag = node->as_boolean();
  if (flag == nullptr) refuse(key, *node, "true or false");
  return flag->get();
}

Micros TomlTable::duration(std::string_view key, Micros otherwise) const {
  if (!has(key)) return otherwise;
  return accept(key, parse_duration(text(key, "")));
}

std::uint64_t TomlTable::count(std::string_view key, std::uint64_t otherwise) const {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  const auto* number = node->as_integer();
  if (number == nullptr || number->get() < 0) refuse(key, *node, "an integer from 0");
  return static_cast<std::uint64_t>(number->get());
}

std::int64_t TomlTable::integer(std::string_view key, std::int64_t low, std::int64_t high,
                                std::int64_t otherwise) const {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  const auto* number = node->as_integer();
  if (number == nullptr || number->get() < low || number->get() > high) {
    refuse(key, *node, fmt::format("an integer from {} to {}", low, high));
  }
  return number->get();
}

double TomlTable::number(std::string_view key) const {
  const toml::node* node = find(key);
  if (node == nullptr) fail_with(fmt::format("{} is missing: give a number", key));
  if (!node->is_number()) refuse(key, *node, "a number");
  return *node->value<double>();
}

double TomlTable::checked(std::string_view key, const toml::node& node, double low,
                          double high) const {
  const double value = node.is_number() ? *node.value<double>() : std::nan("");
  // Written so that a NaN is refused, too.
  if (!(value >= low && value <= high)) {
    refuse(key, node, fmt::format("a number from {} to {}", low, high));
  }
  return value;
}

double TomlTable::number(std::string_view key, double low, double high) const {
  require(key, fmt::format("a number from {} to {}", low, high));
  return checked(key, *find(key), low, high);
}

double TomlTable::number(std::string_view key, double low, double high, double otherwise) const {
  return has(key) ? number(key, low, high) : otherwise;
}

const toml::array* TomlTable::list(std::string_view key, std::string_view right) const {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  const auto* array = node->as_array();
  if (array == nullptr) refuse(key, *node, right);
  return array;
}

std::vector<std::string> TomlTable::texts(std::string_view key) const {
  std::vector<std::string> texts;
  const toml::array* array = list(key, "a list of texts such as [\"a\", \"b\"]");
  if (array == nullptr) return texts;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr) refuse(key, element, "a text in quotes");
    texts.push_back(text->get());
  }
  return texts;
}

std::vector<Micros> TomlTable::durations(std::string_view key) const {
  std::vector<Micros> durations;
  for (const std::string& text : texts(key)) {
    durations.push_back(accept(key, parse_duration(text)));
  }
  return durations;
}

std::vector<double> TomlTable::numbers(std::string_view key, double low, double high) const {
  std::vector<double> numbers;
  const toml::array* array = list(key, "a list of numbers such as [10, 20]");
  if (array == nullptr) return numbers;
  numbers.reserve(array->size());
  for (const toml::node& element : *array) numbers.push_back(checked(key, element, low, high));
  return numbers;
}

std::vector<std::vector<double>> TomlTable::number_lists(std::string_view key, double low,
                                                         double high) const {
  std::vector<std::vector<double>> lists;
  const toml::array* array = list(key, "a list of lists of numbers");
  if (array == nullptr) return lists;
  lists.reserve(array->size());
  for (const toml::node& element : *array) {
    const auto* inner = element.as_array();
    if (inner == nullptr) refuse(key, element, "a list of numbers");
    lists.emplace_back();
    for (const toml::node& value : *inner) lists.back().push_back(checked(key, value, low, high));
  }
  return lists;
}

std::vector<std::pair<std::string, std::string>> TomlTable::text_map(std::string_view key) const {
  std::vector<std::pair<std::string, std::string>> map;
  const toml::node* node = find(key);
  if (node == nullptr) return map;
  const auto* table = node->as_table();
  if (table == nullptr) refuse(key, *node, "a table of names and texts");
  for (const auto& [name, value] : *table) {
    const auto* text = value.as_string();
    if (text == nullptr) {
      refuse(fmt::format("{}: {}", key, in_quotes(name.str())), value, "a text in quotes");
    }
    map.emplace_back(std::string(name.str()), text->get());
  }
  return map;
}

TomlTable TomlTable::table(std::string_view key) const {
  require(key, "a table such as { ... }");
  const toml::node& node = *find(key);
  const auto* table = node.as_table();
  if (table == nullptr) refuse(key, node, "a table such as { ... }");
  return {*table, scope_.empty() ? fmt::format("[{}]", key) : fmt::format("{}: {}", scope_, key)};
}

std::vector<TomlTable> TomlTable::tables(std::string_view key, std::string_view scope) const {
  std::vector<TomlTable> tables;
  const toml::node* node = find(key);
  if (node == nullptr) return tables;
  if (!node->is_array_of_tables()) refuse(key, *node, fmt::format("{} tables", scope));
  for (const toml::node& element : *node->as_array()) {
    tables.emplace_back(*element.as_table(), std::string(scope));
  }
  return tables;
}

std::vector<const toml::table*> TomlTable::some_tables(std::string_view key) const {
  std::vector<const toml::table*> tables;
  const toml::node* node = find(key);
  if (node == nullptr || !node->is_array_of_tables()) {
    fail_with(fmt::format("there is no {0}: write at least one [[{0}]] table", key));
  }
  for (const toml::node& element : *node->as_array()) tables.push_back(element.as_table());
  return tables;
}

Result<void> parse_toml(std::string_view text, const std::function<void(const TomlTable&)>& read) {
  try {
    const toml::table root = toml::parse(text);
    read(TomlTable(root, ""));
    return {};
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::invalid_input, fmt::format("line {}: {}", error.source().begin.line,
                                                      harmless(error.description())));
  } catch (const BadToml& bad) {
    return fail(ErrorCode::invalid_input, bad.message);
  }
}

std::string toml_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      quoted += '\\';
      quoted += letter;
    } else if (code < 0x20 || code == 0x7f) {
      quoted += fmt::format("\\u{:04X}", code);
    } else {
      quoted += letter;
    }
  }
  return quoted + "\"";
}

}  // namespace dfaas
