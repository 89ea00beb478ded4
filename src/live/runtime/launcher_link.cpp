// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/launcher_link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/sandbox/packet.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr int hello_patience_ms = 20'000;  ///< Two trials of at most 5 s each, on a busy machine.
constexpr Millis restart_pause{200};       ///< Before the next try, when one failed.
constexpr Millis open_patience{5'000};

using SteadyClock = asio::steady_timer::clock_type;

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

}  // namespace

struct LauncherLink::State : std::enable_shared_from_this<LauncherLink::State> {
  State(asio::any_io_executor executor_, std::filesystem::path program_, SandboxSettings settings_)
      : executor(std::move(executor_)),
        program(std::move(program_)),
        settings(std::move(settings_)),
        socket(executor),
        restart_timer(executor) {}
  ~State() {
    boost::system::error_code ignored;  // The launcher ends when its socket does.
    socket.close(ignored);
    reap();
  }

  asio::any_io_executor executor;
  std::filesystem::path program;
  SandboxSettings settings;
  SandboxReport report;
  asio::posix::stream_descriptor socket;
  asio::steady_timer restart_timer;
  pid_t pid = -1;
  bool alive = false;

  void reap() {
    if (pid <= 0) return;
    ::waitpid(pid, nullptr, 0);
    pid = -1;
  }

  /// Starts the program and tells it the settings.
  Result<void> spawn() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      return fail(ErrorCode::unavailable, "no socket for the launcher: " + reason(errno));
    }
    Descriptor ours(ends[0]);
    const Descriptor theirs(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), inherited_socket);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, inherited_socket + 1);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(&attributes,
                               static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    std::string text = program.string();
    std::array<char*, 2> arguments{text.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    const int error = ::posix_spawn(&pid, text.c_str(), &actions, &attributes, arguments.data(),
                                    environment.data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      pid = -1;
      return fail(ErrorCode::unavailable,
                  fmt::format("{} could not be started: {}", text, reason(error)));
    }
    const std::string packet = make_packet({.verb = Verb::setup}, to_texts(settings));
    if (const int failed = send_packet(ours.get(), packet, nullptr, 0, 0); failed != 0) {
      ours.reset();
      reap();
      return fail(ErrorCode::unavailable, fmt::format("{} ended: {}", text, reason(failed)));
    }
    boost::system::error_code ignored;  // The one that died left a dead descriptor.
    socket.close(ignored);
    socket.assign(ours.release());
    socket.non_blocking(true);
    alive = true;
    return {};
  }

  Result<void> await_hello() {
    pollfd watch{socket.native_handle(), POLLIN, 0};
    if (::poll(&watch, 1, hello_patience_ms) != 1) {
      return fail(ErrorCode::timed_out,
                  fmt::format("{} did not answer in {} ms", program.string(), hello_patience_ms));
    }
    if (!drain()) {
      return fail(ErrorCode::unavailable, program.string() + " ended at its start");
    }
    if (!report.failure.empty()) return fail(ErrorCode::unavailable, report.failure);
    return {};
  }

  void listen() {
    socket.async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& error) {
                        const auto self = weak.lock();
                        if (!self || error) return;
                        if (self->drain()) {
                          self->listen();
                        } else {
                          self->on_death();
                        }
                      });
  }

  /// False when the launcher is gone.
  bool drain() {
    std::array<char, 8192> buffer{};
    for (;;) {
      PacketDescriptors descriptors;
      const long size = receive_packet(socket.native_handle(), buffer.data(), buffer.size(),
                                       descriptors, MSG_DONTWAIT);
      if (size == 0) return false;
      if (size < 0) return errno == EAGAIN || errno == EINTR;
      PacketHead head;
      std::vector<const char*> texts;
      if (parse_packet(buffer.data(), static_cast<std::size_t>(size), head, texts) &&
          head.verb == Verb::hello) {
        report = report_from_texts(texts);
      }
    }
  }

  void on_death() {
    log_event(LogLevel::error, "launcher_died", {{"pid", std::to_string(pid)}});
    alive = false;
    reap();
    restart();
  }

  void restart() {
    if (auto spawned = spawn()) {
      listen();
      return;
    } else {
      log_event(LogLevel::error, "launcher_not_restarted", {{"error", spawned.error().message}});
    }
    restart_timer.expires_after(restart_pause);
    restart_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->restart();
    });
  }
};

LauncherLink::LauncherLink(std::shared_ptr<State> state) : state_(std::move(state)) {}
LauncherLink::~LauncherLink() = default;

Result<std::unique_ptr<LauncherLink>> LauncherLink::start(asio::any_io_executor executor,
                                                          std::filesystem::path program,
                                                          SandboxSettings settings) {
  auto state =
      std::make_shared<State>(std::move(executor), std::move(program), std::move(settings));
  if (auto spawned = state->spawn(); !spawned) return pass_on(std::move(spawned));
  if (auto told = state->await_hello(); !told) return pass_on(std::move(told));
  state->listen();
  return std::unique_ptr<LauncherLink>(new LauncherLink(std::move(state)));
}

const SandboxReport& LauncherLink::report() const { return state_->report; }
bool LauncherLink::alive() const { return state_->alive; }

asio::awaitable<Result<KeeperLink>> LauncherLink::open(ReplicaSpec spec) {
  const std::shared_ptr<State> state = state_;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    co_return fail(ErrorCode::unavailable, "no socket for a replica: " + reason(errno));
  }
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  const int descriptor = theirs.get();
  const std::string packet = make_packet({.verb = Verb::create}, to_texts(spec));
  const auto until = SteadyClock::now() + open_patience;
  for (;;) {
    const int error = state->alive ? send_packet(state->socket.native_handle(), packet, &descriptor,
                                                 1, MSG_DONTWAIT)
                                   : EPIPE;
    if (error == 0) break;
    if (SteadyClock::now() > until) {
      co_return fail(ErrorCode::unavailable, "the launcher does not answer: " + reason(error));
    }
    asio::steady_timer pause(state->executor, Millis{5});
    std::ignore = co_await pause.async_wait(as_result);
  }
  co_return KeeperLink(state->executor, std::move(ours));
}

}  // namespace dfaas
