// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The text of HTTP heads, as both sides of a connection write it.
#pragma once

#include <string>
#include <string_view>

#include "core/http/message.hpp"

namespace dfaas {

/// Headers that belong to one connection (RFC 9110, 7.6.1) or to the framing, and are never passed
/// on. `connection` is the value of the Connection header, whose tokens name further ones.
bool is_hop_by_hop(std::string_view name, std::string_view connection);

/// "GET /x HTTP/1.1" with headers, framing and the empty line.
std::string request_head_text(const RequestHead& head);
std::string response_head_text(const ResponseHead& head);

/// The line in front of a chunk of `size` bytes.
std::string chunk_prefix(std::size_t size);

}  // namespace dfaas
