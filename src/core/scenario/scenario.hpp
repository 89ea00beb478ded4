// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A federation and what happens to it: nodes, links, functions, load and faults, as plain values.
///
/// One scenario drives the simulator and, with the same words, the emulator and the load generator.
/// Files name things (scenario_file.hpp); here they are indexes, so that large ones stay cheap.
///
/// Input       Made by a family (families.hpp), from a file, or by hand; check it with validate().
/// Guarantees  A scenario is complete: all randomness of its load rates has been drawn, so that every
///             strategy meets the same rates. The arrivals themselves are drawn by the run's seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/base/units.hpp"
#include "core/model/function.hpp"
#include "core/policy/policy.hpp"

namespace dfaas {

using NodeIndex = std::size_t;      ///< Into Scenario::nodes.
using FunctionIndex = std::size_t;  ///< Into Scenario::functions.

namespace scenario_limits {
inline constexpr std::size_t nodes_max = 100'000;
inline constexpr std::size_t functions_max = 1000;
inline constexpr std::size_t neighbours_max =
    64;  ///< Of one node: as many slots as a front door has.
inline constexpr int slots_max = 100'000;
inline constexpr Rate rate_max{1e6};
inline constexpr Micros duration_max = std::chrono::hours{24};
inline constexpr Micros rtt_max = std::chrono::seconds{60};
inline constexpr double bandwidth_mbps_max = 100'000;
inline constexpr double processors_max = 1024;
}  // namespace scenario_limits

enum class ServiceKind : std::uint8_t { exponential, deterministic, log_normal, samples };

/// How long one call runs where nothing slows it.
struct ServiceTime {
  ServiceKind kind = ServiceKind::exponential;
  Micros mean{100'000};         ///< > 0; of `samples` their mean.
  double sigma = 0.5;           ///< Of log_normal: deviation of the logarithm, in (0, 5].
  std::vector<Micros> samples;  ///< Of samples: drawn with equal probability.

  friend bool operator==(const ServiceTime&, const ServiceTime&) = default;
};

struct ScenarioFunction {
  FunctionName name;
  ServiceTime service_time;
  /// An answer later than this after the arrival is worth nothing. 0: max(1 s, 10 x mean).
  Micros deadline{0};
  Sharing share = Sharing::federation;
  bool retry_safe = false;

  [[nodiscard]] Micros effective_deadline() const;

  friend bool operator==(const ScenarioFunction&, const ScenarioFunction&) = default;
};

/// Slots that some functions of a node share.
struct ScenarioPool {
  std::string name;
  int slots = 1;

  friend bool operator==(const ScenarioPool&, const ScenarioPool&) = default;
};

struct ScenarioDeployment {
  FunctionIndex function = 0;
  std::size_t pool = 0;  ///< Into the node's pools.
  Rate
      max_rate;  ///< Label dfaas.maxrate, for strategies that go by rates; 0: slots / service time.
  Micros cold_start{0};    ///< Of the first call, and of a first call after `idle_timeout`.
  Micros idle_timeout{0};  ///< 0: stays warm.

  friend bool operator==(const ScenarioDeployment&, const ScenarioDeployment&) = default;
};

/// A node that tells or does something other than it should.
struct Lie {
  double advertise_factor = 1;   ///< Of slots and grants, in what it tells.
  bool refuses_guests = false;   ///< It answers every forwarded call `busy`.
  double slowdown = 1;           ///< Of the service time of guests and users alike, >= 1.
  double error_ratio = 0;        ///< Of its answers to guests, in [0, 1]: errors, worth nothing.
  bool swallows_guests = false;  ///< It takes forwarded calls and never answers.

  friend bool operator==(const Lie&, const Lie&) = default;
};

struct ScenarioNode {
  NodeName name;
  std::string organisation = "org";
  std::vector<ScenarioPool> pools;
  std::vector<ScenarioDeployment> functions;  ///< Each function at most once.
  double power_idle_watts = 2;                ///< A small board; only the ratio to max matters.
  double power_max_watts = 10;
  std::string type;  ///< A word for people and usage models: "light", "mid", "heavy"; may be empty.
  std::optional<Lie> lie;
  Policy policy;           ///< Of its operator.
  Micros joins_at{0};      ///< Before, it does not exist: no load, no links.
  bool runs_agent = true;  ///< Without, its users have the all-local behaviour.
  /// Processors that it may use; 0: all there are. Of the emulator: simulated slots do not slow each other.
  double processors = 0;

