// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Runs a program to its end beside the event loop: what it said, and whether it took too long or too much.
///
/// Guarantees The program and its group end with the coroutine that runs them, at the deadline, and, given setpriv,
///            with this process. What it writes is bounded: more output ends it, of its errors the last is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct ProgramCall {
  std::vector<std::string> arguments;    ///< The first is an absolute path.
  std::vector<std::string> environment;  ///< "NAME=value"; nothing else is inherited.
  std::string directory = "/";
  Millis patience{60'000};
  std::size_t output_bytes_max = 4U << 20U;
  std::uint64_t file_bytes_max = 0;  ///< Of a single file that it writes; 0 for no limit.
  /// Asked a few times a second while it runs; its error ends the program, and is the answer.
  std::function<boost::asio::awaitable<Result<void>>()> watch;
};

struct ProgramEnd {
  int status = 0;  ///< Exit code, or 128 + signal.
  std::string output;
  std::string errors;  ///< The end of them.
};

/// Errors: unavailable if it cannot be started, timed_out, overloaded over the output's limit, and those of `watch`.
boost::asio::awaitable<Result<ProgramEnd>> run_program(boost::asio::any_io_executor executor,
                                                       ProgramCall call);

}  // namespace dfaas
