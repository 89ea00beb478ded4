// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/name_space.hpp"

#include <nlohmann/json.hpp>

#include "core/base/names.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::size_t bytes_max = 1U << 20U;
constexpr std::size_t entries_max = 1000;
constexpr std::size_t value_bytes_max = 64 * 1024;

}  // namespace

Result<Namespace> namespace_from_json(std::string_view text) {
  Namespace space;
  const auto read = parse_json_object(text, bytes_max, [&space](const Fields& fields) {
    space.name = fields.text("name", 200);
    if (space.name.empty()) fields.fail_at("name", "is empty");
    fields.accept("name", FunctionName::parse("x", space.name));
    for (auto& [key, value] : fields.text_map("labels", entries_max, value_bytes_max)) {
      space.labels.emplace(key, value);
    }
    for (auto& [key, value] : fields.text_map("annotations", entries_max, value_bytes_max)) {
      space.annotations.emplace(key, value);
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("namespace"));
  return space;
}

std::string namespace_json(const Namespace& space) {
  return json_text(
      {{"name", space.name}, {"labels", space.labels}, {"annotations", space.annotations}});
}

std::string namespace_list_json(std::span<const std::string> names) {
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& name : names) list.push_back(name);
  return json_text(list);
}

}  // namespace dfaas
