// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a user deploys, as the OpenFaaS API writes it.
///
/// Source  OpenFaaS gateway API, type FunctionDeployment. Fields that mean nothing here
///         (registryAuth, network) are ignored.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct FunctionDeployment {
  FunctionName function;
  std::string image;    ///< See parse_image().
  std::string process;  ///< envProcess: the command line.
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> secrets;
  std::vector<std::string> constraints;
  std::string limits;    ///< JSON object as given, or empty.
  std::string requests;  ///< JSON object as given, or empty.
  bool read_only_root = false;

  friend bool operator==(const FunctionDeployment&, const FunctionDeployment&) = default;
};

/// Errors: invalid_input naming the field, its value and what is allowed; labels are checked too.
Result<FunctionDeployment> deployment_from_json(std::string_view text);
std::string deployment_to_json(const FunctionDeployment& deployment);

/// The body of DELETE /system/functions: {"functionName": ..., "namespace"?: ...}.
Result<FunctionName> deletion_from_json(std::string_view text);
std::string deletion_to_json(const FunctionName& function);

/// What must be equal on two nodes for one to stand in for the other: image, process and the names
/// of environment variables. Their values, labels and limits may differ by site. Of a container image, the digest
/// of its manifest counts and not its name.
std::string digest_input(const FunctionDeployment& deployment, std::string_view image_digest = {});

}  // namespace dfaas
