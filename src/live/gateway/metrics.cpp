// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/metrics.hpp"

#include <map>
#include <unordered_map>
#include <utility>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace dfaas {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries duration_buckets{0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                                   1.0,   2.5,  5.0,   10.0, 30.0, 60.0};

std::string_view end_text(GatewayMetrics::End end) {
  switch (end) {
    case GatewayMetrics::End::served_here:
      return "served_here";
    case GatewayMetrics::End::served_by_peer:
      return "served_by_peer";
    case GatewayMetrics::End::refused:
      return "refused";
    case GatewayMetrics::End::failed:
      return "failed";
  }
  return "failed";
}

/// How far a total of the agent grew; an agent that started anew began at zero.
double since(std::uint64_t before, std::uint64_t total) {
  return static_cast<double>(total >= before ? total - before : total);
}

}  // namespace

struct GatewayMetrics::State {
  prometheus::Registry registry;
  Family<Counter>& invocation = BuildCounter()
                                    .Name("gateway_function_invocation_total")
                                    .Help("Function calls by function and status code")
                                    .Register(registry);
  Family<Histogram>& seconds = BuildHistogram()
                                   .Name("gateway_functions_seconds")
                                   .Help("Function call duration in seconds")
                                   .Register(registry);
  Family<Gauge>& service_count = BuildGauge()
                                     .Name("gateway_service_count")
                                     .Help("Replicas of a function on this node")
                                     .Register(registry);
  Family<Gauge>& requests_in_flight = BuildGauge()
                                          .Name("http_requests_in_flight")
                                          .Help("Function calls now being handled")
                                          .Register(registry);
  Family<Counter>& started = BuildCounter()
                                 .Name("gateway_function_invocation_started")
                                 .Help("Function calls that arrived")
                                 .Register(registry);
  Family<Counter>& offered = BuildCounter()
                                 .Name("dfaas_gateway_offered_total")
                                 .Help("Function calls by users of this node")
                                 .Register(registry);
  Family<Counter>& ended = BuildCounter()
                               .Name("dfaas_gateway_ended_total")
                               .Help(
                                   "How calls of this node's users ended: by function, result "
                                   "and server or reason")
                               .Register(registry);
  Family<Counter>& forwards = BuildCounter()
                                  .Name("dfaas_gateway_forwards_total")
                                  .Help("Tries at neighbours by function, neighbour and outcome")
                                  .Register(registry);
  Family<Counter>& runs_lost = BuildCounter()
                                   .Name("dfaas_gateway_runs_lost_total")
                                   .Help("Runs whose sandbox ended, by function and what was done")
                                   .Register(registry);
  Family<Counter>& guests =
      BuildCounter()
          .Name("dfaas_gateway_guests_total")
          .Help("Calls that neighbours sent, by function, neighbour and outcome")
          .Register(registry);
  Family<Gauge>& peer_ejected =
      BuildGauge()
          .Name("dfaas_gateway_peer_ejected")
          .Help("1 while a neighbour gets no calls of a function, by reason: errors, slow, stalled")
          .Register(registry);
  Family<Counter>& ejections =
      BuildCounter()
          .Name("dfaas_gateway_ejections_total")
          .Help(
              "How often a neighbour was set aside for a function, because it did much worse "
              "than the others")
          .Register(registry);
  std::map<std::pair<std::string, std::string>, std::uint64_t> ejections_seen;
  Family<Gauge>& slots = BuildGauge()
                             .Name("dfaas_gateway_slots")
                             .Help("Calls of a function that may run at once on this node")
                             .Register(registry);
  Family<Gauge>& certificate_end =
      BuildGauge()
          .Name("dfaas_certificate_not_after_seconds")
          .Help("When the certificate of this node ends, in seconds since 1970")
          .Register(registry);
  Family<Gauge>& async_calls = BuildGauge()
                                   .Name("dfaas_async_calls")
                                   .Help("Asynchronous calls in the queue, by state")
                                   .Register(registry);
  Family<Counter>& async_accepted = BuildCounter()
                                        .Name("dfaas_async_accepted_total")
                                        .Help("Asynchronous calls that were put in the queue")
                                        .Register(registry);
  Family<Counter>& async_ended =
      BuildCounter()
          .Name("dfaas_async_ended_total")
          .Help(
              "Attempts of asynchronous calls by how they ended: done, failed, cancelled, retried")
          .Register(registry);
  AsyncCounters async_seen;

  Family<Gauge>& platform_ready =
      BuildGauge()
          .Name("dfaas_platform_ready")
          .Help("1 while the platform that runs the functions can be used, else 0")
          .Register(registry);
  Family<Counter>& platform_readings =
      BuildCounter()
          .Name("dfaas_platform_readings_total")
          .Help("Readings of the platform's functions, by result: good, failed")
          .Register(registry);
  Family<Counter>& platform_refused =
      BuildCounter()
          .Name("dfaas_platform_refused_connections_total")
          .Help("Calls for which the platform took no connection: nothing of them ran there")
          .Register(registry);

