// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Agents in the modelled world: heartbeats, exchanges, plans.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/base/assert.hpp"
#include "core/strategy/external_model.hpp"
#include "sim/world/world.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t controller_purpose = 5;
constexpr std::uint64_t phase_purpose = 6;
/// How long an agent waits for an answer before it counts the exchange as failed: as live.
constexpr Micros exchange_timeout{500'000};

}  // namespace

void World::start_agent(NodeIndex at) {
  Node& node = nodes_[at];
  const ScenarioNode& spec = scenario_.nodes[at];
  node.agent_boot = ++node.boots;
  const int plans_per_period = options_.as_published ? strategy_.published_plans_per_period : 1;
  const std::uint64_t boot = static_cast<std::uint64_t>(node.boots) * 16;
  node.controller = std::make_unique<Controller>(
      ControllerSettings{.self = ids_[at],
                         .name = spec.name,
                         .organisation = spec.organisation,
                         .boot = fmt::format("b{}", node.boots),
                         .period = options_.effective_period() / plans_per_period,
                         .heartbeat = options_.heartbeat,
                         .policy = spec.policy},
      strategy_, random_stream(options_.seed, controller_purpose + boot, at));
  for (const Links::Neighbour& neighbour : links_.neighbours_of(at)) {
    const ScenarioNode& other = scenario_.nodes[neighbour.node];
    if (!other.runs_agent || other.joins_at > now() - Instant{}) continue;
    admit(at, neighbour);
    // A node that joins is found by those that were there.
    const Links::Neighbour back{.node = at, .link = neighbour.link};
    if (nodes_[neighbour.node].controller) admit(neighbour.node, back);
  }
  Random phase = random_stream(options_.seed, phase_purpose + boot, at);
  const Micros first = from_seconds(uniform(phase, 0, to_seconds(options_.heartbeat)));
  const Ticket agent{.index = static_cast<std::uint32_t>(at),
                     .stamp = static_cast<std::uint32_t>(node.agent_boot)};
  after(first, {.what = Happening::heartbeat, .subject = agent});
  node.model.reset();
  if (!options_.external || strategy_.name != external_model_name) return;
  node.model = std::make_unique<ModelSide>(options_.external_keep);
  node.model->counts.resize(scenario_.functions.size());
  node.model->asked_at = now();
  node.model->busy_seconds = totals_.nodes[at].busy_seconds;
  // Half way between two heartbeats: what neighbours said last is known, and a plan may come again.
  after(first + Micros(options_.heartbeat) / 2, {.what = Happening::model_asked, .subject = agent});
}

void World::admit(NodeIndex at, const Links::Neighbour& neighbour) {
  const auto& list = links_.neighbours_of(at);
  const auto place =
      std::ranges::lower_bound(list, neighbour.node, {}, &Links::Neighbour::node) - list.begin();
  step(at, NeighbourAdmitted{.id = ids_[neighbour.node],
                             .organisation = scenario_.nodes[neighbour.node].organisation,
                             .slot = static_cast<int>(place) + 1});
}

/// The agent itself, not one that started in its place since.
bool World::is_there(Ticket agent) const {
  const Node& node = nodes_[agent.index];
  return node.controller && static_cast<std::uint32_t>(node.agent_boot) == agent.stamp;
}

GatewayObservation World::observe(NodeIndex at) const {
  GatewayObservation seen = nodes_[at].dispatcher->observe(now());
  seen.boot = "g" + std::to_string(nodes_[at].era);
  if (!nodes_[at].model) return seen;
  for (FunctionIndex index = 0; index < scenario_.functions.size(); ++index) {
    const AnswerCounts& counts = nodes_[at].model->counts[index];
    const auto function = std::ranges::lower_bound(seen.functions, scenario_.functions[index].name,
                                                   {}, &FunctionObservation::function);
    if (function == seen.functions.end() || function->function != scenario_.functions[index].name) {
      continue;
    }
    function->kept = counts.kept;
    function->kept_good = counts.kept_good;
    function->served_here = counts.kept_good;
    function->served_here_time = counts.served_here_time;
    for (PeerCounters& peer : function->peers) {
      const auto answered = counts.peers.find(peer.id);
      if (answered == counts.peers.end()) continue;
      peer.good = answered->second.good;
      peer.answer_time = answered->second.answer_time;
    }
  }
  return seen;
}

void World::beat(Ticket agent) {
  if (!is_there(agent)) return;
  const NodeIndex at = agent.index;
  after(options_.heartbeat, {.what = Happening::heartbeat, .subject = agent});
  step(at, Observed{observe(at)});
  step(at, HeartbeatElapsed{});
  if (const auto due = nodes_[at].controller->next_silence();
      due && *due < now() + Micros(options_.heartbeat)) {
    after(std::max(*due - now(), Micros{0}), {.what = Happening::silence_due, .subject = agent});
  }
}

/// As the live agent does: what cannot be used is no answer.
void World::ask_model(Ticket agent) {
  if (!is_there(agent)) return;
  const NodeIndex at = agent.index;
  Node& node = nodes_[at];
  after(options_.effective_period(), {.what = Happening::model_asked, .subject = agent});
  const auto questions = node.model->observer.questions(
      now(), observe(at), node.controller->view(now()), busy_ratio_since_asked(at), false);
  for (const ExternalQuestion& question : questions) {
    auto shares = options_.external(now() - Instant{}, at, question);
    if (!shares || !is_usable(*shares)) continue;
    node.model->answers.take(question.function, std::move(*shares), now());
  }
  step(at, ExternalSaid{.shares = node.model->answers.in_force(now()).shares});
}

