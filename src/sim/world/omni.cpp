// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/world/omni.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include "sim/engine/event_queue.hpp"
#include "sim/engine/slots.hpp"
#include "sim/world/arrivals.hpp"
#include "sim/world/links.hpp"

namespace dfaas {
namespace {

struct Pool {
  int slots = 0;
  int busy = 0;
  double waiting_seconds = 0;
  std::deque<Ticket> users;
  std::deque<Ticket> guests;

  [[nodiscard]] int free() const { return slots - busy; }
};

struct Node {
  std::vector<Pool> pools;
  std::vector<std::optional<std::size_t>> pool_of;  ///< By function.
  bool is_up = true;
  double slowdown = 1;
};

struct Call {
  std::uint32_t load = 0;
  Micros arrived{0};
  Micros service_time{0};
  NodeIndex server = 0;
  Micros to_server{0};  ///< One way.
  bool is_waiting = false;
};

enum class Happening : std::uint8_t {
  arrival,
  slot_free,
  answered,
  fault_began,
  fault_ended,
  second
};

struct Event {
  Happening what = Happening::arrival;
  Ticket subject;
};

class OmniWorld {
 public:
  OmniWorld(const Scenario& scenario, const RunOptions& options, RunListener& listener)
      : scenario_(scenario),
        options_(options),
        listener_(listener),
        links_(scenario, options.seed),
        nodes_(scenario.nodes.size()),
        arrivals_(scenario, options.seed) {
    totals_.nodes.resize(nodes_.size());
    for (NodeIndex at = 0; at < nodes_.size(); ++at) build(at);
  }

  RunTotals run() {
    for (std::uint32_t load = 0; load < scenario_.loads.size(); ++load) next_arrival(load);
    for (std::uint32_t fault = 0; fault < scenario_.faults.size(); ++fault) {
      const ScenarioFault& spec = scenario_.faults[fault];
      push(spec.at, {.what = Happening::fault_began, .subject = {.index = fault}});
      if (spec.until)
        push(*spec.until, {.what = Happening::fault_ended, .subject = {.index = fault}});
    }
    push(Micros{1'000'000}, {.what = Happening::second});
    while (!events_.empty() && (arrivals_.open() > 0 || calls_.count() > 0)) {
      happen(events_.pop());
      ++totals_.events;
    }
    return std::move(totals_);
  }

 private:
  void build(NodeIndex at) {
    const ScenarioNode& spec = scenario_.nodes[at];
    Node& node = nodes_[at];
    for (const ScenarioPool& pool : spec.pools) node.pools.push_back({.slots = pool.slots});
    node.pool_of.resize(scenario_.functions.size());
    for (const ScenarioDeployment& deployment : spec.functions) {
      node.pool_of[deployment.function] = deployment.pool;
    }
    node.slowdown = spec.lie ? spec.lie->slowdown : 1;
  }

  [[nodiscard]] Micros now() const { return events_.now() - Instant{}; }
  void push(Micros at, Event event) { events_.push(Instant{at}, event); }

  void happen(const Event& event) {
    switch (event.what) {
      case Happening::arrival:
        return arrive(event.subject.index);
      case Happening::slot_free:
        return free_slot(event.subject);
      case Happening::answered:
        if (calls_.find(event.subject) != nullptr) close(event.subject, true);
        return;
      case Happening::fault_began:
        return apply(scenario_.faults[event.subject.index], true);
      case Happening::fault_ended:
        return apply(scenario_.faults[event.subject.index], false);
      case Happening::second:
        listener_.on_progress(now(), scenario_.duration);
        push(now() + Micros{1'000'000}, event);
        return;
    }
  }

  void next_arrival(std::uint32_t load) {
    const auto at = arrivals_.advance(load);
    if (at) push(std::max(now(), *at), {.what = Happening::arrival, .subject = {.index = load}});
  }

  [[nodiscard]] bool has_joined(NodeIndex node) const {
    return nodes_[node].is_up && scenario_.nodes[node].joins_at <= now();
  }

  Pool* pool_for(NodeIndex node, std::size_t function) {
    const auto pool = nodes_[node].pool_of[function];
    return pool ? &nodes_[node].pools[*pool] : nullptr;
  }

