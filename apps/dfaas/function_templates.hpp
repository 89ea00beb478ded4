// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What `dfaas new` writes and `dfaas up` builds, per language. The texts are in functions/templates.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"

namespace dfaas {

struct TemplateFile {
  std::string_view name;
  std::string_view text;
  bool
      is_authors;  ///< Written by `dfaas new` for its author to change; else added when it is built.
};

struct FunctionTemplate {
  std::string_view lang;
  std::vector<TemplateFile> files;
  std::string_view run;      ///< Command line; '@' is the built directory.
  std::string_view compile;  ///< Program that makes `run` of the .cpp files, or empty.
  std::string_view test;     ///< How its author runs the tests.
};

std::span<const FunctionTemplate> function_templates();
/// Errors: not_found naming the languages.
Result<const FunctionTemplate*> find_template(std::string_view lang);

}  // namespace dfaas
