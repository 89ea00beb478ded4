// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Where one MessagePack value ends and the next begins, in bytes that arrive piece by piece.
///
/// Limits  A value of `bytes_max`, nesting of 16. What is over them, or no MessagePack, is an Error, and
///         nothing behind it can be read.
/// Cost    Every byte is looked at once, however it was cut into pieces.
/// Source  github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"

namespace dfaas {

class MsgpackFrames {
 public:
  explicit MsgpackFrames(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next whole value as it came; nothing while bytes are missing. Errors: invalid_input, overloaded.
  Result<std::optional<std::string>> next();

 private:
  std::size_t bytes_max_;
  std::string buffer_;
  std::size_t at_ = 0;  ///< All before it was looked at.
  std::vector<std::uint64_t>
      remaining_;  ///< Values still to come, from the outermost container in.
};

}  // namespace dfaas
