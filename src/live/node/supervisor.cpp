// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/node/supervisor.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/base/assert.hpp"
#include "live/telemetry/log.hpp"

extern char** environ;

namespace dfaas {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;

constexpr int death_descriptor = 9;
constexpr Millis pause_min{100};
constexpr Millis pause_max{5'000};
constexpr Millis healthy_after{10'000};
constexpr Millis ready_poll{20};

struct Child {
  SupervisedProgram program;
  bool has_started = false;  ///< It was ready once: from now on it is restarted when it dies.
  int early_status = 0;      ///< Of a program that ended before that.
  int starts = 0;
  pid_t pid = -1;
  pid_t predecessor = -1;    ///< Has handed over, or is about to.
  bool is_replaced = false;  ///< It was told to end, to be started again.
  SteadyClock::time_point started;
  Millis pause{0};
  std::unique_ptr<asio::steady_timer> timer;
};

std::string where_it_logs(const SupervisedProgram& program) {
  return program.log_file.empty() ? "its lines above" : program.log_file;
}

}  // namespace

struct Supervisor::State : std::enable_shared_from_this<Supervisor::State> {
  State(asio::any_io_executor executor_, std::vector<SupervisedProgram> programs)
      : executor(executor_), deaths(executor_, SIGCHLD), timer(executor_) {
    for (SupervisedProgram& program : programs) {
      children.push_back(
          {.program = std::move(program), .timer = std::make_unique<asio::steady_timer>(executor)});
    }
    // What a program of ours leaves when it is killed comes to us: a sandbox whose launcher died lives on.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    DFAAS_ASSERT(::pipe2(death_pipe.data(), O_CLOEXEC) == 0, "a pipe can be made at the start");
  }
  ~State() {
    for (const Child& child : children) {
      for (const pid_t pid : {child.pid, child.predecessor}) {
        if (pid > 0) ::kill(pid, SIGKILL);
      }
    }
    for (const pid_t pid : retired) ::kill(pid, SIGKILL);
    for (const int end : death_pipe) ::close(end);
  }

  asio::any_io_executor executor;
  std::vector<Child> children;
  std::array<int, 2> death_pipe{};
  asio::signal_set deaths;
  asio::steady_timer timer;
  std::vector<pid_t> retired;  ///< Finish what they have.
  bool stopping = false;
  bool replacing = false;
  std::function<void()> on_stopped;

  Result<void> spawn(Child& child) {
    const SupervisedProgram& program = child.program;
    if (program.before_start) {
      if (auto done = program.before_start(); !done) return done;
    }
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, death_pipe[0], death_descriptor);
    if (!program.log_file.empty()) {
      ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, program.log_file.c_str(),
                                         O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    }
    for (const auto& [target, ours] : program.descriptors) {
      ::posix_spawn_file_actions_adddup2(&actions, ours, target);
    }
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    // Own group: Ctrl-C of a terminal reaches the supervisor alone, which stops them in order.
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
    std::vector<std::string> texts;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string text(*variable);
      const std::string name = text.substr(0, text.find('='));
      if (!program.environment.contains(name) && !name.starts_with("LISTEN_"))
        texts.push_back(text);
    }
    for (const auto& [name, value] : program.environment)
      texts.push_back(fmt::format("{}={}", name, value));
    texts.push_back(fmt::format("DFAAS_DEATH_FD={}", death_descriptor));
    std::vector<std::string> words = program.command;
    if (child.predecessor > 0) {
      auto more = program.hand_over(child.predecessor);
      if (!more) return pass_on(std::move(more));
      words.insert(words.end(), more->begin(), more->end());
    }
    std::vector<char*> arguments;
    std::vector<char*> environment;
    arguments.reserve(words.size() + 1);
    environment.reserve(texts.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    for (std::string& text : texts) environment.push_back(text.data());
    arguments.push_back(nullptr);
    environment.push_back(nullptr);
    const int error = ::posix_spawn(&child.pid, arguments[0], &actions, &attributes,
                                    arguments.data(), environment.data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      child.pid = -1;
      return fail(ErrorCode::unavailable,
                  fmt::format("{} could not be started: {}", program.command.front(),
                              std::error_code(error, std::generic_category()).message()));
    }
    child.started = SteadyClock::now();
    ++child.starts;
    log_event(LogLevel::info, "program_started",
              {{"name", program.name}, {"pid", std::to_string(child.pid)}});
    return {};
  }

  void watch_deaths() {
    deaths.async_wait([weak = weak_from_this()](const boost::system::error_code& error, int) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->reap();
      self->watch_deaths();
    });
  }

