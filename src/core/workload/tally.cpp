// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/tally.hpp"

#include "core/base/assert.hpp"

namespace dfaas {
namespace {

constexpr Micros second_length = std::chrono::seconds{1};

void add(LoadCounts& sum, const LoadCounts& part) {
  sum.offered += part.offered;
  sum.served_local += part.served_local;
  for (const auto& [name, count] : part.served_by_peer) sum.served_by_peer[name] += count;
  sum.refused += part.refused;
  sum.failed += part.failed;
  sum.transport_errors += part.transport_errors;
}

}  // namespace

LoadEnd load_end_of(int status) {
  if (status >= 200 && status < 300) return LoadEnd::served_by_peer;
  return status == 429 || status == 503 ? LoadEnd::refused : LoadEnd::failed;
}

void LoadTally::Bin::count(const LoadOutcome& outcome) {
  DFAAS_ASSERT(open > 0, "a request is offered before it ends, and ends once");
  --open;
  switch (outcome.end) {
    case LoadEnd::served_local:
      ++counts.served_local;
      break;
    case LoadEnd::served_by_peer:
      ++counts.served_by_peer[std::string(outcome.peer)];
      break;
    case LoadEnd::refused:
      ++counts.refused;
      return;
    case LoadEnd::failed:
      ++counts.failed;
      return;
    case LoadEnd::transport_error:
      ++counts.transport_errors;
      return;
  }
  latency.record(outcome.latency);
}

LoadTally::LoadTally(std::size_t phases) : phases_(phases) {}

LoadTally::Bin& LoadTally::second_of(const LoadArrival& arrival) {
  const std::int64_t second = arrival.at / second_length;
  DFAAS_ASSERT(second >= first_second_, "a second is taken when all of it has been offered");
  const auto index = static_cast<std::size_t>(second - first_second_);
  if (index >= seconds_.size()) seconds_.resize(index + 1);
  return seconds_[index];
}

void LoadTally::offer(const LoadArrival& arrival) {
  for (Bin* bin : {&second_of(arrival), &phases_.at(arrival.phase).bin}) {
    ++bin->counts.offered;
    ++bin->open;
  }
}

void LoadTally::start(const LoadArrival& arrival, Micros late) {
  phases_.at(arrival.phase).late.record(late);
}

void LoadTally::settle(const LoadArrival& arrival, const LoadOutcome& outcome) {
  second_of(arrival).count(outcome);
  phases_.at(arrival.phase).bin.count(outcome);
}

void LoadTally::withdraw(const LoadArrival& arrival) {
  for (Bin* bin : {&second_of(arrival), &phases_.at(arrival.phase).bin}) {
    DFAAS_ASSERT(bin->open > 0, "a request is offered before it is withdrawn");
    --bin->counts.offered;
    --bin->open;
  }
}

std::vector<LoadSecond> LoadTally::finished(Micros passed) {
  std::vector<LoadSecond> done;
  const std::int64_t seconds_passed = passed / second_length;
  while (first_second_ < seconds_passed) {
    if (seconds_.empty()) seconds_.emplace_back();  // A second in which nothing was offered.
    Bin& bin = seconds_.front();
    if (bin.open > 0) break;
    done.push_back({.second = first_second_,
                    .counts = std::move(bin.counts),
                    .latency = LatencyMarks::of(bin.latency)});
    seconds_.pop_front();
    ++first_second_;
  }
  return done;
}

LoadSummary LoadTally::summary(std::size_t phase) const {
  const Sum& sum = phases_.at(phase);
  return {.counts = sum.bin.counts,
          .latency = LatencyMarks::of(sum.bin.latency),
          .generator_late_p99 = sum.late.percentile(99)};
}

LoadSummary LoadTally::total() const {
  LoadCounts counts;
  LatencyHistogram latency;
  LatencyHistogram late;
  for (const Sum& sum : phases_) {
    add(counts, sum.bin.counts);
    latency.merge(sum.bin.latency);
    late.merge(sum.late);
  }
  return {.counts = std::move(counts),
          .latency = LatencyMarks::of(latency),
          .generator_late_p99 = late.percentile(99)};
}

}  // namespace dfaas
