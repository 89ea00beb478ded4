// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/seccomp_filter.hpp"

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

namespace dfaas {
namespace {

/// By name, because headers of Debian 12 do not know all of them; unknown ones do not exist here.
constexpr const char* refused[] = {
    // Other processes.
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "perf_event_open", "lookup_dcookie",
    // Namespaces and mounts.
    "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig",
    "fsmount", "fspick", "move_mount", "open_tree", "mount_setattr", "statmount", "listmount",
    "name_to_handle_at", "open_by_handle_at", "quotactl", "quotactl_fd", "swapon", "swapoff",
    // The kernel.
    "bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "create_module", "query_module", "get_kernel_syms", "userfaultfd", "syslog", "acct", "reboot",
    "iopl", "ioperm", "nfsservctl", "vhangup", "_sysctl", "uselib", "vm86", "vm86old",
    // Keys of the session that started the node.
    "add_key", "request_key", "keyctl",
    // The host's clock and names.
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname",
    "setdomainname"};
constexpr const char* not_there[] = {"clone3", "io_uring_setup", "io_uring_enter",
                                     "io_uring_register"};
constexpr std::uint64_t new_namespace_flags[] = {CLONE_NEWUSER,   CLONE_NEWNS,  CLONE_NEWPID,
                                                 CLONE_NEWNET,    CLONE_NEWIPC, CLONE_NEWUTS,
                                                 CLONE_NEWCGROUP, 0x80 /* CLONE_NEWTIME */};
constexpr std::uint64_t low_half = 0xffffffffU;  ///< Of arguments that are int: the rest is noise.
constexpr std::uint64_t type_bits = 0xf;         ///< Of a socket's type; the rest are flags.
constexpr int families_max = 64;                 ///< Linux has 46.

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};

/// "Argument `index`, under this mask, is this value": the library's own macros are no C++.
scmp_arg_cmp masked(unsigned index, std::uint64_t mask, std::uint64_t value) {
  return {.arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

}  // namespace

Result<void> install_seccomp_filter(Network network) {
  const std::unique_ptr<void, Release> filter(::seccomp_init(SCMP_ACT_ALLOW));
  int error = filter ? 0 : -ENOMEM;
  const auto add = [&](std::uint32_t action, int call, unsigned count, scmp_arg_cmp argument) {
    if (error != 0 || call == __NR_SCMP_ERROR) return;
    error = ::seccomp_rule_add_array(filter.get(), action, call, count, &argument);
    if (error == -EDOM || error == -EOPNOTSUPP) error = 0;  // Not a call of this architecture.
  };
  for (const char* name : refused) {
    add(SCMP_ACT_ERRNO(EPERM), ::seccomp_syscall_resolve_name(name), 0, {});
  }
  for (const char* name : not_there) {
    add(SCMP_ACT_ERRNO(ENOSYS), ::seccomp_syscall_resolve_name(name), 0, {});
  }
  const int clone_call = ::seccomp_syscall_resolve_name("clone");
  for (const std::uint64_t flag : new_namespace_flags) {
    // CLONE_NEWTIME shares its bit with the exit signal of clone(): only there it means nothing.
    if (flag == 0x80) continue;
    add(SCMP_ACT_ERRNO(EPERM), clone_call, 1, masked(0, flag, flag));
  }
  const int socket_call = ::seccomp_syscall_resolve_name("socket");
  const int pair_call = ::seccomp_syscall_resolve_name("socketpair");
  for (int family = 0; family < families_max; ++family) {
    const auto argument = masked(0, low_half, static_cast<std::uint64_t>(family));
    if (family != AF_UNIX) add(SCMP_ACT_ERRNO(EAFNOSUPPORT), pair_call, 1, argument);
    const bool is_usual =
        family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
    if (network == Network::open && is_usual) continue;
    if (network == Network::port && family == AF_INET) continue;
    add(SCMP_ACT_ERRNO(EAFNOSUPPORT), socket_call, 1, argument);
  }
  for (std::uint64_t type = 0; type <= type_bits && network == Network::port; ++type) {
    if (type == SOCK_STREAM || error != 0) continue;
    const scmp_arg_cmp arguments[] = {masked(0, low_half, static_cast<std::uint64_t>(AF_INET)),
                                      masked(1, type_bits, type)};
    error = ::seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(EPROTONOSUPPORT), socket_call, 2,
                                     static_cast<const scmp_arg_cmp*>(arguments));
  }
  // Types into the terminal of whoever started the node.
  const int ioctl_call = ::seccomp_syscall_resolve_name("ioctl");
  add(SCMP_ACT_ERRNO(EPERM), ioctl_call, 1,
      masked(1, low_half, static_cast<std::uint64_t>(TIOCSTI)));
  if (error == 0) error = ::seccomp_load(filter.get());
  if (error == 0) return {};
  return fail(ErrorCode::unavailable,
              std::string("seccomp: ") + std::strerror(-error));  // NOLINT: one thread.
}

}  // namespace dfaas
