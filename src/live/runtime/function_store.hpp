// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Which functions a node shall have, on disk: they are back after a restart.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/name_space.hpp"

namespace dfaas {

struct StoredFunction {
  FunctionDeployment deployment;
  std::string created_at;       ///< RFC 3339.
  std::optional<int> replicas;  ///< Wanted; nothing for one that was never scaled.
  std::string image_digest;     ///< Of its container image, or empty.
};

/// A SQLite database; each change is one durable transaction.
class FunctionStore {
 public:
  /// Errors: unavailable naming the file and the reason, also for a file that is no database of ours.
  static Result<FunctionStore> open(const std::filesystem::path& file);
  ~FunctionStore();
  FunctionStore(FunctionStore&&) noexcept;
  FunctionStore& operator=(FunctionStore&&) noexcept;
  FunctionStore(const FunctionStore&) = delete;
  FunctionStore& operator=(const FunctionStore&) = delete;

  Result<void> put(const FunctionDeployment& deployment, const std::string& created_at,
                   const std::string& image_digest = {});
  Result<void> remove(const FunctionName& function);
  Result<void> set_replicas(const FunctionName& function, int replicas);
  Result<std::vector<StoredFunction>> all();  ///< Sorted by name.

  /// Namespaces that were made, beside those that functions are in.
  Result<void> put_namespace(const Namespace& space);
  Result<void> remove_namespace(const std::string& name);
  Result<std::vector<Namespace>> namespaces();  ///< Sorted by name.

 private:
  struct State;
  explicit FunctionStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
