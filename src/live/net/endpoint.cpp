// SPDX-License-Identifier: AGPL-3.0-or-later
#include <fmt/format.h>

#include "core/base/text.hpp"
#include "live/net/http.hpp"

namespace dfaas {

Result<Endpoint> Endpoint::parse(std::string_view text) {
  constexpr std::string_view unix_prefix = "unix:";
  constexpr std::size_t unix_path_max = 107;  // sockaddr_un of Linux.
  if (text.starts_with(unix_prefix)) {
    const std::string_view path = text.substr(unix_prefix.size());
    if (path.empty() || path.size() > unix_path_max) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("socket path in {} is empty or longer than {} bytes", in_quotes(text),
                              unix_path_max));
    }
    return unix_socket(std::string(path));
  }
  const std::size_t colon = text.rfind(':');
  const auto wrong = [text] {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("address {} is not HOST:PORT, [IPV6]:PORT or unix:PATH", in_quotes(text)));
  };
  if (colon == std::string_view::npos) return wrong();
  std::string_view host = text.substr(0, colon);
  const auto port = parse_unsigned(text.substr(colon + 1));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong();
  }
  const bool has_blank = host.find_first_of(" \t\r\n/") != std::string_view::npos;
  if (host.empty() || has_blank || !port || *port == 0 || *port > 65535) return wrong();
  return Endpoint{
      .unix_path = {}, .host = std::string(host), .port = static_cast<std::uint16_t>(*port)};
}

std::string Endpoint::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

}  // namespace dfaas