  void reap() {
    for (;;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      std::erase(retired, pid);
      for (Child& child : children) {
        if (child.predecessor == pid) child.predecessor = -1;
      }
      const auto found = std::ranges::find(children, pid, &Child::pid);
      if (found == children.end())
        continue;  // An orphan that we adopted, or one that was replaced.
      Child& child = *found;
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      child.pid = -1;
      child.early_status = code;
      if (stopping) {
        stop_next();
        continue;
      }
      if (std::exchange(child.is_replaced, false)) continue;  // replace_next() waits for it.
      if (!child.has_started) continue;                       // await_ready() tells.
      log_event(LogLevel::error, "program_died",
                {{"name", child.program.name}, {"status", std::to_string(code)}});
      restart(child);
    }
  }

  void restart(Child& child) {
    const auto alive = SteadyClock::now() - child.started;
    const Millis pause = alive > healthy_after ? Millis{0} : child.pause;
    child.pause = std::clamp(2 * pause, pause_min, pause_max);
    child.timer->expires_after(pause);
    child.timer->async_wait(
        [weak = weak_from_this(), place = &child](const boost::system::error_code& error) {
          const auto self = weak.lock();
          if (error || !self || self->stopping) return;
          if (auto started = self->spawn(*place); !started) {
            log_event(LogLevel::error, "program_not_started", {{"why", started.error().message}});
            self->restart(*place);
          }
        });
  }

  void start_next(std::size_t at, Millis patience, std::function<void(Result<void>)> done) {
    if (stopping) return done(fail(ErrorCode::unavailable, "stopped while starting"));
    if (at == children.size()) return done({});
    if (auto started = spawn(children[at]); !started) return done(std::move(started));
    await_ready(
        at, SteadyClock::now() + patience, patience,
        [self = shared_from_this(), at, patience, done = std::move(done)](Result<void> ready) {
          if (!ready) return done(std::move(ready));
          self->start_next(at + 1, patience, done);
        });
  }

  /// Calls `then` when the process of this child has ended.
  void await_end(std::size_t at, SteadyClock::time_point until, std::function<void()> then) {
    if (stopping || children[at].pid < 0) return then();
    if (SteadyClock::now() > until) ::kill(children[at].pid, SIGKILL);
    timer.expires_after(ready_poll);
    timer.async_wait([self = shared_from_this(), at, until,
                      then = std::move(then)](const boost::system::error_code& /*stopped*/) {
      self->await_end(at, until, then);
    });
  }

  void replace_next(std::vector<std::size_t> places, Millis patience,
                    const std::function<void(Result<void>)>& done) {
    if (stopping) return done(fail(ErrorCode::unavailable, "stopped meanwhile"));
    if (places.empty()) return done({});
    const std::size_t at = places.front();
    places.erase(places.begin());
    Child& child = children[at];
    const auto go_on = [self = shared_from_this(), places, patience, done](Result<void> ready) {
      if (!ready) return done(std::move(ready));
      self->replace_next(places, patience, done);
    };
    if (child.pid < 0) return go_on({});  // It died, and is started anyway.
    if (child.program.hand_over) return take_over(at, patience, go_on);
    child.is_replaced = true;
    ::kill(child.pid, child.program.replace_signal);
    await_end(at, SteadyClock::now() + child.program.stop_patience,
              [self = shared_from_this(), at, patience, go_on] {
                if (self->stopping) return go_on(fail(ErrorCode::unavailable, "stopped meanwhile"));
                Child& ended = self->children[at];
                if (auto started = self->spawn(ended); !started) {
                  self->restart(ended);  // Tried again and again, as after a death.
                  return go_on(std::move(started));
                }
                self->await_ready(at, SteadyClock::now() + patience, patience, go_on);
              });
  }

  void take_over(std::size_t at, Millis patience, const std::function<void(Result<void>)>& done) {
    Child& child = children[at];
    child.predecessor = child.pid;
    child.has_started = false;  // It may end: its predecessor goes on.
    const auto give_back = [this, at](Result<void> failed) {
      Child& same = children[at];
      if (stopping) {  // The successor is told to end like all; its predecessor ends with us.
        if (same.predecessor > 0) retired.push_back(std::exchange(same.predecessor, -1));
        return failed;
      }
      if (same.pid > 0 && same.pid != same.predecessor) {
        retired.push_back(same.pid);
        ::kill(same.pid, SIGKILL);
      }
      same.has_started = true;
      same.pid = std::exchange(same.predecessor, -1);
      if (same.pid < 0) restart(same);
      return failed;
    };
    if (auto started = spawn(child); !started) return done(give_back(std::move(started)));
    await_ready(at, SteadyClock::now() + patience, patience,
                [self = shared_from_this(), at, done, give_back](Result<void> ready) {
                  if (!ready) return done(give_back(std::move(ready)));
                  Child& same = self->children[at];
                  const pid_t old = std::exchange(same.predecessor, -1);
                  if (old > 0) self->retired.push_back(old);
                  done({});
                });
  }

