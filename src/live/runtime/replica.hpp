// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One replica of a function: its keeper, and the processes that stay there between calls.
///
/// Use        Through FunctionHost, which decides how many there are, and Lease, which holds a place in one.
/// Guarantees A call gets a connection, or a process started ahead, that no other call has. A process that
///            ended is never handed out; processes started ahead live for a minute at most.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/openfaas/usage.hpp"
#include "live/net/http.hpp"
#include "live/net/task_group.hpp"
#include "live/runtime/keeper_link.hpp"
#include "live/runtime/run_plan.hpp"

namespace dfaas {

/// Takes a line that a process wrote.
using OutputSink = std::function<void(const FunctionName&, std::string)>;

class Replica {
 public:
  /// `tasks` runs what goes on beside calls.
  Replica(boost::asio::any_io_executor executor, TaskGroup* tasks, FunctionName function,
          std::shared_ptr<const RunPlan> plan, KeeperLink keeper, OutputSink output);

  /// Waits until it can take calls: sandbox complete and, in mode http, its process answering. Starts that
  /// process. Errors: unavailable or timed_out, for people.
  static boost::asio::awaitable<Result<void>> start(std::shared_ptr<Replica> self);

  /// Can it take calls, now or as soon as it has started?
  [[nodiscard]] bool alive() const;
  [[nodiscard]] bool ready() const { return is_ready_ && alive(); }
  [[nodiscard]] const RunPlan& plan() const { return *plan_; }

  /// A process for one call; one that was started ahead, where the function allows it. Errors: as
  /// KeeperLink::spawn().
  boost::asio::awaitable<Result<RunningProcess>> spawn(ProcessCommand command);
  /// Starts processes ahead until there are as many as the plan says.
  static boost::asio::awaitable<void> fill(std::shared_ptr<Replica> self);

  struct Connected {
    ClientConnection connection;
    bool is_fresh = false;  ///< Else it has been idle, and may be closed at any moment.
  };
  /// A connection to the process that stays.
  boost::asio::awaitable<Result<Connected>> connect();
  void give_back(ClientConnection connection);

  /// Asks the process that stays to end.
  void terminate();
  [[nodiscard]] bool is_over() const;  ///< It has no such process, or it has ended.
  /// Calls back when keeper or process have ended by themselves; perhaps twice.
  void on_end(std::function<void()> callback);

  /// What it uses now, its keeper included; nothing where the kernel does not show it.
  std::optional<FunctionUsage> usage();

  int in_flight = 0;
  bool retiring = false;         ///< Takes no new calls.
  std::uint64_t generation = 0;  ///< Of its plan, among those of the function.

 private:
  struct Ahead {
    RunningProcess process;
    Instant since;
  };

  [[nodiscard]] ProcessCommand standing_command() const;
  void add_places(std::vector<std::string>& environment) const;
  boost::asio::awaitable<Result<Descriptor>> open_connection();
  boost::asio::awaitable<bool> answers_ready();

  boost::asio::any_io_executor executor_;
  TaskGroup* tasks_;
  FunctionName function_;
  std::shared_ptr<const RunPlan> plan_;
  KeeperLink keeper_;
  bool is_ready_ = false;
  bool is_filling_ = false;
  std::optional<RunningProcess> resident_;
  OutputSink output_;
  std::function<void()> ended_;
  std::vector<ClientConnection> idle_;
  std::deque<Ahead> ahead_;
  CpuMeter cpu_meter_;
};

}  // namespace dfaas
