// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/msgpack_frames.hpp"

#include <utility>

#include <fmt/format.h>

namespace dfaas {
namespace {

constexpr std::size_t depth_max = 16;

/// A type byte: how many bytes of length follow it, what the length counts, and what is fixed.
struct Shape {
  std::size_t length_bytes = 0;
  std::uint64_t payload = 0;   ///< Bytes behind the length.
  std::uint64_t children = 0;  ///< Values behind it.
  std::uint64_t children_each = 0;
  bool is_container = false;
  bool is_known = true;
};

Shape shape_of(std::uint8_t type) {
  if (type <= 0x7f || type >= 0xe0) return {};
  if (type <= 0x8f) return {.children = 2 * std::uint64_t{type & 0x0fU}, .is_container = true};
  if (type <= 0x9f) return {.children = type & 0x0fU, .is_container = true};
  if (type <= 0xbf) return {.payload = type & 0x1fU};
  switch (type) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return {};
    case 0xc4:
    case 0xd9:
      return {.length_bytes = 1};
    case 0xc5:
    case 0xda:
      return {.length_bytes = 2};
    case 0xc6:
    case 0xdb:
      return {.length_bytes = 4};
    case 0xc7:
      return {.length_bytes = 1, .payload = 1};
    case 0xc8:
      return {.length_bytes = 2, .payload = 1};
    case 0xc9:
      return {.length_bytes = 4, .payload = 1};
    case 0xcc:
    case 0xd0:
      return {.payload = 1};
    case 0xcd:
    case 0xd1:
      return {.payload = 2};
    case 0xca:
    case 0xce:
    case 0xd2:
      return {.payload = 4};
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return {.payload = 8};
    case 0xd4:
      return {.payload = 2};
    case 0xd5:
      return {.payload = 3};
    case 0xd6:
      return {.payload = 5};
    case 0xd7:
      return {.payload = 9};
    case 0xd8:
      return {.payload = 17};
    case 0xdc:
      return {.length_bytes = 2, .children_each = 1, .is_container = true};
    case 0xdd:
      return {.length_bytes = 4, .children_each = 1, .is_container = true};
    case 0xde:
      return {.length_bytes = 2, .children_each = 2, .is_container = true};
    case 0xdf:
      return {.length_bytes = 4, .children_each = 2, .is_container = true};
    default:
      return {.is_known = false};
  }
}

}  // namespace

Result<std::optional<std::string>> MsgpackFrames::next() {
  while (at_ < buffer_.size()) {
    const auto type = static_cast<std::uint8_t>(buffer_[at_]);
    const Shape shape = shape_of(type);
    if (!shape.is_known) {
      return fail(ErrorCode::invalid_input, fmt::format("byte {:#x} begins no value", type));
    }
    if (buffer_.size() - at_ < 1 + shape.length_bytes) return std::nullopt;
    std::uint64_t length = 0;
    for (std::size_t byte = 1; byte <= shape.length_bytes; ++byte) {
      length = length << 8U | static_cast<std::uint8_t>(buffer_[at_ + byte]);
    }
    const std::uint64_t children =
        shape.is_container ? shape.children + length * shape.children_each : 0;
    const std::uint64_t bytes =
        1 + shape.length_bytes + shape.payload + (shape.is_container ? 0 : length);
    // A child takes a byte at least, so no count can promise more than the limit allows.
    if (at_ + bytes + children > bytes_max_) {
      return fail(ErrorCode::overloaded, fmt::format("a value is over {} bytes", bytes_max_));
    }
    if (buffer_.size() - at_ < bytes) return std::nullopt;
    at_ += bytes;
    if (children > 0) {
      if (remaining_.size() == depth_max) {
        return fail(ErrorCode::invalid_input,
                    fmt::format("values are nested deeper than {}", depth_max));
      }
      remaining_.push_back(children);
      continue;
    }
    while (!remaining_.empty() && --remaining_.back() == 0) remaining_.pop_back();
    if (!remaining_.empty()) continue;
    std::string value = buffer_.substr(0, at_);
    buffer_.erase(0, std::exchange(at_, 0));
    return value;
  }
  return std::nullopt;
}

}  // namespace dfaas
