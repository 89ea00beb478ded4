// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/tls/secure_fetch.hpp"

#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include "live/tls/shown_certificate.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

tl::unexpected<Error> failure(const std::string& doing, const boost::system::error_code& error) {
  const bool is_late = error == beast::error::timeout;
  return fail(is_late ? ErrorCode::timed_out : ErrorCode::unavailable,
              doing + ": " + error.message());
}

Result<void> show_own(ssl::context& context, const std::filesystem::path& own) {
  if (own.empty()) return {};
  boost::system::error_code error;
  context.use_certificate_chain_file(own.string(), error);
  if (!error) context.use_private_key_file(own.string(), ssl::context::pem, error);
  if (!error) return {};
  return fail(ErrorCode::unavailable,
              fmt::format("own certificate {}: {}", own.string(), error.message()));
}

/// By name the chain is checked, too; by id the key says it all.
Result<void> choose_check(ssl::context& context, const SecurePlace& place) {
  if (!place.id.empty()) return {};
  boost::system::error_code error;
  context.set_default_verify_paths(error);
  if (!error) context.set_verify_mode(ssl::verify_peer, error);
  if (!error) context.set_verify_callback(ssl::host_name_verification(place.address.host), error);
  if (!error) return {};
  return fail(ErrorCode::unavailable, "the authorities of this machine: " + error.message());
}

http::request<http::string_body> to_wire(const RequestHead& head, std::string body) {
  http::request<http::string_body> request;
  request.method_string(head.method);
  request.target(head.target);
  for (const auto& [name, value] : head.headers) request.set(name, value);
  request.body() = std::move(body);
  request.prepare_payload();
  request.keep_alive(false);
  return request;
}

}  // namespace

asio::awaitable<Result<HttpReply>> secure_fetch(SecurePlace place, RequestHead head,
                                                std::string body, Millis patience,
                                                std::size_t bytes_max) {
  const auto executor = co_await asio::this_coro::executor;
  ssl::context context(ssl::context::tls_client);
  boost::system::error_code ignored;  // Old versions are refused by the other side, too.
  context.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1, ignored);
  if (auto shown = show_own(context, place.own); !shown) co_return pass_on(std::move(shown));
  if (auto chosen = choose_check(context, place); !chosen) co_return pass_on(std::move(chosen));
  asio::ip::tcp::resolver resolver(executor);
  const std::string port = std::to_string(place.address.port);
  const auto [resolve_error, found] =
      co_await resolver.async_resolve(place.address.host, port, as_result);
  if (resolve_error) co_return failure("resolving " + place.address.host, resolve_error);
  beast::ssl_stream<beast::tcp_stream> stream(executor, context);
  if (place.id.empty()) {
    ::SSL_set_tlsext_host_name(stream.native_handle(), place.address.host.c_str());
  }
  auto& wire = beast::get_lowest_layer(stream);
  wire.expires_after(patience);
  const auto [connect_error, endpoint] = co_await wire.async_connect(found, as_result);
  if (connect_error) co_return failure("connecting to " + place.address.text(), connect_error);
  const auto [handshake_error] =
      co_await stream.async_handshake(ssl::stream_base::client, as_result);
  if (handshake_error) {
    const std::string who = place.id.empty() ? "" : " as a node does";
    const std::string doing = fmt::format("{} does not speak TLS{}", place.address.text(), who);
    co_return failure(doing, handshake_error);
  }
  const auto certificate = shown_certificate(stream.native_handle());
  if (!place.id.empty() && (!certificate || certificate->id != place.id)) {
    co_return fail(ErrorCode::denied,
                   fmt::format("{} is {}, not node {}: is the address right?", place.address.text(),
                               certificate ? "node " + certificate->id.text()
                                           : "somebody without a certificate",
                               place.id.text()));
  }
  const http::request<http::string_body> request = to_wire(head, std::move(body));
  const auto [write_error, written] = co_await http::async_write(stream, request, as_result);
  if (write_error) co_return failure("asking " + place.address.text(), write_error);
  beast::flat_buffer buffer(bytes_max + (64U << 10U));
  http::response_parser<http::string_body> parser;
  parser.body_limit(bytes_max);
  const auto [read_error, read] = co_await http::async_read(stream, buffer, parser, as_result);
  if (read_error == http::error::body_limit) {
    co_return fail(ErrorCode::overloaded, fmt::format("{} answers with more than {} bytes",
                                                      place.address.text(), bytes_max));
  }
  if (read_error) co_return failure("the answer of " + place.address.text(), read_error);
  HttpReply reply;
  reply.head.status = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get()) {
    reply.head.headers.add(std::string(field.name_string()), std::string(field.value()));
  }
  reply.body = std::move(parser.get().body());
  co_return reply;
}

Result<HttpReply> secure_fetch_blocking(const SecurePlace& place, RequestHead head,
                                        std::string body, Millis patience, std::size_t bytes_max) {
  asio::io_context context(1);
  std::optional<Result<HttpReply>> reply;
  asio::co_spawn(context,
                 secure_fetch(place, std::move(head), std::move(body), patience, bytes_max),
                 [&reply](const std::exception_ptr& problem, Result<HttpReply> done) {
                   if (problem) std::rethrow_exception(problem);
                   reply = std::move(done);
                 });
  context.run();
  return std::move(*reply);
}

}  // namespace dfaas
