// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Counts the requests of a load into seconds, phases and a total, as they are sent and end.
///
/// Use         offer() each request once, then settle() or withdraw() it once; after each, take the
///             seconds that are complete with finished().
/// Guarantees  A request belongs to the second in which it was meant to be sent, so the success of a
///             second is that of its own requests. Seconds come out in order, without gaps, each
///             when it is over and its last request has ended.
/// Limits      Keeps the seconds not yet taken: as many as the request timeout has, 26 kB each.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "core/workload/plan.hpp"
#include "core/workload/results.hpp"
#include "core/workload/schedule.hpp"

namespace dfaas {

enum class LoadEnd : std::uint8_t {
  served_local,
  served_by_peer,
  refused,
  failed,
  transport_error
};

/// What an answer with this status counts as; one that was served is still served by somebody.
LoadEnd load_end_of(int status);

struct LoadOutcome {
  LoadEnd end = LoadEnd::transport_error;
  std::string_view peer;  ///< Who served, if a peer did.
  Micros latency{0};      ///< From the intended send time; counted if served.
};

class LoadTally {
 public:
  explicit LoadTally(std::size_t phases);

  void offer(const LoadArrival& arrival);
  /// How late the generator was with it.
  void start(const LoadArrival& arrival, Micros late);
  void settle(const LoadArrival& arrival, const LoadOutcome& outcome);
  /// As if it had never been offered: the run was cancelled while it was open.
  void withdraw(const LoadArrival& arrival);

  /// The seconds that are complete, given that every request meant for before `passed` has been offered.
  std::vector<LoadSecond> finished(Micros passed);

  [[nodiscard]] LoadSummary summary(std::size_t phase) const;
  [[nodiscard]] LoadSummary total() const;

 private:
  struct Bin {
    LoadCounts counts;
    std::uint64_t open = 0;
    LatencyHistogram latency;

    void count(const LoadOutcome& outcome);
  };
  struct Sum {
    Bin bin;
    LatencyHistogram late;
  };
  Bin& second_of(const LoadArrival& arrival);

  std::vector<Sum> phases_;
  std::deque<Bin> seconds_;  ///< The first one is second first_second_.
  std::int64_t first_second_ = 0;
};

}  // namespace dfaas
