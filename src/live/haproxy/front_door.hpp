// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The front door at run time: who is a member, and which slot leads to which neighbour.
///
/// Changes go to the running HAProxy over its statistics socket, never by a reload, and to the map files
/// beside, so that a restart comes up with the last state. A HAProxy that was restarted is noticed and set
/// up again.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

/// A neighbour as the front door needs it.
struct Admission {
  NodeId id;
  /// Of its certificates, upper-case hexadecimal, newest first: after a renewal there are several, because
  /// connections live on with the old ones.
  std::vector<std::string> fingerprints;
  std::string address;  ///< Numeric.
  std::uint16_t port = 0;

  friend bool operator==(const Admission&, const Admission&) = default;
};

class FrontDoor {
 public:
  FrontDoor(boost::asio::any_io_executor executor, std::filesystem::path socket,
            std::filesystem::path maps);

  /// Takes over what a running HAProxy has from an earlier agent, so that its neighbours stay
  /// reachable without a gap. Errors: unavailable; then nothing is taken over.
  boost::asio::awaitable<Result<void>> recall();
  /// The slot that this neighbour has, or 0.
  [[nodiscard]] int slot_of(const NodeId& id) const;

  /// Admitting what is admitted already changes nothing. `slot` from 1 to 64.
  /// Errors: unavailable naming the command that HAProxy refused; the state is kept and set up by the
  /// next refresh().
  boost::asio::awaitable<Result<void>> admit(int slot, Admission admission);
  /// One more certificate of an admitted neighbour, which will show it from now on; of many, the oldest is
  /// admitted no longer.
  boost::asio::awaitable<Result<void>> admit_certificate(int slot, std::string fingerprint);
  /// Nothing new goes there or comes from there; what is on its way may finish. Errors: as admit(); what is left
  /// to do is done by the next refresh().
  boost::asio::awaitable<Result<void>> dismiss(int slot);

  /// HAProxy goes on with `pem` in place of what it read from `file` at its start: our certificate and key.
  /// Connections stay. Errors: unavailable, with HAProxy's words.
  boost::asio::awaitable<Result<void>> replace_certificate(std::filesystem::path file,
                                                           std::string pem);
  /// The same of the authorities that it believes.
  boost::asio::awaitable<Result<void>> replace_authorities(std::filesystem::path file,
                                                           std::string pem);

  /// Sets everything up again if HAProxy was restarted since, or has not taken a change. Cheap when not.
  boost::asio::awaitable<Result<void>> refresh();

  [[nodiscard]] const std::map<int, Admission>& admissions() const { return admissions_; }

 private:
  struct Running {
    std::string pid;
    std::map<int, Admission> admissions{};  ///< By slot; only those that are whole and in use.
  };
  /// What the running HAProxy has.
  boost::asio::awaitable<Result<Running>> look();
  boost::asio::awaitable<Result<std::string>> command(std::string line);
  /// A command that answers nothing when all is well.
  boost::asio::awaitable<Result<void>> apply(std::string line);
  /// Two commands, of which the second makes the first take effect.
  boost::asio::awaitable<Result<void>> replace(std::string kind, std::string file, std::string pem);
  boost::asio::awaitable<Result<void>> set_up(int slot, Admission admission);
  /// Out of the running HAProxy, but for what others have by now.
  boost::asio::awaitable<Result<void>> shut(int slot, Admission gone);
  Result<void> write_maps() const;

  boost::asio::any_io_executor executor_;
  std::filesystem::path socket_;
  std::filesystem::path maps_;
  std::map<int, Admission> admissions_;
  std::string pid_;
  bool is_behind_ = false;                            ///< HAProxy has not taken every change.
  std::vector<std::pair<int, Admission>> half_shut_;  ///< By slot: dismissed, perhaps not out yet.
};

}  // namespace dfaas
