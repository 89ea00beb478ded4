// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Namespaces of functions, as the OpenFaaS API writes them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace dfaas {

struct Namespace {
  std::string name;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;

  friend bool operator==(const Namespace&, const Namespace&) = default;
};

/// {"name", "labels"?, "annotations"?}. Errors: invalid_input naming the field.
Result<Namespace> namespace_from_json(std::string_view text);
std::string namespace_json(const Namespace& space);

/// ["a", "b"], as GET /system/namespaces answers.
std::string namespace_list_json(std::span<const std::string> names);

}  // namespace dfaas
