// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/node/death_pipe.hpp"

#include <fcntl.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "core/base/text.hpp"

namespace dfaas {

void watch_supervisor(boost::asio::any_io_executor executor, std::function<void()> on_death) {
  const char* number = std::getenv("DFAAS_DEATH_FD");  // NOLINT: set before any thread of ours.
  const auto descriptor = parse_unsigned(number == nullptr ? "" : number);
  if (!descriptor || ::fcntl(static_cast<int>(*descriptor), F_GETFD) < 0) return;
  ::fcntl(static_cast<int>(*descriptor), F_SETFD, FD_CLOEXEC);
  auto pipe = std::make_shared<boost::asio::posix::stream_descriptor>(
      executor, static_cast<int>(*descriptor));
  pipe->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [pipe, callback = std::move(on_death)](const boost::system::error_code& error) {
                     if (!error) callback();
                   });
}

}  // namespace dfaas
