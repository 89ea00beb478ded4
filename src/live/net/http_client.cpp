// SPDX-License-Identifier: AGPL-3.0-or-later
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <fmt/format.h>

#include "core/base/assert.hpp"
#include "live/net/client_stream.hpp"

namespace dfaas {

namespace asio = boost::asio;
namespace http = boost::beast::http;

struct ClientConnection::State {
  using Parser = http::response_parser<http::buffer_body>;

  explicit State(BeastStream connected) : stream(std::move(connected)) {}

  ClientStream stream;
  boost::beast::flat_static_buffer<head_bytes_max> buffer;
  std::optional<Parser> parser;
  bool request_chunked = false;
  bool request_done = false;
  bool answer_done = false;
  bool is_head_request = false;
  bool keep_alive = true;
  bool broken = false;
};

ClientConnection::ClientConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClientConnection::~ClientConnection() = default;
ClientConnection::ClientConnection(ClientConnection&&) noexcept = default;
ClientConnection& ClientConnection::operator=(ClientConnection&&) noexcept = default;

namespace {

/// Why OpenSSL does not take the certificate, in words; empty when it was not the certificate.
std::string certificate_complaint(SSL* session, const std::string& name) {
  const long result = ::SSL_get_verify_result(session);
  switch (result) {
    case X509_V_OK:
      return {};
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "is not for " + name;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "is not valid yet";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "is signed by no authority that is trusted here";
    default:
      return std::string("does not verify: ") + ::X509_verify_cert_error_string(result);
  }
}

/// Has OpenSSL check that the certificate is for `name`, and tells the server which name was meant.
bool expect_name(SSL* session, const std::string& name) {
  BeastError not_an_address;
  asio::ip::make_address(name, not_an_address);
  if (!not_an_address) {
    return ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session), name.c_str()) == 1;
  }
  ::SSL_set_hostflags(session, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return ::SSL_set1_host(session, name.c_str()) == 1 &&
         ::SSL_set_tlsext_host_name(session, name.c_str()) == 1;
}

/// The handshake, within the time that is set already.
asio::awaitable<Result<void>> secure(ClientStream* stream, std::shared_ptr<const TlsClient> tls,
                                     std::string place) {
  SSL* const session = stream->use_tls(*tls->context);
  if (!tls->name.empty() && !expect_name(session, tls->name)) {
    co_return fail(ErrorCode::unavailable, tls->name + " is no name that a certificate can have");
  }
  const auto [error] = co_await stream->async_handshake(as_result);
  if (error) {
    const std::string complaint = certificate_complaint(session, tls->name);
    if (complaint.empty()) co_return net_failure((place + " does not speak TLS").c_str(), error);
    co_return fail(ErrorCode::denied,
                   fmt::format("the certificate that {} shows {}", place, complaint));
  }
  if (tls->check) co_return tls->check(session);
  co_return Result<void>{};
}

}  // namespace

asio::awaitable<Result<ClientConnection>> ClientConnection::connect(
    Endpoint endpoint, Millis patience, std::shared_ptr<const TlsClient> tls) {
  const auto executor = co_await asio::this_coro::executor;
  BeastStream stream(executor);
  stream.expires_after(patience);
  if (!endpoint.unix_path.empty()) {
    const auto [error] = co_await stream.async_connect(
        asio::local::stream_protocol::endpoint(endpoint.unix_path), as_result);
    if (error) co_return net_failure(("connecting to " + endpoint.text()).c_str(), error);
  } else {
    // An address needs no resolver, which would ask on a thread of its own each time.
    BeastError not_an_address;
    const auto address = asio::ip::make_address(endpoint.host, not_an_address);
    std::vector<asio::ip::tcp::endpoint> candidates;
    if (!not_an_address) {
      candidates.emplace_back(address, endpoint.port);
    } else {
      asio::ip::tcp::resolver resolver(executor);
      const auto [resolve_error, found] =
          co_await resolver.async_resolve(endpoint.host, std::to_string(endpoint.port), as_result);
      if (resolve_error)
        co_return net_failure(("resolving " + endpoint.host).c_str(), resolve_error);
      for (const auto& entry : found) candidates.push_back(entry.endpoint());
    }
    BeastError error = asio::error::host_not_found;
    for (const auto& candidate : candidates) {
      stream.expires_after(patience);
      std::tie(error) = co_await stream.async_connect(candidate, as_result);
      if (!error) break;
      stream.close();
    }
    if (error) co_return net_failure(("connecting to " + endpoint.text()).c_str(), error);
    BeastError ignored;  // Only latency suffers where the option is unknown.
    stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  }
  auto state = std::make_unique<State>(std::move(stream));
  if (tls) {
    std::string place = endpoint.text();
    auto secured = co_await secure(&state->stream, std::move(tls), std::move(place));
    if (!secured) co_return pass_on(std::move(secured));
  }
  co_return ClientConnection(std::move(state));
}

