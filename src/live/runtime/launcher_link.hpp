// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The gateway's side of the launcher: asks it for replicas, and starts another one when it dies.
#pragma once

#include <filesystem>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/result.hpp"
#include "live/runtime/keeper_link.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

class LauncherLink {
 public:
  /// Starts `program` and waits until it knows what works here. Blocks, for up to some seconds, so call it
  /// before the event loop runs, and before any thread. Errors: unavailable, naming the program or what
  /// stands against every tier that may be used.
  static Result<std::unique_ptr<LauncherLink>> start(boost::asio::any_io_executor executor,
                                                     std::filesystem::path program,
                                                     SandboxSettings settings);
  ~LauncherLink();
  LauncherLink(const LauncherLink&) = delete;
  LauncherLink& operator=(const LauncherLink&) = delete;
  LauncherLink(LauncherLink&&) = delete;
  LauncherLink& operator=(LauncherLink&&) = delete;

  [[nodiscard]] const SandboxReport& report() const;
  [[nodiscard]] bool alive() const;

  /// Asks for a replica; KeeperLink::ready() tells when it is there. Waits for a launcher that is being
  /// replaced. Errors: unavailable.
  boost::asio::awaitable<Result<KeeperLink>> open(ReplicaSpec spec);

  struct State;

 private:
  explicit LauncherLink(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
