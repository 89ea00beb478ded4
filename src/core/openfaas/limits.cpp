// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/limits.hpp"

#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr double memory_bytes_min = 4.0 * 1024 * 1024;  ///< Below, no program of Debian starts.
constexpr double memory_bytes_max = 1e15;
constexpr double cpu_min = 0.01;  ///< The kernel gives no less than a hundredth.
constexpr double cpu_max = 1024;

tl::unexpected<Error> wrong(std::string_view text, std::string_view allowed) {
  return fail(ErrorCode::invalid_input, fmt::format("{} is not {}", in_quotes(text), allowed));
}

}  // namespace

Result<std::uint64_t> parse_memory(std::string_view text) {
  constexpr std::string_view allowed = "memory such as 128Mi, 1G or bytes, at least 4Mi";
  constexpr std::pair<std::string_view, double> suffixes[] = {
      {"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"k", 1e3},    {"M", 1e6},
      {"G", 1e9},     {"T", 1e12},    {"K", 0x1p10},  {"m", 0x1p20},  {"g", 0x1p30}, {"", 1}};
  for (const auto& [suffix, factor] : suffixes) {
    if (!text.ends_with(suffix)) continue;
    const auto number = parse_number(text.substr(0, text.size() - suffix.size()));
    if (!number) return wrong(text, allowed);
    const double bytes = *number * factor;
    if (!(bytes >= memory_bytes_min && bytes <= memory_bytes_max)) return wrong(text, allowed);
    return static_cast<std::uint64_t>(bytes);
  }
  return wrong(text, allowed);
}

Result<std::uint32_t> parse_cpu(std::string_view text) {
  constexpr std::string_view allowed = "processors such as 500m, 0.5 or 2, from 10m to 1024";
  const bool is_millis = text.ends_with('m');
  const auto number = parse_number(is_millis ? text.substr(0, text.size() - 1) : text);
  const double processors = number.value_or(0) / (is_millis ? 1000 : 1);
  if (!(processors >= cpu_min && processors <= cpu_max)) return wrong(text, allowed);
  return static_cast<std::uint32_t>(std::lround(processors * 1000));
}

Result<ResourceLimits> parse_limits(std::string_view name, std::string_view text) {
  ResourceLimits limits;
  if (text.empty()) return limits;
  const auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) {
    return fail(ErrorCode::invalid_input, fmt::format("{} is not an object", name));
  }
  for (const auto& [field, value] : object.items()) {
    if (value.is_null()) continue;
    // Kubernetes takes bare numbers, too.
    const std::string given = value.is_string() ? value.get<std::string>() : value.dump();
    if (given.empty()) continue;
    const std::string place = fmt::format("{}.{}", name, field);
    if (field == "memory") {
      auto memory = parse_memory(given);
      if (!memory) return tl::unexpected(std::move(memory).error().within(place));
      limits.memory_bytes = *memory;
    } else if (field == "cpu") {
      auto cpu = parse_cpu(given);
      if (!cpu) return tl::unexpected(std::move(cpu).error().within(place));
      limits.cpu_millis = *cpu;
    } else {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: only memory and cpu are known", in_quotes(place)));
    }
  }
  return limits;
}

}  // namespace dfaas
