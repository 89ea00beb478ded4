// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Those who record what a gateway does: `dfaas node record`, over the control socket.
///
/// Guarantees  Costs one comparison a call while nobody records. Nothing waits for a reader: one that
///             does not keep up is cut off, and so knows that its recording has an end.
/// Limits      Four readers at one time, of which each may be 16 MiB behind.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/base/instant.hpp"
#include "core/scenario/recorder.hpp"

namespace dfaas {

class Recordings {
 public:
  static constexpr std::size_t readers_max = 4;

  struct Reader {
    Reader(boost::asio::any_io_executor executor, Instant began_) : wake(executor), began(began_) {}

    boost::asio::steady_timer wake;  ///< Cancelled when it is over.
    Instant began;
    std::string pending;  ///< Lines that it has not got yet.
    bool is_over = false;

    void end() {
      is_over = true;
      wake.cancel();
    }
  };
  using Place = std::list<Reader>::iterator;

  [[nodiscard]] bool empty() const { return readers_.empty(); }
  [[nodiscard]] std::size_t size() const { return readers_.size(); }
  Place add(boost::asio::any_io_executor executor, Instant now);
  void remove(Place reader) { readers_.erase(reader); }

  /// A line for everybody.
  void tell(std::string_view line);
  /// A user's call has come. Returns the number under which its run and end are told.
  std::uint64_t called(const FunctionName& function, const std::string& call_id, Instant now);

 private:
  static void add_line(Reader& reader, std::string_view line);

  std::list<Reader> readers_;
  std::uint64_t last_number_ = 0;
};

}  // namespace dfaas
