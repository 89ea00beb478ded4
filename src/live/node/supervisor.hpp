// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Starts the programs of a node in order, restarts what dies, replaces them one by one, stops them in order.
///
/// Guarantees A program that dies is started again at once, then with pauses that double from 100 ms to 5 s
///            and fall back after 10 s of health. However the supervisor ends, its children do: the death
///            pipe (see death_pipe.hpp) for our own programs, a parent-death signal for others.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

/// A program to keep alive.
struct SupervisedProgram {
  std::string name;
  std::vector<std::string> command;                ///< The first is an absolute path.
  std::map<std::string, std::string> environment;  ///< On top of the supervisor's own.
  /// Takes standard output and errors, appended; empty: they go where ours go.
  std::string log_file;
  /// Descriptor in the child -> ours. 9 is taken by the death pipe.
  std::map<int, int> descriptors;
  /// Called before each start, also of one that died: it is not started when this fails.
  std::function<Result<void>()> before_start;
  /// Arguments for a successor that takes over from this process while it runs, and tells it to end. Null:
  /// it gets `replace_signal` and has ended before the successor starts.
  std::function<Result<std::vector<std::string>>(int pid)> hand_over;
  /// How often it may end before it is ready, until that is an error: more than once for a program that may
  /// find a port taken which before_start() saw free.
  int start_tries = 1;
  int replace_signal = 15;
  int stop_signal = 15;
  Millis stop_patience{5'000};  ///< Then SIGKILL.
  /// Polled after the start; the next program starts when it returns true for this process. Null: at once.
  std::function<bool(int pid)> is_ready;
};

class Supervisor {
 public:
  Supervisor(boost::asio::any_io_executor executor, std::vector<SupervisedProgram> programs);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  Supervisor(Supervisor&&) = delete;
  Supervisor& operator=(Supervisor&&) = delete;

  /// Starts the programs one after the other; `done` gets an Error when one is not ready in
  /// `patience`, or ends before it is: what cannot start is not tried again and again.
  void start(Millis patience, std::function<void(Result<void>)> done);

  /// Replaces each of `names` by a new process of its program, one after the other: each gets its time to
  /// finish, and the next one's turn is when the new one is ready. `done` gets an Error naming the program
  /// that could not be replaced (one that hands over then goes on); conflict while it is replacing.
  void replace(const std::vector<std::string>& names, Millis patience,
               std::function<void(Result<void>)> done);

  /// Stops them in reverse order of `programs`, then calls back.
  void stop(std::function<void()> done);

  /// Pid of a running program, or -1.
  [[nodiscard]] int pid_of(const std::string& name) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