  friend bool operator==(const ScenarioNode&, const ScenarioNode&) = default;
};

/// Both ways. Two nodes without a link do not know each other.
struct ScenarioLink {
  NodeIndex a = 0;
  NodeIndex b = 0;
  Micros rtt{2000};
  Micros jitter{0};            ///< Added per message, uniform in [0, jitter].
  double loss_ratio = 0;       ///< Of messages; a lost try is noticed by its time limit.
  double duplicate_ratio = 0;  ///< Of exchange messages; calls are never duplicated.
  /// Mbit/s each way; 0: no limit. Of the emulator: simulated messages have no size.
  double bandwidth_mbps = 0;

  friend bool operator==(const ScenarioLink&, const ScenarioLink&) = default;
};

enum class ArrivalKind : std::uint8_t {
  poisson,
  constant,  ///< Evenly spaced.
  trace,     ///< Exactly at `times`.
};

/// One recorded call.
struct TraceCall {
  Micros at{0};                        ///< From the start of the scenario.
  std::optional<Micros> service_time;  ///< As recorded; else drawn.

  friend bool operator==(const TraceCall&, const TraceCall&) = default;
};

/// Users of one node asking for one function.
struct ScenarioLoad {
  NodeIndex node = 0;
  FunctionIndex function = 0;
  ArrivalKind arrivals = ArrivalKind::poisson;
  Micros start{0};
  Micros step{1'000'000};        ///< How long each rate holds, > 0.
  std::vector<Rate> rates;       ///< One after the other from `start`; nothing after the last.
  std::vector<TraceCall> calls;  ///< Of trace: ascending.

  friend bool operator==(const ScenarioLoad&, const ScenarioLoad&) = default;
};

enum class FaultKind : std::uint8_t {
  node_crash,  ///< The machine is gone: nothing answers; what it ran is lost. Ends: it starts empty.
  agent_crash,  ///< Its gateway goes on by the last plan. Ends: a new agent, knowing nothing.
  partition,    ///< No message passes between `nodes` and all others. Ends: it heals.
  link_cut,     ///< None passes between nodes[0] and nodes[1].
  one_way_cut,  ///< None passes from nodes[0] to nodes[1].
  slowdown,     ///< Service times of `nodes` are `factor` times as long.
};

struct ScenarioFault {
  FaultKind kind = FaultKind::node_crash;
  Micros at{0};
  std::optional<Micros> until;  ///< Unset: until the end.
  std::vector<NodeIndex> nodes;
  double factor = 1;

  friend bool operator==(const ScenarioFault&, const ScenarioFault&) = default;
};

/// What handling a call costs the node's processor beside running it, in a line of its own. Defaults
/// measured on two AMD EPYC cores with the release build (`make bench`).
struct HandlingCost {
  Micros call{40};      ///< A user's or guest's call, whatever becomes of it.
  Micros forward{150};  ///< A try at a neighbour, at the side that sends, TLS included.

  friend bool operator==(const HandlingCost&, const HandlingCost&) = default;
};

struct Scenario {
  std::string name;
  std::string summary;  ///< One line for people.
  Micros duration{60'000'000};
  Micros warm_up{0};  ///< Calls that arrive before it are served but not counted.
  std::vector<ScenarioFunction> functions;
  std::vector<ScenarioNode> nodes;
  std::vector<ScenarioLink> links;
  std::vector<ScenarioLoad> loads;
  std::vector<ScenarioFault> faults;
  HandlingCost handling;
  Micros window{10'000'000};  ///< Of the best possible result (sim/oracle).
  /// When the load is worst, for results that look there; unset: all of the run.
  std::optional<Micros> stress_from;
  std::optional<Micros> stress_until;

  friend bool operator==(const Scenario&, const Scenario&) = default;
};

/// Errors: invalid_input, one sentence: "node \"light\": pool \"cpu\": slots 0 is not 1 to 100000".
Result<void> validate(const Scenario& scenario);

/// "figlet", or "figlet.space" outside of the default one: shorter than full() and read back the same.
std::string short_name(const FunctionName& name);

}  // namespace dfaas