  Family<Counter>& model_answers = BuildCounter()
                                       .Name("dfaas_agent_model_answers_total")
                                       .Help("Questions to the model of strategy external_model")
                                       .Register(registry);
  Family<Gauge>& model_untold = BuildGauge()
                                    .Name("dfaas_agent_model_functions_without_answer")
                                    .Help("Functions about which no answer of the model holds")
                                    .Register(registry);
  ModelCounters model_before;

  Family<Gauge>& neighbours = BuildGauge()
                                  .Name("dfaas_agent_neighbours")
                                  .Help("Neighbours by state: up, draining, silent, new")
                                  .Register(registry);
  Family<Gauge>& members =
      BuildGauge()
          .Name("dfaas_agent_members")
          .Help("Addresses of other members by state of their proof: proved, unproved, denied")
          .Register(registry);
  Family<Gauge>& gossip_connected = BuildGauge()
                                        .Name("dfaas_agent_gossip_connected")
                                        .Help("1 while the agent hears the serf beside it, else 0")
                                        .Register(registry);
  Family<Gauge>& gossip_members = BuildGauge()
                                      .Name("dfaas_agent_gossip_members")
                                      .Help("Other members of the federation that gossip knows")
                                      .Register(registry);
  Family<Gauge>& gossip_not_joined = BuildGauge()
                                         .Name("dfaas_agent_gossip_not_joined")
                                         .Help("Addresses to join where nobody lets this node in")
                                         .Register(registry);
  Family<Counter>& gossip_ignoring =
      BuildCounter()
          .Name("dfaas_agent_gossip_ignored_total")
          .Help(
              "Members of the gossip that were not believed, by reason: other_federation, "
              "malformed, copy_of_self, crowded_out")
          .Register(registry);
  GossipSummary gossip_before;

  /// What a call touches each time, looked up once.
  struct PerFunction {
    Counter* started = nullptr;
    Counter* offered = nullptr;
    Histogram* seconds = nullptr;
    Gauge* in_flight = nullptr;
    Gauge* slots = nullptr;
    Gauge* service_count = nullptr;
    std::map<int, Counter*> by_code;
    std::map<std::pair<int, std::string>, Counter*> by_end;
  };
  std::unordered_map<std::string, PerFunction> functions;

  PerFunction& of(const std::string& function) {
    auto [place, is_new] = functions.try_emplace(function);
    if (is_new) {
      const prometheus::Labels labels{{"function_name", function}};
      place->second.started = &started.Add(labels);
      place->second.offered = &offered.Add(labels);
      place->second.seconds = &seconds.Add(labels, duration_buckets);
      place->second.in_flight = &requests_in_flight.Add(labels);
    }
    return place->second;
  }
};

GatewayMetrics::GatewayMetrics() : state_(std::make_unique<State>()) {}
GatewayMetrics::~GatewayMetrics() = default;

void GatewayMetrics::offered(const std::string& function) {
  State::PerFunction& counters = state_->of(function);
  counters.started->Increment();
  counters.offered->Increment();
}

void GatewayMetrics::ended(const std::string& function, End end, const std::string& by, int status,
                           Micros took) {
  State::PerFunction& counters = state_->of(function);
  Counter*& by_end = counters.by_end[{static_cast<int>(end), by}];
  if (by_end == nullptr) {
    by_end = &state_->ended.Add(
        {{"function_name", function}, {"result", std::string(end_text(end))}, {"by", by}});
  }
  by_end->Increment();
  Counter*& by_code = counters.by_code[status];
  if (by_code == nullptr) {
    by_code =
        &state_->invocation.Add({{"function_name", function}, {"code", std::to_string(status)}});
  }
  by_code->Increment();
  counters.seconds->Observe(to_seconds(took));
}

void GatewayMetrics::guest(const std::string& function, const std::string& from,
                           const std::string& outcome) {
  state_->guests.Add({{"function_name", function}, {"peer", from}, {"outcome", outcome}})
      .Increment();
}

void GatewayMetrics::forward(const std::string& function, const std::string& peer,
                             const std::string& outcome) {
  state_->forwards.Add({{"function_name", function}, {"peer", peer}, {"outcome", outcome}})
      .Increment();
}

void GatewayMetrics::run_lost(const std::string& function, const std::string& outcome) {
  state_->runs_lost.Add({{"function_name", function}, {"outcome", outcome}}).Increment();
}

void GatewayMetrics::in_flight(const std::string& function, int change) {
  state_->of(function).in_flight->Increment(change);
}

