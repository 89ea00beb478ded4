// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Secrets of functions, as the OpenFaaS API writes them. A value comes in and never goes out.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

/// A secret and its namespace. The name becomes a file: 1 to 253 of [-._a-zA-Z0-9], no '.' in front.
class SecretName {
 public:
  SecretName() = default;
  /// An empty `space` means the default namespace. Errors: invalid_input.
  static Result<SecretName> parse(std::string_view name, std::string_view space);
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& space() const { return space_; }
  friend auto operator<=>(const SecretName&, const SecretName&) = default;

 private:
  SecretName(std::string name, std::string space)
      : name_(std::move(name)), space_(std::move(space)) {}
  std::string name_;
  std::string space_;
};

struct SecretRequest {
  SecretName secret;
  std::optional<std::string> value;  ///< Absent in a deletion.
};

/// {"name", "namespace"?, "value"? or "rawValue"? (base64)}. Errors: invalid_input naming the field, and
/// never the value.
Result<SecretRequest> secret_request_from_json(std::string_view text, std::size_t bytes_max);

/// [{"name", "namespace"}].
std::string secret_list_json(std::span<const SecretName> secrets);

}  // namespace dfaas
