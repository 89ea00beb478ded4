// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Every setting of a node in one table: name, unit, bounds, default and a sentence.
///
/// Order   default < file < environment < flag; the caller hands over texts in that order, each
///         with where it came from, and gets a checked set or one clear sentence.
/// Use     `dfaas config explain NAME` and docs/reference/settings.md come from this table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

enum class SettingKind : std::uint8_t {
  text,
  word,
  integer,
  number,
  address,
  optional_address,
  local_url,
  server_url,
  partners,    ///< As core/policy reads them.
  guest_slots  ///< The same.
};

struct Setting {
  std::string_view name;  ///< "strategy.period_ms"
  SettingKind kind;
  std::string_view unit;  ///< "ms", "bytes", "" ...
  double low;             ///< Bounds of numbers.
  double high;
  std::string_view words;  ///< Allowed words, by '|'.
  std::string_view otherwise;
  std::string_view sentence;
  std::string_view alias;  ///< The variable of the original prototype, or empty.
};

/// An HTTP server.
struct ServerUrl {
  bool is_secure = false;  ///< https.
  std::string host;        ///< "localhost", "127.0.0.1", "::1", "faasd.example.org".
  std::uint16_t port = 80;
  std::string path;  ///< "" or "/prefix", without a slash at its end.
};
using LocalUrl = ServerUrl;

/// "http://HOST:PORT/prefix", or https. Nothing for another scheme, and for queries, fragments and credentials.
std::optional<ServerUrl> parse_server_url(std::string_view url);

/// The same for a server of this machine, over http; nothing for a host that is not this one.
std::optional<LocalUrl> parse_local_url(std::string_view url);

/// Sorted by name.
std::span<const Setting> settings_table() noexcept;

/// Null where there is none.
const Setting* find_setting(std::string_view name) noexcept;

/// The name as an environment variable: "user.bind" is DFAAS_USER_BIND.
std::string environment_name(std::string_view setting);

/// "strategy.period_ms (integer, ms, 500 to 600000, default 2000): ..." for people.
std::string explain(const Setting& setting);

/// The reference page, in Markdown.
std::string settings_reference();

struct SettingText {
  std::string name;
  std::string value;
  std::string origin;  ///< "node.toml", "environment DFAAS_USER_BIND", "--set".
};

class Settings {
 public:
  /// Errors: invalid_input naming setting, value, origin and what is allowed; an unknown name comes
  /// with the nearest known one.
  static Result<Settings> parse(std::span<const SettingText> texts);

  /// The name must be in the table and of that kind.
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] Millis millis(std::string_view name) const { return Millis{integer(name)}; }
  /// Where the value comes from: "default" or as given.
  [[nodiscard]] const std::string& origin(std::string_view name) const;

 private:
  struct Value {
    std::string text;
    std::string origin;
  };
  [[nodiscard]] const Value& value(std::string_view name) const;
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace dfaas
