// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the gateway counts, under the OpenFaaS names where those exist.
///
/// Guarantee  For every function: offered = served here + served by peers + refused + failed, once no
///            request is in flight.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/model/membership_summary.hpp"
#include "core/model/model_counters.hpp"
#include "core/model/observation.hpp"
#include "live/async/async_call.hpp"

namespace dfaas {

class GatewayMetrics {
 public:
  GatewayMetrics();
  ~GatewayMetrics();
  GatewayMetrics(const GatewayMetrics&) = delete;
  GatewayMetrics& operator=(const GatewayMetrics&) = delete;
  GatewayMetrics(GatewayMetrics&&) = delete;
  GatewayMetrics& operator=(GatewayMetrics&&) = delete;

  /// A user's request of `function` ("name.namespace", or "unknown") arrived.
  void offered(const std::string& function);
  /// And ended. `by` is "here" or a neighbour's name; for `refused` and `failed` the reason.
  enum class End : unsigned char { served_here, served_by_peer, refused, failed };
  void ended(const std::string& function, End end, const std::string& by, int status, Micros took);

  /// A neighbour's request was answered.
  void guest(const std::string& function, const std::string& from, const std::string& outcome);
  /// A try at a neighbour ended.
  void forward(const std::string& function, const std::string& peer, const std::string& outcome);
  /// The sandbox of a run ended before its answer had begun; `outcome`: "again", it was run once more, or "failed".
  void run_lost(const std::string& function, const std::string& outcome);
  void in_flight(const std::string& function, int change);

  /// Gauges, refreshed before each scrape.
  void set_slots(const std::string& function, int slots);
  void set_replicas(const std::string& function, int replicas);  ///< After set_slots().
  void forget(const std::string& function);
  /// Totals of the agent since it started. Shown from the first time on.
  void set_model(const ModelCounters& counters);
  void set_membership(const MembershipSummary& summary);
  void set_async(const AsyncCounters& counters);
  /// Totals since the gateway started, of a platform that runs the functions. Shown from the first time on.
  struct PlatformCounters {
    bool is_ready = false;
    std::uint64_t readings = 0;
    std::uint64_t failures = 0;  ///< Of those.
    std::uint64_t refused_connections = 0;
  };
  void set_platform(const PlatformCounters& counters);
  /// Neighbours that get no calls of a function for a while; those that once did not stay shown.
  struct Ejected {
    std::string function;
    std::string peer;
    Ejection why = Ejection::none;
    std::uint64_t times = 0;  ///< Since the neighbour is one.
  };
  void set_ejected(const std::vector<Ejected>& ejected);
  /// When the node's certificate ends.
  void set_certificate_end(std::chrono::sys_seconds end);
  [[nodiscard]] double invocations(const std::string& function) const;

  /// Prometheus text format 0.0.4.
  [[nodiscard]] std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
