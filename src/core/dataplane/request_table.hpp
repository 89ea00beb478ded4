// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The requests under way, found by their id.
///
/// Internal to core/dataplane. Guarantees: a Request stays where it is until it is closed.
/// Cost        O(1), about 20 ns; memory for as many as ever were there at once.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/base/assert.hpp"
#include "core/dataplane/state.hpp"

namespace dfaas::dataplane {

class RequestTable {
 public:
  /// Null when there is none of that id.
  Request* find(RequestId id) {
    const auto found = places_.find(id);
    return found == places_.end() ? nullptr : &requests_[found->second];
  }

  Request& at(RequestId id) {
    Request* request = find(id);
    DFAAS_ASSERT(request != nullptr, "whoever waits or runs is known");
    return *request;
  }

  /// Of an id that is not there.
  Request& open(RequestId id, Request request) {
    const std::uint32_t place = free_place();
    const bool is_new = places_.emplace(id, place).second;
    DFAAS_ASSERT(is_new, "a request arrives once");
    requests_[place] = request;
    return requests_[place];
  }

  /// Of an id that is there.
  void close(RequestId id) {
    const auto found = places_.find(id);
    DFAAS_ASSERT(found != places_.end(), "a request ends once");
    free_.push_back(found->second);
    places_.erase(found);
  }

  /// Calls `visit(id, request)` for each, in no order.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, place] : places_) visit(id, requests_[place]);
  }

 private:
  std::uint32_t free_place() {
    if (free_.empty()) {
      requests_.emplace_back();
      return static_cast<std::uint32_t>(requests_.size() - 1);
    }
    const std::uint32_t place = free_.back();
    free_.pop_back();
    return place;
  }

  boost::unordered_flat_map<RequestId, std::uint32_t> places_;
  std::deque<Request> requests_;  ///< Those at free places mean nothing.
  std::vector<std::uint32_t> free_;
};

}  // namespace dfaas::dataplane
