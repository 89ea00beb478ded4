// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The newest lines that each function wrote to its standard error, for GET /system/logs.
///
/// Limits  1000 lines and 128 KiB per function, 8 KiB per line (the rest is cut off); in memory only, so
///         that they are gone with the gateway.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "core/base/names.hpp"
#include "core/openfaas/logs.hpp"

namespace dfaas {

/// Pieces of a stream in, whole lines out.
class LineSplitter {
 public:
  static constexpr std::size_t line_bytes_max = 8 * 1024;

  /// The lines that `piece` completes; a line that grows too long counts as complete.
  std::vector<std::string> add(std::string_view piece);
  /// What is left without an end of line, if anything.
  std::vector<std::string> finish();

 private:
  std::string rest_;
};

class FunctionLogs {
 public:
  static constexpr std::size_t lines_max = 1000;
  static constexpr std::size_t bytes_max = 128 * 1024;

  void write(const FunctionName& function, LogLine line);
  /// The function is gone, and so are its lines; followers end.
  void forget(const FunctionName& function);
  /// Ends every follower: the gateway stops.
  void close();

  /// A reader of one function: what is there, then what comes. It may outlive the function.
  class Reader {
   public:
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    Reader(Reader&&) = delete;
    Reader& operator=(Reader&&) = delete;
    /// Lines not read before, oldest first. Those that fell out of the ring meanwhile are missed.
    std::vector<LogLine> take();
    /// `wake` is cancelled when there is more to take, or nothing will come.
    [[nodiscard]] bool closed() const;

   private:
    friend class FunctionLogs;
    struct Ring;
    Reader(std::shared_ptr<Ring> ring, boost::asio::steady_timer* wake);
    std::shared_ptr<Ring> ring_;
    boost::asio::steady_timer* wake_;
    std::uint64_t next_ = 0;
  };
  /// `wake` must outlive the reader.
  std::unique_ptr<Reader> read(const FunctionName& function, boost::asio::steady_timer* wake);

 private:
  std::shared_ptr<Reader::Ring> ring(const FunctionName& function);
  std::map<FunctionName, std::shared_ptr<Reader::Ring>> rings_;
};

}  // namespace dfaas
