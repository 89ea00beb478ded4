// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/replica.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "live/sandbox/file_system.hpp"
#include "live/sandbox/keeper.hpp"
#include "live/sandbox/landlock.hpp"
#include "live/sandbox/packet.hpp"
#include "live/sandbox/seccomp_filter.hpp"

namespace dfaas {
namespace {

constexpr unsigned inner_user =
    10'000;  ///< Of functions in a user namespace; it has one user only.
constexpr rlim_t open_files_max = 4096;
constexpr std::uint64_t host_name_bytes_max = 63;

tl::unexpected<Error> failed(const std::string& what) {
  return fail(ErrorCode::unavailable, what + ": " + std::strerror(errno));  // NOLINT: one thread.
}

Result<void> write_file_once(const char* file, const std::string& text) {
  const int descriptor = ::open(file, O_WRONLY | O_CLOEXEC);
  const bool written = descriptor >= 0 && ::write(descriptor, text.data(), text.size()) ==
                                              static_cast<ssize_t>(text.size());
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  errno = error;
  if (!written) return failed(file);
  return {};
}

/// The one user of the new namespace is the one that we are outside of it.
Result<void> map_user(uid_t user, gid_t group) {
  const std::string inner = std::to_string(inner_user) + " ";
  if (auto done = write_file_once("/proc/self/setgroups", "deny"); !done) return done;
  if (auto done = write_file_once("/proc/self/uid_map", inner + std::to_string(user) + " 1");
      !done) {
    return done;
  }
  return write_file_once("/proc/self/gid_map", inner + std::to_string(group) + " 1");
}

/// Threads of our user on this host: what RLIMIT_NPROC counts from, where users are shared.
rlim_t threads_of_user() {
  rlim_t threads = 0;
  DIR* directory = ::opendir("/proc");
  if (directory == nullptr) return 0;
  while (const dirent* entry = ::readdir(directory)) {  // NOLINT: one thread.
    const std::string name(static_cast<const char*>(entry->d_name));
    if (std::isdigit(static_cast<unsigned char>(name.front())) == 0) continue;
    const std::string path = "/proc/" + name;
    struct stat owner{};
    if (::stat(path.c_str(), &owner) != 0 || owner.st_uid != ::getuid()) continue;
    std::ifstream status(path + "/status");
    for (std::string word; status >> word;) {
      if (word != "Threads:") continue;
      rlim_t count = 0;
      status >> count;
      threads += count;
      break;
    }
  }
  ::closedir(directory);
  return threads;
}

Result<void> set_limit(__rlimit_resource resource, rlim_t value, const char* name) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  limit.rlim_cur = limit.rlim_max = std::min(value, limit.rlim_max);
  if (::setrlimit(resource, &limit) != 0) return failed(name);
  return {};
}

Result<void> set_limits(const ReplicaPlan& plan, const Cgroups& cgroups, bool has_own_user) {
  if (auto done = set_limit(RLIMIT_CORE, 0, "limit of core files"); !done) return done;
  if (auto done = set_limit(RLIMIT_NOFILE, open_files_max, "limit of open files"); !done) {
    return done;
  }
  const ReplicaSpec& spec = plan.spec;
  if (spec.processes > 0 && !cgroups.has("pids") && plan.tier != SandboxTier::none) {
    const rlim_t others = has_own_user ? 0 : threads_of_user();
    if (auto done = set_limit(RLIMIT_NPROC, others + spec.processes, "limit of processes"); !done) {
      return done;
    }
  }
  // Memory that is written to, not addresses that are reserved, of which some runtimes take terabytes.
  if (spec.memory_bytes > 0 && !cgroups.has("memory")) {
    if (auto done = set_limit(RLIMIT_DATA, spec.memory_bytes, "limit of memory"); !done) {
      return done;
    }
  }
  // A directory of the host has no size of its own: at least no single file fills the disk.
  if (!plan.temporary.empty() && spec.tmp_bytes > 0) {
    return set_limit(RLIMIT_FSIZE, spec.tmp_bytes, "limit of file sizes");
  }
  return {};
}

Result<void> raise_loopback() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP;
  const bool done = socket >= 0 && ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  const int error = errno;
  if (socket >= 0) ::close(socket);
  errno = error;
  if (!done) return failed("loopback");
  return {};
}

