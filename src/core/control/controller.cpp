// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/control/controller.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace dfaas {
namespace {

constexpr double arrivals_weight = 0.6;  ///< Of the newest period in the smoothed rate.
constexpr Micros service_time_default{100'000};

/// A value and until when it counts.
struct Leased {
  Rate value;
  Rate left;
  Instant until{};
};

struct Neighbour {
  NodeName name;
  std::string organisation;
  int slot = 0;
  bool has_answered = false;
  bool up = false;
  bool draining = false;
  Micros rtt{0};
  Instant admitted{};
  Instant last_answer{};
  std::string boot;
  std::uint64_t sequence = 0;
  std::vector<FunctionOffer> functions;
  std::map<FunctionName, Leased> asked;           ///< By it, of us.
  std::map<FunctionName, Leased> granted;         ///< By it, to us.
  std::map<FunctionName, PeerCounters> counters;  ///< At the last plan.
  std::map<FunctionName, PeerCounters> newest;
  std::vector<FunctionAsk> asks;  ///< What we ask of it now.
};

struct OwnFunction {
  FunctionObservation seen;
  std::uint64_t arrivals_at_plan = 0;
  Rate arrivals;
  bool has_rate = false;
};

/// Spikes are queues, not distance: fall fast, rise slowly.
Micros smooth_rtt(Micros before, Micros sample) {
  if (before.count() == 0 || sample < before) return sample;
  return before + (sample - before) / 16;
}

Rate alive(const std::map<FunctionName, Leased>& leases, const FunctionName& name, Instant now,
           Rate Leased::* what) {
  const auto found = leases.find(name);
  return found == leases.end() || now > found->second.until ? Rate{} : found->second.*what;
}

}  // namespace

struct Controller::State {
  State(ControllerSettings settings_, Strategy strategy_, Random random_)
      : settings(std::move(settings_)), strategy(strategy_), random(random_) {}

  ControllerSettings settings;
  Strategy strategy;
  Random random;
  StrategyMemory memory;
  RoutingPlan plan;
  std::map<NodeId, Neighbour> neighbours;
  std::map<FunctionName, OwnFunction> functions;
  std::string gateway_boot;
  std::uint64_t sequence = 0;
  std::uint64_t dropped = 0;
  bool draining = false;
  bool is_observed = false;
  bool is_plan_due = false;
  Instant planned_at{};
  bool is_planned = false;

  [[nodiscard]] Millis lifetime() const { return 3 * settings.period; }
  [[nodiscard]] Micros silence_max() const {
    return settings.heartbeats_missed_max * settings.heartbeat;
  }

  // --- the view

  /// May requests for `own` travel between us and this neighbour, and is it the same code?
  [[nodiscard]] bool may_share(const FunctionObservation& own, const Neighbour& neighbour,
                               const FunctionOffer& offer) const {
    const bool same_organisation = neighbour.organisation == settings.organisation;
    const auto admits = [same_organisation](Sharing share) {
      return share == Sharing::federation || (share == Sharing::organisation && same_organisation);
    };
    if (!admits(offer.share)) return false;
    if (!own.deployed) return true;
    return admits(own.traits.share) && (own.traits.match_by_name || own.digest == offer.digest);
  }

  /// Names that users ask for here, that run here, or that a neighbour offers.
  [[nodiscard]] std::set<FunctionName> names() const {
    std::set<FunctionName> all;
    for (const auto& [name, function] : functions) {
      if (function.seen.deployed) all.insert(name);
    }
    for (const auto& [id, neighbour] : neighbours) {
      for (const FunctionOffer& offer : neighbour.functions) all.insert(offer.function);
    }
    return all;
  }

  /// Of a function that we lack, neighbours may run different code: that of most of them counts.
  [[nodiscard]] std::string prevailing_digest(const FunctionName& name) const {
    std::map<std::string, int> votes;
    for (const auto& [id, neighbour] : neighbours) {
      for (const FunctionOffer& offer : neighbour.functions) {
        if (offer.function == name && neighbour.up) ++votes[offer.digest];
      }
    }
    std::string best;
    int most = 0;
    for (const auto& [digest, count] : votes) {
      if (count > most) std::tie(best, most) = std::pair(digest, count);
    }
    return best;
  }

