// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The launcher: a small process of one thread that makes replicas, and the only one that needs privilege.
///
/// Use        Started by a gateway with a socket as descriptor 3 (packet.hpp). The first packet brings the
///            settings; it then tries what works on this host, with a whole replica each, and says so.
/// Guarantees It reads nothing but its socket, holds no request and no data of functions. When it dies,
///            the replicas live on, and the next launcher makes the next ones. It ends with its gateway.
#pragma once

namespace dfaas {

/// Runs until `socket` closes. The exit status of the process.
int launcher_main(int socket);

}  // namespace dfaas
