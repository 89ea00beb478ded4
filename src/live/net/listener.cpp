// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/net/listener.hpp"

#include <sys/stat.h>

#include <chrono>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

namespace dfaas {
namespace {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds accept_retry_delay{100};
constexpr int backlog = 4096;

}  // namespace

Result<UnixAcceptor> listen_unix(asio::any_io_executor executor, const std::string& path) {
  const auto failed = [&path](std::string_view doing, const boost::system::error_code& error) {
    return fail(ErrorCode::unavailable, fmt::format("{} {}: {}", doing, path, error.message()));
  };
  boost::system::error_code error;
  Local::socket probe(executor);
  probe.connect(Local::endpoint(path), error);
  if (!error) {
    return fail(ErrorCode::conflict, fmt::format("socket {} is in use by a running process", path));
  }
  ::unlink(path.c_str());
  UnixAcceptor acceptor(executor);
  acceptor.open(Local(), error);
  if (error) return failed("opening", error);
  const mode_t before = ::umask(0177);
  acceptor.bind(Local::endpoint(path), error);
  ::umask(before);
  if (error) return failed("binding", error);
  acceptor.listen(backlog, error);
  if (error) return failed("listening on", error);
  return acceptor;
}

Result<UnixAcceptor> adopt_unix(asio::any_io_executor executor, int descriptor) {
  UnixAcceptor acceptor(executor);
  boost::system::error_code error;
  acceptor.assign(Local(), descriptor, error);
  if (error) {
    return fail(ErrorCode::unavailable, fmt::format("taking over listening descriptor {}: {}",
                                                    descriptor, error.message()));
  }
  return acceptor;
}

asio::awaitable<void> accept_loop(UnixAcceptor* acceptor, std::function<void(StreamSocket)> serve) {
  asio::steady_timer retry(acceptor->get_executor());
  while (acceptor->is_open()) {
    auto [error, socket] = co_await acceptor->async_accept(as_result);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (error) {  // Usually out of descriptors: without a pause this loop would spin.
      retry.expires_after(accept_retry_delay);
      const auto [wait_error] = co_await retry.async_wait(as_result);
      if (wait_error) co_return;
      continue;
    }
    serve(StreamSocket(std::move(socket)));
  }
}

}  // namespace dfaas