/// Gives up users, groups and capabilities for good.
Result<void> drop_privileges(unsigned user, bool changes_user) {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    // Without the privilege to do so there is nothing to drop either.
    ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  if (changes_user) {
    if (::setgroups(0, nullptr) != 0) return failed("leaving groups");
    if (::setresgid(user, user, user) != 0) return failed("changing the group");
    if (::setresuid(user, user, user) != 0) return failed("changing the user");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) return failed("dropping capabilities");
  return {};
}

std::string host_name_of(const std::string& function) {
  std::string name = function.substr(0, function.find('.'));
  name.resize(std::min<std::size_t>(name.size(), host_name_bytes_max));
  return name.empty() ? "function" : name;
}

/// In the new process, from the first instruction to the last restriction.
Result<void> confine(const ReplicaPlan& plan, const Cgroups& cgroups, uid_t user, gid_t group) {
  const ReplicaSpec& spec = plan.spec;
  const bool is_root = user == 0;
  const unsigned function_user =
      plan.use_user_namespace ? inner_user : plan.settings.first_user + spec.user;
  const bool changes_user = is_root && !plan.use_user_namespace && plan.tier != SandboxTier::none;
  if (plan.use_user_namespace) {
    if (auto mapped = map_user(user, group); !mapped) return mapped;
  }
  if (auto limited = set_limits(plan, cgroups, changes_user || plan.use_user_namespace); !limited) {
    return limited;
  }
  if (plan.tier == SandboxTier::namespaces) {
    if (auto entered = enter_file_system(plan.settings, spec, function_user); !entered) {
      return entered;
    }
    if (!spec.host_network) {
      if (auto raised = raise_loopback(); !raised) return raised;
    }
    const std::string name = host_name_of(spec.name);
    if (::sethostname(name.data(), name.size()) != 0) return failed("host name");
  }
  if (plan.tier == SandboxTier::landlock && !spec.secrets.empty()) {
    const std::string directory = plan.temporary + "/secrets";
    const unsigned owner = changes_user ? function_user : user;
    if (::mkdir(directory.c_str(), 0755) != 0) return failed(directory);
    if (auto copied = copy_secrets(directory, spec, owner); !copied) return copied;
  }
  if (plan.tier == SandboxTier::landlock && changes_user &&
      ::chown(plan.temporary.c_str(), function_user, function_user) != 0) {
    return failed(plan.temporary);
  }
  if (plan.tier != SandboxTier::none) {
    if (auto dropped = drop_privileges(function_user, changes_user); !dropped) return dropped;
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("no_new_privs");
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (plan.tier == SandboxTier::none) return {};
  if (plan.tier == SandboxTier::landlock) {
    if (auto confined = confine_by_landlock(plan.settings, spec, plan.temporary); !confined) {
      return confined;
    }
  }
  Network network = Network::open;
  if (plan.tier == SandboxTier::landlock && !spec.host_network) {
    network = spec.port != 0 ? Network::port : Network::none;
  }
  return install_seccomp_filter(network);
}

struct Outside {
  uid_t user = 0;
  gid_t group = 0;
};

/// Leaves everything of the launcher behind but one socket.
void detach(int socket) {
  ::setsid();
  ::umask(022);
  // The launcher is not dumpable, and the files of such a process under /proc belong to root.
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (socket != inherited_socket) ::dup3(socket, inherited_socket, O_CLOEXEC);
  ::close_range(inherited_socket + 1, ~0U, 0);
}

/// Where the launcher, and whoever sees the same processes, finds this replica. Before the new file system.
UsagePlaces usage_places(const ReplicaPlan& plan, const Cgroups& cgroups) {
  UsagePlaces places;
  std::array<char, 24> self{};  // Of the /proc outside: our number there, not the one inside.
  if (::readlink("/proc/self", self.data(), self.size() - 1) > 0) {
    places.keeper = static_cast<int>(std::strtol(self.data(), nullptr, 10));
  }
  auto directories = cgroups.directories_of(plan.id);
  places.memory_group = std::move(directories["memory"]);
  // In version 2 every group has the file, whoever manages processors.
  const bool is_v2 = cgroups.by() == LimitsBy::cgroup_v2;
  places.cpu_group = is_v2 ? places.memory_group : std::move(directories["cpu"]);
  return places;
}

[[noreturn]] void become_keeper(const ReplicaPlan& plan, const Cgroups& cgroups, Outside outside,
                                Result<void> joined) {
  ::prctl(PR_SET_NAME, "dfaas-keeper", 0, 0, 0);
  int children = -1;
  if (plan.tier != SandboxTier::namespaces) {  // Opened now: later it would be out of reach.
    const std::string list = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
    children = ::open(list.c_str(), O_RDONLY | O_CLOEXEC);
  }
  const ReplicaReady ready{.temporary = plan.temporary, .usage = usage_places(plan, cgroups)};
  const Result<void> confined =
      joined ? confine(plan, cgroups, outside.user, outside.group) : std::move(joined);
  const PacketHead head{.verb = confined ? Verb::ready : Verb::refused, .number = ::getpid()};
  const std::vector<std::string> texts =
      confined ? to_texts(ready) : std::vector<std::string>{confined.error().message};
  if (send_packet(inherited_socket, make_packet(head, texts), nullptr, 0, 0) != 0 || !confined) {
    ::_exit(1);
  }
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int descriptor = 0; descriptor < 3 && nothing >= 0; ++descriptor) {
    ::dup2(nothing, descriptor);
  }
  ::_exit(keeper_main(inherited_socket, children));
}

