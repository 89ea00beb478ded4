// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// stack.yml: the functions of a project, as faas-cli knows it.
///
/// Input   provider.gateway and a map of functions with lang, handler, image, fprocess, namespace,
///         environment, labels, annotations, secrets, constraints, limits, requests,
///         readonly_root_filesystem and skip_build. ${NAME} and ${NAME:-otherwise} are replaced before
///         reading. Fields that mean nothing here (build_args, build_options, configuration) are passed over.
/// Source  OpenFaaS, "The stack YAML file reference".
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"

namespace dfaas {

struct StackFunction {
  std::string lang;     ///< Of a template; empty for an image as it is.
  std::string handler;  ///< Directory, relative to the file.
  std::vector<std::string> environment_files;
  bool skip_build = false;
  FunctionDeployment deployment;
};

struct Stack {
  std::string gateway;                   ///< provider.gateway, or empty.
  std::vector<StackFunction> functions;  ///< By name.
};

/// The value of an environment variable; nothing where it is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view)>;

/// Replaces ${NAME} and ${NAME:-otherwise}. Errors: invalid_input naming a variable that is not set and has
/// no default, or an open brace.
Result<std::string> substitute(std::string_view text, const Lookup& lookup);

/// Errors: invalid_input with the line, or naming function and field.
Result<Stack> parse_stack(std::string_view text, const Lookup& lookup);

/// The environment of a file that environment_file names: "environment:" and a map.
Result<std::map<std::string, std::string>> parse_environment_file(std::string_view text);

/// `text` (a stack file, or empty for a new one) with one function more, everything else as it was.
/// Errors: conflict when it has the function; invalid_input when it is no stack file.
Result<std::string> add_function(std::string_view text, const FunctionName& function,
                                 std::string_view lang, std::string_view handler);

}  // namespace dfaas