  void await_ready(std::size_t at, SteadyClock::time_point until, Millis patience,
                   std::function<void(Result<void>)> done) {
    const SupervisedProgram& program = children[at].program;
    if (children[at].pid < 0 && children[at].starts < program.start_tries && !stopping) {
      if (auto again = spawn(children[at]); !again) return done(std::move(again));
    }
    if (children[at].pid < 0) {
      return done(
          fail(ErrorCode::unavailable,
               fmt::format("{} ended with status {} before it was ready; see {}", program.name,
                           children[at].early_status, where_it_logs(program))));
    }
    if (!program.is_ready || program.is_ready(children[at].pid)) {
      children[at].has_started = true;
      return done({});
    }
    if (SteadyClock::now() > until) {
      return done(fail(ErrorCode::timed_out,
                       fmt::format("{} was not ready after {} ms; see {}", program.name,
                                   patience.count(), where_it_logs(program))));
    }
    timer.expires_after(ready_poll);
    timer.async_wait([self = shared_from_this(), at, until, patience,
                      done = std::move(done)](const boost::system::error_code& error) mutable {
      if (error) return done(fail(ErrorCode::unavailable, "stopped while starting"));
      self->await_ready(at, until, patience, std::move(done));
    });
  }

  /// The last one that still runs gets its signal; its death brings us back here.
  void stop_next() {
    timer.cancel();
    const auto last = std::find_if(children.rbegin(), children.rend(),
                                   [](const Child& child) { return child.pid > 0; });
    if (last == children.rend()) {
      boost::system::error_code ignored;
      deaths.cancel(ignored);
      if (on_stopped) std::exchange(on_stopped, nullptr)();
      return;
    }
    ::kill(last->pid, last->program.stop_signal);
    timer.expires_after(last->program.stop_patience);
    timer.async_wait([weak = weak_from_this(), pid = last->pid,
                      name = last->program.name](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      const bool still_runs = std::ranges::any_of(
          self->children, [pid](const Child& child) { return child.pid == pid; });
      if (!still_runs) return;
      log_event(LogLevel::warn, "program_killed",
                {{"name", name}, {"why", "it did not stop in time"}});
      ::kill(pid, SIGKILL);
    });
  }
};

Supervisor::Supervisor(asio::any_io_executor executor, std::vector<SupervisedProgram> programs)
    : state_(std::make_shared<State>(std::move(executor), std::move(programs))) {}
Supervisor::~Supervisor() = default;

void Supervisor::start(Millis patience, std::function<void(Result<void>)> done) {
  state_->watch_deaths();
  state_->start_next(0, patience, std::move(done));
}

void Supervisor::replace(const std::vector<std::string>& names, Millis patience,
                         std::function<void(Result<void>)> done) {
  const bool is_busy =
      state_->replacing || state_->stopping ||
      std::ranges::any_of(state_->children, [](const Child& child) { return !child.has_started; });
  if (is_busy) {
    return done(fail(ErrorCode::conflict, "its programs are being started, replaced or stopped"));
  }
  std::vector<std::size_t> places;
  for (const std::string& name : names) {
    const auto found = std::ranges::find_if(
        state_->children, [&](const Child& child) { return child.program.name == name; });
    DFAAS_ASSERT(found != state_->children.end(), "only known programs are replaced");
    places.push_back(static_cast<std::size_t>(found - state_->children.begin()));
  }
  state_->replacing = true;
  state_->replace_next(std::move(places), patience,
                       [state = state_.get(), done = std::move(done)](Result<void> replaced) {
                         state->replacing = false;
                         done(std::move(replaced));
                       });
}

void Supervisor::stop(std::function<void()> done) {
  state_->stopping = true;
  state_->on_stopped = std::move(done);
  for (Child& child : state_->children) child.timer->cancel();
  state_->stop_next();
}

int Supervisor::pid_of(const std::string& name) const {
  for (const Child& child : state_->children) {
    if (child.program.name == name) return child.pid;
  }
  return -1;
}

}  // namespace dfaas
