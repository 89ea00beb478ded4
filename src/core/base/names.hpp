// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Names as checked types: whoever holds one knows that its characters are harmless.
///
/// They come from users, peers, files and OpenFaaS answers, and end up in paths, headers, map files
/// and metrics labels, so nothing but parse() makes one.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace dfaas {

/// Lower-case base32 of the first 20 bytes of SHA-256 over the DER public key: 32 characters. Copied
/// with every decision, so it allocates nothing.
class NodeId {
 public:
  static constexpr std::size_t length = 32;

  NodeId() = default;  ///< No node; empty() is true.
  static Result<NodeId> parse(std::string_view text);
  /// `digest` is the SHA-256 of the DER public key (SubjectPublicKeyInfo), 32 bytes.
  static NodeId from_key_digest(std::span<const std::uint8_t> digest);
  /// The letters; only of one that is not empty.
  [[nodiscard]] std::string_view view() const { return {letters_.data(), length}; }
  [[nodiscard]] std::string text() const {
    return empty() ? std::string() : std::string(letters_.data(), length);
  }
  [[nodiscard]] bool empty() const { return letters_.front() == '\0'; }
  friend bool operator==(const NodeId& a, const NodeId& b) { return (a <=> b) == 0; }
  /// Word by word, because it is compared with every decision.
  friend std::strong_ordering operator<=>(const NodeId& a, const NodeId& b) {
    for (std::size_t at = 0; at < length; at += sizeof(std::uint64_t)) {
      const std::uint64_t left = word(a, at);
      const std::uint64_t right = word(b, at);
      if (left != right) return left <=> right;
    }
    return std::strong_ordering::equal;
  }

 private:
  explicit NodeId(std::string_view text) { std::ranges::copy(text, letters_.begin()); }

  /// Eight letters as a number that sorts as they do.
  static std::uint64_t word(const NodeId& id, std::size_t at) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, id.letters_.data() + at, sizeof bytes);
    if constexpr (std::endian::native == std::endian::little) bytes = __builtin_bswap64(bytes);
    return bytes;
  }

  std::array<char, length> letters_{};
};

/// What people call a node: 1 to 63 of [a-z0-9-], not starting or ending with '-'. Never a key.
class NodeName {
 public:
  NodeName() = default;
  static Result<NodeName> parse(std::string_view text);
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  friend auto operator<=>(const NodeName&, const NodeName&) = default;

 private:
  explicit NodeName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// A function and its namespace, each 1 to 63 of [-a-zA-Z_0-9]. The default namespace is
/// "openfaas-fn", as faas-cli expects.
class FunctionName {
 public:
  static constexpr std::string_view default_space = "openfaas-fn";

  FunctionName() = default;
  /// `text` is "name" or "name.namespace"; the split is at the last dot, as OpenFaaS does.
  static Result<FunctionName> parse(std::string_view text);
  /// An empty `space` means the default one.
  static Result<FunctionName> parse(std::string_view name, std::string_view space);
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& space() const { return space_; }
  /// "name.namespace": the form used in metrics labels, messages and the database.
  [[nodiscard]] std::string full() const { return name_ + "." + space_; }
  [[nodiscard]] bool empty() const { return name_.empty(); }
  friend auto operator<=>(const FunctionName&, const FunctionName&) = default;

 private:
  FunctionName(std::string name, std::string space)
      : name_(std::move(name)), space_(std::move(space)) {}
  std::string name_;
  std::string space_;
};

}  // namespace dfaas
