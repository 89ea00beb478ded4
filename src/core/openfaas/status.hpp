// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the OpenFaaS API tells of functions and of the provider.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/usage.hpp"

namespace dfaas {

class Fields;

struct FunctionStatus {
  FunctionDeployment deployment;
  std::string created_at;  ///< RFC 3339.
  double invocation_count = 0;
  int replicas = 0;
  int available_replicas = 0;
  std::string image_digest;            ///< Of a container image, else empty.
  std::uint64_t image_bytes = 0;       ///< Unpacked.
  std::optional<FunctionUsage> usage;  ///< Where it was asked for and is known.
};

std::string function_status_json(const FunctionStatus& status);
std::string function_list_json(std::span<const FunctionStatus> statuses);

struct InfoFacts {
  std::string version;
  std::string arch;  ///< As uname says: "x86_64".
  std::string node;  ///< Name and id of the node.
  std::string id;
  std::string
      sandbox;  ///< How functions are kept apart, a JSON object; empty while that is not known.
  std::string platform;  ///< Who runs the functions, a JSON object; empty for the node itself.
};

/// GatewayInfo; every object that faas-cli dereferences is there.
std::string info_json(const InfoFacts& facts);

/// One status among others. Ends the reading where a field is wrong.
FunctionStatus read_function_status(const Fields& fields);

/// What a client reads of a status. Errors: invalid_input naming the field.
Result<FunctionStatus> function_status_from_json(std::string_view text);
Result<std::vector<FunctionStatus>> function_list_from_json(std::string_view text);

}  // namespace dfaas
