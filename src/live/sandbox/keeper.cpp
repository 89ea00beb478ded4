// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/keeper.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "live/sandbox/packet.hpp"

namespace dfaas {
namespace {

constexpr int connect_patience_ms =
    50;  ///< Guessed: a connection within one host takes microseconds.

struct Child {
  std::uint64_t id = 0;
  std::int64_t started_us = 0;
};

std::int64_t monotonic_us() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000 + time.tv_nsec / 1000;
}

std::int64_t micros(const timeval& time) { return time.tv_sec * 1'000'000 + time.tv_usec; }

/// A connection to a unix socket, or to a port of this replica. A descriptor, or -1 with errno set.
int connect_to(const char* path, int port) {
  const bool is_unix = path[0] != '\0';
  const int socket =
      ::socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return -1;
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (is_unix) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    std::memcpy(&storage, &address, size = sizeof address);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::memcpy(&storage, &address, size = sizeof address);
  }
  // NOLINTNEXTLINE: the form of the socket API.
  int error = ::connect(socket, reinterpret_cast<const sockaddr*>(&storage), size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd watch{socket, POLLOUT, 0};
    socklen_t error_size = sizeof error;
    if (::poll(&watch, 1, connect_patience_ms) != 1) {
      error = ETIMEDOUT;
    } else {
      ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &error_size);
    }
  }
  if (error == 0) return socket;
  ::close(socket);
  errno = error;
  return -1;
}

/// What a new process needs to become the program.
struct Start {
  std::array<int, 3> descriptors{};
  const char* directory = nullptr;
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
};

/// In the child of vfork(), which has our memory: nothing but system calls, and `error` set when it failed.
[[noreturn]] void become(const Start& start, volatile int* error) {
  ::setsid();  // Its group is what is killed at its end.
  for (const int ignored_by_us : {SIGPIPE, SIGINT, SIGTERM}) ::signal(ignored_by_us, SIG_DFL);
  bool is_set = true;
  for (int target = 0; target < 3; ++target) {
    is_set = is_set && ::dup2(start.descriptors.at(static_cast<std::size_t>(target)), target) >= 0;
  }
  if (is_set && ::chdir(start.directory) == 0) {
    ::close_range(3, ~0U, 0);  // All are close-on-exec; kernels before 5.9 need to rely on it.
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(start.arguments[0], start.arguments, start.environment);
  }
  *error = errno;
  ::_exit(127);
}

/// A process that became the program. Its id, or -1 with errno set.
///
/// vfork() itself, since posix_spawn() makes 64 system calls about signals and two for a stack each time.
pid_t start_process(const Start& start) {
  volatile int error = 0;
  const pid_t pid = ::vfork();  // NOLINT: the child only makes system calls, on a frame of its own.
  if (pid == 0) become(start, &error);
  if (pid < 0 || error == 0) return pid;
  ::waitpid(pid, nullptr, 0);
  errno = error;
  return -1;
}

class Keeper {
 public:
  Keeper(int socket, int children) : socket_(socket), list_(children) {}

