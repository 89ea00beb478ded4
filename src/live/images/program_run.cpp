// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/images/program_run.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
using SteadyClock = asio::steady_timer::clock_type;

constexpr Millis watch_pause{200};
constexpr Millis farewell{1'000};  ///< For what is still in the pipes of a program that ended.
constexpr std::size_t errors_bytes_max = 8 * 1024;

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

/// One run. Its destructor ends the program, whatever state that is in.
struct Run : std::enable_shared_from_this<Run> {
  explicit Run(const asio::any_io_executor& executor)
      : end(executor), output(executor), errors(executor), changed(executor) {}
  ~Run() {
    if (pid <= 0) return;
    kill();
    ::waitpid(pid, nullptr, 0);  // Killed: it is there at once.
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  Run(Run&&) = delete;
  Run& operator=(Run&&) = delete;

  asio::posix::stream_descriptor end;  ///< Readable when the program has ended.
  asio::readable_pipe output;
  asio::readable_pipe errors;
  asio::steady_timer changed;
  pid_t pid = -1;
  std::size_t output_bytes_max = 0;
  std::array<char, 16 * 1024> output_piece{};
  std::array<char, 4 * 1024> errors_piece{};
  ProgramEnd result;
  bool has_ended = false;
  bool is_too_much = false;
  int open_pipes = 2;

  void kill() const { ::kill(-pid, SIGKILL); }

  void tell() { changed.cancel(); }

  Result<void> spawn(const ProgramCall& call);

  void listen() {
    end.async_wait(asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](const boost::system::error_code& error) {
                     if (error) return;
                     self->has_ended = true;
                     self->kill();  // What it left behind in its group, and with it the pipes.
                     self->tell();
                   });
    read_output();
    read_errors();
  }

  void read_output() {
    output.async_read_some(
        asio::buffer(output_piece),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
          if (error) return self->close_pipe();
          if (self->result.output.size() + bytes > self->output_bytes_max) {
            self->is_too_much = true;
            return self->close_pipe();
          }
          self->result.output.append(self->output_piece.data(), bytes);
          self->read_output();
        });
  }

  void read_errors() {
    errors.async_read_some(
        asio::buffer(errors_piece),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
          if (error) return self->close_pipe();
          std::string& text = self->result.errors;
          text.append(self->errors_piece.data(), bytes);
          if (text.size() > errors_bytes_max) text.erase(0, text.size() - errors_bytes_max);
          self->read_errors();
        });
  }

  void close_pipe() {
    --open_pipes;
    tell();
  }

  /// After has_ended.
  void reap() {
    int status = 0;
    ::waitpid(pid, &status, 0);
    pid = -1;
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void close() {
    boost::system::error_code ignored;  // Closed is all that is wanted.
    end.close(ignored);
    output.close(ignored);
    errors.close(ignored);
  }
};

/// Ends the program and the reads, however the coroutine ends.
class Closing {
 public:
  explicit Closing(std::shared_ptr<Run> run) : run_(std::move(run)) {}
  ~Closing() {
    if (run_->pid > 0) run_->kill();
    run_->close();
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  Closing(Closing&&) = delete;
  Closing& operator=(Closing&&) = delete;

 private:
  std::shared_ptr<Run> run_;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

Result<void> Run::spawn(const ProgramCall& call) {
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::unavailable, "no pipe for a program: " + reason(errno));
  }
  output.assign(out[0]);
  if (::pipe2(err.data(), O_CLOEXEC) != 0) {
    ::close(out[1]);
    return fail(ErrorCode::unavailable, "no pipe for a program: " + reason(errno));
  }
  errors.assign(err[0]);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  ::posix_spawn_file_actions_addchdir_np(&actions, call.directory.c_str());
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  std::vector<std::string> words = call.arguments;
  std::vector<std::string> variables = call.environment;
  const int error = ::posix_spawn(&pid, words.front().c_str(), &actions, &attributes,
                                  pointers(words).data(), pointers(variables).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  ::close(err[1]);
  if (error != 0) {
    pid = -1;
    return fail(ErrorCode::unavailable,
                fmt::format("{} could not be started: {}", words.front(), reason(error)));
  }
  if (call.file_bytes_max > 0) {
    const rlimit limit{.rlim_cur = call.file_bytes_max, .rlim_max = call.file_bytes_max};
    ::prlimit(pid, RLIMIT_FSIZE, &limit, nullptr);
  }
  const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (descriptor < 0) {
    return fail(ErrorCode::unavailable, "watching a program: " + reason(errno));
  }
  end.assign(descriptor);
  return {};
}

}  // namespace

asio::awaitable<Result<ProgramEnd>> run_program(asio::any_io_executor executor, ProgramCall call) {
  const auto run = std::make_shared<Run>(executor);
  const Closing closing(run);
  run->output_bytes_max = call.output_bytes_max;
  if (auto spawned = run->spawn(call); !spawned) co_return pass_on(std::move(spawned));
  run->listen();
  const auto until = SteadyClock::now() + call.patience;
  std::optional<Error> stopped;
  while (!run->has_ended && !stopped) {
    run->changed.expires_after(watch_pause);
    std::ignore = co_await run->changed.async_wait(as_result);
    if (run->has_ended) break;
    if (run->is_too_much) {
      stopped = Error{ErrorCode::overloaded,
                      fmt::format("it said more than {} bytes", call.output_bytes_max)};
    } else if (SteadyClock::now() > until) {
      stopped = Error{ErrorCode::timed_out,
                      fmt::format("it was not done in {:.1f} s",
                                  std::chrono::duration<double>(call.patience).count())};
    } else if (call.watch) {
      auto seen = co_await call.watch();
      if (!seen) stopped = std::move(seen).error();
    }
  }
  if (stopped) co_return tl::unexpected(std::move(*stopped));
  run->reap();
  const auto told = SteadyClock::now() + farewell;
  while (run->open_pipes > 0 && SteadyClock::now() < told) {
    run->changed.expires_at(told);
    std::ignore = co_await run->changed.async_wait(as_result);
  }
  if (run->is_too_much) {
    co_return fail(ErrorCode::overloaded,
                   fmt::format("it said more than {} bytes", call.output_bytes_max));
  }
  co_return std::move(run->result);
}

}  // namespace dfaas
