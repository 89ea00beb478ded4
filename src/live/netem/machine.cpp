// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/netem/machine.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "core/base/text.hpp"

extern char** environ;

namespace dfaas {
namespace {

namespace asio = boost::asio;

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

/// Everything that the child needs, made before it exists: between clone and exec nothing may allocate.
struct Launch {
  const MachinePlan* plan = nullptr;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  int report = -1;  ///< The step that failed and errno go here; closed by a successful exec.
};

struct Failure {
  int step = 0;
  int error = 0;
};

constexpr std::array<const char*, 9> steps{"dying with its parent",
                                           "entering its group",
                                           "entering its network",
                                           "naming it",
                                           "its mounts",
                                           "its /proc",
                                           "its first process",
                                           "its log file",
                                           "its program"};

[[noreturn]] void give_up(const Launch& launch, int step) {
  const Failure failure{.step = step, .error = errno};
  std::ignore = ::write(launch.report, &failure, sizeof failure);
  ::_exit(127);
}

void clear_signals() {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
}

/// The first process of a machine: collects what is left to it, and ends with the last of the others. Status of
/// the program.
[[noreturn]] void be_first(pid_t program) {
  // Nothing of the emulator's may live on in here: neither its report nor the cables of the others.
  ::close_range(0, ~0U, 0);
  int result = 0;
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended == program) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno == ECHILD) ::_exit(result);
  }
}

[[noreturn]] void become_machine(const Launch& launch) {
  const MachinePlan& plan = *launch.plan;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(launch, 0);
  ::setsid();  // A terminal's Ctrl-C is for us, who then stop it.
  for (const std::string& group : plan.groups) {
    const int file = ::open(group.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0 || ::write(file, "0", 1) != 1) give_up(launch, 1);
    ::close(file);
  }
  if (::setns(plan.network, CLONE_NEWNET) != 0) give_up(launch, 2);
  if (::sethostname(plan.name.c_str(), plan.name.size()) != 0) give_up(launch, 3);
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) give_up(launch, 4);
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    give_up(launch, 5);
  }
  // Not fork(): it takes locks that a thread of the emulator may have held.
  const long program = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (program < 0) give_up(launch, 6);
  if (program > 0) be_first(static_cast<pid_t>(program));
  ::setsid();
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int log = ::open(plan.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (input < 0 || log < 0) give_up(launch, 7);
  ::dup2(input, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  clear_signals();
  ::execve(launch.arguments[0], launch.arguments.data(), launch.environment.data());
  give_up(launch, 8);
}

/// What a file of /proc says; nothing, or a part, where its process ends meanwhile. (An iterator of the buffer
/// would throw then.)
std::string text_of(int pid, const char* name) {
  const std::ifstream file(fmt::format("/proc/{}/{}", pid, name));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Words behind the parent's of a line in /proc: state and parent.
int parent_of(int pid) {
  const std::string text = text_of(pid, "stat");
  const std::size_t behind_name = text.rfind(')');
  if (behind_name == std::string::npos) return -1;
  std::istringstream fields(text.substr(behind_name + 1));
  std::string state;
  int parent = -1;
  fields >> state >> parent;
  return state == "Z" ? -1 : parent;
}

/// agent of "dfaas agent", launcher of "dfaas-launcher", haproxy. A keeper tells by its name alone: it is a fork.
std::string job_of(int pid) {
  constexpr std::string_view ours = "dfaas-";
  const std::string comm = text_of(pid, "comm");
  const std::string_view name = split(comm, '\n').front();
  if (name.starts_with(ours)) return std::string(name.substr(ours.size()));
  const std::string text = text_of(pid, "cmdline");
  const std::vector<std::string_view> words = split(text, '\0');
  const std::string program = std::filesystem::path(words.front()).filename().string();
  return program == "dfaas" && words.size() > 1 ? std::string(words[1]) : program;
}

/// Processes that are not zombies, by parent.
std::multimap<int, int> processes_by_parent() {
  std::multimap<int, int> found;
  std::error_code ignored;  // A process that ends meanwhile is not there.
  for (std::filesystem::directory_iterator at("/proc", ignored);
       at != std::filesystem::directory_iterator(); at.increment(ignored)) {
    const auto number = parse_unsigned(at->path().filename().string());
    if (!number) continue;
    const auto pid = static_cast<int>(*number);
    found.emplace(parent_of(pid), pid);
  }
  return found;
}

void add_descendants(const std::multimap<int, int>& by_parent, int parent,
                     std::multimap<std::string, int>& found) {
  const auto [begin, end] = by_parent.equal_range(parent);
  for (auto at = begin; at != end; ++at) {
    found.emplace(job_of(at->second), at->second);
    add_descendants(by_parent, at->second, found);
  }
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

struct Machine::State : std::enable_shared_from_this<Machine::State> {
  State(const asio::any_io_executor& executor, pid_t first, pid_t started, int descriptor)
      : pid(first), program(started), gone(executor, descriptor) {}

  pid_t pid;
  pid_t program;  ///< -1 where it ended before it could be looked for.
  bool is_running = true;
  asio::posix::stream_descriptor
      gone;  ///< A descriptor of the process: readable when it has ended.
  std::function<void()> on_end;

  [[nodiscard]] int find_program() const {
    return program > 0 && parent_of(program) == pid ? program : -1;
  }

  /// Asked without waiting: the loop may tell of a descriptor what was true of an earlier one in its place, when
  /// a machine ends and another starts in one round of it.
  [[nodiscard]] bool has_ended() const {
    siginfo_t seen{};
    const int asked = ::waitid(P_PID, static_cast<id_t>(pid), &seen, WEXITED | WNOHANG | WNOWAIT);
    return asked != 0 || seen.si_pid == pid;
  }

  void watch() {
    gone.async_wait(asio::posix::stream_descriptor::wait_read,
                    [weak = weak_from_this()](const boost::system::error_code& e) {
                      const auto self = weak.lock();
                      if (e || !self || !self->is_running) return;
                      if (!self->has_ended()) return self->watch();
                      self->reap();
                      self->on_end();
                    });
  }

  void reap() {
    if (std::exchange(is_running, false)) std::ignore = wait_for(pid);
  }
};

Machine::Machine(std::shared_ptr<State> state) : state_(std::move(state)) {}

Machine::~Machine() {
  kill();
  state_->reap();
}

Result<std::unique_ptr<Machine>> Machine::start(asio::any_io_executor executor,
                                                const MachinePlan& plan,
                                                std::function<void()> on_end) {
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::unavailable, "no pipe could be made: " + reason(errno));
  }
  const Descriptor reading(report[0]);
  Descriptor writing(report[1]);
  std::vector<std::string> words = plan.command;
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (!text.starts_with("LISTEN_") && !text.starts_with("DFAAS_")) variables.emplace_back(text);
  }
  Launch launch{.plan = &plan, .arguments = {}, .environment = {}, .report = writing.get()};
  for (const auto& [name, value] : plan.environment)
    variables.push_back(fmt::format("{}={}", name, value));
  for (std::string& word : words) launch.arguments.push_back(word.data());
  for (std::string& variable : variables) launch.environment.push_back(variable.data());
  launch.arguments.push_back(nullptr);
  launch.environment.push_back(nullptr);
  // As fork(), with spaces of its own. There is no wrapper of the C library that returns in the child.
  const long pid = ::syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | SIGCHLD,
                             nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) become_machine(launch);
  if (pid < 0) {
    return fail(ErrorCode::unavailable,
                fmt::format("machine {} could not be started: {}", plan.name, reason(errno)));
  }
  const auto first = static_cast<pid_t>(pid);
  writing = Descriptor();
  Failure failure;
  if (::read(reading.get(), &failure, sizeof failure) == sizeof failure) {
    std::ignore = wait_for(first);
    return fail(
        ErrorCode::unavailable,
        fmt::format("machine {}: {}: {}", plan.name,
                    steps.at(static_cast<std::size_t>(failure.step)), reason(failure.error)));
  }
  const auto descriptor = static_cast<int>(::syscall(SYS_pidfd_open, first, 0));
  if (descriptor < 0) {
    const int error = errno;
    ::kill(first, SIGKILL);
    std::ignore = wait_for(first);
    return fail(ErrorCode::unavailable,
                fmt::format("machine {}: it cannot be watched (Linux 5.3 is needed): {}", plan.name,
                            reason(error)));
  }
  const auto by_parent = processes_by_parent();
  const auto program = by_parent.find(first);
  auto state = std::make_shared<State>(
      executor, first, program != by_parent.end() ? program->second : -1, descriptor);
  state->on_end = std::move(on_end);
  state->watch();
  return std::unique_ptr<Machine>(new Machine(std::move(state)));
}

