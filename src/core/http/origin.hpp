// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Whether a browser sends a request for a page of somebody else.
///
/// Browsers remember credentials and add them to whatever any page asks for, so a page on the other side of the world
/// could change this node through the browser of its operator.
///
/// Source  Fetch standard, "Origin" (sent with every request of a browser that may change something) and "Fetch
///         Metadata Request Headers" (only where the address is https or this machine).
#pragma once

#include "core/http/message.hpp"

namespace dfaas {

/// Programs that are no browser send neither header, and are never from another site.
bool is_from_other_site(const Headers& headers);

}  // namespace dfaas
