// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/duration.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t micros;
};

/// Largest first; only duration_text() needs that.
constexpr std::array<Unit, 5> units{{
    {"h", 3'600'000'000},
    {"m", 60'000'000},
    {"s", 1'000'000},
    {"ms", 1'000},
    {"us", 1},
}};

constexpr double micros_max = 1000.0 * 24 * 3600 * 1e6;  ///< Guessed: nobody waits longer.

tl::unexpected<Error> wrong(std::string_view text) {
  return fail(ErrorCode::invalid_input,
              fmt::format("{} is not a duration such as 500ms, 30s or 5m", in_quotes(text)));
}

}  // namespace

Result<Micros> parse_duration(std::string_view text) {
  constexpr std::string_view number_letters = "0123456789.";
  std::string_view rest = text;
  double micros = 0;
  do {
    const std::size_t number_end = rest.find_first_not_of(number_letters);
    if (number_end == std::string_view::npos) return wrong(text);
    const auto number = parse_number(rest.substr(0, number_end));
    rest.remove_prefix(number_end);
    const std::string_view name = rest.substr(0, rest.find_first_of(number_letters));
    rest.remove_prefix(name.size());
    const Unit* found = nullptr;
    for (const Unit& unit : units) {
      if (unit.name == name) found = &unit;
    }
    if (!number || found == nullptr) return wrong(text);
    micros += *number * static_cast<double>(found->micros);
  } while (!rest.empty());
  if (micros > micros_max) return wrong(text);
  return Micros{std::llround(micros)};
}

std::string duration_text(Micros duration) {
  if (duration == Micros{0}) return "0s";
  for (const Unit& unit : units) {
    if (duration.count() % unit.micros == 0) {
      return fmt::format("{}{}", duration.count() / unit.micros, unit.name);
    }
  }
  return fmt::format("{}us", duration.count());
}

}  // namespace dfaas