void Machine::ask_to_stop() {
  const int program = program_pid();
  if (program > 0) ::kill(program, SIGTERM);
}
void Machine::kill() {
  if (state_->is_running) ::kill(state_->pid, SIGKILL);
}
int Machine::pid() const { return state_->pid; }
bool Machine::is_running() const { return state_->is_running; }
int Machine::program_pid() const { return state_->is_running ? state_->find_program() : -1; }

std::multimap<std::string, int> Machine::programs() const {
  std::multimap<std::string, int> found;
  const int program = program_pid();
  if (program > 0) add_descendants(processes_by_parent(), program, found);
  return found;
}

Result<int> run_command(const NetworkNamespace& network, int machine_pid,
                        const std::string& command_line, std::atomic<int>* child) {
  const Descriptor machine(
      machine_pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, machine_pid, 0)) : -1);
  const pid_t outer = ::fork();
  if (outer < 0)
    return fail(ErrorCode::unavailable, "no process could be started: " + reason(errno));
  if (outer > 0) {
    if (child != nullptr) *child = outer;
    const int status = wait_for(outer);
    if (child != nullptr) *child = -1;
    return status;
  }
  clear_signals();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Processes of a machine are children of one that entered it, so two are needed.
  const bool is_inside =
      machine.get() >= 0
          ? ::setns(machine.get(), CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET) == 0
          : ::setns(network.descriptor(), CLONE_NEWNET) == 0;
  if (!is_inside) ::_exit(126);
  const pid_t inner = ::fork();
  if (inner == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execl("/bin/sh", "sh", "-c", command_line.c_str(), nullptr);
    ::_exit(127);
  }
  ::_exit(inner < 0 ? 126 : wait_for(inner));
}

}  // namespace dfaas
