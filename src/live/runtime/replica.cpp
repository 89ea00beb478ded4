// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/replica.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/runtime/resources.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t idle_max = 256;
constexpr Millis start_patience{60'000};  ///< Runtimes that load a model take their time.
constexpr Millis probe_patience{5'000};
constexpr Millis probe_pause_min{1};
constexpr Millis probe_pause_max{100};
constexpr Micros ahead_age_max{60'000'000};
constexpr std::size_t line_bytes_max = 4096;

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant(std::chrono::duration_cast<Micros>(since));
}

/// Lines of `text` go to the log; what follows the last line feed stays.
void log_lines(const FunctionName& function, std::string_view stream, std::string& text,
               const OutputSink& sink) {
  std::size_t from = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', from)) {
    log_event(LogLevel::info, "function_output",
              {{"function", function.full()},
               {"stream", std::string(stream)},
               {"text", text.substr(from, end - from)}});
    sink(function, text.substr(from, end - from));
    from = end + 1;
  }
  text.erase(0, from);
  if (text.size() <= line_bytes_max) return;
  text += '\n';
  log_lines(function, stream, text, sink);
}

/// Until the last process that holds the pipe is gone.
asio::awaitable<void> log_output(FunctionName function, std::string stream,
                                 asio::readable_pipe pipe, OutputSink sink) {
  std::array<char, 4096> piece{};
  std::string text;
  for (;;) {
    const auto [error, bytes] = co_await pipe.async_read_some(asio::buffer(piece), as_result);
    if (error) break;
    text.append(piece.data(), bytes);
    log_lines(function, stream, text, sink);
  }
  if (text.empty()) co_return;
  text += '\n';
  log_lines(function, stream, text, sink);
}

}  // namespace

Replica::Replica(asio::any_io_executor executor, TaskGroup* tasks, FunctionName function,
                 std::shared_ptr<const RunPlan> plan, KeeperLink keeper, OutputSink output)
    : executor_(std::move(executor)),
      tasks_(tasks),
      function_(std::move(function)),
      plan_(std::move(plan)),
      keeper_(std::move(keeper)),
      output_(std::move(output)),
      cpu_meter_(now()) {}

bool Replica::alive() const {
  return keeper_.alive() && !retiring && (!resident_ || !resident_->has_ended());
}

bool Replica::is_over() const { return !keeper_.alive() || !resident_ || resident_->has_ended(); }

void Replica::on_end(std::function<void()> callback) {
  ended_ = std::move(callback);
  keeper_.on_death(ended_);
}

std::optional<FunctionUsage> Replica::usage() {
  const auto used = read_resources(keeper_.usage_places());
  if (!used) return std::nullopt;
  return FunctionUsage{.cpu_millis = cpu_meter_.read(now(), used->cpu),
                       .memory_bytes = used->memory_bytes};
}

void Replica::terminate() {
  if (resident_) resident_->terminate();
}

asio::awaitable<Result<void>> Replica::start(std::shared_ptr<Replica> self) {
  if (auto made = co_await self->keeper_.ready(); !made) co_return pass_on(std::move(made));
  if (self->plan_->watchdog.mode == FunctionMode::classic) {
    self->is_ready_ = true;
    co_await fill(self);
    co_return Result<void>{};
  }
  ProcessCommand command = self->standing_command();
  auto process = co_await self->keeper_.spawn(std::move(command));
  if (!process) co_return pass_on(std::move(process));
  self->resident_ = std::move(*process);
  boost::system::error_code ignored;  // It gets no input.
  self->resident_->input().close(ignored);
  self->tasks_->spawn(
      log_output(self->function_, "stdout", std::move(self->resident_->output()), self->output_));
  self->tasks_->spawn(
      log_output(self->function_, "stderr", std::move(self->resident_->errors()), self->output_));
  if (self->ended_) self->resident_->on_end(self->ended_);

  const Instant until = now() + start_patience;
  Millis pause = probe_pause_min;
  for (;;) {
    if (!self->alive()) {
      if (self->resident_->has_ended()) {
        ProcessExit exit = co_await self->resident_->wait();
        if (exit.not_started) co_return tl::unexpected(std::move(*exit.not_started));
      }
      co_return fail(ErrorCode::unavailable, "its process ended before it answered");
    }
    if (co_await self->answers_ready()) break;
    if (now() > until) {
      co_return fail(ErrorCode::timed_out, fmt::format("its process did not answer in {} s",
                                                       start_patience.count() / 1000));
    }
    asio::steady_timer timer(self->executor_, pause);
    std::ignore = co_await timer.async_wait(as_result);
    pause = std::min(2 * pause, probe_pause_max);
  }
  self->is_ready_ = true;
  co_return Result<void>{};
}

