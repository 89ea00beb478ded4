// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How a program of a node learns that its supervisor is gone, however it went.
///
/// Each child inherits the read end of a pipe, its number in DFAAS_DEATH_FD; only the supervisor holds the
/// write end. End of file means: stop now.
#pragma once

#include <functional>

#include <boost/asio/any_io_executor.hpp>

namespace dfaas {

/// Calls back, once, when the supervisor is gone. Nothing where the program was not started by one.
void watch_supervisor(boost::asio::any_io_executor executor, std::function<void()> on_death);

}  // namespace dfaas
