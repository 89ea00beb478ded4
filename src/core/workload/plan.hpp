// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A load plan: which requests go where, when, and how many.
///
/// Input   Made by hand, by the options of `dfaas load`, or from a file (plan_file.hpp); check it with
///         validate() before use.
/// Limits  Those of load_limits; validate() names the one that is broken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/base/units.hpp"
#include "core/http/message.hpp"

namespace dfaas {

namespace load_limits {
inline constexpr std::size_t phases_max = 64;
inline constexpr Rate rate_min{0.001};
inline constexpr Rate rate_max{100'000};  ///< Several times what one thread can send.
inline constexpr Micros duration_min = Millis{10};
inline constexpr Micros duration_max = std::chrono::hours{24};
inline constexpr Micros timeout_min = Millis{1};
inline constexpr Micros timeout_max = std::chrono::minutes{10};
inline constexpr std::size_t outstanding_max = 65'536;
inline constexpr std::size_t body_bytes_max = 64U << 20U;
inline constexpr std::size_t headers_max = 64;
}  // namespace load_limits

/// Where the requests of a phase go.
struct LoadTarget {
  std::string host;  ///< A name or an address; IPv6 without brackets.
  std::uint16_t port = 80;
  std::string path = "/";  ///< With the query, raw, as it is sent.

  /// "127.0.0.1:8081", "[::1]:8081": for the Host header and for messages.
  [[nodiscard]] std::string authority() const;

  friend bool operator==(const LoadTarget&, const LoadTarget&) = default;
};

/// "http://HOST[:PORT][/PATH]"; "http://" may be left out.
/// Errors: invalid_input naming the text and the form; https and credentials are refused.
Result<LoadTarget> parse_load_target(std::string_view url);

/// One request of a load whose times are known.
struct TimedRequest {
  Micros at{0};      ///< From the start of the phase.
  std::string body;  ///< In place of the phase's.

  friend bool operator==(const TimedRequest&, const TimedRequest&) = default;
};

struct LoadPhase {
  std::string name;
  Micros start{0};  ///< From the start of the run. Phases may overlap.
  Micros duration{0};
  Rate rate;
  std::string arrivals = "constant";  ///< Name of an arrival process.
  LoadTarget target;
  std::string method = "GET";
  Headers headers;  ///< Without Host and framing, which the generator writes.
  std::string body;
  /// In place of a rate: exactly these, in order of time. Not in plan files.
  std::vector<TimedRequest> requests;
  /// The node that must be behind the target; unset: the target is asked.
  std::optional<NodeId> expected_node;
};

struct LoadPlan {
  std::vector<LoadPhase> phases;
  std::uint64_t seed = 1;
  /// From the intended send time of a request to the last byte of its answer.
  Micros timeout = std::chrono::seconds{30};
  /// Requests without an answer at one time. One more is not sent: it counts as a transport error.
  std::size_t outstanding_max = 4096;

  /// When its last phase is over.
  [[nodiscard]] Micros end() const;
};

/// Errors: invalid_input, "phase \"warm\": rate -1 is not a number of requests/s from 0.001 to 100000".
Result<void> validate(const LoadPlan& plan);

}  // namespace dfaas
