// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/json/fields.hpp"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"

namespace dfaas {

using nlohmann::json;

namespace {

constexpr int depth_max = 16;

std::string shown(const json& value) {
  return in_quotes(value.dump(-1, ' ', true, json::error_handler_t::replace), 60);
}

}  // namespace

Fields::Fields(const json& object, std::string path) : object_(&object), path_(std::move(path)) {
  if (!object.is_object()) {
    throw BadField{fmt::format("{}{} is not an object", path_, shown(object))};
  }
}

const json* Fields::find(std::string_view name) const {
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

const json& Fields::need(std::string_view name) const {
  const json* value = find(name);
  if (value == nullptr) fail_at(name, "is missing");
  return *value;
}

void Fields::fail_at(std::string_view name, const std::string& why) const {
  throw BadField{fmt::format("{}{}: {}", path_, name, why)};
}

bool Fields::has(std::string_view name) const { return find(name) != nullptr; }

std::vector<std::string> Fields::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_->items()) names.push_back(name);
  return names;
}

std::string Fields::text(std::string_view name, std::size_t length_max) const {
  const json& value = need(name);
  if (!value.is_string()) fail_at(name, shown(value) + " is not a text");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > length_max) {
    fail_at(name, fmt::format("{} is longer than {} bytes", in_quotes(text, 40), length_max));
  }
  return text;
}

std::string Fields::text_or(std::string_view name, std::size_t length_max,
                            std::string otherwise) const {
  return has(name) ? text(name, length_max) : std::move(otherwise);
}

std::int64_t Fields::integer(std::string_view name, std::int64_t low, std::int64_t high) const {
  const json& value = need(name);
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() ||
                     value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX));
  if (!fits || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high) {
    fail_at(name, fmt::format("{} is not an integer from {} to {}", shown(value), low, high));
  }
  return value.get<std::int64_t>();
}

std::int64_t Fields::integer_or(std::string_view name, std::int64_t low, std::int64_t high,
                                std::int64_t otherwise) const {
  return has(name) ? integer(name, low, high) : otherwise;
}

double Fields::number(std::string_view name, double low, double high) const {
  const json& value = need(name);
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < low ||
      value.get<double>() > high) {
    fail_at(name, fmt::format("{} is not a number from {} to {}", shown(value), low, high));
  }
  return value.get<double>();
}

double Fields::number_or(std::string_view name, double low, double high, double otherwise) const {
  return has(name) ? number(name, low, high) : otherwise;
}

bool Fields::flag_or(std::string_view name, bool otherwise) const {
  const json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) fail_at(name, shown(*value) + " is not true or false");
  return value->get<bool>();
}

std::vector<Fields> Fields::objects(std::string_view name, std::size_t count_max) const {
  const json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_array()) fail_at(name, shown(*value) + " is not a list");
  if (value->size() > count_max) {
    fail_at(name, fmt::format("{} entries are more than {}", value->size(), count_max));
  }
  std::vector<Fields> list;
  list.reserve(value->size());
  for (const json& element : *value) {
    list.emplace_back(element, fmt::format("{}{}[{}].", path_, name, list.size()));
  }
  return list;
}

std::vector<std::string> Fields::texts(std::string_view name, std::size_t count_max,
                                       std::size_t length_max) const {
  const json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_array() || value->size() > count_max) {
    fail_at(name, fmt::format("{} is not a list of at most {} texts", shown(*value), count_max));
  }
  std::vector<std::string> list;
  for (const json& element : *value) {
    if (!element.is_string() || element.get_ref<const std::string&>().size() > length_max) {
      fail_at(name,
              fmt::format("{} is not a text of at most {} bytes", shown(element), length_max));
    }
    list.push_back(element.get<std::string>());
  }
  return list;
}

std::vector<std::pair<std::string, std::string>> Fields::text_map(std::string_view name,
                                                                  std::size_t count_max,
                                                                  std::size_t length_max) const {
  const json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_object() || value->size() > count_max) {
    fail_at(name, fmt::format("{} is not an object of at most {} texts", shown(*value), count_max));
  }
  std::vector<std::pair<std::string, std::string>> map;
  for (const auto& [key, element] : value->items()) {
    if (!element.is_string() || element.get_ref<const std::string&>().size() > length_max) {
      fail_at(fmt::format("{}.{}", name, in_quotes(key, 60)),
              fmt::format("{} is not a text of at most {} bytes", shown(element), length_max));
    }
    map.emplace_back(key, element.get<std::string>());
  }
  return map;
}

Fields Fields::object(std::string_view name) const {
  return Fields(need(name), fmt::format("{}{}.", path_, name));
}

std::string Fields::raw(std::string_view name) const {
  const json* value = find(name);
  return value == nullptr ? std::string()
                          : value->dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<void> parse_json_object(std::string_view text, std::size_t bytes_max,
                               const std::function<void(const Fields&)>& read) {
  if (text.size() > bytes_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} bytes of JSON are more than {}", text.size(), bytes_max));
  }
  try {
    int deepest = 0;
    const json parsed = json::parse(text, [&deepest](int depth, json::parse_event_t, json&) {
      deepest = std::max(deepest, depth);
      if (depth > depth_max) throw BadField{fmt::format("nested deeper than {}", depth_max)};
      return true;
    });
    read(Fields(parsed, ""));
    return {};
  } catch (const BadField& bad) {
    return fail(ErrorCode::invalid_input, bad.message);
  } catch (const json::exception& error) {
    return fail(ErrorCode::invalid_input,
                fmt::format("not JSON: {}", in_quotes(error.what(), 200)));
  }
}

std::string json_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace dfaas
