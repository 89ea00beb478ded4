// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The least that a process per call costs: two pipes, posix_spawn (vfork and exec), body in, answer out, wait.
///
/// Use      As the floor of what a platform takes for the same program: bare_spawn COUNT PROGRAM [ARGUMENT]...
/// Output   One line of JSON: CPU time per call in microseconds, its own and the program's; and the median
///          time of a call in milliseconds.
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

double cpu_us(int who) {
  rusage used{};
  ::getrusage(who, &used);
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return micros(used.ru_utime) + micros(used.ru_stime);
}

void call(std::vector<char*>& arguments, const std::string& body) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) give_up("pipe2");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  pid_t pid = 0;
  std::array<char*, 1> environment{nullptr};
  const int error =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    give_up(arguments[0]);
  }
  ::close(in[0]);
  ::close(out[1]);
  // A program may end without reading.
  if (::write(in[1], body.data(), body.size()) < 0 && errno != EPIPE) give_up("write");
  ::close(in[1]);
  std::array<char, 4096> answer{};
  while (::read(out[0], answer.data(), answer.size()) > 0) {
  }
  ::close(out[0]);
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid || status != 0) give_up("waitpid");
}

}  // namespace

int main(int count, char** words) {
  if (count < 3) {
    std::fputs("usage: bare_spawn COUNT PROGRAM [ARGUMENT]...\n", stderr);
    return 2;
  }
  const long calls = std::strtol(words[1], nullptr, 10);
  std::vector<char*> arguments(words + 2, words + count);
  arguments.push_back(nullptr);
  const std::string body(100, 'x');
  std::vector<double> times_ms;
  const double before = cpu_us(RUSAGE_SELF) + cpu_us(RUSAGE_CHILDREN);
  for (long done = 0; done < calls; ++done) {
    const auto since = Clock::now();
    call(arguments, body);
    times_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - since).count());
  }
  const double used = cpu_us(RUSAGE_SELF) + cpu_us(RUSAGE_CHILDREN) - before;
  std::sort(times_ms.begin(), times_ms.end());
  std::printf("{\"cpu_us\": %.2f, \"p50_ms\": %.4f}\n", used / static_cast<double>(calls),
              times_ms[times_ms.size() / 2]);
  return 0;
}
