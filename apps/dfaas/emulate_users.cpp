// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/emulate_users.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "live/loadgen/load_generator.hpp"
#include "sim/world/arrivals.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

constexpr Micros answer_grace = std::chrono::seconds{2};
constexpr int gateway_timeout = 504;
/// For the generators to find out who is there.
constexpr Millis lead{1'000};

/// One load of the scenario, as a phase of the generator.
struct Lane {
  FunctionIndex function = 0;
  std::vector<Micros> service_times;
};

struct UsersPlan {
  LoadPlan load;
  std::vector<Lane> lanes;  ///< By phase.
};

UsersPlan plan_of(const NodeUsersPlan& users) {
  const Scenario& scenario = *users.scenario;
  UsersPlan plan{.load = {.phases = {}, .seed = users.seed}, .lanes = {}};
  Micros patience{0};
  for (std::size_t number = 0; number < scenario.loads.size(); ++number) {
    const ScenarioLoad& load = scenario.loads[number];
    if (load.node != users.node) continue;
    const ScenarioFunction& function = scenario.functions[load.function];
    LoadPhase phase{.name = fmt::format("load-{}", number),
                    .duration = scenario.duration,
                    .target = {.host = "127.0.0.1",
                               .port = users.port,
                               .path = "/function/" + short_name(function.name)},
                    .method = "POST",
                    .headers = {},
                    .body = {},
                    .requests = {},
                    .expected_node = users.id};
    Lane lane{.function = load.function, .service_times = {}};
    CallStream calls(load, function.service_time, users.seed, number);
    for (auto call = calls.next(); call && call->at < scenario.duration; call = calls.next()) {
      phase.requests.push_back(
          {.at = call->at, .body = std::to_string(call->service_time.count())});
      lane.service_times.push_back(call->service_time);
    }
    if (phase.requests.empty()) continue;
    patience = std::max(patience, function.effective_deadline());
    plan.load.phases.push_back(std::move(phase));
    plan.lanes.push_back(std::move(lane));
  }
  plan.load.timeout = std::min<Micros>(patience + answer_grace, load_limits::timeout_max);
  return plan;
}

}  // namespace

struct NodeUsers::State {
  asio::any_io_executor executor;  ///< Of those who listen.
  NodeUsersPlan users;
  std::vector<Lane> lanes;
  std::map<std::string, NodeIndex, std::less<>> nodes;
  OnCall on_call;
  OnDone on_done;
  asio::io_context context{1};
  std::unique_ptr<LoadGenerator> generator;  ///< Of the thread, as is what follows.

  void tell(const LoadArrival& arrival, const LoadOutcome& outcome, int status) {
    const Lane& lane = lanes[arrival.phase];
    const auto node = static_cast<std::uint32_t>(users.node);
    CallRecord call{.arrival = arrival.at,
                    .end = arrival.at + outcome.latency,
                    .node = node,
                    .function = static_cast<std::uint32_t>(lane.function),
                    .server = node,
                    .how = CallEnd::lost,
                    .service_time = lane.service_times[arrival.number]};
    switch (outcome.end) {
      case LoadEnd::served_local:
        call.how = CallEnd::served_here;
        break;
      case LoadEnd::served_by_peer: {
        call.how = CallEnd::served_by_peer;
        const auto found = nodes.find(outcome.peer);
        if (found != nodes.end()) call.server = static_cast<std::uint32_t>(found->second);
        break;
      }
      case LoadEnd::refused:
        call.how = CallEnd::refused;
        break;
      case LoadEnd::failed:
        // Its deadline passed while it ran, here or at a neighbour.
        if (status == gateway_timeout) call.is_late = true;
        break;
      case LoadEnd::transport_error:
        break;
    }
    const ScenarioFunction& function = users.scenario->functions[lane.function];
    if (call.how <= CallEnd::served_by_peer && outcome.latency > function.effective_deadline()) {
      call.is_late = true;
    }
    asio::post(executor, [told = on_call, call] { told(call); });
  }

  void finish(Result<LoadReport> report) {
    asio::post(executor,
               [done = on_done, report = std::move(report)]() mutable { done(std::move(report)); });
    context.stop();
  }
};

NodeUsers::NodeUsers(std::shared_ptr<State> state) : state_(std::move(state)) {}

std::unique_ptr<NodeUsers> NodeUsers::start(asio::any_io_executor executor,
                                            const NetworkNamespace& network,
                                            const NodeUsersPlan& plan, OnCall on_call,
                                            OnDone on_done) {
  UsersPlan made = plan_of(plan);
  if (made.load.phases.empty()) return nullptr;
  auto state = std::make_shared<State>();
  state->executor = std::move(executor);
  state->users = plan;
  state->lanes = std::move(made.lanes);
  for (NodeIndex node = 0; node < plan.scenario->nodes.size(); ++node) {
    state->nodes.emplace(plan.scenario->nodes[node].name.text(), node);
  }
  state->on_call = std::move(on_call);
  state->on_done = std::move(on_done);
  auto users = std::unique_ptr<NodeUsers>(new NodeUsers(state));
  users->thread_ = std::thread([state, &network, load = std::move(made.load)]() mutable {
    if (auto entered = network.enter(); !entered) return state->finish(pass_on(std::move(entered)));
    auto generator = LoadGenerator::make(state->context.get_executor(), std::move(load));
    if (!generator) return state->finish(pass_on(std::move(generator)));
    state->generator = std::move(*generator);
    state->generator->on_end(
        [raw = state.get()](const LoadArrival& arrival, const LoadOutcome& outcome, int status) {
          raw->tell(arrival, outcome, status);
        });
    state->generator->begin_at(state->users.begin);
    state->generator->start(
        [](const LoadSecond&) {},
        [raw = state.get()](Result<LoadReport> report) { raw->finish(std::move(report)); });
    state->context.run();
  });
  return users;
}

void NodeUsers::cancel() {
  // It lives until the thread is gone.
  asio::post(state_->context, [state = state_.get()] {
    if (state->generator) state->generator->cancel();
  });
}

NodeUsers::~NodeUsers() {
  cancel();
  if (thread_.joinable()) thread_.join();
}

EmulatedLoad::EmulatedLoad(asio::any_io_executor executor, const EmulatedFederation& federation,
                           const Scenario& scenario, std::uint64_t seed,
                           const NodeUsers::OnCall& on_call, std::function<void()> on_end)
    : begin_(std::chrono::steady_clock::now() + lead), outcome_(std::make_shared<Outcome>()) {
  outcome_->on_end = std::move(on_end);
  for (NodeIndex node = 0; node < federation.nodes().size(); ++node) {
    const EmulatedNode& emulated = federation.nodes()[node];
    auto users = NodeUsers::start(
        executor, emulated.network,
        {.scenario = &scenario,
         .node = node,
         .id = emulated.id,
         .seed = seed,
         .begin = begin_,
         .port = emulated_user_port},
        on_call, [weak = std::weak_ptr(outcome_)](const Result<LoadReport>& report) {
          if (const auto outcome = weak.lock()) outcome->add(report);
        });
    if (users) users_.push_back(std::move(users));
  }
  outcome_->open = users_.size();
}

void EmulatedLoad::cancel() {
  for (const auto& users : users_) users->cancel();
}

void EmulatedLoad::Outcome::add(const Result<LoadReport>& report) {
  if (!report) {
    if (!error) error = report.error();
  } else {
    kept_rate = kept_rate && report->kept_rate();
    late_p99 = std::max(late_p99, report->total.generator_late_p99);
  }
  if (--open == 0) on_end();
}

}  // namespace dfaas
