// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The node controller: one node's whole control behaviour as a state machine without I/O.
///
/// Events come in, actions go out, and nothing else happens. The live agent feeds it sockets and
/// timers and carries the actions out; the simulator feeds it a virtual clock and a modelled
/// network. Same code, same decisions: if they differ, the world differed, not the logic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/random.hpp"
#include "core/control/credits.hpp"
#include "core/model/exchange_message.hpp"
#include "core/model/node_view.hpp"
#include "core/model/observation.hpp"
#include "core/model/routing_plan.hpp"
#include "core/policy/policy.hpp"
#include "core/strategy/strategy.hpp"

namespace dfaas {

/// The gateway reported. Comes at least once a heartbeat.
struct Observed {
  GatewayObservation observation;
  /// The gateway did not wait for the heartbeat, because its functions changed.
  bool is_pushed = false;
};

/// One heartbeat (500 ms) has passed: ask every neighbour; a plan every `period`.
struct HeartbeatElapsed {};

/// The time that next_silence() named has come: whoever has not answered since is out at once, not with the
/// next heartbeat.
struct SilenceDue {};

/// A neighbour's request arrived; answered by exactly one AnswerExchange.
struct ExchangeArrived {
  NodeId from;
  ExchangeMessage message;
};

/// A neighbour answered ours.
struct ExchangeAnswered {
  NodeId from;
  ExchangeMessage message;
  Micros round_trip{0};
};

/// Ours got no valid answer.
struct ExchangeFailed {
  NodeId to;
  /// The neighbour's front door told that only its agent is away: its gateway goes on by the last plan,
  /// so the neighbour counts as up. Its grants run out as they do in silence.
  bool only_agent_away = false;
  /// Its front door no longer knows us: it was told so before we were. It finishes what it has of ours.
  bool is_disowned = false;
};

/// A neighbour was proved and has a slot; or its address, organisation or slot changed.
struct NeighbourAdmitted {
  NodeId id;
  std::string organisation;
  int slot = 0;
};

struct NeighbourGone {
  NodeId id;
};

struct StrategyChosen {
  Strategy strategy;
};

/// What the model outside says from now on, whole: functions it said nothing about are not in it.
struct ExternalSaid {
  std::map<FunctionName, ExternalShares> shares;
};

struct DrainRequested {};

using ControllerEvent = std::variant<Observed, HeartbeatElapsed, SilenceDue, ExchangeArrived,
                                     ExchangeAnswered, ExchangeFailed, NeighbourAdmitted,
                                     NeighbourGone, StrategyChosen, ExternalSaid, DrainRequested>;

/// Hand this to the gateway, whole.
struct InstallPlan {
  RoutingPlan plan;
};

struct SendExchange {
  NodeId to;
  ExchangeMessage message;
};

struct AnswerExchange {
  ExchangeMessage message;
};

using ControllerAction = std::variant<InstallPlan, SendExchange, AnswerExchange>;

struct ControllerSettings {
  NodeId self;
  NodeName name;
  std::string organisation;
  std::string boot;  ///< Random per start, 1 to 64 of [a-z0-9].
  Millis period{2000};
  Millis heartbeat{500};
  int heartbeats_missed_max = 3;  ///< Then, and a quarter for the last answer, a neighbour is down.
  Policy policy;                  ///< Whom the operator denies is no neighbour, whoever admits it.
  std::map<std::string, CreditAccount> credits;  ///< By organisation, from before this start.
};

/// A neighbour for people: `dfaas peers`.
struct NeighbourStatus {
  NodeId id;
  NodeName name;
  std::string organisation;
  int slot = 0;
  std::string state;  ///< "up", "draining" (up, but about to stop), "silent" (was up), "new".
  Micros rtt{0};
  std::optional<Micros> last_message_age;
  std::optional<int> guest_slots;  ///< Most calls of its organisation at once here; none: no limit.
  SharedList<FunctionOffer> functions;
  Micros held_for{0};  ///< It came and went too often: nothing new goes to it for so long.
  double weight = 1;   ///< By credits, where not all can have what they ask for.
  std::vector<std::pair<FunctionName, Ejection>>
      ejected;  ///< Functions of which it gets no calls now.
};

class Controller {
 public:
  Controller(ControllerSettings settings, Strategy strategy, Random random);
  ~Controller();
  Controller(Controller&&) noexcept;
  Controller& operator=(Controller&&) noexcept;
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Applies one event. `now` never goes backwards. Never fails: an event this node cannot use is
  /// counted and dropped, because a peer must not be able to stop us. A change that matters at once
  /// (a neighbour up, down, gone or with other functions) yields a plan at once, at most ten times a
  /// second; a pushed change of our own functions is told to all neighbours at once, at most once a heartbeat. A gateway that already goes by a plan of an agent before us keeps it for four heartbeats,
  /// while we get to know the neighbours: a plan without them would end the requests they run for us.
  std::vector<ControllerAction> step(Instant now, const ControllerEvent& event);

  /// When a neighbour that is up will have been silent for too long, should it not answer before; none
  /// without one that is up.
  [[nodiscard]] std::optional<Instant> next_silence() const;
  [[nodiscard]] std::vector<NeighbourStatus> neighbours(Instant now) const;
  [[nodiscard]] const std::map<std::string, CreditAccount>& credits() const;
  /// Is it a neighbour? Who is none gets no answer to an exchange: the front door sees to it.
  [[nodiscard]] bool knows(const NodeId& id) const;
  [[nodiscard]] std::uint64_t dropped_events() const;
  /// What a plan made now would go by.
  [[nodiscard]] NodeView view(Instant now) const;
  [[nodiscard]] const RoutingPlan& plan() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
