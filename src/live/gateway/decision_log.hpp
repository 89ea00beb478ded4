// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What was decided about recent requests, and why: `dfaas why` and the header DFaaS-Decision.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"

namespace dfaas {

/// One thing that was tried for a request.
struct DecisionStep {
  std::string where;  ///< "here", "queue", or the name of a neighbour.
  std::string what;   ///< "served", "busy", "unreachable", "waited", ...
  Micros took{0};
};

struct DecisionRecord {
  std::string call_id;
  std::string function;
  std::string origin;  ///< "user", or the id of the neighbour that sent it.
  std::string time;    ///< RFC 3339, UTC.
  std::string result;  ///< "served_here", "served_by_peer", "refused", "failed".
  std::string reason;  ///< Empty when served.
  int status = 0;
  Micros took{0};
  std::vector<DecisionStep> steps;
};

/// "here busy 0.0 ms; mid served 203.1 ms": one line, fit for a header.
std::string steps_text(const std::vector<DecisionStep>& steps);

std::string decision_json(const DecisionRecord& record);

/// The newest records, oldest dropped first.
class DecisionLog {
 public:
  static constexpr std::size_t length_max = 1024;

  void add(DecisionRecord record);
  /// Newest first: those of `call_id`, or all when it is empty, at most `count_max`.
  [[nodiscard]] std::vector<DecisionRecord> find(std::string_view call_id,
                                                 std::size_t count_max) const;

 private:
  std::deque<DecisionRecord> records_;
};

}  // namespace dfaas
