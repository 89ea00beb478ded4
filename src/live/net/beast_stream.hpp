// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the sources that know Boost.Beast share. Not for others: it costs seconds to compile.
#pragma once

#include <chrono>
#include <span>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_static_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/http/message.hpp"
#include "live/net/framing.hpp"
#include "live/net/http.hpp"

namespace dfaas {

/// A peer that leaves early is an everyday event, so it arrives as a value, not an exception.
inline constexpr auto as_result = boost::asio::as_tuple(boost::asio::use_awaitable);

inline constexpr std::size_t head_bytes_max = 64 * 1024;

using BeastStream = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;
using BeastError = boost::beast::error_code;

inline tl::unexpected<Error> net_failure(const char* what, const BeastError& error) {
  const bool late = error == boost::beast::error::timeout;
  return fail(late ? ErrorCode::timed_out : ErrorCode::unavailable,
              std::string(what) + ": " + error.message());
}

/// Copies the fields of a parsed head, without those of the connection and the framing.
template <class Fields>
Headers copy_headers(const Fields& fields) {
  Headers headers;
  const auto connection = fields["Connection"];
  const std::string_view tokens(connection.data(), connection.size());
  for (const auto& field : fields) {
    const std::string_view name(field.name_string().data(), field.name_string().size());
    if (is_hop_by_hop(name, tokens)) continue;
    headers.add(std::string(name), std::string(field.value().data(), field.value().size()));
  }
  return headers;
}

template <class Parser>
BodyFraming framing_of(const Parser& parser) {
  if (parser.chunked()) return {.length = std::nullopt, .chunked = true};
  if (const auto length = parser.content_length()) return {.length = *length};
  return {};
}

/// Reads some of the body into `into`: 0 only at its end.
template <class Stream, class Buffer, class Parser>
boost::asio::awaitable<Result<std::size_t>> read_some_body(Stream* stream, Buffer* buffer,
                                                           Parser* parser, std::span<char> into,
                                                           Millis patience) {
  stream->expires_after(patience);
  auto& body = parser->get().body();
  while (!parser->is_done()) {
    body.data = into.data();
    body.size = into.size();
    body.more = true;
    auto [error, bytes] =
        co_await boost::beast::http::async_read_some(*stream, *buffer, *parser, as_result);
    const std::size_t filled = into.size() - body.size;
    if (error && error != boost::beast::http::error::need_buffer) {
      co_return net_failure("reading a body", error);
    }
    if (filled > 0) co_return filled;
  }
  co_return std::size_t{0};
}

}  // namespace dfaas
