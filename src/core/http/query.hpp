// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The query of a request target: "a=1&b=x%3Ay".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dfaas {

/// Decodes %XX, and '+' as a blank. Nothing where a '%' is not followed by two digits.
std::optional<std::string> percent_decode(std::string_view text);

/// The value of the first `key`, decoded; "" for a key without '='. Nothing where there is no such key.
/// A value that cannot be decoded is given as it is.
std::optional<std::string> query_value(std::string_view query, std::string_view key);

}  // namespace dfaas
