// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Reading untrusted JSON field by field: every value checked, the first wrong one named; and writing
/// texts that may quote it.
///
/// Use     parse_json_object() with a function that takes what it needs from Fields; a wrong field
///         ends it.
/// Errors  invalid_input: "functions[3].slots: -1 is not an integer from 0 to 100000".
/// Limits  The caller's byte limit, nesting of 16.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/result.hpp"

namespace dfaas {

/// A field that is missing or wrong. Never leaves parse_json_object().
struct BadField {
  std::string message;
};

/// One JSON object and the path that led to it.
class Fields {
 public:
  Fields(const nlohmann::json& object, std::string path);

  [[nodiscard]] bool has(std::string_view name) const;   ///< Present and not null.
  [[nodiscard]] std::vector<std::string> names() const;  ///< Of all fields, null ones too; sorted.
  [[nodiscard]] std::string text(std::string_view name, std::size_t length_max) const;
  [[nodiscard]] std::string text_or(std::string_view name, std::size_t length_max,
                                    std::string otherwise) const;
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t low,
                                     std::int64_t high) const;
  [[nodiscard]] std::int64_t integer_or(std::string_view name, std::int64_t low, std::int64_t high,
                                        std::int64_t otherwise) const;
  [[nodiscard]] double number(std::string_view name, double low, double high) const;
  [[nodiscard]] double number_or(std::string_view name, double low, double high,
                                 double otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view name, bool otherwise) const;
  /// The objects of an array; none where it is absent or null.
  [[nodiscard]] std::vector<Fields> objects(std::string_view name, std::size_t count_max) const;
  [[nodiscard]] std::vector<std::string> texts(std::string_view name, std::size_t count_max,
                                               std::size_t length_max) const;
  /// An object of texts; empty where it is absent or null.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> text_map(
      std::string_view name, std::size_t count_max, std::size_t length_max) const;
  [[nodiscard]] Fields object(std::string_view name) const;
  /// The field as JSON text, "" where absent.
  [[nodiscard]] std::string raw(std::string_view name) const;

  /// `value`, or the error of the field that it came from.
  template <class T>
  T accept(std::string_view name, Result<T> value) const {
    if (!value) fail_at(name, value.error().message);
    return std::move(*value);
  }
  [[noreturn]] void fail_at(std::string_view name, const std::string& why) const;

 private:
  [[nodiscard]] const nlohmann::json* find(std::string_view name) const;
  [[nodiscard]] const nlohmann::json& need(std::string_view name) const;

  const nlohmann::json* object_;
  std::string path_;
};

/// Errors: invalid_input when `text` is too long, not JSON or not an object, or when `read` met a
/// bad field.
Result<void> parse_json_object(std::string_view text, std::size_t bytes_max,
                               const std::function<void(const Fields&)>& read);

/// One line of JSON. Bytes that are no UTF-8 (somebody's input, quoted in an error) become U+FFFD.
std::string json_text(const nlohmann::json& value);

}  // namespace dfaas