/// Of the node's slots, which stand for its processors; a call counts whole where it begins.
double World::busy_ratio_since_asked(NodeIndex at) {
  ModelSide& model = *nodes_[at].model;
  double slots = 0;
  for (const ScenarioPool& pool : scenario_.nodes[at].pools) slots += pool.slots;
  const Instant since = std::exchange(model.asked_at, now());
  const double seconds = to_seconds(std::chrono::duration_cast<Micros>(now() - since));
  const double busy_until_now = totals_.nodes[at].busy_seconds;
  const double busy = busy_until_now - std::exchange(model.busy_seconds, busy_until_now);
  return slots > 0 && seconds > 0 ? std::min(busy / (slots * seconds), 1.0) : 0;
}

void World::step(NodeIndex at, const ControllerEvent& event) {
  act(at, nodes_[at].controller->step(now(), event), nullptr);
}

/// `answered`: the request whose answer is among the actions.
void World::act(NodeIndex at, std::vector<ControllerAction> actions, const Message* answered) {
  for (ControllerAction& action : actions) {
    if (auto* plan = std::get_if<InstallPlan>(&action)) {
      install(at, plan->plan);
    } else if (auto* exchange = std::get_if<SendExchange>(&action)) {
      send(at, std::move(*exchange));
    } else if (auto* reply = std::get_if<AnswerExchange>(&action)) {
      DFAAS_ASSERT(answered != nullptr, "only requests are answered");
      Message answer{.from = at,
                     .to = answered->from,
                     .sent = answered->sent,
                     .link = answered->link,
                     .content = std::move(reply->message)};
      ++totals_.nodes[at].messages;
      colour(at, answer.content);
      const auto delay = links_.delay(at, answer.to, answer.link);
      const auto what = delay ? Happening::answer_exchanged : Happening::exchange_failed;
      // Failure is noticed by who asked; `to` is whom it asked.
      if (!delay) std::swap(answer.from, answer.to);
      after(delay.value_or(exchange_timeout),
            {.what = what, .subject = messages_.add(std::move(answer))});
    }
  }
}

void World::install(NodeIndex at, const RoutingPlan& plan) {
  Node& node = nodes_[at];
  ++totals_.plans;
  node.dispatcher->install(plan, now());
  listener_.on_plan(now() - Instant{}, at, plan);
  for (const RequestId id : node.dispatcher->requests_at_lost_peers()) {
    lose_at_peer(ticket_of(id));
  }
  pump(at);
}

void World::send(NodeIndex from, SendExchange action) {
  Message message{.from = from, .to = index_of(action.to), .sent = now()};
  message.link = links_.between(from, message.to);
  message.content = std::move(action.message);
  colour(from, message.content);
  ++totals_.nodes[from].messages;
  const std::size_t link = message.link;
  const auto delay = links_.delay(from, message.to, link);
  const Event arrived{.what = Happening::exchange_arrived};
  if (!delay) {
    after(exchange_timeout,
          {.what = Happening::exchange_failed, .subject = messages_.add(std::move(message))});
    return;
  }
  if (links_.is_duplicated(link)) {
    Event again = arrived;
    again.subject = messages_.add(message);
    after(2 * *delay, again);
  }
  Event once = arrived;
  once.subject = messages_.add(std::move(message));
  after(*delay, once);
}

void World::receive_exchange(Ticket ticket) {
  Message message = messages_.take(ticket);
  Node& node = nodes_[message.to];
  if (!node.controller) {
    // The front door of a node that is up says at once that its agent is away.
    message.only_agent_away = node.is_up;
    const Micros known = node.is_up ? links_.rtt(message.link) / 2 : exchange_timeout;
    after(known,
          {.what = Happening::exchange_failed, .subject = messages_.add(std::move(message))});
    return;
  }
  if (!node.controller->knows(ids_[message.from])) {
    // As the front door says to whom its agent did not admit.
    message.is_disowned = true;
    const Micros known = links_.rtt(message.link) / 2;
    after(known,
          {.what = Happening::exchange_failed, .subject = messages_.add(std::move(message))});
    return;
  }
  auto actions = node.controller->step(
      now(), ExchangeArrived{.from = ids_[message.from], .message = std::move(message.content)});
  act(message.to, std::move(actions), &message);
}

void World::receive_answer(Ticket ticket) {
  Message answer = messages_.take(ticket);
  if (!nodes_[answer.to].controller) return;
  const Micros round_trip = now() - answer.sent;
  step(answer.to, ExchangeAnswered{.from = ids_[answer.from],
                                   .message = std::move(answer.content),
                                   .round_trip = round_trip});
}

void World::fail_exchange(Ticket ticket) {
  const Message message = messages_.take(ticket);
  if (!nodes_[message.from].controller) return;
  step(message.from, ExchangeFailed{.to = ids_[message.to],
                                    .only_agent_away = message.only_agent_away,
                                    .is_disowned = message.is_disowned});
}

/// What a liar tells is not what it has.
void World::colour(NodeIndex at, ExchangeMessage& message) const {
  const auto& lie = scenario_.nodes[at].lie;
  if (!lie || lie->advertise_factor == 1) return;
  constexpr double slots_max = 100'000;
  for (FunctionOffer& offer : message.functions.edit()) {
    offer.slots = static_cast<int>(std::min(offer.slots * lie->advertise_factor, slots_max));
  }
  for (FunctionGrant& grant : message.grants) {
    grant.granted = grant.granted * lie->advertise_factor;
    grant.left = grant.left * lie->advertise_factor;
  }
}

}  // namespace dfaas
