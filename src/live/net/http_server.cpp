// SPDX-License-Identifier: AGPL-3.0-or-later
#include <array>
#include <chrono>
#include <optional>
#include <tuple>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"
#include "live/net/beast_stream.hpp"

namespace dfaas {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr Millis small_write_patience{10'000};
constexpr Millis discard_patience{5'000};  ///< Guessed: 5 MB from a user with 8 Mbit/s.
constexpr std::size_t discard_piece_bytes = 16 * 1024;

/// The answer to a head that the parser refused.
int status_of(const BeastError& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::body_limit) return 413;
  return 400;
}

}  // namespace

struct ServerConnection::State {
  using Parser = http::request_parser<http::buffer_body>;

  explicit State(StreamSocket socket) : stream(std::move(socket)) {}

  void call_back() {
    if (const auto callback = std::exchange(hung_up, nullptr)) callback();
  }

  BeastStream stream;
  boost::beast::flat_static_buffer<head_bytes_max> buffer;
  std::optional<Parser> parser;
  asio::cancellation_signal watch_close;
  asio::cancellation_signal watch_end;
  std::function<void()> hung_up;  ///< Set while somebody wants to know.
  std::string held_head;
  bool awaits_continue = false;
  bool answer_chunked = false;
  bool is_head_request = false;
  bool keep_alive = false;
  bool old_version = false;
  bool answered = false;
  bool broken = false;
};

ServerConnection::ServerConnection(StreamSocket socket)
    : state_(std::make_shared<State>(std::move(socket))) {}
ServerConnection::~ServerConnection() {
  if (state_) stop_watching();
}
ServerConnection::ServerConnection(ServerConnection&&) noexcept = default;
ServerConnection& ServerConnection::operator=(ServerConnection&&) noexcept = default;

asio::awaitable<Result<RequestHead>> ServerConnection::read_head(Millis idle) {
  State& s = *state_;
  stop_watching();
  s.parser.emplace();
  s.parser->header_limit(head_bytes_max);
  s.parser->body_limit(boost::none);  // The caller counts: limits differ by route.
  s.answered = s.awaits_continue = false;
  s.stream.expires_after(idle);
  const auto [error, bytes] =
      co_await http::async_read_header(s.stream, s.buffer, *s.parser, as_result);
  if (error) {
    s.broken = true;
    const bool client_left =
        error == http::error::end_of_stream || error == boost::beast::error::timeout ||
        error.category() != make_error_code(http::error::bad_method).category();
    if (client_left) co_return net_failure("waiting for a request", error);
    const int status = status_of(error);
    s.keep_alive = false;
    ResponseHead head{.status = status, .headers = {}, .body = {}, .keep_alive = false};
    head.headers.add("Content-Type", "text/plain");
    std::ignore = co_await respond(std::move(head), "malformed request: " + error.message() + "\n");
    s.broken = true;
    co_return fail(ErrorCode::invalid_input, "malformed request: " + error.message());
  }
  const auto& message = s.parser->get();
  const std::string_view method(message.method_string().data(), message.method_string().size());
  const std::string_view target(message.target().data(), message.target().size());
  s.keep_alive = message.keep_alive();
  s.old_version = message.version() < 11;
  s.is_head_request = method == "HEAD";
  RequestHead head{.method = std::string(method),
                   .target = std::string(target),
                   .headers = copy_headers(message),
                   .body = framing_of(*s.parser),
                   .expects_continue = false,
                   .keep_alive = s.keep_alive};
  const auto expect = message[http::field::expect];
  const char* complaint = nullptr;
  int status = 400;
  if (head.headers.count("Host") != 1 && !s.old_version) {
    complaint = "exactly one Host header is needed\n";
  } else if (!expect.empty()) {
    if (equal_ignoring_case(std::string_view(expect.data(), expect.size()), "100-continue")) {
      head.expects_continue = s.awaits_continue = !s.old_version && !head.body.empty();
    } else {
      status = 417;
      complaint = "the only expectation known here is 100-continue\n";
    }
  }
  if (complaint != nullptr) {
    s.keep_alive = false;
    ResponseHead answer{.status = status, .headers = {}, .body = {}, .keep_alive = false};
    answer.headers.add("Content-Type", "text/plain");
    std::ignore = co_await respond(std::move(answer), complaint);
    s.broken = true;
    co_return fail(ErrorCode::invalid_input, complaint);
  }
  co_return head;
}

asio::awaitable<Result<std::size_t>> ServerConnection::read_body(std::span<char> into,
                                                                 Millis patience) {
  State& s = *state_;
  DFAAS_ASSERT(s.parser.has_value(), "a body is read after its head");
  if (s.parser->is_done()) co_return std::size_t{0};
  if (s.awaits_continue) {
    if (auto told = co_await write_continue(); !told) co_return pass_on(std::move(told));
  }
  auto filled = co_await read_some_body(&s.stream, &s.buffer, &*s.parser, into, patience);
  if (!filled) s.broken = true;
  co_return filled;
}

bool ServerConnection::body_done() const { return !state_->parser || state_->parser->is_done(); }

asio::awaitable<Result<void>> ServerConnection::write_interim(std::string_view text) {
  State& s = *state_;
  s.stream.expires_after(small_write_patience);
  const auto [error, bytes] =
      co_await asio::async_write(s.stream, asio::buffer(text.data(), text.size()), as_result);
  if (error) {
    s.broken = true;
    co_return net_failure("writing an interim answer", error);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> ServerConnection::write_continue() {
  if (!std::exchange(state_->awaits_continue, false)) co_return Result<void>{};
  co_return co_await write_interim("HTTP/1.1 100 Continue\r\n\r\n");
}

asio::awaitable<Result<void>> ServerConnection::write_processing() {
  if (state_->old_version) co_return Result<void>{};
  co_return co_await write_interim("HTTP/1.1 102 Processing\r\n\r\n");
}

void ServerConnection::write_head(ResponseHead head) {
  State& s = *state_;
  // A body that nobody will read makes the connection useless for the next request.
  if (!s.parser || !s.parser->is_done()) s.keep_alive = false;
  if (s.old_version && head.body.chunked) {
    head.body = {};
    s.keep_alive = false;
  }
  s.answer_chunked = head.body.chunked;
  head.keep_alive = head.keep_alive && s.keep_alive;
  s.keep_alive = head.keep_alive;
  s.held_head = response_head_text(head);
  s.answered = true;
}

asio::awaitable<Result<void>> ServerConnection::flush_head() {
  State& s = *state_;
  if (s.held_head.empty()) co_return Result<void>{};
  const std::string text = std::exchange(s.held_head, {});
  s.stream.expires_after(small_write_patience);
  const auto [error, bytes] = co_await asio::async_write(s.stream, asio::buffer(text), as_result);
  if (error) {
    s.broken = true;
    co_return net_failure("writing a head", error);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> ServerConnection::write_body(std::span<const char> piece,
                                                           Millis patience) {
  State& s = *state_;
  if (s.is_head_request || piece.empty()) co_return co_await flush_head();
  const std::string head = std::exchange(s.held_head, {});
  const std::string prefix = s.answer_chunked ? chunk_prefix(piece.size()) : std::string();
  const std::string_view suffix = s.answer_chunked ? "\r\n" : "";
  const std::array<asio::const_buffer, 4> buffers{asio::buffer(head), asio::buffer(prefix),
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

asio::awaitable<Result<void>> ServerConnection::finish_body() {
  State& s = *state_;
  if (s.answer_chunked && !s.is_head_request) s.held_head += "0\r\n\r\n";
  co_return co_await flush_head();
}

asio::awaitable<Result<void>> ServerConnection::respond(ResponseHead head, std::string body) {
  head.body = {.length = body.size()};
  write_head(std::move(head));
  if (!state_->is_head_request) state_->held_head += body;
  co_return co_await flush_head();
}

bool ServerConnection::reusable() const {
  const State& s = *state_;
  return s.keep_alive && !s.broken && s.answered && s.held_head.empty() && body_done();
}

void ServerConnection::watch_hangup(std::function<void()> callback) {
  State& s = *state_;
  stop_watching();
  s.hung_up = std::move(callback);
  const std::weak_ptr<State> weak = state_;
  // Both directions closed: shows whatever is unread, and also while somebody reads.
  s.stream.socket().async_wait(
      StreamSocket::wait_error,
      asio::bind_cancellation_slot(s.watch_close.slot(), [weak](const BeastError& error) {
        const auto state = weak.lock();
        if (!error && state) state->call_back();
      }));
  if (!body_done()) return;
  s.stream.socket().async_wait(
      StreamSocket::wait_read,
      asio::bind_cancellation_slot(s.watch_end.slot(), [weak](const BeastError& error) {
        const auto state = weak.lock();
        if (error || !state || !state->hung_up) return;
        char byte = 0;
        BeastError peek_error;
        const std::size_t read = state->stream.socket().receive(
            asio::buffer(&byte, 1), asio::socket_base::message_peek, peek_error);
        // Bytes are the next request of a hasty client, not a hang-up.
        if (read > 0 && !peek_error) return;
        if (peek_error == asio::error::would_block) return;
        state->call_back();
      }));
}

void ServerConnection::stop_watching() {
  if (!std::exchange(state_->hung_up, nullptr)) return;
  state_->watch_close.emit(asio::cancellation_type::all);
  state_->watch_end.emit(asio::cancellation_type::all);
}

void ServerConnection::stop_reading() {
  state_->broken = true;
  state_->stream.cancel();
}

asio::awaitable<void> ServerConnection::discard_body() {
  State& s = *state_;
  if (!s.parser || s.awaits_continue) co_return;  // Nothing of a body was sent.
  const auto until = std::chrono::steady_clock::now() + discard_patience;
  std::array<char, discard_piece_bytes> piece{};
  while (!s.parser->is_done()) {
    const auto left = std::chrono::duration_cast<Millis>(until - std::chrono::steady_clock::now());
    if (left <= Millis{0}) co_return;
    const auto filled = co_await read_some_body(&s.stream, &s.buffer, &*s.parser, piece, left);
    if (!filled) co_return;
  }
}

void ServerConnection::close_after_answer() { state_->keep_alive = false; }

void ServerConnection::close() {
  state_->broken = true;
  state_->stream.close();
}

}  // namespace dfaas
