// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Runs functions: keeps a replica of each ready, and starts processes in it.
///
/// Guarantees A call's process runs in a replica made for its function as deployed now, or not at all. A
///            replica that died is made again at once; one that was replaced ends with its last call.
#pragma once

#include <filesystem>
#include <map>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "live/runtime/keeper_link.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

class FunctionHost {
 public:
  /// Blocks until the launcher is there: before the event loop runs. Errors: as LauncherLink::start().
  static Result<std::unique_ptr<FunctionHost>> start(boost::asio::any_io_executor executor,
                                                     std::filesystem::path launcher,
                                                     SandboxSettings settings);
  ~FunctionHost();
  FunctionHost(const FunctionHost&) = delete;
  FunctionHost& operator=(const FunctionHost&) = delete;
  FunctionHost(FunctionHost&&) = delete;
  FunctionHost& operator=(FunctionHost&&) = delete;

  [[nodiscard]] const SandboxSettings& settings() const;
  [[nodiscard]] const SandboxReport& sandbox() const;
  [[nodiscard]] bool healthy() const;

  /// From now on the function runs like this; `spec.user` is chosen here. Makes its replica soon.
  void put(const FunctionName& function, ReplicaSpec spec);
  void erase(const FunctionName& function);

  /// Errors: as KeeperLink::spawn(), and unavailable when its replica cannot be made.
  boost::asio::awaitable<Result<RunningProcess>> spawn(FunctionName function,
                                                       ProcessCommand command);

  struct State;

 private:
  explicit FunctionHost(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