Result<ClientConnection> ClientConnection::adopt(asio::any_io_executor executor, int descriptor) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size);
  BeastStream stream(std::move(executor));
  BeastError error;
  stream.socket().assign({family, 0}, descriptor, error);
  if (error) {
    ::close(descriptor);
    return net_failure("taking over a connection", error);
  }
  if (family != AF_UNIX) {
    BeastError ignored;  // Only latency suffers where the option is unknown.
    stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  }
  return ClientConnection(std::make_unique<State>(std::move(stream)));
}

asio::awaitable<Result<void>> ClientConnection::write_head(RequestHead head, Millis patience) {
  return write_request(std::move(head), {}, patience);
}

asio::awaitable<Result<void>> ClientConnection::write_request(RequestHead head,
                                                              std::string_view body,
                                                              Millis patience) {
  State& s = *state_;
  s.parser.reset();
  s.answer_done = false;
  s.request_chunked = head.body.chunked;
  s.request_done = head.body.empty() || (!head.body.chunked && head.body.length == body.size());
  s.is_head_request = head.method == "HEAD";
  const std::string text = request_head_text(head);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(text),
                                                  asio::buffer(body.data(), body.size())};
  s.stream.expires_after(patience);
  const auto [error, bytes] = co_await asio::async_write(s.stream, buffers, as_result);
  if (error) {
    s.broken = true;
    co_return net_failure("writing a request", error);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> ClientConnection::write_body(std::span<const char> piece,
                                                           Millis patience) {
  State& s = *state_;
  if (piece.empty()) co_return Result<void>{};
  const std::string prefix = s.request_chunked ? chunk_prefix(piece.size()) : std::string();
  const std::string_view suffix = s.request_chunked ? "\r\n" : "";
  const std::array<asio::const_buffer, 3> buffers{asio::buffer(prefix),
                                                  asio::buffer(piece.data(), piece.size()),
                                                  asio::buffer(suffix.data(), suffix.size())};
  s.stream.expires_after(patience);
  const auto [error, bytes] = co_await asio::async_write(s.stream, buffers, as_result);
  if (error) {
    s.broken = true;
    co_return net_failure("writing a body", error);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> ClientConnection::finish_body(Millis patience) {
  State& s = *state_;
  if (s.request_chunked) {
    constexpr std::string_view last = "0\r\n\r\n";
    s.stream.expires_after(patience);
    const auto [error, bytes] =
        co_await asio::async_write(s.stream, asio::buffer(last.data(), last.size()), as_result);
    if (error) {
      s.broken = true;
      co_return net_failure("ending a body", error);
    }
  }
  s.request_done = true;
  co_return Result<void>{};
}

asio::awaitable<Result<ResponseHead>> ClientConnection::read_head(Millis patience) {
  State& s = *state_;
  s.parser.emplace();
  s.parser->header_limit(head_bytes_max);
  s.parser->body_limit(boost::none);
  if (s.is_head_request) s.parser->skip(true);
  s.stream.expires_after(patience);
  const auto [error, bytes] =
      co_await http::async_read_header(s.stream, s.buffer, *s.parser, as_result);
  if (error) {
    s.broken = true;
    co_return net_failure("waiting for an answer", error);
  }
  const auto& message = s.parser->get();
  const int status = static_cast<int>(message.result_int());
  ResponseHead head{.status = status,
                    .headers = copy_headers(message),
                    .body = framing_of(*s.parser),
                    .keep_alive = message.keep_alive()};
  if (status >= 100 && status < 200) co_return head;
  // Without a length the body ends with the connection.
  s.keep_alive = head.keep_alive;
  co_return head;
}

asio::awaitable<Result<std::size_t>> ClientConnection::read_body(std::span<char> into,
                                                                 Millis patience) {
  State& s = *state_;
  DFAAS_ASSERT(s.parser.has_value(), "a body is read after its head");
  if (s.parser->is_done()) co_return std::size_t{0};
  auto filled = co_await read_some_body(&s.stream, &s.buffer, &*s.parser, into, patience);
  if (!filled) s.broken = true;
  co_return filled;
}

bool ClientConnection::answer_begun() const {
  return state_->buffer.size() > 0 || (state_->parser && state_->parser->got_some());
}

bool ClientConnection::body_done() const { return state_->parser && state_->parser->is_done(); }
bool ClientConnection::body_at_hand() const { return body_done() || state_->buffer.size() > 0; }

bool ClientConnection::reusable() const {
  const State& s = *state_;
  return !s.broken && s.keep_alive && s.request_done && s.parser && s.parser->is_done() &&
         s.buffer.size() == 0;
}

bool ClientConnection::stale() {
  State& s = *state_;
  if (s.broken) return true;
  char byte = 0;
  BeastError error;
  s.stream.wire().socket().non_blocking(true, error);
  s.stream.wire().socket().receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, error);
  return error != asio::error::would_block;
}

void ClientConnection::close() {
  state_->broken = true;
  state_->stream.close();
}

asio::awaitable<Result<HttpReply>> fetch(Endpoint endpoint, RequestHead head, std::string body,
                                         Millis patience, std::size_t bytes_max,
                                         std::shared_ptr<const TlsClient> tls) {
  auto connection = co_await ClientConnection::connect(endpoint, patience, std::move(tls));
  if (!connection) co_return pass_on(std::move(connection));
  head.body = {.length = body.size()};
  head.keep_alive = false;
  if (auto sent = co_await connection->write_request(std::move(head), body, patience); !sent) {
    co_return pass_on(std::move(sent));
  }
  auto answer = co_await connection->read_head(patience);
  while (answer && answer->status >= 100 && answer->status < 200) {
    answer = co_await connection->read_head(patience);
  }
  if (!answer) co_return pass_on(std::move(answer));
  HttpReply reply{.head = std::move(*answer), .body = {}};
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    const auto filled = co_await connection->read_body(piece, patience);
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return reply;
    if (reply.body.size() + *filled > bytes_max) {
      co_return fail(ErrorCode::overloaded,
                     fmt::format("the answer of {} is over {} bytes", endpoint.text(), bytes_max));
    }
    reply.body.append(piece.data(), *filled);
  }
}

Result<HttpReply> fetch_blocking(const Endpoint& endpoint, RequestHead head, std::string body,
                                 Millis patience, std::size_t bytes_max,
                                 std::shared_ptr<const TlsClient> tls) {
  asio::io_context context(1);
  Result<HttpReply> result = fail(ErrorCode::unavailable, "no answer");
  asio::co_spawn(
      context,
      fetch(endpoint, std::move(head), std::move(body), patience, bytes_max, std::move(tls)),
      [&result](const std::exception_ptr& thrown, Result<HttpReply> reply) {
        DFAAS_ASSERT(!thrown, "fetch() reports errors as values");
        result = std::move(reply);
      });
  context.run();
  return result;
}

}  // namespace dfaas
