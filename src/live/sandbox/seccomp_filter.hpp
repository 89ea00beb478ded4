// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The system calls that no function may make: those that reach beyond its sandbox.
///
/// Why        A list of what is refused, not of what is allowed: a function may be any program, and one
///            that fails for a harmless call is a bug report, one that mounts is not.
/// Guarantees Calls of another architecture's numbering end the process. Of address families only unix,
///            internet and netlink can be opened: AF_VSOCK, for one, would reach the host of a virtual
///            machine past every network namespace.
/// Errors     Refused calls give EPERM; clone3 and io_uring give ENOSYS, so that libraries fall back.
#pragma once

#include "core/base/result.hpp"

struct sock_filter;

namespace dfaas {

/// Which sockets can be opened.
enum class Network : unsigned char {
  open,  ///< Unix, internet and netlink: the network is the replica's own, or shared on purpose.
  port,  ///< TCP only, whose ports Landlock bounds.
  none,  ///< Not even unix sockets: those of the node's user could be reached by their paths.
};

/// Confines the calling process and its children for good.
Result<void> install_seccomp_filter(Network network);

}  // namespace dfaas
