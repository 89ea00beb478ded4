// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Calls in the modelled world: from the user to a slot and back.
#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/assert.hpp"
#include "sim/world/world.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t error_purpose = 7;
constexpr RequestId guest_bit = RequestId{1} << 63U;
constexpr unsigned index_bits = 32;
/// Work that the processor gets to sooner than this is done at once: an event less, an error unseen.
constexpr Micros processor_wait_min{1000};
/// A user whose answer was lost on the way leaves after so long, at least.
constexpr Micros patience_min{10'000'000};

}  // namespace

RequestId World::next_id(bool is_guest, std::uint32_t index) {
  constexpr std::uint64_t serial_max = std::numeric_limits<std::uint32_t>::max() / 2;
  serial_ = serial_ == serial_max ? 1 : serial_ + 1;
  return (is_guest ? guest_bit : 0) | (serial_ << index_bits) | index;
}

World::Call* World::at_peer(Ticket ticket, std::uint16_t attempt) {
  Call* call = calls_.find(ticket);
  return call != nullptr && call->is_at_peer && call->attempt == attempt ? call : nullptr;
}

/// When the processor of a node is done with a piece of work, from now.
Micros World::charge(NodeIndex at, Micros cost) {
  Node& node = nodes_[at];
  totals_.nodes[at].handling_seconds += to_seconds(cost);
  node.processor_free = std::max(node.processor_free, now()) + cost;
  return node.processor_free - now();
}

// --- users

void World::next_arrival(std::uint32_t load) {
  const auto at = arrivals_.advance(load);
  if (!at) return;
  events_.push(std::max(now(), Instant{*at}),
               {.what = Happening::arrival, .subject = {.index = load}});
}

void World::arrive(std::uint32_t load) {
  const Arrival arrival = arrivals_.head(load);
  next_arrival(load);
  const NodeIndex at = scenario_.loads[load].node;
  if (Instant{scenario_.nodes[at].joins_at} > now()) return;  // Nobody is there yet to ask.
  ++totals_.calls;
  const Ticket ticket =
      calls_.add({.load = load, .arrived = now(), .service_time = arrival.service_time});
  if (!nodes_[at].is_up) return close(ticket, CallEnd::lost);
  const Micros ready = charge(at, scenario_.handling.call);
  if (ready >= processor_wait_min)
    return after(ready, {.what = Happening::handled, .subject = ticket});
  handle(ticket);
}

void World::handle(Ticket ticket) {
  Call* call = calls_.find(ticket);
  if (call == nullptr) return;
  const ScenarioLoad& load = load_of(*call);
  call->id = next_id(false, ticket.index);
  const Decision decision = nodes_[load.node].dispatcher->arrive_user(
      call->id, scenario_.functions[load.function].name, now());
  follow(ticket, decision);
}

void World::follow(Ticket ticket, const Decision& decision) {
  switch (decision.kind) {
    case Decision::Kind::serve:
      return start_own(ticket);
    case Decision::Kind::queue:
      return;
    case Decision::Kind::try_peer:
      return offer(ticket, index_of(decision.peer));
    case Decision::Kind::refuse:
      return close(ticket,
                   decision.reason == Outcome::unreachable ? CallEnd::lost : CallEnd::refused);
  }
}

Micros World::run_time(NodeIndex at, std::uint32_t function, Micros nominal) {
  Node& node = nodes_[at];
  const auto& lie = scenario_.nodes[at].lie;
  const double slowdown = node.slowdown * (lie ? lie->slowdown : 1);
  Micros time = slowdown == 1 ? nominal : from_seconds(to_seconds(nominal) * slowdown);
  const ScenarioDeployment* deployment = node.deployment_of[function];
  if (deployment != nullptr && deployment->cold_start.count() > 0) {
    Instant& warm_until = node.warm_until[function];
    if (now() >= warm_until) time += deployment->cold_start;
    warm_until = deployment->idle_timeout.count() > 0 ? now() + time + deployment->idle_timeout
                                                      : Instant::max();
  }
  totals_.nodes[at].busy_seconds += to_seconds(time);
  return time;
}

void World::start_own(Ticket ticket) {
  Call& call = *calls_.find(ticket);
  const ScenarioLoad& load = load_of(call);
  call.service_time_here =
      run_time(load.node, static_cast<std::uint32_t>(load.function), call.service_time);
  after(call.service_time_here, {.what = Happening::own_run_ended, .subject = ticket});
}

void World::end_own(Ticket ticket) {
  Call* call = calls_.find(ticket);
  if (call == nullptr) return;  // Its node crashed.
  const NodeIndex at = load_of(*call).node;
  nodes_[at].dispatcher->finished(call->id, call->service_time_here, now());
  close(ticket, CallEnd::served_here);
  pump(at);
}

