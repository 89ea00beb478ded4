// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/markup.hpp"

#include <cstdint>

namespace dfaas {
namespace {

struct Character {
  std::uint32_t code = 0xFFFD;
  std::size_t length = 1;  ///< Bytes it takes in the text.
};

/// The first character of `text`, which must not be empty; U+FFFD for a byte that begins none.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {.code = lead};
  std::size_t length = 0;
  std::uint32_t code = 0;
  std::uint32_t code_min = 0;  // Shorter forms exist below it, so a longer one is forbidden.
  if (lead >= 0xC2 && lead < 0xE0) {
    length = 2, code = lead & 0x1FU, code_min = 0x80;
  } else if (lead >= 0xE0 && lead < 0xF0) {
    length = 3, code = lead & 0x0FU, code_min = 0x800;
  } else if (lead >= 0xF0 && lead < 0xF5) {
    length = 4, code = lead & 0x07U, code_min = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  if (code < code_min || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {};
  return {.code = code, .length = length};
}

/// What a page may show as it is: neither control, nor non-character, nor a change of direction.
bool showable(std::uint32_t code) {
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
  if (code >= 0x202A && code <= 0x202E) return false;
  if (code >= 0x2066 && code <= 0x2069) return false;
  return (code & 0xFFFEU) != 0xFFFE;
}

}  // namespace

std::string escaped(std::string_view text, std::size_t length_max) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t count = 0; !text.empty(); ++count) {
    if (count == length_max) return out + "…";
    const Character character = first_character(text);
    switch (character.code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\n':
      case '\t':
        out += ' ';
        break;
      default:
        if (showable(character.code) && character.code != 0xFFFD) {
          out += text.substr(0, character.length);
        } else {
          out += "\uFFFD";
        }
    }
    text.remove_prefix(character.length);
  }
  return out;
}

std::string_view mark_html(Mark mark) {
  switch (mark) {
    case Mark::good:
      return R"(<svg xmlns="http://www.w3.org/2000/svg" class="mark good" viewBox="0 0 16 16" )"
             R"(role="img" aria-label="good"><path d="M3 8.5 6.5 12 13 4.5"/></svg>)";
    case Mark::warning:
      return R"(<svg xmlns="http://www.w3.org/2000/svg" class="mark warning" )"
             R"(viewBox="0 0 16 16" role="img" aria-label="warning">)"
             R"(<path d="M8 2.5V9.5M8 12.5V13.5"/></svg>)";
    case Mark::bad:
      return R"(<svg xmlns="http://www.w3.org/2000/svg" class="mark bad" viewBox="0 0 16 16" )"
             R"(role="img" aria-label="bad"><path d="M4 4 12 12M12 4 4 12"/></svg>)";
    case Mark::none:
      break;
  }
  return "";
}

std::string_view mark_class(Mark mark) {
  switch (mark) {
    case Mark::good:
      return "good";
    case Mark::warning:
      return "warning";
    case Mark::bad:
      return "bad";
    case Mark::none:
      break;
  }
  return "";
}

}  // namespace dfaas
