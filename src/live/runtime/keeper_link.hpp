// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The gateway's side of a keeper: starts processes in its replica and talks to them through pipes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/writable_pipe.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "live/runtime/descriptor.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

struct ProcessCommand {
  std::vector<std::string> arguments;    ///< The first is an absolute path.
  std::vector<std::string> environment;  ///< "NAME=value"; nothing else is inherited.
  std::string directory = "/";
  bool combine_output = false;  ///< Errors go where the output goes, in the order they are written.
  std::optional<std::string> input;  ///< All that it will read, up to input_bytes_max.

  /// What the smallest pipe holds: it is written before the process is there to read it.
  static constexpr std::size_t input_bytes_max = 4096;
};

struct ProcessExit {
  int status = 0;                    ///< Exit code, or 128 + signal.
  std::optional<Error> not_started;  ///< not_found or unavailable, naming program and reason.
  Micros wall{0};
  Micros cpu{0};
};

/// A started process. Its destructor kills the process group, if it still runs. It keeps its replica alive.
class RunningProcess {
 public:
  ~RunningProcess();
  RunningProcess(RunningProcess&&) noexcept;
  RunningProcess& operator=(RunningProcess&&) noexcept;
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

  [[nodiscard]] bool takes_input() const;  ///< Not when its command held all of it.
  boost::asio::writable_pipe& input();
  boost::asio::readable_pipe& output();
  boost::asio::readable_pipe& errors();

  /// Returns when the process has ended, or could not be started; also when the keeper died, then with
  /// status 137.
  boost::asio::awaitable<ProcessExit> wait();
  [[nodiscard]] bool has_ended() const;

  /// Calls back, once, when the process has ended.
  void on_end(std::function<void()> callback);

  /// SIGKILL to the whole group, at once: nobody waits for this work any more.
  void kill();
  /// SIGTERM to the whole group: time to finish.
  void terminate();

  struct State;
  explicit RunningProcess(std::shared_ptr<State> state);

 private:
  std::shared_ptr<State> state_;
};

/// One replica. All copies are the same one; the last one ends it.
class KeeperLink {
 public:
  /// `socket` is ours of a pair whose other end went to the launcher.
  KeeperLink(boost::asio::any_io_executor executor, Descriptor socket);
  ~KeeperLink();
  KeeperLink(const KeeperLink&) = default;
  KeeperLink& operator=(const KeeperLink&) = default;
  KeeperLink(KeeperLink&&) noexcept = default;
  KeeperLink& operator=(KeeperLink&&) noexcept = default;

  /// Returns when the sandbox is complete. Errors: unavailable with the reason, or that it died; timed_out
  /// ten seconds after it was asked for.
  [[nodiscard]] boost::asio::awaitable<Result<void>> ready() const;

  /// Returns before the program runs: whether it could be started shows at its end. Errors: unavailable;
  /// invalid_input when arguments and environment are over 128 KiB.
  [[nodiscard]] boost::asio::awaitable<Result<RunningProcess>> spawn(ProcessCommand command) const;

  /// A connection to where a process of the replica listens: `path` of a unix socket, else `port` of
  /// its 127.0.0.1. Errors: unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Descriptor>> connect(std::string path,
                                                                   int port) const;

  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::size_t processes() const;  ///< That run now.
  /// Where functions find room for temporary files, when that is not /tmp.
  [[nodiscard]] const std::string& temporary() const;
  /// Where the kernel shows what the replica uses.
  [[nodiscard]] const UsagePlaces& usage_places() const;

  /// Calls back, once, when the keeper has died.
  void on_death(std::function<void()> callback) const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
