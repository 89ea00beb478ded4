// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// HTTP/1.1 over unix sockets, TCP and, for clients, TLS as coroutines: streaming, nothing buffered whole.
///
/// Use        A server reads a head, then the body piece by piece, and answers the same way; a client
///            the other way round. Only the two sources behind this header know Boost.Beast.
/// Guarantees Strict parsing: Content-Length together with Transfer-Encoding, two lengths, bare line
///            feeds, a blank before the colon and a missing Host are errors. Every wait has a deadline.
/// Errors     As values. The server writes the fitting 4xx before it reports a malformed head.
/// Limits     Heads of 64 KiB; bodies are limited by the caller, who counts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/http/message.hpp"

namespace dfaas {

struct TlsClient;

using StreamSocket = boost::asio::generic::stream_protocol::socket;

/// "unix:/path" or "host:port" or "[v6]:port".
struct Endpoint {
  std::string unix_path;  ///< Empty for TCP.
  std::string host;
  std::uint16_t port = 0;

  /// Errors: invalid_input naming the text and the two forms.
  static Result<Endpoint> parse(std::string_view text);
  static Endpoint unix_socket(std::string path) {
    return {.unix_path = std::move(path), .host = {}};
  }
  [[nodiscard]] std::string text() const;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// One connection as its server sees it.
class ServerConnection {
 public:
  explicit ServerConnection(StreamSocket socket);
  ~ServerConnection();
  ServerConnection(ServerConnection&&) noexcept;
  ServerConnection& operator=(ServerConnection&&) noexcept;
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  /// The next request. unavailable when the client is done or idle for `idle`; invalid_input when
  /// it sent nonsense, which has been answered (400, 413, 417, 431) and the connection must be
  /// dropped.
  boost::asio::awaitable<Result<RequestHead>> read_head(Millis idle);

  /// Fills up to `into.size()` bytes of the body; 0 at its end. Sends "100 Continue" first if the
  /// client waits for it and write_continue() was not called.
  boost::asio::awaitable<Result<std::size_t>> read_body(std::span<char> into, Millis patience);
  [[nodiscard]] bool body_done() const;

  /// Tells a client that waits for it to send the body. Nothing if it does not.
  boost::asio::awaitable<Result<void>> write_continue();

  /// An interim "102 Processing": the request was taken, the answer will come.
  boost::asio::awaitable<Result<void>> write_processing();

  /// `head.body` says how the body will be delimited; chunked falls back to close for HTTP/1.0.
  /// The head is held back until the first piece, finish_body() or flush_head().
  void write_head(ResponseHead head);
  boost::asio::awaitable<Result<void>> write_body(std::span<const char> piece, Millis patience);
  boost::asio::awaitable<Result<void>>
  finish_body();  ///< After write_body(); the last chunk, if chunked.

  /// Head and body at once; sets the length. To a HEAD request only the head goes out.
  boost::asio::awaitable<Result<void>> respond(ResponseHead head, std::string body);

  /// May the next request be read on this connection? No after an unread body or a failed write.
  [[nodiscard]] bool reusable() const;

  /// Sends what write_head() holds back. Without it, the head travels with the first piece.
  boost::asio::awaitable<Result<void>> flush_head();

  /// Calls back, once, when the client hangs up. Before the body was read whole, only a connection that
  /// is closed in both directions shows it; afterwards, the end of the client's side does, too. Ends
  /// with stop_watching(), with the next read_head() or with the connection.
  void watch_hangup(std::function<void()> callback);
  void stop_watching();

  /// Nobody wants the rest of the body: ends a pending read_body(). Not while an answer is being written.
  void stop_reading();

  /// After the answer: reads the rest of a body that nobody wanted, for a few seconds at most. A
  /// connection closed with unread bytes takes the answer with it before a busy sender reads it.
  boost::asio::awaitable<void> discard_body();

  /// The next answer is the last one on this connection, and says so. Nothing if one was begun.
  void close_after_answer();

  /// Ends every wait on this connection, from the same thread.
  void close();

 private:
  boost::asio::awaitable<Result<void>> write_interim(std::string_view text);

  struct State;
  std::shared_ptr<State> state_;
};

/// One connection as its client sees it.
class ClientConnection {
 public:
  ~ClientConnection();
  ClientConnection(ClientConnection&&) noexcept;
  ClientConnection& operator=(ClientConnection&&) noexcept;
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  /// Over TLS where `tls` says how. Errors: unavailable or timed_out, naming the endpoint and why; denied when the
  /// server is not who it must be.
  static boost::asio::awaitable<Result<ClientConnection>> connect(
      Endpoint endpoint, Millis patience, std::shared_ptr<const TlsClient> tls = nullptr);

  /// A connected stream socket that somebody else opened; it is ours from now on. Errors: unavailable.
  static Result<ClientConnection> adopt(boost::asio::any_io_executor executor, int descriptor);

  /// With `head.expects_continue` the caller reads a head before it writes the body: 100, or the
  /// answer.
  boost::asio::awaitable<Result<void>> write_head(RequestHead head, Millis patience);
  boost::asio::awaitable<Result<void>> write_body(std::span<const char> piece, Millis patience);
  boost::asio::awaitable<Result<void>> finish_body(Millis patience);
  /// Head and body in one write.
  boost::asio::awaitable<Result<void>> write_request(RequestHead head, std::string_view body,
                                                     Millis patience);

  /// The next head: an interim one (status 100) or the answer. timed_out after `patience`.
  boost::asio::awaitable<Result<ResponseHead>> read_head(Millis patience);
  boost::asio::awaitable<Result<std::size_t>> read_body(std::span<char> into, Millis patience);

  /// Has anything of the answer to the last request arrived? False after a failure means that the
  /// server closed the line without a word.
  [[nodiscard]] bool answer_begun() const;
  [[nodiscard]] bool body_done() const;
  /// Is there body already read from the wire? Then read_body() will not wait.
  [[nodiscard]] bool body_at_hand() const;

  /// The answer was read to its end, the request written to its end, and the server keeps the line
  /// open.
  [[nodiscard]] bool reusable() const;
  /// A pooled connection that the server has closed meanwhile, or on which it spoke unasked.
  [[nodiscard]] bool stale();
  void close();

 private:
  struct State;
  explicit ClientConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct HttpReply {
  ResponseHead head;
  std::string body;
};

/// A whole small exchange on a fresh connection. Errors: as connect(); overloaded when the answer is over
/// `bytes_max`.
boost::asio::awaitable<Result<HttpReply>> fetch(Endpoint endpoint, RequestHead head,
                                                std::string body, Millis patience,
                                                std::size_t bytes_max,
                                                std::shared_ptr<const TlsClient> tls = nullptr);

/// The same for programs without an event loop.
Result<HttpReply> fetch_blocking(const Endpoint& endpoint, RequestHead head, std::string body,
                                 Millis patience, std::size_t bytes_max,
                                 std::shared_ptr<const TlsClient> tls = nullptr);

}  // namespace dfaas
