// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/async/callback.hpp"

#include <memory>
#include <tuple>
#include <utility>

#include <openssl/ssl.h>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "core/base/text.hpp"
#include "live/net/framing.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t answer_head_bytes_max = 16 * 1024;

/// What one callback holds, so that its deadline can end it whatever it waits for.
struct Exchange {
  explicit Exchange(asio::any_io_executor executor)
      : resolver(executor),
        context(ssl::context::tls_client),
        stream(executor, context),
        deadline(executor) {}

  tcp::resolver resolver;
  ssl::context context;
  ssl::stream<tcp::socket> stream;
  asio::steady_timer deadline;
  bool is_late = false;
};
using ExchangePtr = std::shared_ptr<Exchange>;

tl::unexpected<Error> failed(const ExchangePtr& exchange, const CallbackUrl& url,
                             const boost::system::error_code& error) {
  if (exchange->is_late) {
    return fail(ErrorCode::timed_out, fmt::format("{} did not answer in time", url.authority));
  }
  return fail(ErrorCode::unavailable, fmt::format("{}: {}", url.authority, error.message()));
}

/// The status of the line "HTTP/1.1 204 No Content".
Result<int> status_of(std::string_view head, const CallbackUrl& url) {
  constexpr std::size_t status_at = 9;
  const auto status = head.size() > status_at + 3 && head.starts_with("HTTP/1.")
                          ? parse_unsigned(head.substr(status_at, 3))
                          : std::nullopt;
  if (!status || *status < 100 || *status > 599) {
    return fail(ErrorCode::unavailable, fmt::format("{} did not answer in HTTP", url.authority));
  }
  return static_cast<int>(*status);
}

template <class Stream>
asio::awaitable<Result<int>> ask(ExchangePtr exchange, Stream* stream, CallbackUrl url,
                                 std::string request) {
  const auto [write_error, written] =
      co_await asio::async_write(*stream, asio::buffer(request), as_result);
  if (write_error) co_return failed(exchange, url, write_error);
  std::string answer;
  for (;;) {  // Interim answers may come first.
    const auto [error, head_bytes] = co_await asio::async_read_until(
        *stream, asio::dynamic_buffer(answer, answer_head_bytes_max), "\r\n\r\n", as_result);
    if (error) co_return failed(exchange, url, error);
    auto status = status_of(answer, url);
    if (!status || *status >= 200) co_return status;
    answer.erase(0, head_bytes);
  }
}

boost::system::error_code prepare_tls(Exchange& exchange, const CallbackUrl& url) {
  boost::system::error_code error;
  exchange.context.set_default_verify_paths(error);
  if (error) return error;
  exchange.stream.set_verify_mode(ssl::verify_peer, error);
  if (error) return error;
  exchange.stream.set_verify_callback(ssl::host_name_verification(url.host), error);
  // The name in the clear, for servers with several.
  if (::SSL_set_tlsext_host_name(exchange.stream.native_handle(), url.host.c_str()) != 1) {
    return boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
  }
  return error;
}

asio::awaitable<Result<int>> post(ExchangePtr exchange, CallbackUrl url, std::string request) {
  const std::string port = std::to_string(url.port);
  const auto [resolve_error, found] =
      co_await exchange->resolver.async_resolve(url.host, port, as_result);
  if (resolve_error) co_return failed(exchange, url, resolve_error);
  auto& socket = exchange->stream.next_layer();
  const auto [connect_error, endpoint] = co_await asio::async_connect(socket, found, as_result);
  if (connect_error) co_return failed(exchange, url, connect_error);
  if (!url.secure) co_return co_await ask(exchange, &socket, url, std::move(request));
  if (const auto error = prepare_tls(*exchange, url)) co_return failed(exchange, url, error);
  const auto [tls_error] =
      co_await exchange->stream.async_handshake(ssl::stream_base::client, as_result);
  if (tls_error) co_return failed(exchange, url, tls_error);
  co_return co_await ask(exchange, &exchange->stream, url, std::move(request));
}

}  // namespace

asio::awaitable<Result<int>> post_callback(CallbackUrl url, Headers headers, std::string body,
                                           Millis patience) {
  RequestHead head{.method = "POST", .target = url.target, .headers = std::move(headers)};
  head.headers.set("Host", url.authority);
  head.headers.set("User-Agent", "dfaas");
  head.body.length = body.size();
  head.keep_alive = false;
  std::string request = request_head_text(head) + body;

  const auto exchange = std::make_shared<Exchange>(co_await asio::this_coro::executor);
  exchange->deadline.expires_after(patience);
  exchange->deadline.async_wait(
      [weak = std::weak_ptr<Exchange>(exchange)](const boost::system::error_code& error) {
        const ExchangePtr late = weak.lock();
        if (error || !late) return;
        late->is_late = true;
        late->resolver.cancel();
        boost::system::error_code ignored;  // Closed is what is wanted.
        late->stream.next_layer().close(ignored);
      });
  auto status = co_await post(exchange, std::move(url), std::move(request));
  exchange->deadline.cancel();
  co_return status;
}

}  // namespace dfaas