void World::close(Ticket ticket, CallEnd how) {
  const Call call = calls_.take(ticket);
  const ScenarioLoad& load = load_of(call);
  const bool is_served = how == CallEnd::served_here || how == CallEnd::served_by_peer;
  const bool is_late = is_served && now() - call.arrived > deadlines_[load.function];
  totals_.ended = now() - Instant{};
  if (nodes_[load.node].model) count_end(call, how, is_late);
  listener_.on_end(
      {.arrival = call.arrived - Instant{},
       .end = now() - Instant{},
       .node = static_cast<std::uint32_t>(load.node),
       .function = static_cast<std::uint32_t>(load.function),
       .server = static_cast<std::uint32_t>(how == CallEnd::served_by_peer ? call.peer : load.node),
       .tries = call.tries,
       .how = how,
       .is_late = is_late,
       .service_time = call.service_time});
}

/// As the gateway counts, which ends a call at its deadline: there is no late answer, it is a failure of
/// the node that the user asked.
void World::count_end(const Call& call, CallEnd how, bool is_late) {
  const ScenarioLoad& load = load_of(call);
  AnswerCounts& counts = nodes_[load.node].model->counts[load.function];
  if (how == CallEnd::served_by_peer) {
    AnswerCounts::Peer& peer = counts.peers[ids_[call.peer]];
    peer.answer_time += std::chrono::duration_cast<Micros>(now() - call.offered);
    if (!is_late) ++peer.good;
  }
  if (how == CallEnd::served_by_peer && !is_late) return;
  ++counts.kept;
  if (how != CallEnd::served_here || is_late) return;
  ++counts.kept_good;
  counts.served_here_time += std::chrono::duration_cast<Micros>(now() - call.arrived);
}

/// Starts those whom the dispatcher gave a slot.
void World::pump(NodeIndex at) {
  for (const RequestId id : nodes_[at].dispatcher->stalled()) lose_at_peer(ticket_of(id));
  for (const RequestId id : nodes_[at].dispatcher->started()) {
    if ((id & guest_bit) != 0) {
      start_guest(guest_ticket_of(id));
    } else {
      start_own(ticket_of(id));
    }
  }
}

// --- at neighbours: the origin's side

void World::offer(Ticket ticket, NodeIndex peer) {
  Call& call = *calls_.find(ticket);
  const NodeIndex home = load_of(call).node;
  ++call.attempt;
  ++call.tries;
  call.peer = peer;
  call.offered = now();
  call.guest = {};
  call.is_at_peer = true;
  call.is_accepted = false;
  ++totals_.nodes[home].forwards;
  const Micros ready = charge(home, scenario_.handling.forward);
  const std::size_t link = links_.between(home, peer);
  const auto delay = links_.delay(home, peer, link);
  if (delay && nodes_[peer].is_up) {
    after(ready + *delay,
          {.what = Happening::offer_arrived, .attempt = call.attempt, .subject = ticket});
  } else {
    expect_silence(ticket, call);
  }
}

/// Nothing will come back: the origin notices by the time limit of the try.
void World::expect_silence(Ticket ticket, const Call& call) {
  const NodeIndex home = load_of(call).node;
  const Micros limit = nodes_[home].dispatcher->attempt_time_limit(
      scenario_.functions[load_of(call).function].name, ids_[call.peer]);
  after(limit, {.what = Happening::try_timed_out, .attempt = call.attempt, .subject = ticket});
}

/// No answer will come; the user leaves at last, unless the plan gives up the peer before.
void World::expect_leaving(Ticket ticket, const Call& call) {
  const Micros patience = std::max(patience_min, 2 * deadlines_[load_of(call).function]);
  after(std::max(Micros{0}, call.arrived + patience - now()),
        {.what = Happening::given_up, .attempt = call.attempt, .subject = ticket});
}

void World::hear_refusal(Ticket ticket, const Event& event) {
  Call* call = at_peer(ticket, event.attempt);
  if (call == nullptr) return;
  const NodeIndex home = load_of(*call).node;
  call->is_at_peer = false;
  ++totals_.nodes[home].forwards_refused;
  const Decision decision = nodes_[home].dispatcher->not_started(call->id, event.outcome, now());
  follow(ticket, decision);
}

void World::time_out(Ticket ticket) {
  Call& call = *calls_.find(ticket);
  const NodeIndex home = load_of(call).node;
  ++totals_.nodes[home].forwards_lost;
  cancel_guest(call);
  call.is_at_peer = false;
  follow(ticket, nodes_[home].dispatcher->not_started(call.id, Outcome::unreachable, now()));
}

/// The plan has its peer down.
void World::lose_at_peer(Ticket ticket) {
  Call& call = *calls_.find(ticket);
  const NodeIndex home = load_of(call).node;
  ++totals_.nodes[home].forwards_lost;
  cancel_guest(call);
  call.is_at_peer = false;
  const bool was_admitted = call.guest.stamp != 0;
  follow(ticket, was_admitted
                     ? nodes_[home].dispatcher->lost(call.id, true, now())
                     : nodes_[home].dispatcher->not_started(call.id, Outcome::unreachable, now()));
}

