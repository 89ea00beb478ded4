// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/names.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::size_t name_length_max = 63;

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }
bool is_lower(char letter) { return letter >= 'a' && letter <= 'z'; }
bool is_upper(char letter) { return letter >= 'A' && letter <= 'Z'; }

bool is_function_letter(char letter) {
  return is_lower(letter) || is_upper(letter) || is_digit(letter) || letter == '-' || letter == '_';
}

bool has_good_length(std::string_view text) {
  return !text.empty() && text.size() <= name_length_max;
}

}  // namespace

Result<NodeId> NodeId::parse(std::string_view text) {
  const auto is_base32 = [](char letter) {
    return is_lower(letter) || (letter >= '2' && letter <= '7');
  };
  if (text.size() != length || !std::ranges::all_of(text, is_base32)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("node id {} is not 32 characters of a-z and 2-7", in_quotes(text)));
  }
  return NodeId(text);
}

NodeId NodeId::from_key_digest(std::span<const std::uint8_t> digest) {
  DFAAS_ASSERT(digest.size() >= 20, "a node id needs 20 bytes of digest");
  return NodeId(base32_lower(digest.first(20)));
}

Result<NodeName> NodeName::parse(std::string_view text) {
  const auto is_letter = [](char letter) {
    return is_lower(letter) || is_digit(letter) || letter == '-';
  };
  if (!has_good_length(text) || !std::ranges::all_of(text, is_letter) || text.front() == '-' ||
      text.back() == '-') {
    return fail(ErrorCode::invalid_input,
                fmt::format("node name {} is not 1 to 63 characters of a-z, 0-9 and '-' "
                            "(not at the ends)",
                            in_quotes(text)));
  }
  return NodeName(std::string(text));
}

Result<FunctionName> FunctionName::parse(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos) return parse(text, {});
  if (dot + 1 == text.size()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("function name {} ends with a dot: write NAME or NAME.NAMESPACE",
                            in_quotes(text)));
  }
  return parse(text.substr(0, dot), text.substr(dot + 1));
}

Result<FunctionName> FunctionName::parse(std::string_view name, std::string_view space) {
  if (space.empty()) space = default_space;
  for (const auto& [what, part] : {std::pair{"function name", name}, {"namespace", space}}) {
    if (!has_good_length(part) || !std::ranges::all_of(part, is_function_letter)) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} {} is not 1 to 63 characters of a-z, A-Z, 0-9, '-' and '_'", what,
                              in_quotes(part)));
    }
  }
  return FunctionName(std::string(name), std::string(space));
}

}  // namespace dfaas
