// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/netem/janitor.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

namespace dfaas {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr Millis pause{20};

bool remove_group(const fs::path& group) {
  std::error_code
      ignored;  // What cannot be listed cannot be removed either; the caller tries again.
  std::vector<fs::path> below;
  for (fs::directory_iterator at(group, ignored); at != fs::directory_iterator();
       at.increment(ignored)) {
    if (at->is_directory(ignored)) below.push_back(at->path());
  }
  for (const fs::path& inner : below) remove_group(inner);
  return ::rmdir(group.c_str()) == 0 || errno == ENOENT;
}

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t bytes = ::read(descriptor, piece.data(), piece.size());
    if (bytes == 0 || (bytes < 0 && errno != EINTR)) return text;
    if (bytes > 0) text.append(piece.data(), static_cast<std::size_t>(bytes));
  }
}

void remove_all(const std::string& lines) {
  const auto until = SteadyClock::now() + Janitor::patience;
  for (std::size_t from = 0, end = 0; (end = lines.find('\0', from)) != std::string::npos;
       from = end + 1) {
    const char kind = lines[from];
    const fs::path path = lines.substr(from + 1, end - from - 1);
    const auto is_gone = [&] {
      std::error_code error;
      if (kind == 'g') return remove_group(path);
      fs::remove_all(path, error);
      return !error;
    };
    // Processes that were just killed take a moment to leave.
    while (!is_gone() && SteadyClock::now() < until) std::this_thread::sleep_for(pause);
  }
}

[[noreturn]] void work(int pipe) {
  ::setsid();  // A terminal's Ctrl-C is not for us.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(signal, SIG_IGN);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(nothing, standard);
  }
  remove_all(read_all(pipe));
  ::_exit(0);
}

void tell(int pipe, char kind, const std::string& path) {
  std::string line = kind + path;
  line.push_back('\0');
  // Lines are far below what a pipe takes at once; a janitor that is gone is told nothing.
  std::ignore = ::write(pipe, line.data(), line.size());
}

}  // namespace

Result<std::unique_ptr<Janitor>> Janitor::start() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::unavailable, "no pipe could be made");
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[1]);
    work(ends[0]);
  }
  ::close(ends[0]);
  if (pid < 0) {
    ::close(ends[1]);
    return fail(ErrorCode::unavailable, "no process could be started");
  }
  return std::unique_ptr<Janitor>(new Janitor(pid, ends[1]));
}

Janitor::~Janitor() {
  ::close(pipe_);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Janitor::add_directory(const std::string& path) { tell(pipe_, 'd', path); }
void Janitor::add_group(const std::string& path) { tell(pipe_, 'g', path); }

}  // namespace dfaas
