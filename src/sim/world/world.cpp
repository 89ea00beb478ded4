// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/world/world.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/assert.hpp"
#include "sim/world/omni.hpp"

namespace dfaas {
namespace {

constexpr Micros drain_max{120'000'000};
constexpr std::uint64_t dispatcher_purpose = 4;

}  // namespace

World::World(const Scenario& scenario, const RunOptions& options, RunListener& listener)
    : scenario_(scenario),
      options_(options),
      listener_(listener),
      strategy_(options.strategy),
      links_(scenario, options.seed),
      nodes_(scenario.nodes.size()),
      arrivals_(scenario, options.seed) {
  if (options.as_published) strategy_.plan = strategy_.plan_as_published;
  totals_.nodes.resize(nodes_.size());
  for (NodeIndex at = 0; at < nodes_.size(); ++at) ids_.push_back(node_id_of(at));
  for (const ScenarioFunction& function : scenario.functions) {
    deadlines_.push_back(function.effective_deadline());
  }
}

RunTotals World::run() {
  begin();
  while (!events_.empty() && !is_over()) {
    happen(events_.pop());
    ++totals_.events;
  }
  // What is still open has no end any more.
  for (const Ticket ticket : calls_.all()) close(ticket, CallEnd::lost);
  return std::move(totals_);
}

void World::begin() {
  const auto at = [this](Micros when, Happening what, std::uint32_t subject) {
    events_.push(Instant{when}, {.what = what, .subject = {.index = subject}});
  };
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    const ScenarioNode& spec = scenario_.nodes[node];
    nodes_[node].deployment_of.resize(scenario_.functions.size());
    nodes_[node].warm_until.resize(scenario_.functions.size());
    for (const ScenarioDeployment& deployment : spec.functions) {
      nodes_[node].deployment_of[deployment.function] = &deployment;
    }
    if (spec.joins_at.count() == 0) start_node(node);
    if (spec.joins_at.count() > 0) at(spec.joins_at, Happening::node_joined, node);
  }
  for (std::uint32_t fault = 0; fault < scenario_.faults.size(); ++fault) {
    const ScenarioFault& spec = scenario_.faults[fault];
    at(spec.at, Happening::fault_began, fault);
    if (spec.until) at(*spec.until, Happening::fault_ended, fault);
  }
  for (std::uint32_t load = 0; load < scenario_.loads.size(); ++load) next_arrival(load);
  at(Micros{1'000'000}, Happening::second_passed, 0);
}

bool World::is_over() const {
  if (arrivals_.open() == 0 && calls_.count() == 0) return true;
  return events_.next_at() > Instant{scenario_.duration + drain_max};
}

void World::happen(const Event& event) {
  const Ticket subject = event.subject;
  switch (event.what) {
    case Happening::arrival:
      return arrive(subject.index);
    case Happening::handled:
      return handle(subject);
    case Happening::own_run_ended:
      return end_own(subject);
    case Happening::offer_arrived:
      return receive_offer(subject, event.attempt);
    case Happening::offer_handled:
      return decide_offer(subject, event.attempt);
    case Happening::guest_run_ended:
      return end_guest(subject);
    case Happening::acceptance_known:
      if (Call* call = at_peer(subject, event.attempt)) {
        call->is_accepted = true;
        nodes_[load_of(*call).node].dispatcher->accepted(call->id, now());
      }
      return;
    case Happening::refusal_known:
      return hear_refusal(subject, event);
    case Happening::answer_arrived:
      if (Call* call = at_peer(subject, event.attempt)) {
        const bool is_error = is_answered_with_error(*call);
        nodes_[load_of(*call).node].dispatcher->finished(call->id, std::nullopt, now(),
                                                         is_error ? Answer::failed : Answer::good);
        close(subject, is_error ? CallEnd::lost : CallEnd::served_by_peer);
      }
      return;
    case Happening::try_timed_out:
      if (Call* call = at_peer(subject, event.attempt); call != nullptr && !call->is_accepted) {
        time_out(subject);
      }
      return;
    case Happening::cancel_arrived:
      return drop_guest(subject);
    case Happening::given_up:
      if (Call* call = at_peer(subject, event.attempt)) {
        const NodeIndex node = load_of(*call).node;
        cancel_guest(*call);
        nodes_[node].dispatcher->abandoned(call->id, now());
        close(subject, CallEnd::lost);
        pump(node);
      }
      return;
    case Happening::heartbeat:
      return beat(subject);
    case Happening::silence_due:
      if (is_there(subject)) step(subject.index, SilenceDue{});
      return;
    case Happening::model_asked:
      return ask_model(subject);
    case Happening::exchange_arrived:
      return receive_exchange(subject);
    case Happening::answer_exchanged:
      return receive_answer(subject);
    case Happening::exchange_failed:
      return fail_exchange(subject);
    case Happening::fault_began:
      return begin_fault(scenario_.faults[subject.index]);
    case Happening::fault_ended:
      return end_fault(scenario_.faults[subject.index]);
    case Happening::node_joined:
      return start_node(subject.index);
    case Happening::second_passed:
      listener_.on_progress(now() - Instant{}, scenario_.duration);
      after(Micros{1'000'000}, event);
      return;
  }
}

