// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Things that come and go, kept in one vector and named by index; places are used again.
///
/// Guarantees  A Ticket names one thing for ever: once it is gone, find() says so, whoever has its place.
/// Cost        O(1); memory for as many as ever were there at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace dfaas {

struct Ticket {
  std::uint32_t index = 0;
  std::uint32_t stamp = 0;

  friend bool operator==(const Ticket&, const Ticket&) = default;
};

template <class Thing>
class Slots {
 public:
  Ticket add(Thing thing) {
    ++count_;
    if (free_.empty()) {
      places_.push_back({.stamp = 1, .thing = std::move(thing)});
      return {static_cast<std::uint32_t>(places_.size() - 1), 1};
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    Place& place = places_[index];
    place.thing = std::move(thing);
    place.is_free = false;
    return {index, ++place.stamp};
  }

  /// Null once it is gone.
  Thing* find(Ticket ticket) {
    Place& place = places_[ticket.index];
    return place.is_free || place.stamp != ticket.stamp ? nullptr : &place.thing;
  }

  /// Of the thing that has the place now.
  [[nodiscard]] Ticket ticket_at(std::uint32_t index) const {
    return {index, places_[index].stamp};
  }

  Thing take(Ticket ticket) {
    Place& place = places_[ticket.index];
    place.is_free = true;
    free_.push_back(ticket.index);
    --count_;
    return std::move(place.thing);
  }

  [[nodiscard]] std::size_t count() const { return count_; }

  /// The tickets of all that are there, in order of place.
  [[nodiscard]] std::vector<Ticket> all() const {
    std::vector<Ticket> tickets;
    for (std::size_t at = 0; at < places_.size(); ++at) {
      if (!places_[at].is_free) {
        tickets.push_back({static_cast<std::uint32_t>(at), places_[at].stamp});
      }
    }
    return tickets;
  }

 private:
  struct Place {
    std::uint32_t stamp = 0;
    bool is_free = false;
    Thing thing;
  };
  std::vector<Place> places_;
  std::vector<std::uint32_t> free_;
  std::size_t count_ = 0;
};

}  // namespace dfaas
