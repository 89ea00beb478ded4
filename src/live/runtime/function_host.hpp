// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Runs functions: keeps replicas of each ready, as many as calls need, and hands out places in them.
///
/// Guarantees A call runs in a replica made for its function as deployed now, or as deployed when the call
///            began. A replica that died is made again at once, one that dies soon again and again after
///            growing pauses. One that is no longer wanted ends after its last call, asked by SIGTERM first.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/openfaas/usage.hpp"
#include "live/runtime/replica.hpp"
#include "live/runtime/run_plan.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

class FunctionHost {
 public:
  struct State;

  /// A place for one call in a replica; given back by its destructor.
  class Lease {
   public:
    Lease(std::weak_ptr<State> host, FunctionName function, std::shared_ptr<Replica> replica);
    ~Lease();
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) noexcept = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Replica* operator->() const { return replica_.get(); }

   private:
    std::weak_ptr<State> host_;
    FunctionName function_;
    std::shared_ptr<Replica> replica_;
  };

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

  /// From now on the function runs like this; `plan.spec.user` is chosen here. Makes its replicas soon. The
  /// same plan again changes nothing.
  void put(const FunctionName& function, RunPlan plan);
  void erase(const FunctionName& function);

  /// So many replicas, until calls need more or the function is deployed again. 0 until the next call.
  /// Errors: not_found; invalid_input over the label com.openfaas.scale.max.
  Result<void> scale(const FunctionName& function, int replicas);
  [[nodiscard]] ReplicaCounts counts(const FunctionName& function) const;
  /// What its replicas use now; nothing where the kernel does not show it of one of them.
  [[nodiscard]] std::optional<FunctionUsage> usage(const FunctionName& function) const;
  /// Calls back whenever counts() of a function may have changed.
  void on_change(std::function<void(const FunctionName&)> callback);

  /// Calls back with each line that a process which stays writes.
  void on_output(OutputSink callback);
  /// New replicas for the function, as after a change of its secrets; calls in flight finish in the old ones.
  void renew(const FunctionName& function);

  /// A place in the replica with the fewest calls; waits for one that starts. Errors: unavailable with the
  /// reason why none could be made, timed_out after `patience`, not_found.
  boost::asio::awaitable<Result<Lease>> lease(FunctionName function, Millis patience);

  /// Asks every process that stays to end, and waits for them a little.
  boost::asio::awaitable<void> drain(Millis patience);

 private:
  explicit FunctionHost(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