  void arrive(std::uint32_t load_number) {
    const Arrival arrival = arrivals_.head(load_number);
    next_arrival(load_number);
    const ScenarioLoad& load = scenario_.loads[load_number];
    if (scenario_.nodes[load.node].joins_at > now()) return;
    ++totals_.calls;
    const Ticket ticket = calls_.add({.load = load_number,
                                      .arrived = now(),
                                      .service_time = arrival.service_time,
                                      .server = load.node});
    if (!nodes_[load.node].is_up) return close(ticket, false);
    place(ticket);
  }

  /// A place to run or to wait: the pool, whose it is, and how far away.
  struct Place {
    Pool* pool = nullptr;
    NodeIndex node = 0;
    Micros one_way{0};
  };

  std::vector<Place> places_for(const ScenarioLoad& load) {
    std::vector<Place> places;
    if (Pool* own = pool_for(load.node, load.function)) places.push_back({own, load.node});
    const ScenarioNode& home = scenario_.nodes[load.node];
    const Sharing share = scenario_.functions[load.function].share;
    if (!home.runs_agent) return places;
    for (const Links::Neighbour& neighbour : links_.neighbours_of(load.node)) {
      const ScenarioNode& spec = scenario_.nodes[neighbour.node];
      Pool* pool = pool_for(neighbour.node, load.function);
      const bool is_open = has_joined(neighbour.node) && spec.runs_agent &&
                           !(spec.lie && spec.lie->refuses_guests) &&
                           !links_.is_cut(load.node, neighbour.node, neighbour.link) &&
                           !links_.is_cut(neighbour.node, load.node, neighbour.link) &&
                           admits(share, home.organisation, spec.organisation);
      if (pool != nullptr && is_open) {
        places.push_back({pool, neighbour.node, links_.rtt(neighbour.link) / 2});
      }
    }
    return places;
  }

  void place(Ticket ticket) {
    const Call& call = *calls_.find(ticket);
    const ScenarioLoad& load = scenario_.loads[call.load];
    const std::vector<Place> places = places_for(load);
    if (places.empty()) return close(ticket, false, CallEnd::refused);
    const bool has_own = places.front().node == load.node;
    if (has_own && places.front().pool->free() > 0) return serve(ticket, places.front());
    const auto roomiest = std::ranges::max_element(places, {}, [](const Place& at) {
      return static_cast<double>(at.pool->free()) / at.pool->slots;
    });
    if (roomiest->pool->free() > 0) return serve(ticket, *roomiest);
    const double mean = to_seconds(scenario_.functions[load.function].service_time.mean);
    const auto wait_at = [&](const Place& at) {
      return (at.pool->waiting_seconds + mean) / at.pool->slots;
    };
    const auto shortest = std::ranges::min_element(places, {}, wait_at);
    const double most = std::max(options_.dispatcher.user_wait_ratio * mean,
                                 to_seconds(options_.dispatcher.user_wait_min));
    if (wait_at(*shortest) > most) return close(ticket, false, CallEnd::refused);
    wait(ticket, *shortest);
  }

  void go_to(Call& call, const Place& at) {
    call.server = at.node;
    call.to_server = at.one_way;
    if (at.node != scenario_.loads[call.load].node) {
      ++totals_.nodes[scenario_.loads[call.load].node].forwards;
    }
  }

  [[nodiscard]] Micros run_time(const Call& call) const {
    const double slowdown = nodes_[call.server].slowdown;
    return slowdown == 1 ? call.service_time
                         : from_seconds(to_seconds(call.service_time) * slowdown);
  }

  void serve(Ticket ticket, const Place& at) {
    Call& call = *calls_.find(ticket);
    go_to(call, at);
    ++at.pool->busy;
    start(ticket, call.to_server);
  }

  void start(Ticket ticket, Micros travel) {
    const Call& call = *calls_.find(ticket);
    totals_.nodes[call.server].busy_seconds += to_seconds(run_time(call));
    push(now() + travel + run_time(call), {.what = Happening::slot_free, .subject = ticket});
  }

