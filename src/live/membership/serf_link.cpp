// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/membership/serf_link.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "core/membership/msgpack_frames.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

tl::unexpected<Error> unreachable(const boost::system::error_code& error) {
  return fail(ErrorCode::unavailable, "serf: " + error.message());
}

tl::unexpected<Error> late() { return fail(ErrorCode::timed_out, "serf does not answer in time"); }

}  // namespace

Result<SerfDoor> read_serf_door(const std::filesystem::path& agent_file) {
  constexpr std::size_t bytes_max = 64U << 10U;
  const auto text = read_file(agent_file, bytes_max);
  if (!text) return tl::unexpected(text.error());
  auto door = serf_door_from(*text);
  if (!door) return tl::unexpected(std::move(door).error().within(agent_file.string()));
  return door;
}

struct SerfLink::State {
  explicit State(const asio::any_io_executor& executor) : socket(executor), timer(executor) {}
  tcp::socket socket;
  asio::steady_timer timer;
  MsgpackFrames frames{serf_message_bytes_max};
  std::array<char, 64U << 10U> piece{};
};

SerfLink::SerfLink(std::unique_ptr<State> state) : state_(std::move(state)) {}
SerfLink::~SerfLink() = default;

asio::awaitable<Result<std::unique_ptr<SerfLink>>> SerfLink::open(SerfDoor door, Millis patience) {
  auto state = std::make_unique<State>(co_await asio::this_coro::executor);
  boost::system::error_code error;
  const auto address = asio::ip::make_address(door.host, error);
  if (error) co_return unreachable(error);
  const tcp::endpoint place(address, door.port);
  state->timer.expires_after(patience);
  const auto connected = co_await (state->socket.async_connect(place, as_result) ||
                                   state->timer.async_wait(as_result));
  if (connected.index() == 1) co_return late();
  const auto [connect_error] = std::get<0>(connected);
  if (connect_error) co_return unreachable(connect_error);
  std::unique_ptr<SerfLink> link(new SerfLink(std::move(state)));
  const std::string greeting = serf_handshake(1) + serf_auth(2, door.key);
  if (auto sent = co_await link->send(greeting, patience); !sent)
    co_return pass_on(std::move(sent));
  for (const std::uint64_t sequence : {std::uint64_t{1}, std::uint64_t{2}}) {
    const auto answer = co_await link->read(patience);
    if (!answer) co_return tl::unexpected(answer.error());
    if (!answer->is_header || answer->sequence != sequence) {
      co_return fail(ErrorCode::invalid_input, "who answers in the place of serf is not serf");
    }
    if (!answer->error.empty()) co_return fail(ErrorCode::denied, "serf: " + answer->error);
  }
  co_return link;
}

asio::awaitable<Result<void>> SerfLink::send(std::string bytes, Millis patience) {
  state_->timer.expires_after(patience);
  const auto written =
      co_await (asio::async_write(state_->socket, asio::buffer(bytes), as_result) ||
                state_->timer.async_wait(as_result));
  if (written.index() == 1) co_return late();
  const auto [error, count] = std::get<0>(written);
  if (error) co_return unreachable(error);
  co_return Result<void>{};
}

asio::awaitable<Result<SerfFrame>> SerfLink::read(Millis patience) {
  state_->timer.expires_after(patience);
  for (;;) {
    auto value = state_->frames.next();
    if (!value) co_return tl::unexpected(std::move(value).error().within("serf"));
    if (*value) co_return serf_frame(std::move(**value));
    const auto filled =
        co_await (state_->socket.async_read_some(asio::buffer(state_->piece), as_result) ||
                  state_->timer.async_wait(as_result));
    if (filled.index() == 1) co_return late();
    const auto [error, count] = std::get<0>(filled);
    if (error) co_return unreachable(error);
    state_->frames.feed(std::string_view(state_->piece.data(), count));
  }
}

asio::awaitable<Result<SerfAnswer>> serf_call(SerfDoor door, std::string command, SerfBody body,
                                              Millis patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  auto opened = co_await SerfLink::open(door, patience);
  if (!opened) co_return pass_on(std::move(opened));
  const std::unique_ptr<SerfLink> link = std::move(*opened);
  if (auto sent = co_await link->send(command, patience); !sent) co_return pass_on(std::move(sent));
  SerfAnswer answer;
  bool is_answered = false;
  for (;;) {
    const auto left = std::chrono::ceil<Millis>(until - std::chrono::steady_clock::now());
    const auto frame = co_await link->read(std::max(left, Millis{1}));
    if (!frame) co_return tl::unexpected(frame.error());
    if (frame->is_header) {
      is_answered = frame->sequence == serf_call_sequence;
      answer.error = frame->error;
      // Where something went wrong a body may follow or not.
      const bool is_whole =
          body == SerfBody::none || (!frame->error.empty() && body != SerfBody::even_after_errors);
      if (is_answered && is_whole) co_return answer;
    } else if (is_answered) {
      answer.body = frame->body;
      co_return answer;
    }
  }
}

Result<SerfAnswer> serf_call_blocking(const SerfDoor& door, std::string command, SerfBody body,
                                      Millis patience) {
  asio::io_context context(1);
  std::optional<Result<SerfAnswer>> answer;
  asio::co_spawn(context, serf_call(door, std::move(command), body, patience),
                 [&answer](const std::exception_ptr& problem, Result<SerfAnswer> done) {
                   if (problem) std::rethrow_exception(problem);
                   answer = std::move(done);
                 });
  context.run();
  return std::move(*answer);
}

}  // namespace dfaas
