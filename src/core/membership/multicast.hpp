// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Does multicast lead anywhere? Where it does not, serf 0.9.4 ends when it is told to discover by it.
#pragma once

#include <string_view>

namespace dfaas {

/// `routes` as in /proc/net/route: a default route, or one for 224.0.0.0 and above, that is up.
bool has_multicast_route(std::string_view routes);

}  // namespace dfaas
