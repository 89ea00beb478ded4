// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The program `dfaas-launcher`: started by a gateway, beside whose program it lies. Not for people.
#include <cstdio>

#include <sys/socket.h>

#include "live/sandbox/launcher.hpp"
#include "live/sandbox/packet.hpp"

int main() {
  int kind = 0;
  socklen_t size = sizeof kind;
  if (::getsockopt(dfaas::inherited_socket, SOL_SOCKET, SO_TYPE, &kind, &size) != 0) {
    std::fputs("dfaas-launcher: started by a gateway, not by hand\n", stderr);
    return 2;
  }
  return dfaas::launcher_main(dfaas::inherited_socket);
}