asio::awaitable<Result<Descriptor>> Replica::open_connection() {
  return keeper_.connect(plan_->watchdog.socket, plan_->watchdog.port);
}

/// One try: does it listen and, where the function names a path for it, answer 200?
asio::awaitable<bool> Replica::answers_ready() {
  auto connected = co_await connect();
  if (!connected) co_return false;
  if (plan_->watchdog.ready_path.empty()) {
    give_back(std::move(connected->connection));
    co_return true;
  }
  ClientConnection connection = std::move(connected->connection);
  RequestHead head{.method = "GET", .target = plan_->watchdog.ready_path};
  head.headers.add("Host", "localhost");
  if (!co_await connection.write_request(std::move(head), {}, probe_patience)) co_return false;
  const auto answer = co_await connection.read_head(probe_patience);
  co_return answer && answer->status >= 200 && answer->status < 300;
}

asio::awaitable<Result<Replica::Connected>> Replica::connect() {
  while (!idle_.empty()) {
    ClientConnection connection = std::move(idle_.back());
    idle_.pop_back();
    if (!connection.stale()) co_return Connected{.connection = std::move(connection)};
  }
  auto opened = co_await open_connection();
  if (!opened) co_return pass_on(std::move(opened));
  auto connection = ClientConnection::adopt(executor_, opened->release());
  if (!connection) co_return pass_on(std::move(connection));
  co_return Connected{.connection = std::move(*connection), .is_fresh = true};
}

void Replica::give_back(ClientConnection connection) {
  if (idle_.size() < idle_max && !connection.stale()) idle_.push_back(std::move(connection));
}

asio::awaitable<Result<RunningProcess>> Replica::spawn(ProcessCommand command) {
  while (!ahead_.empty()) {
    Ahead first = std::move(ahead_.front());
    ahead_.pop_front();
    if (first.process.has_ended() || now() - first.since > ahead_age_max) continue;
    co_return std::move(first.process);
  }
  add_places(command.environment);
  co_return co_await keeper_.spawn(std::move(command));
}

void Replica::add_places(std::vector<std::string>& environment) const {
  if (keeper_.temporary().empty()) return;
  environment.push_back("TMPDIR=" + keeper_.temporary());
  if (!plan_->spec.secrets.empty()) {
    environment.push_back("secret_mount_path=" + keeper_.temporary() + "/secrets");
  }
}

ProcessCommand Replica::standing_command() const {
  ProcessCommand command{.arguments = plan_->command,
                         .environment = plan_->environment,
                         .directory = plan_->directory,
                         .combine_output = plan_->watchdog.combine_output};
  add_places(command.environment);
  return command;
}

asio::awaitable<void> Replica::fill(std::shared_ptr<Replica> self) {
  if (std::exchange(self->is_filling_, true)) co_return;
  const auto wanted = static_cast<std::size_t>(self->plan_->watchdog.prefork);
  std::erase_if(self->ahead_, [](const Ahead& ahead) {
    return ahead.process.has_ended() || now() - ahead.since > ahead_age_max;
  });
  while (self->ahead_.size() < wanted && self->alive()) {
    ProcessCommand command = self->standing_command();
    auto process = co_await self->keeper_.spawn(std::move(command));
    if (!process) break;  // The next call will try, and tell.
    self->ahead_.push_back({.process = std::move(*process), .since = now()});
  }
  self->is_filling_ = false;
}

}  // namespace dfaas
