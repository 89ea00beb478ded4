// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/world/arrivals.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace dfaas {
namespace {

constexpr std::uint64_t arrivals_purpose = 1;
constexpr std::uint64_t services_purpose = 2;
constexpr Micros service_time_min{1};

/// Standard normal. Source: Box and Muller, Annals of Mathematical Statistics 29(2), 1958.
double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform(random, 0, 1)));
  return radius * std::cos(2 * std::numbers::pi * uniform(random, 0, 1));
}

}  // namespace

Random random_stream(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) {
  // Odd constants keep the three apart; Random scrambles what comes out.
  return Random{seed * 0x9E3779B97F4A7C15U + purpose * 0xD1B54A32D192ED03U +
                index * 0x8CB92BA72F3D8DD7U};
}

CallStream::CallStream(const ScenarioLoad& load, const ServiceTime& service_time,
                       std::uint64_t seed, std::size_t number)
    : load_(&load),
      service_time_(&service_time),
      arrivals_(random_stream(seed, arrivals_purpose, number)),
      services_(random_stream(seed, services_purpose, number)) {}

std::optional<Arrival> CallStream::next() {
  if (load_->arrivals == ArrivalKind::trace) {
    if (call_ == load_->calls.size()) return std::nullopt;
    const TraceCall& call = load_->calls[call_++];
    return Arrival{.at = call.at,
                   .service_time = call.service_time
                                       ? std::max(*call.service_time, service_time_min)
                                       : draw_service_time()};
  }
  const auto at = next_time();
  if (!at) return std::nullopt;
  return Arrival{.at = *at, .service_time = draw_service_time()};
}

std::optional<Micros> CallStream::next_time() {
  if (load_->arrivals == ArrivalKind::poisson) return after_work(exponential(arrivals_, 1));
  // Evenly spaced, from a random point of the first interval: nodes do not beat together.
  const double work = std::exchange(is_first_, false) ? uniform(arrivals_, 0, 1) : 1;
  return after_work(work);
}

/// When so many more calls were expected since the last one.
std::optional<Micros> CallStream::after_work(double work) {
  const double step_seconds = to_seconds(load_->step);
  while (step_ < load_->rates.size()) {
    const double rate = load_->rates[step_].per_second;
    const double left = rate * (step_seconds - into_step_);
    if (work < left) {
      into_step_ += work / rate;
      return load_->start + static_cast<Micros::rep>(step_) * load_->step +
             from_seconds(into_step_);
    }
    work -= left;
    into_step_ = 0;
    ++step_;
  }
  return std::nullopt;
}

Micros CallStream::draw_service_time() {
  const double mean = to_seconds(service_time_->mean);
  double seconds = mean;
  switch (service_time_->kind) {
    case ServiceKind::exponential:
      seconds = exponential(services_, mean);
      break;
    case ServiceKind::deterministic:
      break;
    case ServiceKind::log_normal: {
      const double sigma = service_time_->sigma;
      seconds = mean * std::exp(sigma * normal(services_) - sigma * sigma / 2);
      break;
    }
    case ServiceKind::samples:
      return std::max(service_time_->samples[below(services_, service_time_->samples.size())],
                      service_time_min);
  }
  return std::max(from_seconds(seconds), service_time_min);
}

Arrivals::Arrivals(const Scenario& scenario, std::uint64_t seed)
    : end_(scenario.duration), heads_(scenario.loads.size()), open_(scenario.loads.size()) {
  for (std::size_t at = 0; at < scenario.loads.size(); ++at) {
    const ScenarioLoad& load = scenario.loads[at];
    streams_.emplace_back(load, scenario.functions[load.function].service_time, seed, at);
  }
}

std::optional<Micros> Arrivals::advance(std::size_t load) {
  const auto next = streams_[load].next();
  if (!next || next->at >= end_) {
    --open_;
    return std::nullopt;
  }
  heads_[load] = *next;
  return next->at;
}

}  // namespace dfaas
