// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the gateway tells the agent: its functions and counters since the gateway started.
///
/// Counters only grow; the agent takes differences. A new `boot` says that they began at zero again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/model/function.hpp"

namespace dfaas {

/// Why a neighbour gets no calls of a function for a while.
enum class Ejection : std::uint8_t {
  none,
  errors,   ///< It fails much more often than the others.
  slow,     ///< It takes much longer than the others. Still tried where nobody else is left.
  stalled,  ///< It took calls, and nothing comes back.
};

std::string_view to_text(Ejection ejection);
/// Nothing for a word that is none.
std::optional<Ejection> parse_ejection(std::string_view text);

/// How one neighbour treated our forwarded requests for one function.
struct PeerCounters {
  NodeId id;
  std::uint64_t accepted = 0;     ///< Started there.
  std::uint64_t refused = 0;      ///< Refused, not started.
  std::uint64_t unreachable = 0;  ///< No answer, or the link failed.
  std::uint64_t served = 0;       ///< Answered in full.
  std::uint64_t good = 0;         ///< Of those, with status 2xx.
  Micros answer_time{0};          ///< Of all answers together, from the forward to their end.
  Micros work_for_us{
      0};  ///< Slot time of what it answered well: as it tells, at most what we waited.
  Micros work_for_it{0};  ///< Slot time of its users' calls here.
  std::uint64_t ejections = 0;
  Ejection ejected = Ejection::none;  ///< Now.

  friend bool operator==(const PeerCounters&, const PeerCounters&) = default;
};

struct FunctionObservation {
  FunctionName function;
  /// Of the code: image or files, process, names of environment variables. Empty if absent here.
  std::string digest;
  bool deployed = false;  ///< False: users ask for it, but only peers have it.
  FunctionTraits traits;
  int slots = 0;           ///< 0 while deployed: it cannot run here now.
  int replicas_ready = 0;  ///< That can take calls now; 0 where the next call starts one.
  int in_flight = 0;
  int queued = 0;
  Micros service_time{0};            ///< Mean, exponentially weighted; 0 while nothing was served.
  std::uint64_t user_arrivals = 0;   ///< Requests of our own users.
  std::uint64_t guest_arrivals = 0;  ///< Requests offered by neighbours.
  std::uint64_t kept = 0;            ///< Of own users, over, and answered by no neighbour.
  std::uint64_t kept_good = 0;       ///< Of those, with status 2xx.
  std::uint64_t served_here = 0;     ///< Of own users, run here to their end.
  Micros served_here_time{0};        ///< Of those together, from their arrival.
  std::vector<PeerCounters> peers;   ///< Sorted by id.
};

struct GatewayObservation {
  std::string boot;           ///< Random per gateway start: 1 to 64 of [a-z0-9].
  std::uint64_t version = 0;  ///< Grows when functions, slots or replicas that are ready change.
  std::uint64_t plan_version = 0;  ///< Of the plan in force; 0 before the first.
  std::string plan_strategy;
  std::vector<FunctionObservation> functions;  ///< Sorted by function.
};

std::string observation_to_json(const GatewayObservation& observation);
Result<GatewayObservation> observation_from_json(std::string_view text);

}  // namespace dfaas
