// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/arrivals.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"

namespace dfaas {
namespace {

Seconds constant_interval(Rate rate, Random& /*random*/) { return Seconds{1 / rate.per_second}; }

/// Half an interval, so that no request falls on the edge of a second, where rounding would decide
/// to which of the two it counts: at 100/s every second holds exactly 100.
Seconds half_interval(Rate rate, Random& /*random*/) { return Seconds{0.5 / rate.per_second}; }

Seconds exponential_interval(Rate rate, Random& random) {
  return Seconds{exponential(random, 1 / rate.per_second)};
}

constexpr std::array<ArrivalProcess, 2> table{{
    {"constant", "one request every 1/rate seconds", half_interval, constant_interval},
    {"poisson", "independent users: exponential intervals with mean 1/rate, bursts included",
     exponential_interval, exponential_interval},
}};

}  // namespace

std::span<const ArrivalProcess> arrival_processes() noexcept { return table; }

std::string arrival_process_names() {
  std::string names;
  for (const ArrivalProcess& process : table) {
    names.append(names.empty() ? "" : ", ").append(process.name);
  }
  return names;
}

Result<ArrivalProcess> find_arrival_process(std::string_view name) {
  for (const ArrivalProcess& process : table) {
    if (process.name == name) return process;
  }
  return fail(ErrorCode::not_found, fmt::format("arrival process {} is not known: {} are",
                                                in_quotes(name), arrival_process_names()));
}

ArrivalStream::ArrivalStream(ArrivalProcess process, Rate rate, Micros duration, Random random)
    : process_(process), rate_(rate), duration_(duration), random_(random) {
  DFAAS_ASSERT(rate.per_second > 0, "a load without arrivals is not a load");
}

std::optional<Micros> ArrivalStream::next() {
  at_ = at_ < Seconds{0} ? process_.first_interval(rate_, random_)
                         : at_ + process_.next_interval(rate_, random_);
  // Rounded, not cut: adding up intervals of 1/rate loses or gains a few 1e-16 each time.
  const Micros offset{std::llround(at_.count() * 1e6)};
  if (offset >= duration_) return std::nullopt;
  return offset;
}

}  // namespace dfaas