void GatewayMetrics::set_slots(const std::string& function, int slots) {
  State::PerFunction& counters = state_->of(function);
  if (counters.slots == nullptr) {
    counters.slots = &state_->slots.Add({{"function_name", function}});
    counters.service_count = &state_->service_count.Add({{"function_name", function}});
  }
  counters.slots->Set(slots);
}

void GatewayMetrics::set_replicas(const std::string& function, int replicas) {
  state_->of(function).service_count->Set(replicas);
}

void GatewayMetrics::forget(const std::string& function) {
  State::PerFunction& counters = state_->of(function);
  if (counters.slots == nullptr) return;
  state_->slots.Remove(std::exchange(counters.slots, nullptr));
  state_->service_count.Remove(std::exchange(counters.service_count, nullptr));
}

void GatewayMetrics::set_membership(const MembershipSummary& summary) {
  State& s = *state_;
  for (const auto& [state, member] : neighbour_states) {
    s.neighbours.Add({{"state", std::string(state)}}).Set(static_cast<double>(summary.*member));
  }
  for (const auto& [state, member] : member_states) {
    s.members.Add({{"state", std::string(state)}}).Set(static_cast<double>(summary.*member));
  }
  if (!summary.gossip) return;
  const GossipSummary& gossip = *summary.gossip;
  s.gossip_connected.Add({}).Set(gossip.is_connected ? 1 : 0);
  s.gossip_members.Add({}).Set(static_cast<double>(gossip.members));
  s.gossip_not_joined.Add({}).Set(static_cast<double>(gossip.not_joined));
  for (const auto& [reason, member] : gossip_ignored) {
    s.gossip_ignoring.Add({{"reason", std::string(reason)}})
        .Increment(since(s.gossip_before.*member, gossip.*member));
  }
  s.gossip_before = gossip;
}

void GatewayMetrics::set_model(const ModelCounters& counters) {
  for (const auto& [outcome, member] : model_outcomes) {
    state_->model_answers.Add({{"outcome", std::string(outcome)}})
        .Increment(since(state_->model_before.*member, counters.*member));
  }
  state_->model_untold.Add({}).Set(static_cast<double>(counters.functions_without_answer));
  state_->model_before = counters;
}

void GatewayMetrics::set_async(const AsyncCounters& counters) {
  State& s = *state_;
  const auto count = [](Counter& counter, std::uint64_t now, std::uint64_t before) {
    counter.Increment(static_cast<double>(now - before));
  };
  s.async_calls.Add({{"state", "waiting"}}).Set(static_cast<double>(counters.waiting));
  s.async_calls.Add({{"state", "running"}}).Set(static_cast<double>(counters.running));
  count(s.async_accepted.Add({}), counters.accepted, s.async_seen.accepted);
  count(s.async_ended.Add({{"result", "done"}}), counters.done, s.async_seen.done);
  count(s.async_ended.Add({{"result", "failed"}}), counters.failed, s.async_seen.failed);
  count(s.async_ended.Add({{"result", "cancelled"}}), counters.cancelled, s.async_seen.cancelled);
  count(s.async_ended.Add({{"result", "retried"}}), counters.retried, s.async_seen.retried);
  s.async_seen = counters;
}

void GatewayMetrics::set_platform(const PlatformCounters& counters) {
  State& s = *state_;
  const auto count = [](Counter& counter, std::uint64_t now) {
    counter.Increment(static_cast<double>(now) - counter.Value());
  };
  s.platform_ready.Add({}).Set(counters.is_ready ? 1 : 0);
  count(s.platform_readings.Add({{"result", "good"}}), counters.readings - counters.failures);
  count(s.platform_readings.Add({{"result", "failed"}}), counters.failures);
  count(s.platform_refused.Add({}), counters.refused_connections);
}

void GatewayMetrics::set_ejected(const std::vector<Ejected>& ejected) {
  State& s = *state_;
  for (const Ejected& one : ejected) {
    for (const Ejection why : {Ejection::errors, Ejection::slow, Ejection::stalled}) {
      s.peer_ejected
          .Add({{"function_name", one.function},
                {"peer", one.peer},
                {"reason", std::string(to_text(why))}})
          .Set(one.why == why ? 1 : 0);
    }
    Counter& total = s.ejections.Add({{"function_name", one.function}, {"peer", one.peer}});
    // One that left and came back begins at zero.
    std::uint64_t& before = s.ejections_seen[{one.function, one.peer}];
    total.Increment(static_cast<double>(one.times >= before ? one.times - before : one.times));
    before = one.times;
  }
}

void GatewayMetrics::set_certificate_end(std::chrono::sys_seconds end) {
  state_->certificate_end.Add({}).Set(static_cast<double>(end.time_since_epoch().count()));
}

double GatewayMetrics::invocations(const std::string& function) const {
  const auto found = state_->functions.find(function);
  return found == state_->functions.end() ? 0 : found->second.offered->Value();
}

std::string GatewayMetrics::text() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace dfaas
