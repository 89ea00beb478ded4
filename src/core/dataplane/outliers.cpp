// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/dataplane/outliers.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

namespace dfaas::dataplane {
namespace {

constexpr double newest_weight = 1.0 / 32;
/// Of a mean whose newest part weighs w: as much as 2 / w - 1 plain samples.
constexpr double samples_max = 2 / newest_weight - 1;
constexpr double log_variance_min =
    0.05;  ///< Times that never differ would make any other one strange.
constexpr int doublings_max = 16;

double newest_part(int samples) { return std::max(1.0 / samples, newest_weight); }

double samples_worth(int samples) { return std::min<double>(samples, samples_max); }

/// Relative entropy of two coins, in nats.
double divergence(double seen, double expected) {
  const auto part = [](double p, double q) { return p <= 0 ? 0 : p * std::log(p / q); };
  return part(seen, expected) + part(1 - seen, 1 - expected);
}

/// The one in the middle; of two, the better one. Null where there is none.
template <class Value>
const AnswerRecord* middle(std::vector<const AnswerRecord*> records, Value value) {
  if (records.empty()) return nullptr;
  std::ranges::sort(records, {}, [&](const AnswerRecord* record) {
    return std::pair(value(*record), record->weight());
  });
  return records[(records.size() - 1) / 2];
}

std::vector<const AnswerRecord*> with_answers(std::span<const AnswerRecord* const> records) {
  std::vector<const AnswerRecord*> result;
  std::ranges::copy_if(records, std::back_inserter(result), &AnswerRecord::has_enough);
  return result;
}

std::vector<const AnswerRecord*> with_times(std::span<const AnswerRecord* const> records) {
  std::vector<const AnswerRecord*> result;
  std::ranges::copy_if(records, std::back_inserter(result), &AnswerRecord::has_times);
  return result;
}

}  // namespace

void AnswerRecord::failed() {
  ++answers_;
  error_ratio_ += newest_part(answers_) * (1 - error_ratio_);
}

void AnswerRecord::answered(Micros took) {
  ++answers_;
  error_ratio_ -= newest_part(answers_) * error_ratio_;
  ++times_;
  const double log_time = std::log(std::max(to_seconds(took), 1e-6));
  log_mean_ += newest_part(times_) * (log_time - log_mean_);
  log_square_ += newest_part(times_) * (log_time * log_time - log_square_);
}

double AnswerRecord::weight() const { return samples_worth(answers_); }
double AnswerRecord::typical_seconds() const { return std::exp(log_mean_); }

double AnswerRecord::typical_seconds_at_most() const {
  constexpr double errors = 3;
  const double variance = std::max(1.0, log_square_ - log_mean_ * log_mean_);
  return std::exp(log_mean_ + errors * std::sqrt(variance / samples_worth(std::max(1, times_))));
}

bool is_slower(const AnswerRecord& one, const AnswerRecord& other,
               const OutlierSettings& settings) {
  const double longer = one.typical_seconds() - other.typical_seconds();
  const double logs = one.log_mean_ - other.log_mean_;
  if (longer < to_seconds(settings.slow_min) || logs < std::log(settings.slow_factor)) return false;
  const auto variance = [](const AnswerRecord& record) {
    const double found = record.log_square_ - record.log_mean_ * record.log_mean_;
    return std::max(found, log_variance_min) / samples_worth(record.times_);
  };
  return logs > settings.slow_deviations * std::sqrt(variance(one) + variance(other));
}

bool fails_more(const AnswerRecord& one, const AnswerRecord& other,
                const OutlierSettings& settings) {
  // At most so many, as far as its answers tell (Agresti and Coull's interval): few answers without an
  // error do not make errors impossible.
  constexpr double errors = 3;
  const double answers = other.weight() + 4;
  const double centre = (other.error_ratio() * other.weight() + 2) / answers;
  const double expected = centre + errors * std::sqrt(centre * (1 - centre) / answers);
  if (expected >= 1) return false;
  if (one.error_ratio() < settings.error_ratio_min || one.error_ratio() <= expected) return false;
  return one.weight() * divergence(one.error_ratio(), expected) > settings.evidence_min;
}

bool is_suspicious(const AnswerRecord& one, const OutlierSettings& settings) {
  return (one.has_enough() && one.error_ratio() >= settings.error_ratio_min) ||
         (one.has_times() && one.typical_seconds() >= to_seconds(settings.slow_min));
}

bool takes_long(Micros took, std::span<const AnswerRecord* const> others,
                const OutlierSettings& settings) {
  const AnswerRecord* by_time = middle(
      with_times(others), [](const AnswerRecord& record) { return record.typical_seconds(); });
  if (by_time == nullptr) return false;
  const double seconds = to_seconds(took);
  return seconds >= settings.slow_factor * by_time->typical_seconds() &&
         seconds - by_time->typical_seconds() >= to_seconds(settings.slow_min);
}

Ejection judge(const AnswerRecord& one, std::span<const AnswerRecord* const> others,
               const AnswerRecord* own, const OutlierSettings& settings) {
  const AnswerRecord* by_errors =
      middle(with_answers(others), [](const AnswerRecord& record) { return record.error_ratio(); });
  if (by_errors == nullptr && own != nullptr && own->has_enough()) by_errors = own;
  if (one.has_enough() && by_errors != nullptr && fails_more(one, *by_errors, settings)) {
    return Ejection::errors;
  }
  const AnswerRecord* by_time = middle(
      with_times(others), [](const AnswerRecord& record) { return record.typical_seconds(); });
  if (one.has_times() && by_time != nullptr && is_slower(one, *by_time, settings)) {
    return Ejection::slow;
  }
  return Ejection::none;
}

double typical_seconds_at_most(std::span<const AnswerRecord* const> others, double otherwise) {
  const AnswerRecord* by_time = middle(
      with_times(others), [](const AnswerRecord& record) { return record.typical_seconds(); });
  return by_time == nullptr ? otherwise : by_time->typical_seconds_at_most();
}

void OutlierState::wait(int calls, Instant now) {
  if (now > waited_at) waited_seconds += calls * to_seconds(now - waited_at);
  waited_at = now;
}

void OutlierState::heard(Instant now) {
  heard_at = waited_at = now;
  waited_seconds = 0;
}

Micros OutlierState::ejected_time(const OutlierSettings& settings) const {
  const int doublings = std::clamp(repeats - 1, 0, doublings_max);
  return std::min(settings.ejected_time * (1 << doublings), settings.ejected_time_max);
}

void OutlierState::eject(Ejection why, Instant now, const OutlierSettings& settings) {
  if (ejected == Ejection::none && settings.forgiven_time.count() > 0) {
    const auto forgiven = (now - ended_at) / settings.forgiven_time;
    repeats = static_cast<int>(std::max<decltype(forgiven)>(0, repeats - forgiven));
  }
  repeats = std::min(repeats + 1, doublings_max + 1);
  ejected = why;
  trial_at = now + ejected_time(settings);
}

void OutlierState::reinstate(Instant now) {
  record = {};
  ejected = Ejection::none;
  ended_at = now;
}

void OutlierState::begin_trial(Instant now, const OutlierSettings& settings) {
  trial_at = now + ejected_time(settings);
}

}  // namespace dfaas::dataplane
