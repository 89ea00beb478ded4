// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/net/framing.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

void append_headers(std::string& text, const Headers& headers) {
  for (const Header& header : headers) {
    text.append(header.name).append(": ").append(header.value).append("\r\n");
  }
}

void append_framing(std::string& text, const BodyFraming& body) {
  if (body.chunked) {
    text += "Transfer-Encoding: chunked\r\n";
  } else if (body.length) {
    fmt::format_to(std::back_inserter(text), "Content-Length: {}\r\n", *body.length);
  }
}

}  // namespace

bool is_hop_by_hop(std::string_view name, std::string_view connection) {
  constexpr std::array<std::string_view, 10> fixed{
      "connection",         "content-length",   "expect", "keep-alive",
      "proxy-authenticate", "proxy-connection", "te",     "trailer",
      "transfer-encoding",  "upgrade"};
  if (std::ranges::any_of(fixed, [name](auto known) { return equal_ignoring_case(known, name); })) {
    return true;
  }
  if (connection.empty()) return false;
  const auto tokens = split(connection, ',');
  return std::ranges::any_of(tokens,
                             [name](auto token) { return equal_ignoring_case(trim(token), name); });
}

std::string request_head_text(const RequestHead& head) {
  std::string text;
  text.reserve(512);
  text.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  append_headers(text, head.headers);
  if (head.body.chunked || head.body.length.value_or(0) > 0 || head.method != "GET") {
    append_framing(text, head.body);
  }
  if (head.expects_continue) text += "Expect: 100-continue\r\n";
  if (!head.keep_alive) text += "Connection: close\r\n";
  return text += "\r\n";
}

std::string response_head_text(const ResponseHead& head) {
  std::string text;
  text.reserve(512);
  fmt::format_to(std::back_inserter(text), "HTTP/1.1 {} {}\r\n", head.status,
                 reason_phrase(head.status));
  append_headers(text, head.headers);
  append_framing(text, head.body);
  if (!head.keep_alive) text += "Connection: close\r\n";
  return text += "\r\n";
}

std::string chunk_prefix(std::size_t size) { return fmt::format("{:x}\r\n", size); }

}  // namespace dfaas
