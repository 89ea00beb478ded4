// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The keeper: first process of a replica, one thread, the only one that starts the function's processes.
///
/// Why        Starting a process from a large, threaded program holds its event loop for milliseconds; a
///            message to the keeper costs some 20 us. What confines it, its children inherit: the sandbox
///            is set up once per replica, not once per call.
/// Protocol   packet.hpp.
/// Guarantees Every process is started in its own group. When its main process ends, the rest of the group
///            is killed; what left the group is killed as soon as no call runs. When the socket closes, for
///            whatever reason, everything is killed and the keeper ends: no function outlives its gateway.
#pragma once

namespace dfaas {

/// Runs until `socket` closes. `children` is a descriptor of its /proc/self/task/N/children, or -1 where the
/// keeper is the first process of a namespace and needs no list. The exit status of the process.
int keeper_main(int socket, int children);

}  // namespace dfaas