void World::cancel_guest(const Call& call) {
  if (call.guest.stamp == 0) return;
  const NodeIndex home = load_of(call).node;
  const auto delay = links_.delay_repeated(home, call.peer, links_.between(home, call.peer));
  if (delay) after(*delay, {.what = Happening::cancel_arrived, .subject = call.guest});
}

// --- at neighbours: the peer's side

void World::receive_offer(Ticket ticket, std::uint16_t attempt) {
  Call* call = at_peer(ticket, attempt);
  if (call == nullptr) return;
  if (!nodes_[call->peer].is_up) return expect_silence(ticket, *call);
  const Micros ready = charge(call->peer, scenario_.handling.call);
  if (ready >= processor_wait_min) {
    return after(ready, {.what = Happening::offer_handled, .attempt = attempt, .subject = ticket});
  }
  decide_offer(ticket, attempt);
}

void World::decide_offer(Ticket ticket, std::uint16_t attempt) {
  Call* call = at_peer(ticket, attempt);
  if (call == nullptr) return;
  const NodeIndex at = call->peer;
  Node& node = nodes_[at];
  if (!node.is_up) return expect_silence(ticket, *call);
  const ScenarioLoad& load = load_of(*call);
  if (scenario_.nodes[at].lie && scenario_.nodes[at].lie->refuses_guests) {
    return tell_refusal(ticket, *call, Outcome::busy);
  }
  const Ticket guest_ticket = guests_.add({.call = ticket,
                                           .attempt = attempt,
                                           .origin = load.node,
                                           .node = at,
                                           .era = node.era,
                                           .function = static_cast<std::uint32_t>(load.function),
                                           .service_time = call->service_time});
  Guest& guest = *guests_.find(guest_ticket);
  guest.id = next_id(true, guest_ticket.index);
  const FunctionName& function = scenario_.functions[load.function].name;
  const bool is_at_home_too = nodes_[load.node].deployment_of[load.function] != nullptr;
  const Decision decision = node.dispatcher->arrive_guest(
      guest.id, function, is_at_home_too ? "code" : "", ids_[load.node], std::nullopt, now());
  if (decision.kind == Decision::Kind::refuse) {
    guests_.take(guest_ticket);
    tell_refusal(ticket, *call, decision.reason);
  } else {
    call->guest = guest_ticket;
    if (decision.kind == Decision::Kind::serve) {
      start_guest(guest_ticket);
    } else {
      expect_silence(ticket, *call);  // The line may be longer than the origin's patience.
    }
  }
  pump(at);
}

void World::tell_refusal(Ticket ticket, const Call& call, Outcome outcome) {
  const NodeIndex home = load_of(call).node;
  const auto delay = links_.delay_repeated(call.peer, home, links_.between(home, call.peer));
  if (!delay) return expect_silence(ticket, call);
  after(*delay, {.what = Happening::refusal_known,
                 .outcome = outcome,
                 .attempt = call.attempt,
                 .subject = ticket});
}

void World::start_guest(Ticket ticket) {
  Guest& guest = *guests_.find(ticket);
  guest.service_time = run_time(guest.node, guest.function, guest.service_time);
  after(guest.service_time, {.what = Happening::guest_run_ended, .subject = ticket});
  const Call* call = at_peer(guest.call, guest.attempt);
  if (call == nullptr) return;
  const auto delay =
      links_.delay_repeated(guest.node, guest.origin, links_.between(guest.origin, guest.node));
  if (delay) {
    after(*delay,
          {.what = Happening::acceptance_known, .attempt = guest.attempt, .subject = guest.call});
  } else {
    expect_silence(guest.call, *call);
  }
}

void World::end_guest(Ticket ticket) {
  const Guest* found = guests_.find(ticket);
  if (found == nullptr) return;  // Its node crashed, or its origin gave it up.
  const Guest guest = guests_.take(ticket);
  nodes_[guest.node].dispatcher->finished(guest.id, guest.service_time, now());
  if (const Call* call = at_peer(guest.call, guest.attempt)) {
    const auto delay =
        links_.delay_repeated(guest.node, guest.origin, links_.between(guest.origin, guest.node));
    const auto& lie = scenario_.nodes[guest.node].lie;
    if (delay && !(lie && lie->swallows_guests)) {
      after(*delay,
            {.what = Happening::answer_arrived, .attempt = guest.attempt, .subject = guest.call});
    } else {
      expect_leaving(guest.call, *call);
    }
  }
  pump(guest.node);
}

/// Of a peer that lies: drawn for each call, whatever else happens.
bool World::is_answered_with_error(const Call& call) const {
  const auto& lie = scenario_.nodes[call.peer].lie;
  if (!lie || lie->error_ratio <= 0) return false;
  Random random = random_stream(options_.seed, error_purpose, call.id);
  return uniform(random, 0, 1) < lie->error_ratio;
}

void World::drop_guest(Ticket ticket) {
  if (guests_.find(ticket) == nullptr) return;
  const Guest guest = guests_.take(ticket);
  nodes_[guest.node].dispatcher->abandoned(guest.id, now());
  pump(guest.node);
}

}  // namespace dfaas
