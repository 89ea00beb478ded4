// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/process_runner.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/assert.hpp"
#include "live/runtime/keeper.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t blocks_bytes_max = 128 * 1024;
constexpr int killed_status = 128 + SIGKILL;

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

/// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      value_ = other.release();
    }
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }
  void reset() {
    if (value_ >= 0) ::close(value_);
    value_ = -1;
  }

 private:
  int value_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
};

std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace

struct RunningProcess::State {
  State(asio::any_io_executor executor, std::weak_ptr<ProcessRunner::State> runner_,
        std::uint64_t id_)
      : runner(std::move(runner_)),
        id(id_),
        input(executor),
        output(executor),
        errors(executor),
        changed(executor) {}

  std::weak_ptr<ProcessRunner::State> runner;
  std::uint64_t id;
  asio::writable_pipe input;
  asio::readable_pipe output;
  asio::readable_pipe errors;
  asio::steady_timer changed;  ///< Cancelled when one of the two below is set.
  std::optional<int> start_error;
  bool started = false;
  std::optional<ProcessExit> exit;
};

struct ProcessRunner::State : std::enable_shared_from_this<ProcessRunner::State> {
  State(asio::any_io_executor executor_, std::filesystem::path binary_)
      : executor(std::move(executor_)), binary(std::move(binary_)), socket(executor) {}

  asio::any_io_executor executor;
  std::filesystem::path binary;
  asio::posix::stream_descriptor socket;
  pid_t keeper = -1;
  bool alive = false;
  std::uint64_t next_id = 1;
  std::unordered_map<std::uint64_t, std::weak_ptr<RunningProcess::State>> processes;

  ~State() { stop_keeper(); }

  Result<void> start_keeper() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      return fail(ErrorCode::unavailable, "no socket for the keeper: " + reason(errno));
    }
    Descriptor ours(ends[0]);
    const Descriptor theirs(ends[1]);
    const int buffer_bytes = 1 << 20;
    ::setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), keeper_socket);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, keeper_socket + 1);
    std::string program = binary.string();
    std::string verb = "keeper";
    std::array<char*, 3> arguments{program.data(), verb.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    const int error = ::posix_spawn(&keeper, program.c_str(), &actions, nullptr, arguments.data(),
                                    environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      keeper = -1;
      return fail(ErrorCode::unavailable,
                  fmt::format("{} could not be started: {}", program, reason(error)));
    }
    boost::system::error_code ignored;  // A keeper that died left a dead descriptor.
    socket.close(ignored);
    socket.assign(ours.release());
    socket.non_blocking(true);
    alive = true;
    listen();
    return {};
  }

  void stop_keeper() {
    boost::system::error_code ignored;  // The keeper ends when its socket does.
    socket.close(ignored);
    reap_keeper();
  }

  void reap_keeper() {
    if (keeper <= 0) return;
    ::waitpid(keeper, nullptr, 0);
    keeper = -1;
  }

  void listen() {
    socket.async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& error) {
                        const auto self = weak.lock();
                        if (!self || error) return;
                        if (self->drain()) {
                          self->listen();
                        } else {
                          self->on_keeper_death();
                        }
                      });
  }

  /// False when the keeper is gone.
  bool drain() {
    std::array<char, 1024> buffer{};
    for (;;) {
      const ssize_t size =
          ::recv(socket.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size == 0) return false;
      if (size < 0) return errno == EAGAIN || errno == EINTR;
      KeeperHead head;
      std::vector<const char*> texts;
      if (parse_keeper_packet(buffer.data(), static_cast<std::size_t>(size), head, texts)) {
        handle(head);
      }
    }
  }

  void handle(const KeeperHead& head) {
    const auto found = processes.find(head.id);
    if (found == processes.end()) return;
    const auto process = found->second.lock();
    if (head.verb != KeeperVerb::spawned) processes.erase(found);
    if (!process) {
      if (head.verb == KeeperVerb::spawned) kill(head.id);
      return;
    }
    if (head.verb == KeeperVerb::spawned) process->started = true;
    if (head.verb == KeeperVerb::failed) process->start_error = head.number;
    if (head.verb == KeeperVerb::exited) {
      process->exit = {
          .status = head.number, .wall = Micros{head.wall_us}, .cpu = Micros{head.cpu_us}};
    }
    process->changed.cancel();
  }

  void on_keeper_death() {
    log_event(LogLevel::error, "keeper_died", {{"pid", std::to_string(keeper)}});
    alive = false;
    reap_keeper();
    auto orphans = std::exchange(processes, {});
    for (auto& [id, weak] : orphans) {
      if (const auto process = weak.lock()) {
        if (!process->started) process->start_error = EPIPE;
        process->exit = ProcessExit{.status = killed_status};
        process->changed.cancel();
      }
    }
    if (auto started = start_keeper(); !started) {
      log_event(LogLevel::error, "keeper_not_restarted", {{"error", started.error().message}});
    }
  }

  /// Errno, or 0.
  int send(const std::string& packet, const std::array<int, 3>* descriptors) {
    iovec vector{const_cast<char*>(packet.data()),
                 packet.size()};  // NOLINT: sendmsg() does not write.
    std::array<char, CMSG_SPACE(sizeof(int) * 3)> control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (descriptors != nullptr) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(sizeof(int) * 3);
      std::memcpy(CMSG_DATA(part), descriptors->data(), sizeof(int) * 3);
    }
    return ::sendmsg(socket.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
  }

  void kill(std::uint64_t id) {
    if (!alive) return;
    send(keeper_packet({.verb = KeeperVerb::kill, .id = id, .number = SIGKILL}, {}), nullptr);
  }
};

