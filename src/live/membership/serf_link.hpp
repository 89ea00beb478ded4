// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One connection to the RPC of the serf beside this node.
///
/// Errors  unavailable, timed_out; denied when serf refuses the key; invalid_input when somebody else answers.
///         After an error the link is of no more use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/membership/serf_rpc.hpp"

namespace dfaas {

/// Where the file says that serf listens. Errors: not_found, invalid_input naming the file.
Result<SerfDoor> read_serf_door(const std::filesystem::path& agent_file);

class SerfLink {
 public:
  /// Connects and shows the key.
  static boost::asio::awaitable<Result<std::unique_ptr<SerfLink>>> open(SerfDoor door,
                                                                        Millis patience);
  ~SerfLink();
  SerfLink(const SerfLink&) = delete;
  SerfLink& operator=(const SerfLink&) = delete;
  SerfLink(SerfLink&&) = delete;
  SerfLink& operator=(SerfLink&&) = delete;

  boost::asio::awaitable<Result<void>> send(std::string bytes, Millis patience);
  /// The next header or body. timed_out leaves the link as it was.
  boost::asio::awaitable<Result<SerfFrame>> read(Millis patience);

 private:
  struct State;
  explicit SerfLink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct SerfAnswer {
  std::string error;  ///< serf's own words; empty when all is well.
  std::string body;   ///< Empty where the command has none.
};
/// One command with `sequence` number serf_call_sequence on a connection of its own.
constexpr std::uint64_t serf_call_sequence = 9;
/// `even_after_errors`: what members said about keys.
enum class SerfBody : std::uint8_t { none, follows, even_after_errors };
boost::asio::awaitable<Result<SerfAnswer>> serf_call(SerfDoor door, std::string command,
                                                     SerfBody body, Millis patience);
/// The same for programs without an event loop.
Result<SerfAnswer> serf_call_blocking(const SerfDoor& door, std::string command, SerfBody body,
                                      Millis patience);

}  // namespace dfaas
