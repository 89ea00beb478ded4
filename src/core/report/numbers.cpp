// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/numbers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace dfaas {
namespace {

constexpr std::string_view no_number = "–";
constexpr std::string_view minus = "−";
constexpr std::string_view thousands_gap = "\u202F";
constexpr std::size_t ticks_max = 8;

/// mantissa * 10^exponent, exact where a double can be: dividing by a power of ten rounds once,
/// multiplying by its inexact inverse twice.
double scaled(double mantissa, int exponent) {
  return exponent >= 0 ? mantissa * std::pow(10.0, exponent) : mantissa / std::pow(10.0, -exponent);
}

/// Quotients that are whole but for rounding count as whole.
double floor_quotient(double value, double step) {
  const double quotient = value / step;
  const double nearest = std::round(quotient);
  return std::abs(quotient - nearest) < 1e-9 ? nearest : std::floor(quotient);
}

double ceil_quotient(double value, double step) { return -floor_quotient(-value, step); }

/// The digits of a number that was printed with a fixed count of decimals, for people.
std::string grouped(std::string_view digits) {
  std::string out;
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  const bool zero = digits.find_first_not_of("0.") == std::string_view::npos;
  if (negative && !zero) out += minus;
  const std::size_t whole = std::min(digits.find('.'), digits.size());
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += thousands_gap;
    out += digits[i];
  }
  return out += digits.substr(whole);
}

/// Of a number that has a decimal point.
void drop_trailing_zeros(std::string& digits) {
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.ends_with('.')) digits.pop_back();
}

std::string scientific(double value) {
  const std::string text = fmt::format("{:.2e}", std::abs(value));
  const std::size_t mark = text.find('e');
  std::string mantissa = text.substr(0, mark);
  drop_trailing_zeros(mantissa);
  const int exponent = std::stoi(text.substr(mark + 1));
  return fmt::format("{}{}e{}", value < 0 ? minus : "", mantissa, exponent);
}

struct Step {
  double mantissa = 1;
  int exponent = 0;

  double size() const { return scaled(mantissa, exponent); }
  double multiple(double count) const { return scaled(mantissa * count, exponent); }
};

/// The finest of the steps 1, 2, 5 times a power of ten that `accepts`; some step is coarse enough.
template <class Accepts>
Step finest_step(double span, Accepts accepts) {
  for (int exponent = static_cast<int>(std::floor(std::log10(span))) - 2;; ++exponent) {
    for (const double mantissa : {1.0, 2.0, 5.0}) {
      const Step step{.mantissa = mantissa, .exponent = exponent};
      if (accepts(step.size())) return step;
    }
  }
}

Ticks multiples(const Step& step, double first, double last) {
  Ticks ticks{.at = {}, .decimals = std::max(0, -step.exponent)};
  for (double count = first; count <= last; ++count) ticks.at.push_back(step.multiple(count));
  return ticks;
}

/// Widens a span that is too narrow for doubles to divide.
void widen(double& low, double& high) {
  const double span_min = std::max({std::abs(low), std::abs(high), 1e-6}) * 1e-6;
  if (high - low >= span_min) return;
  const double middle = low + (high - low) / 2;
  low = std::min(low, middle - span_min / 2);
  high = std::max(high, middle + span_min / 2);
}

/// The numbers mantissa * 10^n that cover [low, high], every `stride`-th decade; at least 3.
std::vector<double> log_grid(double low, double high, std::span<const double> mantissas,
                             int stride) {
  constexpr double tolerance = 1e-9;
  std::vector<double> at;
  int exponent = static_cast<int>(std::floor(std::log10(low))) - stride;
  for (; at.size() < 3 || at.back() < high * (1 - tolerance); exponent += stride) {
    for (const double mantissa : mantissas) {
      if (at.size() >= 3 && at.back() >= high * (1 - tolerance)) break;
      at.push_back(scaled(mantissa, exponent));
      // Only one of them may lie below the range.
      if (at.size() == 2 && at.back() <= low * (1 + tolerance)) at.erase(at.begin());
    }
  }
  return at;
}

}  // namespace

std::string format_number(double value) {
  if (!std::isfinite(value)) return std::string(no_number);
  const double magnitude = std::abs(value);
  if (magnitude == 0) return "0";
  if (magnitude >= 1e9 || magnitude < 1e-4) return scientific(value);
  const int decimals = std::max(0, 2 - static_cast<int>(std::floor(std::log10(magnitude))));
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (decimals > 0) {
    drop_trailing_zeros(text);
  }
  return grouped(text);
}

std::string format_share(double ratio) {
  constexpr double tolerance = 1e-12;
  const double percent = ratio * 100;
  std::string text;
  if (ratio > 0 && ratio < 0.0001) {
    text = "< 0.01";
  } else if (ratio < 1 && ratio > 0.9999 + tolerance) {
    text = "> 99.99";
  } else if (ratio < 1 && ratio >= 0.99) {
    // Rounded down: what failed must not vanish.
    text = fmt::format("{:.2f}", std::floor((ratio + tolerance) * 10000) / 100);
    drop_trailing_zeros(text);
  } else {
    text = format_number(percent);
  }
  return std::isfinite(ratio) ? text + "\u00A0%" : text;
}

std::string format_tick(double value, const Ticks& ticks) {
  if (std::abs(value) >= 1e9 || ticks.decimals > 6) return format_number(value);
  return grouped(fmt::format("{:.{}f}", value, ticks.decimals));
}

Ticks ticks_covering(double low, double high) {
  widen(low, high);
  // One fewer than allowed: the step before an accepted one had at least 7 intervals, so a step
  // 2.5 times as long still leaves 2.
  const Step step = finest_step(high - low, [&](double size) {
    return ceil_quotient(high, size) - floor_quotient(low, size) + 1 <= double{ticks_max - 1};
  });
  return multiples(step, floor_quotient(low, step.size()), ceil_quotient(high, step.size()));
}

Ticks ticks_within(double low, double high, std::size_t count_max) {
  widen(low, high);
  const Step step = finest_step(high - low, [&](double size) {
    return floor_quotient(high, size) - ceil_quotient(low, size) + 1 <=
           static_cast<double>(count_max);
  });
  return multiples(step, ceil_quotient(low, step.size()), floor_quotient(high, step.size()));
}

Ticks log_ticks_covering(double low, double high) {
  constexpr std::array<double, 3> fine{1, 2, 5};
  constexpr std::array<double, 2> middle{1, 3};
  constexpr std::array<double, 1> decades{1};
  for (const std::span<const double> mantissas :
       {std::span<const double>(fine), std::span<const double>(middle)}) {
    std::vector<double> at = log_grid(low, high, mantissas, 1);
    if (at.size() <= ticks_max) return {.at = std::move(at)};
  }
  for (int stride = 1;; ++stride) {
    std::vector<double> at = log_grid(low, high, decades, stride);
    if (at.size() <= ticks_max) return {.at = std::move(at)};
  }
}

}  // namespace dfaas
