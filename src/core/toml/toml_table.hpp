// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Reading TOML that people wrote, key by key: every value checked, the first wrong one named with its
/// line and with what would be right.
///
/// Use     parse_toml() with a function that takes what it needs from TomlTables; a wrong key ends it.
/// Errors  invalid_input: "line 4: phase \"a\": rate \"fast\" is not a number".
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <toml++/toml.h>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

/// A key that is missing or wrong. Never leaves parse_toml().
struct BadToml {
  std::string message;
};

/// One TOML table and what it is called in messages.
class TomlTable {
 public:
  /// `scope` is "" for the whole file. `table` must outlive this.
  TomlTable(const toml::table& table, std::string scope);

  void allow_only(std::initializer_list<std::string_view> known) const;
  [[nodiscard]] bool has(std::string_view key) const;
  /// The form of what would be right, if it is missing: "a text such as \"30s\"".
  void require(std::string_view key, std::string_view right) const;

  [[nodiscard]] std::string text(std::string_view key, std::string_view otherwise) const;
  /// Index in `words`.
  [[nodiscard]] std::size_t word(std::string_view key, std::span<const std::string_view> words,
                                 std::size_t otherwise) const;
  [[nodiscard]] bool flag(std::string_view key, bool otherwise) const;
  [[nodiscard]] Micros duration(std::string_view key, Micros otherwise) const;
  [[nodiscard]] std::uint64_t count(std::string_view key, std::uint64_t otherwise) const;
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high,
                                     std::int64_t otherwise) const;
  /// Required.
  [[nodiscard]] double number(std::string_view key) const;
  /// Required.
  [[nodiscard]] double number(std::string_view key, double low, double high) const;
  [[nodiscard]] double number(std::string_view key, double low, double high,
                              double otherwise) const;

  /// Lists; empty where the key is absent.
  [[nodiscard]] std::vector<std::string> texts(std::string_view key) const;
  [[nodiscard]] std::vector<Micros> durations(std::string_view key) const;
  [[nodiscard]] std::vector<double> numbers(std::string_view key, double low, double high) const;
  /// A list of lists of numbers: [[0.5, 20], [0.7]].
  [[nodiscard]] std::vector<std::vector<double>> number_lists(std::string_view key, double low,
                                                              double high) const;
  /// A table of texts, by name.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> text_map(
      std::string_view key) const;

  /// Required: { ... } or [key].
  [[nodiscard]] TomlTable table(std::string_view key) const;
  /// [[key]] tables, each with this scope; none where the key is absent.
  [[nodiscard]] std::vector<TomlTable> tables(std::string_view key, std::string_view scope) const;
  /// The same with at least one, and as they stand, for scopes that need a look inside.
  [[nodiscard]] std::vector<const toml::table*> some_tables(std::string_view key) const;

  /// `value`, or the error of the key that it came from.
  template <class T>
  T accept(std::string_view key, Result<T> value) const {
    if (!value) fail_at(key, value.error().message);
    return std::move(*value);
  }
  /// "line 3: [[link]]: between: why", at the line of the key, or of the table without it.
  [[noreturn]] void fail_at(std::string_view key, const std::string& why) const;
  /// "line 3: [[link]]: why", at the line of the table.
  [[noreturn]] void fail_with(const std::string& why) const;

 private:
  [[nodiscard]] const toml::node* find(std::string_view key) const;
  [[nodiscard]] const toml::array* list(std::string_view key, std::string_view right) const;
  [[nodiscard]] double checked(std::string_view key, const toml::node& node, double low,
                               double high) const;
  /// "rate \"fast\" is not a number", at the line of the value.
  [[noreturn]] void refuse(std::string_view key, const toml::node& node,
                           std::string_view right) const;
  [[noreturn]] void fail_on(const toml::node& node, const std::string& why) const;

  const toml::table* table_;
  std::string scope_;
};

/// Errors: invalid_input when `text` is not TOML, or when `read` met a bad key.
Result<void> parse_toml(std::string_view text, const std::function<void(const TomlTable&)>& read);

/// `text` as a TOML string, in quotes.
std::string toml_text(std::string_view text);

}  // namespace dfaas
