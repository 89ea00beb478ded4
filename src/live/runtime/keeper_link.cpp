// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/keeper_link.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/assert.hpp"
#include "live/sandbox/packet.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t blocks_bytes_max = 128 * 1024;
constexpr int killed_status = 128 + SIGKILL;
constexpr int not_started_status = 127;  ///< As of a shell.
constexpr Millis connect_patience{1000};
constexpr Millis ready_patience{10'000};

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

Error not_started(const std::string& program, int error) {
  const bool is_missing = error == ENOENT || error == EACCES;
  return {.code = is_missing ? ErrorCode::not_found : ErrorCode::unavailable,
          .message = fmt::format("{} could not be started: {}", program, reason(error))};
}

struct Pipe {
  Descriptor read;
  Descriptor write;
};

std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

/// Somebody who waits for a connection.
struct Connecting {
  explicit Connecting(const asio::any_io_executor& executor) : changed(executor) {}
  asio::steady_timer changed;
  std::optional<int> error;
  Descriptor connection;
};

}  // namespace

struct RunningProcess::State {
  State(const asio::any_io_executor& executor, std::shared_ptr<KeeperLink::State> keeper_,
        std::uint64_t id_, std::string program_)
      : keeper(std::move(keeper_)),
        id(id_),
        program(std::move(program_)),
        input(executor),
        output(executor),
        errors(executor),
        changed(executor) {}

  void tell() {
    changed.cancel();
    if (!exit) return;
    if (const auto callback = std::exchange(ended, nullptr)) callback();
  }

  std::shared_ptr<KeeperLink::State> keeper;
  std::uint64_t id;
  std::string program;
  asio::writable_pipe input;
  asio::readable_pipe output;
  asio::readable_pipe errors;
  asio::steady_timer changed;  ///< Cancelled when the next is set.
  std::optional<ProcessExit> exit;
  std::function<void()> ended;
};

struct KeeperLink::State : std::enable_shared_from_this<KeeperLink::State> {
  State(asio::any_io_executor executor_, int descriptor)
      : executor(std::move(executor_)), socket(executor, descriptor), changed(executor) {
    socket.non_blocking(true);
    changed.expires_after(ready_patience);
    const int buffer_bytes = 1 << 20;
    ::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  }

  asio::any_io_executor executor;
  asio::posix::stream_descriptor socket;
  asio::steady_timer changed;  ///< Cancelled when it is ready, refused or dead.
  bool is_ready = false;
  bool alive = true;
  std::string refusal;
  ReplicaReady ready;
  std::function<void()> on_death;
  std::uint64_t next_id = 1;
  std::unordered_map<std::uint64_t, std::weak_ptr<RunningProcess::State>> processes;
  std::unordered_map<std::uint64_t, std::weak_ptr<Connecting>> connections;

  void listen() {
    socket.async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& error) {
                        const auto self = weak.lock();
                        if (!self || error) return;
                        if (self->drain()) {
                          self->listen();
                        } else {
                          self->die();
                        }
                      });
  }

  /// False when the keeper is gone.
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
      if (parse_packet(buffer.data(), static_cast<std::size_t>(size), head, texts)) {
        handle(head, texts, descriptors);
      }
    }
  }

  void handle(const PacketHead& head, const std::vector<const char*>& texts,
              PacketDescriptors& descriptors) {
    const std::string text = texts.empty() ? std::string() : std::string(texts.front());
    if (head.verb == Verb::ready) {
      is_ready = true;
      ready = ready_from_texts(texts);
      changed.cancel();
    } else if (head.verb == Verb::refused) {
      refusal = text;
      changed.cancel();
    } else if (const auto waiting = connections.extract(head.id); !waiting.empty()) {
      const auto connecting = waiting.mapped().lock();
      if (!connecting) return;
      if (descriptors.count() == 1) connecting->connection = Descriptor(descriptors.take(0));
      connecting->error = head.verb == Verb::connected ? 0 : head.number;
      connecting->changed.cancel();
    } else {
      tell_process(head);
    }
  }

  void tell_process(const PacketHead& head) {
    const auto found = processes.find(head.id);
    if (found == processes.end()) return;
    const auto process = found->second.lock();
    processes.erase(found);
    if (!process) return;
    if (head.verb == Verb::failed) {
      process->exit = ProcessExit{.status = not_started_status,
                                  .not_started = not_started(process->program, head.number)};
    } else {
      process->exit = ProcessExit{
          .status = head.number, .wall = Micros{head.wall_us}, .cpu = Micros{head.cpu_us}};
    }
    process->tell();
  }

  void die() {
    alive = false;
    boost::system::error_code ignored;  // It is dead already.
    socket.close(ignored);
    changed.cancel();
    for (auto& [id, weak] : std::exchange(connections, {})) {
      if (const auto connecting = weak.lock()) {
        connecting->error = EPIPE;
        connecting->changed.cancel();
      }
    }
    for (auto& [id, weak] : std::exchange(processes, {})) {
      if (const auto process = weak.lock()) {
        process->exit = ProcessExit{.status = killed_status};
        process->tell();
      }
    }
    if (const auto callback = std::exchange(on_death, nullptr)) callback();
  }

  /// Errno, or 0. Waits while the keeper has more to do than its socket holds.
  asio::awaitable<int> send(std::string packet, const int* descriptors, int count) {
    const auto self = shared_from_this();
    for (;;) {
      if (!alive) co_return EPIPE;
      const int error =
          send_packet(socket.native_handle(), packet, descriptors, count, MSG_DONTWAIT);
      if (error != EAGAIN) co_return error;
      asio::steady_timer pause(executor, Millis{2});
      std::ignore = co_await pause.async_wait(as_result);
    }
  }

  void signal(std::uint64_t id, int number) {
    if (!alive) return;
    send_packet(socket.native_handle(),
                make_packet({.verb = Verb::kill, .id = id, .number = number}, {}), nullptr, 0,
                MSG_DONTWAIT);
  }
};