  [[nodiscard]] NodeView view(Instant now, Micros period) const {
    NodeView result{.self = settings.self, .organisation = settings.organisation, .period = period};
    for (const FunctionName& name : names()) {
      FunctionView function{.function = name, .service_time = service_time_default};
      if (const auto own = functions.find(name); own != functions.end()) {
        const FunctionObservation& seen = own->second.seen;
        function.digest = seen.digest;
        function.deployed = seen.deployed;
        function.traits = seen.traits;
        function.slots = seen.slots;
        function.arrivals = own->second.arrivals;
        if (seen.service_time.count() > 0) function.service_time = seen.service_time;
      }
      if (!function.deployed) function.digest = prevailing_digest(name);
      result.functions.push_back(std::move(function));
    }
    for (const auto& [id, neighbour] : neighbours) {
      result.neighbours.push_back(view_of(id, neighbour, result, now));
    }
    return result;
  }

  [[nodiscard]] NeighbourView view_of(const NodeId& id, const Neighbour& neighbour,
                                      const NodeView& own, Instant now) const {
    NeighbourView view{.id = id,
                       .name = neighbour.name,
                       .organisation = neighbour.organisation,
                       .slot = neighbour.slot,
                       .up = neighbour.up && !neighbour.draining,
                       .rtt = neighbour.rtt};
    for (const FunctionOffer& offer : neighbour.functions) {
      const auto mine =
          std::ranges::lower_bound(own.functions, offer.function, {}, &FunctionView::function);
      if (mine == own.functions.end() || mine->function != offer.function) continue;
      const FunctionObservation seen{.function = mine->function,
                                     .digest = mine->digest,
                                     .deployed = mine->deployed,
                                     .traits = mine->traits};
      if (!may_share(seen, neighbour, offer)) continue;
      if (!mine->deployed && offer.digest != mine->digest) continue;
      NeighbourFunction function{
          .function = offer.function,
          .slots = offer.slots,
          .service_time =
              offer.service_time.count() > 0 ? Micros(offer.service_time) : mine->service_time,
          .granted = alive(neighbour.granted, offer.function, now, &Leased::value),
          .left = alive(neighbour.granted, offer.function, now, &Leased::left),
          .asked = alive(neighbour.asked, offer.function, now, &Leased::value)};
      count_forwards(neighbour, function);
      view.functions.push_back(std::move(function));
    }
    return view;
  }

  static void count_forwards(const Neighbour& neighbour, NeighbourFunction& function) {
    const auto newest = neighbour.newest.find(function.function);
    if (newest == neighbour.newest.end()) return;
    const auto before = neighbour.counters.find(function.function);
    const PeerCounters base = before == neighbour.counters.end() ? PeerCounters{} : before->second;
    const auto grown = [](std::uint64_t now_is, std::uint64_t was) {
      return now_is >= was ? now_is - was : now_is;
    };
    function.accepted = grown(newest->second.accepted, base.accepted);
    function.refused = grown(newest->second.refused, base.refused) +
                       grown(newest->second.unreachable, base.unreachable);
  }

  // --- planning

  void smooth_arrivals(Micros period) {
    for (auto& [name, function] : functions) {
      const std::uint64_t total = function.seen.user_arrivals;
      const std::uint64_t grown =
          total >= function.arrivals_at_plan ? total - function.arrivals_at_plan : total;
      const Rate newest{static_cast<double>(grown) / to_seconds(period)};
      const double weight = function.has_rate ? arrivals_weight : 1;
      function.arrivals = function.arrivals * (1 - weight) + newest * weight;
      function.arrivals_at_plan = total;
      function.has_rate = true;
    }
  }

  /// `is_tick`: a period is over, so counters start anew; else only the neighbourhood changed.
  InstallPlan make_plan(Instant now, bool is_tick) {
    const Micros since =
        is_planned ? std::chrono::duration_cast<Micros>(now - planned_at) : Micros(settings.period);
    const Micros period = std::max(since, Micros(Millis{100}));
    if (is_tick) smooth_arrivals(period);
    StrategyResult result = strategy.plan(view(now, period), memory, random);
    if (is_tick) {
      memory = std::move(result.memory);
      planned_at = now;
      is_planned = true;
      for (auto& [id, neighbour] : neighbours) neighbour.counters = neighbour.newest;
    }
    for (auto& [id, neighbour] : neighbours) neighbour.asks = std::move(result.asks[id]);
    plan = RoutingPlan{.version = plan.version + 1,
                       .strategy = std::string(strategy.name),
                       .lifetime = lifetime(),
                       .peers = {},
                       .functions = std::move(result.functions)};
    for (const auto& [id, neighbour] : neighbours) {
      plan.peers.push_back({.id = id,
                            .name = neighbour.name,
                            .organisation = neighbour.organisation,
                            .slot = neighbour.slot,
                            .up = neighbour.up,
                            .rtt = neighbour.rtt});
    }
    is_plan_due = false;
    return {.plan = plan};
  }