  void wait(Ticket ticket, const Place& at) {
    Call& call = *calls_.find(ticket);
    go_to(call, at);
    call.is_waiting = true;
    const ScenarioLoad& load = scenario_.loads[call.load];
    at.pool->waiting_seconds += to_seconds(scenario_.functions[load.function].service_time.mean);
    (at.node == load.node ? at.pool->users : at.pool->guests).push_back(ticket);
  }

  void free_slot(Ticket ticket) {
    const Call* call = calls_.find(ticket);
    if (call == nullptr) return;  // Lost with its server, which starts empty.
    const ScenarioLoad& load = scenario_.loads[call->load];
    Pool& pool = *pool_for(call->server, load.function);
    --pool.busy;
    push(now() + call->to_server, {.what = Happening::answered, .subject = ticket});
    fill(pool);
  }

  void fill(Pool& pool) {
    while (pool.free() > 0 && !(pool.users.empty() && pool.guests.empty())) {
      auto& line = pool.users.empty() ? pool.guests : pool.users;
      const Ticket ticket = line.front();
      line.pop_front();
      Call* call = calls_.find(ticket);
      if (call == nullptr) continue;
      call->is_waiting = false;
      pool.waiting_seconds -=
          to_seconds(scenario_.functions[scenario_.loads[call->load].function].service_time.mean);
      ++pool.busy;
      start(ticket, Micros{0});
    }
  }

  void apply(const ScenarioFault& fault, bool begins) {
    switch (fault.kind) {
      case FaultKind::node_crash:
        for (const NodeIndex node : fault.nodes) begins ? crash(node) : restart(node);
        return;
      case FaultKind::agent_crash:
        return;
      case FaultKind::partition:
      case FaultKind::link_cut:
      case FaultKind::one_way_cut:
        return links_.apply(fault, begins ? 1 : -1);
      case FaultKind::slowdown:
        for (const NodeIndex node : fault.nodes) {
          nodes_[node].slowdown *= begins ? fault.factor : 1 / fault.factor;
        }
        return;
    }
  }

  void crash(NodeIndex node) {
    nodes_[node].is_up = false;
    for (Pool& pool : nodes_[node].pools) pool = {.slots = pool.slots};
    for (const Ticket ticket : calls_.all()) {
      const Call& call = *calls_.find(ticket);
      if (scenario_.loads[call.load].node == node || call.server == node) leave(ticket);
    }
  }

  /// Lost; the slot of one that runs elsewhere comes free.
  void leave(Ticket ticket) {
    const Call call = *calls_.find(ticket);
    close(ticket, false);
    if (call.is_waiting || !nodes_[call.server].is_up) return;
    Pool& pool = *pool_for(call.server, scenario_.loads[call.load].function);
    pool.busy = std::max(0, pool.busy - 1);
    fill(pool);
  }

  void restart(NodeIndex node) { nodes_[node].is_up = true; }

  void close(Ticket ticket, bool is_served, CallEnd otherwise = CallEnd::lost) {
    const Call call = calls_.take(ticket);
    const ScenarioLoad& load = scenario_.loads[call.load];
    const bool is_here = call.server == load.node;
    const CallEnd how =
        !is_served ? otherwise : (is_here ? CallEnd::served_here : CallEnd::served_by_peer);
    const Micros deadline = scenario_.functions[load.function].effective_deadline();
    totals_.ended = now();
    listener_.on_end({.arrival = call.arrived,
                      .end = now(),
                      .node = static_cast<std::uint32_t>(load.node),
                      .function = static_cast<std::uint32_t>(load.function),
                      .server = static_cast<std::uint32_t>(is_served ? call.server : load.node),
                      .tries = static_cast<std::uint16_t>(is_here ? 0 : 1),
                      .how = how,
                      .is_late = is_served && now() - call.arrived > deadline,
                      .service_time = call.service_time});
  }

  const Scenario& scenario_;
  const RunOptions& options_;
  RunListener& listener_;
  Links links_;
  std::vector<Node> nodes_;
  EventQueue<Event> events_;
  Arrivals arrivals_;
  Slots<Call> calls_;
  RunTotals totals_;
};

}  // namespace

Result<RunTotals> run_omni(const Scenario& scenario, const RunOptions& options,
                           RunListener& listener) {
  return OmniWorld(scenario, options, listener).run();
}

}  // namespace dfaas
