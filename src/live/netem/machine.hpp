// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A machine that exists in its processes alone: a program and what it starts, in process, mount and host name
/// spaces of their own, in a network made before.
///
/// The first process in it is ours: it collects orphans, and is there until the last of the others has ended,
/// so that a program which dies alone leaves behind what it would leave on a machine of metal.
///
/// Guarantees  kill() ends every process of the machine at once, as pulling the plug does; so does the end of
///             the thread that started it, however that went. The network stays: it is somebody else's.
/// Limits      Files are the host's.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "core/base/result.hpp"
#include "live/netem/network_namespace.hpp"

namespace dfaas {

struct MachinePlan {
  std::string name;                                ///< Its host name.
  std::vector<std::string> command;                ///< The first is an absolute path.
  std::string log_file;                            ///< Takes standard output and errors, appended.
  int network = -1;                                ///< NetworkNamespace::descriptor().
  std::vector<std::string> groups;                 ///< MachineGroups::make().
  std::map<std::string, std::string> environment;  ///< Added to ours.
};

class Machine {
 public:
  /// `on_end` hears once, from the loop, that the machine is gone, with its last process.
  static Result<std::unique_ptr<Machine>> start(boost::asio::any_io_executor executor,
                                                const MachinePlan& plan,
                                                std::function<void()> on_end);
  ~Machine();  ///< Kills it, and waits until it is gone.
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  Machine(Machine&&) = delete;
  Machine& operator=(Machine&&) = delete;

  /// Asks the program to end: SIGTERM.
  void ask_to_stop();
  void kill();
  /// Of the first process, as this process sees it.
  [[nodiscard]] int pid() const;
  [[nodiscard]] bool is_running() const;
  /// Of the program, as this process sees it; -1 when it has ended.
  [[nodiscard]] int program_pid() const;
  /// Processes that the program started, and those that they started, by what stands behind the program's name
  /// on their command line: {"agent", 1234}, {"launcher", 1240}.
  [[nodiscard]] std::multimap<std::string, int> programs() const;

 private:
  struct State;
  explicit Machine(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// Runs a command line of the shell in the network, and, with `machine_pid` > 0, in that machine; input and
/// output are ours. Waits for its end: its status. `child`, if given, holds a process meanwhile with which the
/// command dies. Errors: unavailable.
Result<int> run_command(const NetworkNamespace& network, int machine_pid,
                        const std::string& command_line, std::atomic<int>* child = nullptr);

}  // namespace dfaas
