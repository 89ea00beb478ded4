// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The future of a simulated world: events in order of time, those of one moment in order of entry.
///
/// Guarantees  pop() never returns an event earlier than one before it; ties are broken by the order of
///             push(), so that a run does not depend on how a heap happens to lie.
/// Limits      Nothing may be pushed before the event that was popped last.
/// Cost        O(log n) with four children a node: half the levels of a binary heap, and the children of
///             one node share cache lines.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/assert.hpp"
#include "core/base/instant.hpp"

namespace dfaas {

template <class Event>
class EventQueue {
 public:
  void push(Instant at, Event event) {
    DFAAS_ASSERT(at >= now_, "the past is over");
    entries_.push_back({.at = at, .order = ++order_, .event = std::move(event)});
    rise(entries_.size() - 1);
  }

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] Instant now() const { return now_; }  ///< Of the event popped last.
  [[nodiscard]] Instant next_at() const { return entries_.front().at; }

  Event pop() {
    DFAAS_ASSERT(!entries_.empty(), "there is a next event");
    Entry first = std::move(entries_.front());
    now_ = first.at;
    if (entries_.size() > 1) entries_.front() = std::move(entries_.back());
    entries_.pop_back();
    if (!entries_.empty()) sink();
    return std::move(first.event);
  }

 private:
  static constexpr std::size_t children = 4;

  struct Entry {
    Instant at;
    std::uint64_t order;
    Event event;

    [[nodiscard]] bool is_before(const Entry& other) const {
      return at != other.at ? at < other.at : order < other.order;
    }
  };

  void rise(std::size_t at) {
    Entry entry = std::move(entries_[at]);
    while (at > 0) {
      const std::size_t parent = (at - 1) / children;
      if (!entry.is_before(entries_[parent])) break;
      entries_[at] = std::move(entries_[parent]);
      at = parent;
    }
    entries_[at] = std::move(entry);
  }

  void sink() {
    Entry entry = std::move(entries_.front());
    std::size_t at = 0;
    for (;;) {
      const std::size_t first = at * children + 1;
      if (first >= entries_.size()) break;
      const std::size_t last = std::min(first + children, entries_.size());
      std::size_t least = first;
      for (std::size_t child = first + 1; child < last; ++child) {
        if (entries_[child].is_before(entries_[least])) least = child;
      }
      if (!entries_[least].is_before(entry)) break;
      entries_[at] = std::move(entries_[least]);
      at = least;
    }
    entries_[at] = std::move(entry);
  }

  std::vector<Entry> entries_;
  std::uint64_t order_ = 0;
  Instant now_{};
};

}  // namespace dfaas
