// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Arrival processes: how the requests of a load are spread over time.
///
/// A row in a table, as strategies are: the generator, the simulator and the help text read the
/// same rows. Both functions are pure but for what they draw from `random`, so a seed fixes every
/// arrival.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/instant.hpp"
#include "core/base/random.hpp"
#include "core/base/result.hpp"
#include "core/base/units.hpp"

namespace dfaas {

using Seconds = std::chrono::duration<double>;

struct ArrivalProcess {
  std::string_view name;     ///< As written in plans and options: "poisson".
  std::string_view summary;  ///< One line, for help and documentation.
  /// From the start of the load to its first request. Requires rate > 0, as does next_interval.
  Seconds (*first_interval)(Rate rate, Random& random);
  /// From one request to the next.
  Seconds (*next_interval)(Rate rate, Random& random);
};

/// Every arrival process in the build, sorted by name.
std::span<const ArrivalProcess> arrival_processes() noexcept;

/// "constant, poisson": for messages.
std::string arrival_process_names();

/// Errors: not_found, naming the processes that do exist.
Result<ArrivalProcess> find_arrival_process(std::string_view name);

/// The arrivals of one load, in order.
class ArrivalStream {
 public:
  /// Requires rate > 0.
  ArrivalStream(ArrivalProcess process, Rate rate, Micros duration, Random random);

  /// Offset of the next request from the start of the load; nothing at or after `duration`.
  std::optional<Micros> next();

 private:
  ArrivalProcess process_;
  Rate rate_;
  Micros duration_;
  Random random_;
  Seconds at_{-1};  ///< Offset of the last one; negative before the first.
};

}  // namespace dfaas