// --- faults

void World::begin_fault(const ScenarioFault& fault) {
  switch (fault.kind) {
    case FaultKind::node_crash:
      for (const NodeIndex node : fault.nodes) crash_node(node);
      return;
    case FaultKind::agent_crash:
      for (const NodeIndex node : fault.nodes) nodes_[node].controller.reset();
      return;
    case FaultKind::partition:
    case FaultKind::link_cut:
    case FaultKind::one_way_cut:
      return links_.apply(fault, 1);
    case FaultKind::slowdown:
      for (const NodeIndex node : fault.nodes) nodes_[node].slowdown *= fault.factor;
      return;
  }
}

void World::end_fault(const ScenarioFault& fault) {
  switch (fault.kind) {
    case FaultKind::node_crash:
      for (const NodeIndex node : fault.nodes) start_node(node);
      return;
    case FaultKind::agent_crash:
      for (const NodeIndex node : fault.nodes) {
        const bool is_away = nodes_[node].is_up && !nodes_[node].controller;
        if (is_away && scenario_.nodes[node].runs_agent) start_agent(node);
      }
      return;
    case FaultKind::partition:
    case FaultKind::link_cut:
    case FaultKind::one_way_cut:
      return links_.apply(fault, -1);
    case FaultKind::slowdown:
      for (const NodeIndex node : fault.nodes) nodes_[node].slowdown /= fault.factor;
      return;
  }
}

void World::start_node(NodeIndex at) {
  Node& node = nodes_[at];
  const ScenarioNode& spec = scenario_.nodes[at];
  if (node.is_up) return;
  node.is_up = true;
  node.processor_free = now();
  ++node.boots;
  node.dispatcher = std::make_unique<Dispatcher>(
      options_.dispatcher,
      random_stream(options_.seed, dispatcher_purpose + static_cast<std::uint64_t>(node.boots) * 16,
                    at),
      options_.outliers);
  for (const ScenarioDeployment& deployment : spec.functions) {
    const ScenarioFunction& function = scenario_.functions[deployment.function];
    const ScenarioPool& pool = spec.pools[deployment.pool];
    FunctionTraits traits{.slots = pool.slots,
                          .share = function.share,
                          .retry_safe = function.retry_safe,
                          .pool = pool.name};
    if (deployment.max_rate.per_second > 0) traits.max_rate = deployment.max_rate;
    node.dispatcher->deploy(function.name, pool.slots, "code", traits, now());
    node.warm_until[deployment.function] = now();
  }
  if (spec.runs_agent) start_agent(at);
}

/// The machine is gone, and with it all that it did for its users and for others.
void World::crash_node(NodeIndex at) {
  Node& node = nodes_[at];
  if (!node.is_up) return;
  node.is_up = false;
  node.controller.reset();
  ++node.era;
  for (const Ticket ticket : calls_.all()) {
    if (load_of(*calls_.find(ticket)).node == at) close(ticket, CallEnd::lost);
  }
  for (const Ticket ticket : guests_.all()) {
    if (guests_.find(ticket)->node != at) continue;
    const Guest guest = guests_.take(ticket);
    if (const Call* call = at_peer(guest.call, guest.attempt)) expect_leaving(guest.call, *call);
  }
}

Result<RunTotals> run_scenario(const Scenario& scenario, const RunOptions& options,
                               RunListener& listener) {
  if (auto valid = validate(scenario); !valid) return pass_on(std::move(valid));
  if (options.is_omni) return run_omni(scenario, options, listener);
  if (options.as_published && options.strategy.plan_as_published == nullptr) {
    return fail(ErrorCode::invalid_input,
                fmt::format("strategy {} has no published form", options.strategy.name));
  }
  return World(scenario, options, listener).run();
}

}  // namespace dfaas
