// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The modelled world: nodes that decide by the real code, and what happens between them.
///
/// Internal to sim/world; run.hpp is the way in.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/control/controller.hpp"
#include "core/control/external_observer.hpp"
#include "core/dataplane/dispatcher.hpp"
#include "core/scenario/scenario.hpp"
#include "sim/engine/event_queue.hpp"
#include "sim/engine/slots.hpp"
#include "sim/world/arrivals.hpp"
#include "sim/world/links.hpp"
#include "sim/world/node_ids.hpp"
#include "sim/world/run.hpp"

namespace dfaas {

class World {
 public:
  World(const Scenario& scenario, const RunOptions& options, RunListener& listener);
  RunTotals run();

 private:
  enum class Happening : std::uint8_t {
    arrival,           ///< Of the next call of load `subject`.
    handled,           ///< The processor got to an own user's call.
    own_run_ended,     ///< Of call.
    offer_arrived,     ///< Of call at its peer.
    offer_handled,     ///< The peer's processor got to it.
    guest_run_ended,   ///< Of guest.
    acceptance_known,  ///< The origin hears that the peer started call.
    refusal_known,     ///< The origin hears that the peer did not; `outcome`.
    answer_arrived,    ///< The user has it.
    try_timed_out,     ///< The origin heard nothing of the peer for too long.
    cancel_arrived,    ///< The peer hears that the origin gave up guest.
    given_up,          ///< The user of call left.
    heartbeat,         ///< Of node `subject`.
    silence_due,       ///< At the agent of node `subject`.
    model_asked,       ///< By the agent of node `subject`.
    exchange_arrived,  ///< Of message.
    answer_exchanged,  ///< Of message.
    exchange_failed,   ///< Of message.
    fault_began,       ///< Number `subject`.
    fault_ended,
    node_joined,  ///< Node `subject`.
    second_passed,
  };

  struct Event {
    Happening what = Happening::arrival;
    Outcome outcome = Outcome::busy;  ///< Of a refusal.
    std::uint16_t attempt = 0;        ///< Of the call, while it may be at another peer by now.
    Ticket subject;
  };

  /// What the gateway counts of a function beside what the dispatcher does; names as in PeerCounters and
  /// FunctionObservation.
  struct AnswerCounts {
    struct Peer {
      std::uint64_t good = 0;
      Micros answer_time{0};
    };
    std::uint64_t kept = 0;
    std::uint64_t kept_good = 0;  ///< Those of served_here alone: what was refused is not good.
    Micros served_here_time{0};
    std::map<NodeId, Peer> peers;
  };

  /// What an agent keeps of the model of strategy external_model, and what is counted for it alone.
  struct ModelSide {
    explicit ModelSide(Micros keep) : answers(keep) {}

    ExternalObserver observer;
    ExternalAnswers answers;
    std::vector<AnswerCounts> counts;  ///< By function.
    Instant asked_at{};
    double busy_seconds = 0;  ///< Of the node's slots, until then.
  };

  struct Node {
    std::unique_ptr<Dispatcher> dispatcher;
    std::unique_ptr<Controller> controller;                ///< Null while its agent is away.
    std::unique_ptr<ModelSide> model;                      ///< Null where no model is asked.
    std::vector<const ScenarioDeployment*> deployment_of;  ///< By function; null: not here.
    std::vector<Instant> warm_until;                       ///< By function; of those that go cold.
    bool is_up = false;
    double slowdown = 1;
    int boots = 0;  ///< Of the machine and of its agent, together: names for both.
    int agent_boot = 0;
    Instant processor_free{};
    std::uint32_t era = 0;  ///< Grows when it crashes: what ran there is no more.
  };

  /// A user's call, from arrival to end.
  struct Call {
    std::uint32_t load = 0;
    Instant arrived{};
    Instant offered{};            ///< To the peer of this attempt.
    Micros service_time{0};       ///< Where nothing slows it.
    Micros service_time_here{0};  ///< As it runs at its own node.
    RequestId id = 0;
    std::uint16_t attempt = 0;  ///< Grows with each change of place: events of before are void.
    std::uint16_t tries = 0;
    NodeIndex peer = 0;  ///< Of this attempt.
    Ticket guest;        ///< At the peer, once it is admitted.
    bool is_at_peer = false;
    bool is_accepted = false;  ///< The peer said so: no time limit any more.
  };