RunningProcess::RunningProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}
RunningProcess::RunningProcess(RunningProcess&&) noexcept = default;
RunningProcess& RunningProcess::operator=(RunningProcess&&) noexcept = default;
RunningProcess::~RunningProcess() {
  if (!state_) return;
  state_->ended = nullptr;
  kill();
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

bool RunningProcess::takes_input() const { return state_->input.is_open(); }
bool RunningProcess::has_ended() const { return state_->exit.has_value(); }

void RunningProcess::on_end(std::function<void()> callback) {
  state_->ended = std::move(callback);
  state_->tell();
}

void RunningProcess::kill() {
  if (!state_->exit) state_->keeper->signal(state_->id, SIGKILL);
}

void RunningProcess::terminate() {
  if (!state_->exit) state_->keeper->signal(state_->id, SIGTERM);
}

KeeperLink::KeeperLink(asio::any_io_executor executor, Descriptor socket)
    : state_(std::make_shared<State>(std::move(executor), socket.release())) {
  state_->listen();
}
KeeperLink::~KeeperLink() = default;

bool KeeperLink::alive() const { return state_->alive && state_->refusal.empty(); }
std::size_t KeeperLink::processes() const { return state_->processes.size(); }
const std::string& KeeperLink::temporary() const { return state_->ready.temporary; }
const UsagePlaces& KeeperLink::usage_places() const { return state_->ready.usage; }
void KeeperLink::on_death(std::function<void()> callback) const {
  state_->on_death = std::move(callback);
}

asio::awaitable<Result<void>> KeeperLink::ready() const {
  const std::shared_ptr<State> state = state_;
  while (!state->is_ready && state->refusal.empty() && state->alive) {
    // Several may wait, so nobody moves the timer: it was set when the replica was asked for.
    const auto [error] = co_await state->changed.async_wait(as_result);
    if (!error) co_return fail(ErrorCode::timed_out, "its sandbox was not ready in time");
  }
  if (!state->refusal.empty()) {
    co_return fail(ErrorCode::unavailable, "its sandbox could not be made: " + state->refusal);
  }
  if (!state->is_ready) co_return fail(ErrorCode::unavailable, "its sandbox died");
  co_return Result<void>{};
}

asio::awaitable<Result<RunningProcess>> KeeperLink::spawn(ProcessCommand command) const {
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
  if (!in || !out || !errors) co_return tl::unexpected(not_started(program, errno));
  const bool is_fed = command.input && command.input->size() <= ProcessCommand::input_bytes_max;
  if (is_fed) {
    const auto bytes_written =
        ::write(in->write.get(), command.input->data(), command.input->size());
    DFAAS_ASSERT(bytes_written == static_cast<ssize_t>(command.input->size()),
                 "an empty pipe holds a page");
    in->write.reset();
  }
  auto process =
      std::make_shared<RunningProcess::State>(state->executor, state, state->next_id++, program);
  std::vector<std::string> texts{command.directory};
  for (auto& text : command.arguments) texts.push_back(std::move(text));
  for (auto& text : command.environment) texts.push_back(std::move(text));
  const PacketHead head{.verb = Verb::spawn,
                        .id = process->id,
                        .arguments = static_cast<std::uint32_t>(command.arguments.size()),
                        .environment = static_cast<std::uint32_t>(command.environment.size())};
  const std::array<int, 3> descriptors{
      in->read.get(), out->write.get(),
      command.combine_output ? out->write.get() : errors->write.get()};
  state->processes.emplace(process->id, process);
  const int error = co_await state->send(make_packet(head, texts), descriptors.data(), 3);
  // Only the function may hold its ends: our copies would keep its pipes open.
  in->read.reset();
  out->write.reset();
  errors->write.reset();
  if (!is_fed) process->input.assign(in->write.release());
  process->output.assign(out->read.release());
  process->errors.assign(errors->read.release());
  if (error != 0) {
    state->processes.erase(process->id);
    co_return tl::unexpected(not_started(program, error));
  }
  co_return RunningProcess(std::move(process));
}

asio::awaitable<Result<Descriptor>> KeeperLink::connect(std::string path, int port) const {
  const std::shared_ptr<State> state = state_;
  const auto connecting = std::make_shared<Connecting>(state->executor);
  const std::uint64_t id = state->next_id++;
  state->connections.emplace(id, connecting);
  const PacketHead head{.verb = Verb::connect, .id = id, .number = port};
  const std::vector<std::string> texts{path};
  const int error = co_await state->send(make_packet(head, texts), nullptr, 0);
  if (error != 0) connecting->error = error;
  if (!connecting->error) {
    connecting->changed.expires_after(connect_patience);
    std::ignore = co_await connecting->changed.async_wait(as_result);
  }
  state->connections.erase(id);
  if (connecting->connection.get() >= 0) co_return std::move(connecting->connection);
  co_return fail(ErrorCode::unavailable, reason(connecting->error.value_or(ETIMEDOUT)));
}

}  // namespace dfaas