  // --- messages

  ExchangeMessage message() {
    ExchangeMessage out{.boot = settings.boot,
                        .sequence = ++sequence,
                        .lifetime = lifetime(),
                        .name = settings.name,
                        .draining = draining};
    for (const auto& [name, function] : functions) {
      const FunctionObservation& seen = function.seen;
      if (!seen.deployed || seen.traits.share == Sharing::node) continue;
      out.functions.push_back({.function = name,
                               .digest = seen.digest,
                               .slots = seen.slots,
                               .service_time = std::chrono::ceil<Millis>(seen.service_time),
                               .share = seen.traits.share});
    }
    return out;
  }

  /// Takes what every message says of its sender. False when it is older than one already seen.
  bool learn(Neighbour& neighbour, const ExchangeMessage& message) {
    const bool same_start = neighbour.boot == message.boot;
    if (same_start && message.sequence <= neighbour.sequence) return false;
    if (!same_start) {
      neighbour.granted.clear();
      neighbour.asked.clear();
    }
    neighbour.boot = message.boot;
    neighbour.sequence = message.sequence;
    if (neighbour.name != message.name || neighbour.draining != message.draining ||
        neighbour.functions.size() != message.functions.size() ||
        !std::ranges::equal(neighbour.functions, message.functions,
                            [](const FunctionOffer& a, const FunctionOffer& b) {
                              return a.function == b.function && a.digest == b.digest &&
                                     a.slots == b.slots && a.share == b.share;
                            })) {
      is_plan_due = true;
    }
    neighbour.name = message.name;
    neighbour.draining = message.draining;
    neighbour.functions = message.functions;
    return true;
  }

  std::vector<ControllerAction> with_due_plan(Instant now, std::vector<ControllerAction> actions) {
    if (is_plan_due && is_observed) actions.emplace_back(make_plan(now, false));
    return actions;
  }

  // --- events

  std::vector<ControllerAction> on(Instant now, const Observed& event) {
    const bool is_new_gateway = event.observation.boot != gateway_boot;
    gateway_boot = event.observation.boot;
    std::set<FunctionName> present;
    for (const FunctionObservation& seen : event.observation.functions) {
      present.insert(seen.function);
      OwnFunction& own = functions[seen.function];
      const bool changed = own.seen.deployed != seen.deployed || own.seen.digest != seen.digest ||
                           own.seen.slots != seen.slots ||
                           own.seen.traits.share != seen.traits.share;
      if (changed) is_plan_due = true;
      if (is_new_gateway) own.arrivals_at_plan = 0;
      own.seen = seen;
      for (const PeerCounters& counters : seen.peers) {
        const auto neighbour = neighbours.find(counters.id);
        if (neighbour == neighbours.end()) continue;
        if (is_new_gateway) neighbour->second.counters.clear();
        neighbour->second.newest[seen.function] = counters;
      }
    }
    std::erase_if(functions, [&](const auto& entry) { return !present.contains(entry.first); });
    // A gateway that started anew has no plan, whatever we believe it has.
    if (is_new_gateway) is_plan_due = true;
    is_observed = true;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const HeartbeatElapsed& /*event*/) {
    std::vector<ControllerAction> actions;
    for (auto& [id, neighbour] : neighbours) {
      if (neighbour.up && now - neighbour.last_answer > silence_max()) {
        neighbour.up = false;
        is_plan_due = true;
      }
    }
    const bool is_tick = is_observed && (!is_planned || now - planned_at >= settings.period);
    if (is_tick || (is_plan_due && is_observed)) actions.emplace_back(make_plan(now, is_tick));
    for (auto& [id, neighbour] : neighbours) {
      SendExchange send{.to = id, .message = message()};
      send.message.asks = neighbour.asks;
      actions.emplace_back(std::move(send));
    }
    return actions;
  }