  /// What a peer knows of a call of somebody else's user.
  struct Guest {
    Ticket call;
    std::uint16_t attempt = 0;
    NodeIndex origin = 0;
    NodeIndex node = 0;
    std::uint32_t era = 0;
    RequestId id = 0;
    std::uint32_t function = 0;
    Micros service_time{0};
  };

  struct Message {
    NodeIndex from = 0;
    NodeIndex to = 0;
    Instant sent{};
    std::size_t link = 0;
    bool only_agent_away = false;
    bool is_disowned = false;
    ExchangeMessage content;
  };

  // world.cpp: time
  void after(Micros delay, Event event) { events_.push(now() + delay, event); }
  [[nodiscard]] Instant now() const { return events_.now(); }
  void begin();
  void happen(const Event& event);
  [[nodiscard]] bool is_over() const;
  void begin_fault(const ScenarioFault& fault);
  void end_fault(const ScenarioFault& fault);
  void start_node(NodeIndex at);
  void crash_node(NodeIndex at);
  void admit(NodeIndex at, const Links::Neighbour& neighbour);

  // calls.cpp: users and guests
  void next_arrival(std::uint32_t load);
  void arrive(std::uint32_t load);
  void handle(Ticket call);
  void follow(Ticket ticket, const Decision& decision);
  void offer(Ticket ticket, NodeIndex peer);
  void receive_offer(Ticket ticket, std::uint16_t attempt);
  void decide_offer(Ticket ticket, std::uint16_t attempt);
  void start_own(Ticket ticket);
  void start_guest(Ticket ticket);
  void end_own(Ticket ticket);
  void end_guest(Ticket ticket);
  void expect_silence(Ticket ticket, const Call& call);
  void expect_leaving(Ticket ticket, const Call& call);
  void tell_refusal(Ticket ticket, const Call& call, Outcome outcome);
  void hear_refusal(Ticket ticket, const Event& event);
  void time_out(Ticket ticket);
  void lose_at_peer(Ticket ticket);
  void cancel_guest(const Call& call);
  [[nodiscard]] bool is_answered_with_error(const Call& call) const;
  void drop_guest(Ticket ticket);
  void close(Ticket ticket, CallEnd how);
  void count_end(const Call& call, CallEnd how, bool is_late);
  void pump(NodeIndex at);
  Micros run_time(NodeIndex at, std::uint32_t function, Micros nominal);
  Micros charge(NodeIndex at, Micros cost);
  RequestId next_id(bool is_guest, std::uint32_t index);
  [[nodiscard]] const ScenarioLoad& load_of(const Call& call) const {
    return scenario_.loads[call.load];
  }
  [[nodiscard]] Ticket ticket_of(RequestId id) const {
    return calls_.ticket_at(static_cast<std::uint32_t>(id));
  }
  [[nodiscard]] Ticket guest_ticket_of(RequestId id) const {
    return guests_.ticket_at(static_cast<std::uint32_t>(id));
  }
  [[nodiscard]] Call* at_peer(Ticket ticket, std::uint16_t attempt);

  // control.cpp: agents
  void start_agent(NodeIndex at);
  [[nodiscard]] bool is_there(Ticket agent) const;
  [[nodiscard]] GatewayObservation observe(NodeIndex at) const;
  void beat(Ticket agent);
  void ask_model(Ticket agent);
  double busy_ratio_since_asked(NodeIndex at);
  void step(NodeIndex at, const ControllerEvent& event);
  void act(NodeIndex at, std::vector<ControllerAction> actions, const Message* answered);
  void install(NodeIndex at, const RoutingPlan& plan);
  void send(NodeIndex from, SendExchange action);
  void receive_exchange(Ticket ticket);
  void receive_answer(Ticket ticket);
  void fail_exchange(Ticket ticket);
  void colour(NodeIndex at, ExchangeMessage& message) const;

  const Scenario& scenario_;
  const RunOptions& options_;
  RunListener& listener_;
  Strategy strategy_;
  Links links_;
  EventQueue<Event> events_;
  std::vector<Node> nodes_;
  Arrivals arrivals_;
  std::vector<Micros> deadlines_;  ///< By function.
  std::vector<NodeId> ids_;        ///< By node.
  Slots<Call> calls_;
  Slots<Guest> guests_;
  Slots<Message> messages_;
  std::uint64_t serial_ = 0;
  RunTotals totals_;
};

}  // namespace dfaas
