// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/netem/echo.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dfaas {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// Source: RFC 1071.
std::uint16_t checksum(std::span<const unsigned char> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2) {
    sum += static_cast<std::uint32_t>(bytes[at]) << 8U | bytes[at + 1];
  }
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return htons(static_cast<std::uint16_t>(~sum));
}

Result<Descriptor> open_socket(const NetworkNamespace& network, const std::string& address) {
  Descriptor made;
  auto done = network.run_inside([&]() -> Result<void> {
    made = Descriptor(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
    // NOLINTNEXTLINE: how sockets are addressed.
    if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return {};
    return fail(ErrorCode::unavailable,
                fmt::format("{} cannot be pinged: {}", address,
                            std::error_code(errno, std::generic_category()).message()));
  });
  if (!done) return pass_on(std::move(done));
  return made;
}

/// Is this the answer to the request with this number? It begins with the header of IP.
bool is_answer(std::span<const unsigned char> packet, std::uint16_t number) {
  if (packet.empty()) return false;
  const std::size_t header = static_cast<std::size_t>(packet[0] & 0x0fU) * 4;
  if (packet.size() < header + sizeof(icmphdr)) return false;
  icmphdr answer{};
  std::memcpy(&answer, packet.data() + header, sizeof answer);
  return answer.type == ICMP_ECHOREPLY && answer.un.echo.id == htons(number);
}

}  // namespace

asio::awaitable<Result<std::optional<Micros>>> echo(const NetworkNamespace* network,
                                                    std::string address, Millis patience) {
  static std::uint16_t last_number = 0;
  const std::uint16_t number = ++last_number;
  auto made = open_socket(*network, address);
  if (!made) co_return pass_on(std::move(made));
  asio::posix::stream_descriptor socket(co_await asio::this_coro::executor, made->release());
  icmphdr request{};
  request.type = ICMP_ECHO;
  request.un.echo.id = htons(number);
  std::array<unsigned char, sizeof request> bytes{};
  std::memcpy(bytes.data(), &request, sizeof request);
  request.checksum = checksum(bytes);
  const auto sent = SteadyClock::now();
  if (::write(socket.native_handle(), &request, sizeof request) != sizeof request) {
    co_return fail(ErrorCode::unavailable,
                   fmt::format("no request could be sent to {}: {}", address,
                               std::error_code(errno, std::generic_category()).message()));
  }
  asio::steady_timer timer(socket.get_executor(), patience);
  timer.async_wait([&socket](const boost::system::error_code& error) {
    boost::system::error_code ignored;  // It is waiting, or it is done.
    if (!error) socket.cancel(ignored);
  });
  std::optional<Micros> took;
  for (;;) {
    const auto [error] =
        co_await socket.async_wait(asio::posix::stream_descriptor::wait_read, as_result);
    if (error) break;
    std::array<unsigned char, 256> packet{};
    const ssize_t length = ::read(socket.native_handle(), packet.data(), packet.size());
    const std::size_t seen = length > 0 ? static_cast<std::size_t>(length) : 0;
    if (!is_answer({packet.data(), seen}, number)) continue;
    took = std::chrono::duration_cast<Micros>(SteadyClock::now() - sent);
    break;
  }
  timer.cancel();
  co_return took;
}

}  // namespace dfaas
