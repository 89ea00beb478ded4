// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The gateway's side of the keeper: starts processes and talks to them through pipes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/writable_pipe.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct ProcessCommand {
  std::vector<std::string> arguments;    ///< The first is an absolute path.
  std::vector<std::string> environment;  ///< "NAME=value"; nothing else is inherited.
  std::string directory = "/";
};

struct ProcessExit {
  int status = 0;  ///< Exit code, or 128 + signal.
  Micros wall{0};
  Micros cpu{0};
};

/// A started process. Its destructor kills the process group, if it still runs.
class RunningProcess {
 public:
  ~RunningProcess();
  RunningProcess(RunningProcess&&) noexcept;
  RunningProcess& operator=(RunningProcess&&) noexcept;
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

  boost::asio::writable_pipe& input();
  boost::asio::readable_pipe& output();
  boost::asio::readable_pipe& errors();

  /// Returns when the process has ended; also when the keeper died, then with status 137.
  boost::asio::awaitable<ProcessExit> wait();

  /// SIGKILL to the whole group, at once: nobody waits for this work any more.
  void kill();

  struct State;
  explicit RunningProcess(std::shared_ptr<State> state);

 private:
  std::shared_ptr<State> state_;
};

class ProcessRunner {
 public:
  /// Starts the keeper: `binary` with the argument "keeper". Errors: unavailable naming the binary.
  static Result<std::unique_ptr<ProcessRunner>> start(boost::asio::any_io_executor executor,
                                                      std::filesystem::path binary);
  ~ProcessRunner();
  ProcessRunner(const ProcessRunner&) = delete;
  ProcessRunner& operator=(const ProcessRunner&) = delete;
  ProcessRunner(ProcessRunner&&) = delete;
  ProcessRunner& operator=(ProcessRunner&&) = delete;

  /// Errors: not_found or unavailable naming program and reason; invalid_input when arguments and
  /// environment are over 128 KiB. Restarts a keeper that died.
  boost::asio::awaitable<Result<RunningProcess>> spawn(ProcessCommand command);

  [[nodiscard]] bool healthy() const;

  struct State;

 private:
  explicit ProcessRunner(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
