// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who among the servers of one function answers much worse than the others: what is kept of their answers,
/// and the judgement.
///
/// Input       One record per neighbour, and one of our own runs. Newer answers count more: an answer
///             weighs half as much after about 22 others.
/// Guarantees  Nobody is judged but against another: where all fail, nobody is an outlier. Chance alone
///             makes one of a healthy server about once in a million answers (`evidence_min`).
/// Cost        O(servers).
/// Source      Errors: bound of H. Chernoff, "A measure of asymptotic efficiency for tests", 1952, on the
///             chance of so many errors. Time: Welch's test on logarithms of times. How long an ejection
///             lasts: Envoy's outlier detection, as its manual describes it.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/instant.hpp"
#include "core/model/observation.hpp"

namespace dfaas {

struct OutlierSettings {
  double error_ratio_min = 0.2;  ///< With fewer errors nobody is ejected.
  double evidence_min = 14;      ///< Natural logarithm of one in a million.
  double slow_factor = 4;        ///< Times as long as the others' median ...
  Micros slow_min{250'000};      ///< ... and longer by so much.
  double slow_deviations = 5;    ///< And by so many standard errors.
  /// Nothing came back from it for so long, and for so many typical times, ...
  Micros stalled_min{1'000'000};
  double stalled_factor = 4;
  /// ... and its calls waited for so many of them together: chance does it as rarely as it errs.
  double stalled_waits = 24;
  Micros ejected_time{5'000'000};        ///< The first time; twice as long each further time ...
  Micros ejected_time_max{300'000'000};  ///< ... up to this.
  Micros forgiven_time{60'000'000};      ///< Without one, an earlier ejection is forgotten.

  friend bool operator==(const OutlierSettings&, const OutlierSettings&) = default;
};

namespace dataplane {

/// Answers of one server to calls of one function.
class AnswerRecord {
 public:
  void failed();
  void answered(Micros took);

  [[nodiscard]] bool has_enough() const { return answers_ >= 4; }
  /// As many plain answers as say as much about errors.
  [[nodiscard]] double weight() const;
  [[nodiscard]] double error_ratio() const { return error_ratio_; }
  [[nodiscard]] bool has_times() const { return times_ >= 4; }
  /// Geometric mean: one very long answer changes little.
  [[nodiscard]] double typical_seconds() const;

  /// With some doubt: more while the answers are few.
  [[nodiscard]] double typical_seconds_at_most() const;

  friend bool is_slower(const AnswerRecord& one, const AnswerRecord& other,
                        const OutlierSettings& settings);

 private:
  int answers_ = 0;
  int times_ = 0;
  double error_ratio_ = 0;
  double log_mean_ = 0;
  double log_square_ = 0;
};

bool is_slower(const AnswerRecord& one, const AnswerRecord& other, const OutlierSettings& settings);

/// Does it fail more often than the other one, beyond chance?
bool fails_more(const AnswerRecord& one, const AnswerRecord& other,
                const OutlierSettings& settings);

/// Of the other neighbours, those with enough answers count; the one in the middle is what `one` is held
/// against. While there is none, our own runs (or null) say which errors are the function's.
Ejection judge(const AnswerRecord& one, std::span<const AnswerRecord* const> others,
               const AnswerRecord* own, const OutlierSettings& settings);

/// May judge() find something, whoever the others are?
bool is_suspicious(const AnswerRecord& one, const OutlierSettings& settings);

/// Is one answer slow beside the typical one of the neighbour in the middle? No, where none is known.
bool takes_long(Micros took, std::span<const AnswerRecord* const> others,
                const OutlierSettings& settings);

/// How long a call takes at the neighbour in the middle, at most; `otherwise`, where none is known.
double typical_seconds_at_most(std::span<const AnswerRecord* const> others, double otherwise);

/// How one neighbour stands with one function.
struct OutlierState {
  AnswerRecord record;
  Ejection ejected = Ejection::none;
  Instant trial_at{};         ///< While ejected: from then on one call may try it.
  int repeats = 0;            ///< Ejections in a row.
  Instant ended_at{};         ///< The last ejection.
  Instant heard_at{};         ///< Its last answer, or the first call since it had none of ours.
  double waited_seconds = 0;  ///< Since then, of all its calls together; up to `waited_at`.
  Instant waited_at{};

  void eject(Ejection why, Instant now, const OutlierSettings& settings);
  /// With a clean record.
  void reinstate(Instant now);
  /// Before the number of its calls changes, and before one looks at what they waited.
  void wait(int calls, Instant now);
  void heard(Instant now);
  /// A call tries it: the next one may only if this one tells nothing for long.
  void begin_trial(Instant now, const OutlierSettings& settings);

 private:
  [[nodiscard]] Micros ejected_time(const OutlierSettings& settings) const;
};

}  // namespace dataplane
}  // namespace dfaas
