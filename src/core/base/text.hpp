// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Small text helpers that the standard library of C++20 lacks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dfaas {

/// Lower-case base32 (RFC 4648 alphabet) without padding.
std::string base32_lower(std::span<const std::uint8_t> bytes);

/// Upper-case hexadecimal, two digits a byte.
std::string hex_upper(std::span<const std::uint8_t> bytes);

/// Decodes standard base64 with padding; nothing where the text is not base64.
std::optional<std::string> base64_decode(std::string_view text);

std::string base64_encode(std::string_view bytes);

/// ASCII only: what HTTP header names need.
std::string to_lower(std::string_view text);
bool equal_ignoring_case(std::string_view left, std::string_view right);

/// Without blanks and tabs at both ends.
std::string_view trim(std::string_view text);

/// The pieces between `separator`s; always at least one.
std::vector<std::string_view> split(std::string_view text, char separator);

/// A decimal, unsigned, nothing else; nothing on sign, blank, overflow or empty text.
std::optional<std::uint64_t> parse_unsigned(std::string_view text);

/// A finite decimal number; nothing on anything else.
std::optional<double> parse_number(std::string_view text);

/// `text` cut to `length_max` bytes and made printable (control bytes become '?'), in quotes: for
/// showing untrusted values in messages.
std::string in_quotes(std::string_view text, std::size_t length_max = 80);

}  // namespace dfaas
