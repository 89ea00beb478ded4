// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <map>
#include <type_traits>

namespace dfaas {
namespace {

static_assert(std::is_trivially_copyable_v<KeeperHead>);

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

/// Up to three descriptors that came with a packet; closed with the object.
struct Descriptors {
  std::array<int, 3> values{-1, -1, -1};
  int count = 0;

  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    for (const int value : values) {
      if (value >= 0) ::close(value);
    }
  }
};

class Keeper {
 public:
  explicit Keeper(int socket) : socket_(socket) {}

  int run() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // Orphans of functions come to us.
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    const int signals = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) return 1;
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);  // A terminal's Ctrl-C is the supervisor's business.
    ::signal(SIGTERM, SIG_IGN);
    for (;;) {
      std::array<pollfd, 2> watch{{{socket_, POLLIN, 0}, {signals, POLLIN, 0}}};
      if (::poll(watch.data(), watch.size(), -1) < 0 && errno != EINTR) break;
      if (watch[1].revents != 0) {
        std::array<char, sizeof(signalfd_siginfo) * 16> drained{};
        while (::read(signals, drained.data(), drained.size()) > 0) {
        }
        reap();
      }
      if (watch[0].revents != 0 && !receive()) break;
    }
    end_all();
    return 0;
  }

 private:
  bool receive() {
    static std::array<char, keeper_packet_bytes_max> buffer;
    std::array<char, CMSG_SPACE(sizeof(int) * 3)> control{};
    iovec vector{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    Descriptors descriptors;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
      descriptors.count = static_cast<int>((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(descriptors.values.data(), CMSG_DATA(part),
                  sizeof(int) * static_cast<std::size_t>(descriptors.count));
    }
    KeeperHead head;
    std::vector<const char*> texts;
    if (!parse_keeper_packet(buffer.data(), static_cast<std::size_t>(size), head, texts))
      return true;
    if (head.verb == KeeperVerb::kill) {
      for (const auto& [pid, child] : children_) {
        if (child.id == head.id) ::kill(-pid, head.number);
      }
    } else if (head.verb == KeeperVerb::spawn) {
      spawn(head, texts, descriptors);
    }
    return true;
  }

  void spawn(const KeeperHead& head, const std::vector<const char*>& texts,
             const Descriptors& descriptors) {
    if (descriptors.count != 3 || head.arguments < 1 ||
        texts.size() != 1U + head.arguments + head.environment) {
      return answer({.verb = KeeperVerb::failed, .id = head.id, .number = EINVAL});
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
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    for (int target = 0; target < 3; ++target) {
      ::posix_spawn_file_actions_adddup2(
          &actions, descriptors.values.at(static_cast<std::size_t>(target)), target);
    }
    ::posix_spawn_file_actions_addchdir_np(&actions, texts[0]);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    const std::int64_t started = monotonic_us();
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, arguments[0], &actions, &attributes, arguments.data(),
                                    environment.data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return answer({.verb = KeeperVerb::failed, .id = head.id, .number = error});
    children_[pid] = {.id = head.id, .started_us = started};
    answer({.verb = KeeperVerb::spawned, .id = head.id, .number = pid});
  }

  void reap() {
    for (;;) {
      int status = 0;
      rusage used{};
      const pid_t pid = ::wait4(-1, &status, WNOHANG, &used);
      if (pid <= 0) return;
      const auto found = children_.find(pid);
      if (found == children_.end()) continue;  // An orphan.
      ::kill(-pid, SIGKILL);                   // What it left behind in its group.
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      answer({.verb = KeeperVerb::exited,
              .id = found->second.id,
              .number = code,
              .wall_us = monotonic_us() - found->second.started_us,
              .cpu_us = micros(used.ru_utime) + micros(used.ru_stime)});
      children_.erase(found);
    }
  }

  void answer(const KeeperHead& head) {
    const std::string packet = keeper_packet(head, {});
    // Blocks while the gateway is busy: the socket's buffer bounds what is under way.
    while (::send(socket_, packet.data(), packet.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
  }

  void end_all() {
    for (const auto& [pid, child] : children_) ::kill(-pid, SIGKILL);
  }

  int socket_;
  std::map<pid_t, Child> children_;
};

}  // namespace

std::string keeper_packet(const KeeperHead& head, const std::vector<std::string>& texts) {
  std::string packet(sizeof(KeeperHead), '\0');
  std::memcpy(packet.data(), &head, sizeof(KeeperHead));
  for (const std::string& text : texts) packet.append(text.c_str(), text.size() + 1);
  return packet;
}

bool parse_keeper_packet(const char* data, std::size_t size, KeeperHead& head,
                         std::vector<const char*>& texts) {
  if (size < sizeof(KeeperHead)) return false;
  std::memcpy(&head, data, sizeof(KeeperHead));
  const char* at = data + sizeof(KeeperHead);
  const char* const end = data + size;
  while (at < end) {
    const void* zero = std::memchr(at, 0, static_cast<std::size_t>(end - at));
    if (zero == nullptr) return false;
    texts.push_back(at);
    at = static_cast<const char*>(zero) + 1;
  }
  return true;
}

int keeper_main(int socket) { return Keeper(socket).run(); }

}  // namespace dfaas