  std::vector<ControllerAction> on(Instant now, const ExchangeArrived& event) {
    const auto found = neighbours.find(event.from);
    if (found == neighbours.end()) {
      ++dropped;
      return {AnswerExchange{message()}};
    }
    Neighbour& neighbour = found->second;
    if (!learn(neighbour, event.message)) {
      ++dropped;
    } else {
      neighbour.asked.clear();
      for (const FunctionAsk& ask : event.message.asks) {
        neighbour.asked[ask.function] = {
            .value = ask.rate, .left = {}, .until = now + event.message.lifetime};
      }
    }
    ExchangeMessage answer = message();
    if (is_observed && !draining) {
      Random unused{0};
      StrategyResult result = strategy.plan(view(now, Micros(settings.period)), memory, unused);
      answer.grants = std::move(result.grants[event.from]);
    }
    return with_due_plan(now, {AnswerExchange{std::move(answer)}});
  }

  std::vector<ControllerAction> on(Instant now, const ExchangeAnswered& event) {
    const auto found = neighbours.find(event.from);
    if (found == neighbours.end()) {
      ++dropped;
      return {};
    }
    Neighbour& neighbour = found->second;
    if (!learn(neighbour, event.message)) {
      // Crossed another message of the same sender: late, but it is alive.
      ++dropped;
    } else {
      neighbour.granted.clear();
      for (const FunctionGrant& grant : event.message.grants) {
        neighbour.granted[grant.function] = {
            .value = grant.granted, .left = grant.left, .until = now + event.message.lifetime};
      }
    }
    neighbour.rtt = smooth_rtt(neighbour.rtt, event.round_trip);
    neighbour.last_answer = now;
    neighbour.has_answered = true;
    if (!std::exchange(neighbour.up, true)) is_plan_due = true;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const ExchangeFailed& event) {
    const auto found = neighbours.find(event.to);
    if (found == neighbours.end()) return {};
    Neighbour& neighbour = found->second;
    if (neighbour.up && now - neighbour.last_answer > silence_max()) {
      neighbour.up = false;
      is_plan_due = true;
    }
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const NeighbourAdmitted& event) {
    Neighbour& neighbour = neighbours[event.id];
    neighbour.organisation = event.organisation;
    neighbour.slot = event.slot;
    neighbour.admitted = now;
    SendExchange send{.to = event.id, .message = message()};
    return {std::move(send)};
  }

  std::vector<ControllerAction> on(Instant now, const NeighbourGone& event) {
    if (neighbours.erase(event.id) == 0) return {};
    is_plan_due = true;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const StrategyChosen& event) {
    strategy = event.strategy;
    is_plan_due = true;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant /*now*/, const DrainRequested& /*event*/) {
    draining = true;
    std::vector<ControllerAction> actions;
    for (const auto& [id, neighbour] : neighbours) {
      actions.emplace_back(SendExchange{.to = id, .message = message()});
    }
    return actions;
  }
};

Controller::Controller(ControllerSettings settings, Strategy strategy, Random random)
    : state_(std::make_unique<State>(std::move(settings), strategy, random)) {}
Controller::~Controller() = default;
Controller::Controller(Controller&&) noexcept = default;
Controller& Controller::operator=(Controller&&) noexcept = default;

std::vector<ControllerAction> Controller::step(Instant now, const ControllerEvent& event) {
  return std::visit([&](const auto& happened) { return state_->on(now, happened); }, event);
}

std::vector<NeighbourStatus> Controller::neighbours(Instant now) const {
  std::vector<NeighbourStatus> list;
  for (const auto& [id, neighbour] : state_->neighbours) {
    const char* state = neighbour.draining       ? "draining"
                        : neighbour.up           ? "up"
                        : neighbour.has_answered ? "silent"
                                                 : "new";
    NeighbourStatus status{.id = id,
                           .name = neighbour.name,
                           .organisation = neighbour.organisation,
                           .slot = neighbour.slot,
                           .state = state,
                           .rtt = neighbour.rtt,
                           .functions = neighbour.functions};
    if (neighbour.has_answered) {
      status.last_message_age = std::chrono::duration_cast<Micros>(now - neighbour.last_answer);
    }
    list.push_back(std::move(status));
  }
  return list;
}

std::uint64_t Controller::dropped_events() const { return state_->dropped; }
const RoutingPlan& Controller::plan() const { return state_->plan; }

}  // namespace dfaas