  int run() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // Orphans of functions come to us.
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    const int signals = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) return 1;
    for (int number = 1; number < NSIG; ++number)
      ::signal(number, SIG_DFL);  // As functions get them.
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);  // A terminal's Ctrl-C is the supervisor's business.
    ::signal(SIGTERM, SIG_IGN);
    for (;;) {
      std::array<pollfd, 2> watch{{{socket_, POLLIN, 0}, {signals, POLLIN, 0}}};
      if (::poll(watch.data(), watch.size(), -1) < 0 && errno != EINTR) break;
      if (watch[1].revents != 0) {
        signalfd_siginfo taken{};  // One stands for all that ended since the last.
        if (::read(signals, &taken, sizeof taken) > 0) reap();
      }
      if (watch[0].revents != 0 && !receive()) break;
    }
    end_all();
    return 0;
  }

 private:
  bool receive() {
    static std::array<char, packet_bytes_max> buffer;
    PacketDescriptors descriptors;
    const long size =
        receive_packet(socket_, buffer.data(), buffer.size(), descriptors, MSG_DONTWAIT);
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    PacketHead head;
    std::vector<const char*> texts;
    if (!parse_packet(buffer.data(), static_cast<std::size_t>(size), head, texts)) return true;
    if (head.verb == Verb::kill) {
      for (const auto& [pid, child] : children_) {
        if (child.id == head.id) ::kill(-pid, head.number);
      }
    } else if (head.verb == Verb::spawn) {
      spawn(head, texts, descriptors);
    } else if (head.verb == Verb::connect) {
      connect(head, texts);
    }
    return true;
  }

  void spawn(const PacketHead& head, const std::vector<const char*>& texts,
             const PacketDescriptors& descriptors) {
    if (descriptors.count() != 3 || head.arguments < 1 ||
        texts.size() != 1U + head.arguments + head.environment) {
      return answer({.verb = Verb::failed, .id = head.id, .number = EINVAL});
    }
    std::vector<char*> arguments;
    std::vector<char*> environment;
    for (std::size_t at = 1; at < texts.size(); ++at) {
      auto& list = at <= head.arguments ? arguments : environment;
      list.push_back(
          const_cast<char*>(texts[at]));  // NOLINT: what execve() wants; it does not write.
    }
    arguments.push_back(nullptr);
    environment.push_back(nullptr);
    const std::int64_t started = monotonic_us();
    const pid_t pid =
        start_process({.descriptors = {descriptors.at(0), descriptors.at(1), descriptors.at(2)},
                       .directory = texts[0],
                       .arguments = arguments.data(),
                       .environment = environment.data()});
    if (pid < 0) return answer({.verb = Verb::failed, .id = head.id, .number = errno});
    children_[pid] = {.id = head.id, .started_us = started};
  }

  void connect(const PacketHead& head, const std::vector<const char*>& texts) {
    const int connection = connect_to(texts.empty() ? "" : texts[0], head.number);
    if (connection < 0) return answer({.verb = Verb::failed, .id = head.id, .number = errno});
    const std::string packet = make_packet({.verb = Verb::connected, .id = head.id}, {});
    send_packet(socket_, packet, &connection, 1, 0);
    ::close(connection);
  }

  void reap() {
    for (;;) {
      int status = 0;
      rusage used{};
      const pid_t pid = ::wait4(-1, &status, WNOHANG, &used);
      if (pid == 0) return end_orphans();  // Something lives that is not ours any more, or a call.
      if (pid < 0) return;
      const auto found = children_.find(pid);
      if (found == children_.end()) continue;  // An orphan.
      ::kill(-pid, SIGKILL);                   // What it left behind in its group.
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      answer({.verb = Verb::exited,
              .id = found->second.id,
              .number = code,
              .wall_us = monotonic_us() - found->second.started_us,
              .cpu_us = micros(used.ru_utime) + micros(used.ru_stime)});
      children_.erase(found);
    }
  }

  /// What left its group and outlived its call. Which call that was, nobody can tell while others run.
  void end_orphans() const {
    if (!children_.empty()) return;
    if (is_first_) {
      ::kill(-1, SIGKILL);
      return;
    }
    std::array<char, 4096> text{};
    const ssize_t size = list_ < 0 ? 0 : ::pread(list_, text.data(), text.size() - 1, 0);
    // Each that is killed may leave us its own children, which the signal of its end brings here again.
    for (char* at = text.data(); size > 0 && *at != '\0';) {
      const pid_t pid = static_cast<pid_t>(std::strtol(at, &at, 10));
      if (pid <= 0) break;
      ::kill(pid, SIGKILL);
    }
  }

  void answer(const PacketHead& head) {
    // Blocks while the gateway is busy: the socket's buffer bounds what is under way.
    send_packet(socket_, make_packet(head, {}), nullptr, 0, 0);
  }

  void end_all() {
    for (const auto& [pid, child] : children_) ::kill(-pid, SIGKILL);
    children_.clear();
    end_orphans();
  }

  int socket_;
  int list_;
  bool is_first_ = ::getpid() == 1;  ///< Of a pid namespace: all other processes there are ours.
  std::map<pid_t, Child> children_;
};

}  // namespace

int keeper_main(int socket, int children) { return Keeper(socket, children).run(); }

}  // namespace dfaas