[[noreturn]] void wait_as_spare(ReplicaPlan plan, const Cgroups& cgroups, Outside outside) {
  ::prctl(PR_SET_NAME, "dfaas-spare", 0, 0, 0);
  Result<void> joined = cgroups.join(plan.id);
  static std::array<char, packet_bytes_max> buffer;
  PacketDescriptors descriptors;
  const long size = receive_packet(inherited_socket, buffer.data(), buffer.size(), descriptors, 0);
  PacketHead head;
  std::vector<const char*> texts;
  const bool is_wanted = size > 0 &&
                         parse_packet(buffer.data(), static_cast<std::size_t>(size), head, texts) &&
                         descriptors.count() == 1;
  if (!is_wanted) ::_exit(0);  // The launcher ended first.
  plan.spec = spec_from_texts(texts);
  ::dup3(descriptors.at(0), inherited_socket, O_CLOEXEC);
  ::close(descriptors.take(0));
  become_keeper(plan, cgroups, outside, std::move(joined));
}

/// 0 in the new process.
Result<pid_t> clone_for(const ReplicaPlan& plan) {
  std::uint64_t flags = 0;
  if (plan.tier == SandboxTier::namespaces) {
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    if (!plan.spec.host_network) flags |= CLONE_NEWNET;
    if (plan.use_user_namespace) flags |= CLONE_NEWUSER;
  }
  struct {
    std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
  } arguments{};
  arguments.flags = flags;
  arguments.exit_signal = SIGCHLD;
  const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child < 0) return failed("a process with its own namespaces");
  return static_cast<pid_t>(child);
}

Result<void> make_room(const ReplicaPlan& plan, const Cgroups& cgroups) {
  if (auto made = cgroups.make(plan.id, plan.spec); !made) return made;
  if (!plan.temporary.empty() && ::mkdir(plan.temporary.c_str(), 0700) != 0) {
    return failed(plan.temporary);
  }
  return {};
}

}  // namespace

Result<pid_t> start_replica(const ReplicaPlan& plan, const Cgroups& cgroups, int socket) {
  const Outside outside{.user = ::geteuid(), .group = ::getegid()};
  if (auto made = make_room(plan, cgroups); !made) return pass_on(std::move(made));
  auto child = clone_for(plan);
  if (child && *child == 0) {
    detach(socket);
    become_keeper(plan, cgroups, outside, cgroups.join(plan.id));
  }
  return child;
}

Result<Spare> start_spare(ReplicaPlan plan, const Cgroups& cgroups) {
  const Outside outside{.user = ::geteuid(), .group = ::getegid()};
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return failed("a socket for a spare");
  }
  auto child = cgroups.make(plan.id, plan.spec).and_then([&plan] { return clone_for(plan); });
  if (child && *child == 0) {
    detach(ends[1]);
    wait_as_spare(std::move(plan), cgroups, outside);
  }
  ::close(ends[1]);
  if (child) return Spare{.pid = *child, .plan = std::move(plan), .socket = ends[0]};
  ::close(ends[0]);
  return pass_on(std::move(child));
}

Result<void> use_spare(const Spare& spare, const Cgroups& cgroups, int socket) {
  auto done = make_room(spare.plan, cgroups);
  if (done) {
    const std::string packet = make_packet({.verb = Verb::create}, to_texts(spare.plan.spec));
    errno = send_packet(spare.socket, packet, &socket, 1, MSG_DONTWAIT);
    if (errno != 0) done = failed("a spare");
  }
  ::close(spare.socket);
  return done;
}

}  // namespace dfaas