RunningProcess::RunningProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}
RunningProcess::RunningProcess(RunningProcess&&) noexcept = default;
RunningProcess& RunningProcess::operator=(RunningProcess&&) noexcept = default;
RunningProcess::~RunningProcess() {
  if (state_) kill();
}

asio::writable_pipe& RunningProcess::input() { return state_->input; }
asio::readable_pipe& RunningProcess::output() { return state_->output; }
asio::readable_pipe& RunningProcess::errors() { return state_->errors; }

asio::awaitable<ProcessExit> RunningProcess::wait() {
  const std::shared_ptr<State> state = state_;
  while (!state->exit) {
    state->changed.expires_at(asio::steady_timer::time_point::max());
    std::ignore = co_await state->changed.async_wait(as_result);
  }
  co_return *state->exit;
}

void RunningProcess::kill() {
  if (state_->exit) return;
  if (const auto runner = state_->runner.lock()) runner->kill(state_->id);
}

ProcessRunner::ProcessRunner(std::shared_ptr<State> state) : state_(std::move(state)) {}
ProcessRunner::~ProcessRunner() = default;

Result<std::unique_ptr<ProcessRunner>> ProcessRunner::start(asio::any_io_executor executor,
                                                            std::filesystem::path binary) {
  auto state = std::make_shared<State>(std::move(executor), std::move(binary));
  if (auto started = state->start_keeper(); !started) return pass_on(std::move(started));
  return std::unique_ptr<ProcessRunner>(new ProcessRunner(std::move(state)));
}

asio::awaitable<Result<RunningProcess>> ProcessRunner::spawn(ProcessCommand command) {
  const std::shared_ptr<State> state = state_;
  DFAAS_ASSERT(!command.arguments.empty(), "a command has a program");
  const std::string program = command.arguments.front();
  std::size_t bytes = 0;
  for (const auto* list : {&command.arguments, &command.environment}) {
    for (const std::string& text : *list) bytes += text.size() + 1;
  }
  if (bytes > blocks_bytes_max) {
    co_return fail(ErrorCode::invalid_input,
                   fmt::format("arguments and environment of {} are {} bytes, over {}", program,
                               bytes, blocks_bytes_max));
  }
  auto in = make_pipe();
  auto out = make_pipe();
  auto errors = make_pipe();
  if (!in || !out || !errors) {
    co_return fail(ErrorCode::unavailable,
                   fmt::format("{} could not be started: {}", program, reason(errno)));
  }
  auto process = std::make_shared<RunningProcess::State>(state->executor, state, state->next_id++);
  std::vector<std::string> texts{command.directory};
  for (auto& text : command.arguments) texts.push_back(std::move(text));
  for (auto& text : command.environment) texts.push_back(std::move(text));
  const KeeperHead head{.verb = KeeperVerb::spawn,
                        .id = process->id,
                        .arguments = static_cast<std::uint32_t>(command.arguments.size()),
                        .environment = static_cast<std::uint32_t>(command.environment.size())};
  const std::array<int, 3> descriptors{in->read.get(), out->write.get(), errors->write.get()};
  state->processes.emplace(process->id, process);
  const std::string packet = keeper_packet(head, texts);
  int error = state->alive ? state->send(packet, &descriptors) : EPIPE;
  while (error == EAGAIN) {  // The keeper has more to do than its socket holds.
    asio::steady_timer pause(state->executor, Millis{2});
    std::ignore = co_await pause.async_wait(as_result);
    error = state->alive ? state->send(packet, &descriptors) : EPIPE;
  }
  // Only the function may hold its ends: our copies would keep its pipes open.
  in->read.reset();
  out->write.reset();
  errors->write.reset();
  process->input.assign(in->write.release());
  process->output.assign(out->read.release());
  process->errors.assign(errors->read.release());
  if (error != 0) process->start_error = error;
  while (!process->started && !process->start_error && !process->exit) {
    process->changed.expires_at(asio::steady_timer::time_point::max());
    std::ignore = co_await process->changed.async_wait(as_result);
  }
  if (process->start_error) {
    state->processes.erase(process->id);
    const bool is_missing = *process->start_error == ENOENT || *process->start_error == EACCES;
    co_return fail(
        is_missing ? ErrorCode::not_found : ErrorCode::unavailable,
        fmt::format("{} could not be started: {}", program, reason(*process->start_error)));
  }
  co_return RunningProcess(std::move(process));
}

bool ProcessRunner::healthy() const { return state_->alive; }

}  // namespace dfaas
