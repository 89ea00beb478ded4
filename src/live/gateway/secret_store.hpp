// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Secrets of functions as files (0600), and for each function a directory that holds only its own.
///
/// Guarantees  A value is replaced in one step: a function reads the old one or the new one. What a
///             function did not name when it was deployed is not in its directory.
/// Limits      Without a sandbox a function runs as the node's user and can read all of the node's files:
///             the directory then only says which secrets are meant for it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/openfaas/secret.hpp"

namespace dfaas {

class SecretStore {
 public:
  /// Makes `root` with what is below it, all 0700. Errors: unavailable or denied, naming the path.
  static Result<SecretStore> open(std::filesystem::path root);

  /// Errors: conflict when it exists.
  Result<void> create(const SecretName& secret, std::string_view value);
  /// Also where functions see it. Errors: not_found.
  Result<void> update(const SecretName& secret, std::string_view value);
  /// Errors: not_found. Whether somebody uses it is the caller's business.
  Result<void> remove(const SecretName& secret);
  [[nodiscard]] bool has(const SecretName& secret) const;
  /// Sorted; of all namespaces when `space` is empty.
  [[nodiscard]] std::vector<SecretName> list(std::string_view space) const;

  /// The directory with exactly these secrets of the function's namespace; made anew.
  /// Errors: not_found naming the first secret that does not exist.
  Result<std::filesystem::path> grant(const FunctionName& function,
                                      const std::vector<std::string>& secrets);
  void revoke(const FunctionName& function);

 private:
  explicit SecretStore(std::filesystem::path root) : root_(std::move(root)) {}
  [[nodiscard]] std::filesystem::path value_file(const SecretName& secret) const;
  [[nodiscard]] std::filesystem::path granted(const FunctionName& function) const;
  Result<void> put_file(const std::filesystem::path& file, std::string_view value) const;

  std::filesystem::path root_;
};

}  // namespace dfaas
