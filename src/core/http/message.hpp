// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// HTTP heads as plain data, so that routing and rules need no HTTP library.
///
/// Framing (Content-Length, Transfer-Encoding, Connection, Expect) is the business of live/net: it
/// is lifted out of `headers` on reading and put back on writing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dfaas {

struct Header {
  std::string name;
  std::string value;

  friend bool operator==(const Header&, const Header&) = default;
};

/// In order of arrival; names compare without case.
class Headers {
 public:
  /// Value of the first header of that name, or null.
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] std::string_view get(std::string_view name) const;  ///< Empty where absent.
  [[nodiscard]] std::size_t count(std::string_view name) const;
  void add(std::string name, std::string value);
  void set(std::string name, std::string value);  ///< Replaces all of that name.
  void remove(std::string_view name);
  /// Removes every header whose name starts with `prefix`, without case.
  void remove_prefixed(std::string_view prefix);
  [[nodiscard]] auto begin() const { return list_.begin(); }
  [[nodiscard]] auto end() const { return list_.end(); }
  [[nodiscard]] bool empty() const { return list_.empty(); }

 private:
  std::vector<Header> list_;
};

/// How the body of a message is delimited.
struct BodyFraming {
  std::optional<std::uint64_t> length;  ///< Content-Length; 0 for none.
  bool chunked = false;                 ///< Then `length` is empty.

  [[nodiscard]] bool empty() const { return !chunked && length.value_or(0) == 0; }
};

struct RequestHead {
  std::string method;
  std::string target;  ///< Raw, as sent: never normalised.
  Headers headers;     ///< Without framing and hop-by-hop headers.
  BodyFraming body;
  bool expects_continue = false;
  bool keep_alive = true;
};

struct ResponseHead {
  int status = 200;
  Headers headers;
  BodyFraming body;
  bool keep_alive = true;
};

/// The standard reason phrase, or "Unknown".
std::string_view reason_phrase(int status);

}  // namespace dfaas
