// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/control/controller.hpp"

#include "core/control/flap_damper.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace dfaas {
namespace {

constexpr double arrivals_weight = 0.6;  ///< Of the newest period in the smoothed rate.
constexpr Micros service_time_default{100'000};
constexpr Micros sample_time{1'000'000};  ///< Of the latest rate, as HAProxy's http_req_rate(1s).
constexpr Micros period_min{100'000};     ///< For what is divided by it.
constexpr Micros plan_pause{100'000};     ///< Between plans that changes ask for.
constexpr int takeover_heartbeats = 4;
constexpr Millis lifetime_max{60'000};      ///< Nobody's word counts for longer.
constexpr Micros draining_max{30'000'000};  ///< A node that stops has finished its calls by then.

/// A value and until when it counts.
struct Leased {
  Rate value;
  Rate left;
  Instant until{};
};

/// What is leased per function, sorted by function.
using Leases = std::vector<std::pair<FunctionName, Leased>>;

/// The newest number of each kind of message: they travel on several connections, so that a request
/// may overtake an answer, and neither makes the other old.
struct Sequences {
  std::uint64_t any = 0;
  std::uint64_t request = 0;
  std::uint64_t answer = 0;
};

struct Neighbour {
  NodeName name;
  std::string organisation;
  std::optional<int> guest_slots;  ///< Of its organisation, here.
  int slot = 0;
  bool has_answered = false;
  bool up = false;
  bool draining = false;
  FlapDamper flaps;
  bool is_held = false;  ///< By `flaps`, at the last heartbeat.
  Micros rtt{0};
  Instant last_answer{};
  Instant last_sign{};  ///< Of the node, be it of its front door alone.
  std::string boot;
  std::string boot_before;  ///< Its messages may still be under way.
  Sequences newest_of;
  SharedList<FunctionOffer> functions;
  Leases asked;                        ///< By it, of us.
  std::size_t asked_when_granted = 0;  ///< Functions of `asked` that our grants know.
  std::vector<FunctionName>
      has_offered;  ///< For which it had room since it came or came back; sorted.
  Leases granted;   ///< By it, to us.
  std::map<FunctionName, PeerCounters> counters;  ///< At the last plan.
  std::vector<FunctionAsk> asks;                  ///< What we ask of it now.
};

struct OwnFunction {
  FunctionObservation seen;
  std::uint64_t arrivals_at_plan = 0;
  std::uint64_t guests_at_plan = 0;
  Instant counted_from{};
  Rate arrivals;
  Rate guest_arrivals;
  bool has_rate = false;
  std::uint64_t arrivals_sampled = 0;
  Instant sampled_at{};
  Rate arrivals_latest;
};

/// A counter of the gateway less what it was; one that shrank began anew.
std::uint64_t grown(std::uint64_t now_is, std::uint64_t was) {
  return now_is >= was ? now_is - was : now_is;
}

/// Spikes are queues, not distance: fall fast, rise slowly.
Micros smooth_rtt(Micros before, Micros sample) {
  if (before.count() == 0 || sample < before) return sample;
  return before + (sample - before) / 16;
}

Rate alive(const Leases& leases, const FunctionName& name, Instant now, Rate Leased::* what) {
  const auto found = std::ranges::lower_bound(leases, name, {}, &Leases::value_type::first);
  if (found == leases.end() || found->first != name || now > found->second.until) return {};
  return found->second.*what;
}

/// What the gateway counted of a neighbour, for one function.
PeerCounters counted(const FunctionObservation& seen, const NodeId& id) {
  const auto found = std::ranges::lower_bound(seen.peers, id, {}, &PeerCounters::id);
  return found != seen.peers.end() && found->id == id ? *found : PeerCounters{};
}

}  // namespace

struct Controller::State {
  State(ControllerSettings given_settings, Strategy given_strategy, Random given_random)
      : settings(std::move(given_settings)),
        strategy(given_strategy),
        random(given_random),
        ledger(std::exchange(settings.credits, {})) {}

  ControllerSettings settings;
  Strategy strategy;
  Random random;
  StrategyMemory memory;
  CreditLedger ledger;
  RoutingPlan plan;
  std::map<NodeId, Neighbour> neighbours;
  std::vector<std::pair<NodeId, Neighbour*>> neighbours_by_id;  ///< The same, side by side.
  std::map<FunctionName, OwnFunction> functions;
  std::string gateway_boot;
  std::uint64_t sequence = 0;
  std::uint64_t dropped = 0;
  bool draining = false;
  bool is_observed = false;
  bool is_plan_due = false;
  Instant hold_until{};  ///< The gateway keeps the plan of the agent before us until then.
  Instant planned_at{};  ///< At the last period's end.
  Instant newest_plan_at{};
  std::optional<Instant> told_at;  ///< All neighbours of a change, ahead of the heartbeat.
  bool is_planned = false;
  std::map<NodeId, std::vector<FunctionGrant>> grants;
  Instant granted_at{};
  bool are_asks_new = false;  ///< Some came that `grants` do not know.
  SharedList<FunctionOffer> own_offers;
  bool are_offers_new = true;  ///< `own_offers` are of before.
  std::map<FunctionName, ExternalShares> external;

  [[nodiscard]] Millis lifetime() const { return 3 * settings.period; }
  [[nodiscard]] Micros silence_max() const {
    return settings.heartbeats_missed_max * settings.heartbeat + Micros(settings.heartbeat) / 4;
  }

  // --- neighbours

  void list_neighbours() {
    neighbours_by_id.clear();
    for (auto& [id, neighbour] : neighbours) neighbours_by_id.emplace_back(id, &neighbour);
  }

  /// Null when it is none. Asked with every message.
  [[nodiscard]] Neighbour* find_neighbour(const NodeId& id) const {
    const auto found = std::ranges::lower_bound(
        neighbours_by_id, id, {}, [](const auto& entry) -> const NodeId& { return entry.first; });
    return found == neighbours_by_id.end() || found->first != id ? nullptr : found->second;
  }

  // --- the view

  /// Does the neighbour share it with us?
  [[nodiscard]] bool shares(const Neighbour& neighbour, const FunctionOffer& offer) const {
    return offer.terms().admits(neighbour.organisation, settings.organisation);
  }

  /// Do we share it with the neighbour?
  [[nodiscard]] bool shares_ours(const FunctionTraits& traits, const Neighbour& neighbour) const {
    return traits.terms().admits(settings.organisation, neighbour.organisation);
  }

  /// Names that run here, or that a neighbour offers us. A plan has a limit, so each neighbour has a
  /// share of it: nobody can crowd out the others with names.
  [[nodiscard]] std::set<FunctionName> names() const {
    std::set<FunctionName> all;
    for (const auto& [name, function] : functions) {
      if (function.seen.deployed && all.size() < functions_max) all.insert(name);
    }
    if (neighbours.empty()) return all;
    const std::size_t quota = (functions_max - all.size()) / neighbours.size();
    for (const auto& [id, neighbour] : neighbours) {
      std::size_t taken = 0;
      for (const FunctionOffer& offer : neighbour.functions) {
        if (taken == quota) break;
        if (shares(neighbour, offer) && all.insert(offer.function).second) ++taken;
      }
    }
    return all;
  }

  [[nodiscard]] bool is_deployed(const FunctionName& name) const {
    const auto own = functions.find(name);
    return own != functions.end() && own->second.seen.deployed;
  }

  /// Of a function that we lack, neighbours may run different code: that of most of them counts, the
  /// first in order where two have as many.
  [[nodiscard]] std::map<FunctionName, std::string> prevailing_digests() const {
    std::map<FunctionName, std::map<std::string_view, int>> votes;
    for (const auto& [id, neighbour] : neighbours) {
      if (!neighbour.up) continue;
      for (const FunctionOffer& offer : neighbour.functions) {
        if (is_deployed(offer.function) || !shares(neighbour, offer)) continue;
        ++votes[offer.function][offer.digest];
      }
    }
    std::map<FunctionName, std::string> result;
    for (const auto& [name, counts] : votes) {
      const auto most =
          std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
      result.emplace(name, std::string(most->first));
    }
    return result;
  }

  [[nodiscard]] NodeView view(Instant now, Micros period) const {
    NodeView result{.self = settings.self, .organisation = settings.organisation, .period = period};
    result.external = external;
    const auto prevailing = prevailing_digests();
    for (const FunctionName& name : names()) {
      FunctionView function{.function = name, .service_time = service_time_default};
      if (const auto own = functions.find(name); own != functions.end()) {
        const FunctionObservation& seen = own->second.seen;
        function.digest = seen.digest;
        function.installed = seen.deployed;
        function.deployed = seen.deployed && seen.slots > 0;
        function.traits = seen.traits;
        function.slots = seen.slots;
        function.arrivals = own->second.arrivals;
        function.arrivals_latest = own->second.arrivals_latest;
        function.guest_arrivals = own->second.guest_arrivals;
        if (seen.service_time.count() > 0) function.service_time = seen.service_time;
      }
      if (const auto digest = prevailing.find(name);
          !function.installed && digest != prevailing.end()) {
        function.digest = digest->second;
      }
      result.functions.push_back(std::move(function));
    }
    for (const auto& [id, neighbour] : neighbours) {
      result.neighbours.push_back(view_of(id, neighbour, result, now));
    }
    for (const OrganisationLimit& limit : limits()) bound_asks(result, limit);
    return result;
  }

  // --- credits

  [[nodiscard]] double weight_of(const Neighbour& neighbour) const {
    if (!settings.policy.has_credits) return 1;
    double weight = ledger.weight_of(neighbour.organisation);
    if (neighbour.organisation != settings.organisation) return weight;
    weight = 1;
    for (const auto& [id, other] : neighbours) {
      weight = std::max(weight, ledger.weight_of(other.organisation));
    }
    return weight;
  }

  /// The work since the last plan. Before mark_counters().
  void count_work(Micros passed) {
    ledger.forget(passed);
    for (const auto& [id, neighbour] : neighbours) {
      CreditAccount work;
      for (const auto& [name, function] : functions) {
        const PeerCounters now_is = counted(function.seen, id);
        const auto before = neighbour.counters.find(name);
        const PeerCounters base =
            before == neighbour.counters.end() ? PeerCounters{} : before->second;
        const auto more = [](Micros newest, Micros was) {
          return to_seconds(newest >= was ? newest - was : newest);
        };
        work.for_us += more(now_is.work_for_us, base.work_for_us);
        work.for_them += more(now_is.work_for_it, base.work_for_it);
      }
      ledger.add(neighbour.organisation, work);
    }
  }

  // --- limits of organisations

  [[nodiscard]] std::vector<OrganisationLimit> limits() const {
    std::map<std::string, int> slots;
    for (const auto& [id, neighbour] : neighbours) {
      if (neighbour.guest_slots) slots[neighbour.organisation] = *neighbour.guest_slots;
    }
    std::vector<OrganisationLimit> result;
    result.reserve(slots.size());
    for (const auto& [organisation, count] : slots) result.push_back({organisation, count});
    return result;
  }

  [[nodiscard]] double service_seconds(const FunctionName& name) const {
    const auto own = functions.find(name);
    const bool is_known = own != functions.end() && own->second.seen.service_time.count() > 0;
    return to_seconds(is_known ? own->second.seen.service_time : service_time_default);
  }

  /// What an organisation asks beyond its slots is not there: others may have the headroom.
  void bound_asks(NodeView& view, const OrganisationLimit& limit) const {
    const auto each = [&](const auto& use) {
      for (NeighbourView& neighbour : view.neighbours) {
        if (neighbour.organisation != limit.organisation) continue;
        for (NeighbourFunction& function : neighbour.functions) use(function);
      }
    };
    double asked = 0;
    each([&](const NeighbourFunction& function) {
      asked += function.asked.per_second * service_seconds(function.function);
    });
    if (asked <= limit.slots) return;
    each([&](NeighbourFunction& function) {
      function.asked = function.asked * (limit.slots / asked);
    });
  }

  /// Grants say what the organisation may really have: whoever knows asks nowhere in vain. What was asked
  /// comes before what is given in advance.
  void bound_grants(std::map<NodeId, std::vector<FunctionGrant>>& all,
                    const OrganisationLimit& limit) const {
    double left = limit.slots;
    for (Rate FunctionGrant::* part : {&FunctionGrant::granted, &FunctionGrant::left}) {
      const auto each = [&](const auto& use) {
        for (auto& [id, list] : all) {
          const auto neighbour = neighbours.find(id);
          if (neighbour == neighbours.end() ||
              neighbour->second.organisation != limit.organisation) {
            continue;
          }
          for (FunctionGrant& grant : list) use(grant);
        }
      };
      double sum = 0;
      each([&](const FunctionGrant& grant) {
        sum += (grant.*part).per_second * service_seconds(grant.function);
      });
      if (sum > left) each([&](FunctionGrant& grant) { grant.*part = grant.*part * (left / sum); });
      left = std::max(0.0, left - sum);
    }
  }

  [[nodiscard]] bool is_refused(const NodeId& id) const {
    const auto neighbour = neighbours.find(id);
    return neighbour != neighbours.end() && neighbour->second.guest_slots == 0;
  }

  [[nodiscard]] NeighbourView view_of(const NodeId& id, const Neighbour& neighbour,
                                      const NodeView& own, Instant now) const {
    NeighbourView view{.id = id,
                       .name = neighbour.name,
                       .organisation = neighbour.organisation,
                       .slot = neighbour.slot,
                       .up = neighbour.up && !neighbour.draining && !neighbour.is_held,
                       .rtt = neighbour.rtt,
                       .is_refused = neighbour.guest_slots == 0,
                       .weight = weight_of(neighbour)};
    auto offer = neighbour.functions.begin();
    for (const FunctionView& mine : own.functions) {
      while (offer != neighbour.functions.end() && offer->function < mine.function) ++offer;
      const bool is_offered =
          offer != neighbour.functions.end() && offer->function == mine.function;
      if (mine.installed && !shares_ours(mine.traits, neighbour)) continue;
      if (!is_offered && !mine.deployed) continue;
      NeighbourFunction function{.function = mine.function, .service_time = mine.service_time};
      if (is_offered) {
        const bool same_code =
            offer->digest == mine.digest || (mine.installed && mine.traits.match_by_name);
        if (!shares(neighbour, *offer) || !same_code) continue;
        function.slots = offer->slots;
        function.pool = offer->pool;
        function.arrivals = offer->arrivals;
        if (offer->service_time.count() > 0) function.service_time = offer->service_time;
        function.granted = alive(neighbour.granted, mine.function, now, &Leased::value);
        function.left = alive(neighbour.granted, mine.function, now, &Leased::left);
        count_forwards(id, neighbour, function);
      }
      function.asked = alive(neighbour.asked, mine.function, now, &Leased::value);
      view.functions.push_back(std::move(function));
    }
    return view;
  }

  void count_forwards(const NodeId& id, const Neighbour& neighbour,
                      NeighbourFunction& function) const {
    const auto own = functions.find(function.function);
    if (own == functions.end()) return;
    const PeerCounters newest = counted(own->second.seen, id);
    const auto before = neighbour.counters.find(function.function);
    const PeerCounters base = before == neighbour.counters.end() ? PeerCounters{} : before->second;
    function.accepted = grown(newest.accepted, base.accepted);
    function.refused =
        grown(newest.refused, base.refused) + grown(newest.unreachable, base.unreachable);
  }

  /// From here on counts what comes.
  void mark_counters() {
    for (auto& [id, neighbour] : neighbours) mark_counters(id, neighbour);
  }
  void mark_counters(const NodeId& id, Neighbour& neighbour) const {
    for (const auto& [name, function] : functions) {
      const PeerCounters now_is = counted(function.seen, id);
      if (!now_is.id.empty()) neighbour.counters[name] = now_is;
    }
  }

  // --- planning

  void smooth_arrivals(Instant now) {
    for (auto& [name, function] : functions) {
      const auto counted = std::chrono::duration_cast<Micros>(now - function.counted_from);
      if (counted < Micros(settings.period) / 2) continue;  // A rate of less would be noise.
      const double weight = function.has_rate ? arrivals_weight : 1;
      const auto smoothed = [&](Rate before, std::uint64_t now_is, std::uint64_t was) {
        const Rate newest{static_cast<double>(grown(now_is, was)) / to_seconds(counted)};
        return before * (1 - weight) + newest * weight;
      };
      const FunctionObservation& seen = function.seen;
      function.arrivals =
          smoothed(function.arrivals, seen.user_arrivals, function.arrivals_at_plan);
      function.guest_arrivals =
          smoothed(function.guest_arrivals, seen.guest_arrivals, function.guests_at_plan);
      function.arrivals_at_plan = seen.user_arrivals;
      function.guests_at_plan = seen.guest_arrivals;
      function.counted_from = now;
      function.has_rate = true;
      are_offers_new = true;
    }
  }

  [[nodiscard]] bool may_plan(Instant now) const { return is_observed && now >= hold_until; }

  /// `is_tick`: a period is over, so counters start anew; else only the neighbourhood changed.
  InstallPlan make_plan(Instant now, bool is_tick) {
    const Micros since =
        is_planned ? std::chrono::duration_cast<Micros>(now - planned_at) : Micros(settings.period);
    const Micros period = std::max(since, period_min);
    if (is_tick) smooth_arrivals(now);
    StrategyResult result = strategy.plan(view(now, period), memory, random);
    if (is_tick) {
      memory = std::move(result.memory);
      planned_at = now;
      is_planned = true;
      count_work(period);
      mark_counters();
    }
    for (auto& [id, neighbour] : neighbours) neighbour.asks = std::move(result.asks[id]);
    keep_grants(now, std::move(result.grants));
    plan = RoutingPlan{.version = plan.version + 1,
                       .strategy = std::string(strategy.name),
                       .lifetime = lifetime(),
                       .peers = {},
                       .limits = limits(),
                       .functions = std::move(result.functions)};
    for (FunctionPlan& function : plan.functions) {
      std::erase_if(function.guests,
                    [this](const GuestLimit& guest) { return is_refused(guest.id); });
    }
    for (const auto& [id, neighbour] : neighbours) {
      plan.peers.push_back(
          {.id = id,
           .name = neighbour.name,
           .organisation = neighbour.organisation,
           .slot = neighbour.slot,
           // One that came back a moment ago may still run calls of ours from before.
           .up = neighbour.up || !neighbour.has_answered,
           .rtt = neighbour.rtt});
    }
    newest_plan_at = now;
    is_plan_due = false;
    return {.plan = plan};
  }

  void keep_grants(Instant now, std::map<NodeId, std::vector<FunctionGrant>> newest) {
    for (const OrganisationLimit& limit : limits()) bound_grants(newest, limit);
    grants = std::move(newest);
    granted_at = now;
    are_asks_new = false;
    for (auto& [id, neighbour] : neighbours) neighbour.asked_when_granted = neighbour.asked.size();
  }

  static bool asks_for_more(const Neighbour& neighbour) {
    return neighbour.asked.size() > neighbour.asked_when_granted;
  }

  /// What `neighbour` may have: computed anew within a period when somebody asks who did not ask when
  /// it was computed last. Asks that changed wait for half a period: they change all the time.
  [[nodiscard]] std::vector<FunctionGrant> grants_for(const NodeId& id, const Neighbour& neighbour,
                                                      Instant now) {
    const Micros since = std::chrono::duration_cast<Micros>(now - granted_at);
    if (are_asks_new &&
        (since >= settings.period / 2 || (since >= plan_pause && asks_for_more(neighbour)))) {
      Random unused{0};
      keep_grants(now, strategy.plan(view(now, Micros(settings.period)), memory, unused).grants);
    }
    const auto found = grants.find(id);
    if (found == grants.end()) return {};
    std::vector<FunctionGrant> result = found->second;
    // Computed for what was asked then; a grant never exceeds what is asked now.
    for (FunctionGrant& grant : result) {
      grant.granted =
          std::min(grant.granted, alive(neighbour.asked, grant.function, now, &Leased::value));
    }
    return result;
  }

  // --- messages

  /// What runs here for others, made anew only when it changed: it goes to every neighbour.
  const SharedList<FunctionOffer>& offers() {
    if (!are_offers_new) return own_offers;
    are_offers_new = false;
    std::vector<FunctionOffer> list;
    for (const auto& [name, function] : functions) {
      const FunctionObservation& seen = function.seen;
      if (!seen.deployed || seen.slots < 1 || seen.traits.share == Sharing::node) continue;
      list.push_back({.function = name,
                      .digest = seen.digest,
                      .slots = seen.slots,
                      .service_time = std::chrono::ceil<Millis>(seen.service_time),
                      .share = seen.traits.share,
                      .share_with = seen.traits.share_with,
                      .pool = seen.traits.pool,
                      .arrivals = function.arrivals});
    }
    own_offers = SharedList(std::move(list));
    return own_offers;
  }

  /// `to` sends us no calls in vain where its organisation may not.
  ExchangeMessage message(const Neighbour& to) {
    ExchangeMessage out{.boot = settings.boot,
                        .sequence = ++sequence,
                        .lifetime = lifetime(),
                        .name = settings.name,
                        .draining = draining};
    if (to.guest_slots != 0) out.functions = offers();
    return out;
  }

  /// Takes what every message says of its sender. False when it is older than one of its kind that
  /// came before.
  bool learn(Neighbour& neighbour, const ExchangeMessage& message,
             std::uint64_t Sequences::* kind) {
    if (message.boot == neighbour.boot_before) return false;
    if (message.boot != neighbour.boot) {
      neighbour.granted.clear();
      neighbour.asked.clear();
      neighbour.has_offered.clear();
      neighbour.newest_of = {};
      neighbour.boot_before = std::exchange(neighbour.boot, message.boot);
    } else if (message.sequence <= neighbour.newest_of.*kind) {
      return false;
    }
    neighbour.newest_of.*kind = message.sequence;
    if (message.sequence < neighbour.newest_of.any) return true;
    neighbour.newest_of.any = message.sequence;
    const auto is_same = [](const FunctionOffer& a, const FunctionOffer& b) {
      return a.function == b.function && a.digest == b.digest && a.slots == b.slots &&
             a.share == b.share && a.share_with == b.share_with && a.pool == b.pool;
    };
    if (neighbour.name != message.name || neighbour.draining != message.draining ||
        (!neighbour.functions.shares_with(message.functions) &&
         !std::ranges::equal(neighbour.functions, message.functions, is_same))) {
      is_plan_due = true;
    }
    neighbour.name = message.name;
    neighbour.draining = message.draining;
    neighbour.functions = message.functions;
    return true;
  }

  [[nodiscard]] static Instant end_of(const ExchangeMessage& message, Instant now) {
    return now + std::min(message.lifetime, lifetime_max);
  }

  /// Does it offer room for a function for the first time? Windows made without are small, so that the
  /// next plan should not wait for the end of the period.
  [[nodiscard]] static bool is_first_offer(Neighbour& neighbour, const ExchangeMessage& message) {
    bool is_first = false;
    for (const FunctionGrant& grant : message.grants) {
      if (grant.granted + grant.left <= Rate{}) continue;
      const auto place = std::ranges::lower_bound(neighbour.has_offered, grant.function);
      if (place != neighbour.has_offered.end() && *place == grant.function) continue;
      neighbour.has_offered.insert(place, grant.function);
      is_first = true;
    }
    return is_first;
  }

  /// The last moment at which a neighbour that is up still counts as such. One that said that it stops closes
  /// its doors before it has finished what it took from us: that is not to be cut off.
  [[nodiscard]] Instant silent_from(const Neighbour& neighbour) const {
    return neighbour.last_sign + (neighbour.draining ? draining_max : silence_max());
  }

  /// A neighbour that gave no sign for too long is down.
  void notice_silence(Neighbour& neighbour, Instant now) {
    if (!neighbour.up || now <= silent_from(neighbour)) return;
    neighbour.up = false;
    neighbour.flaps.lost(now);
    neighbour.has_offered.clear();  // What it offers when it is back is news again.
    is_plan_due = true;
  }

  /// A neighbour that was held back for a while is let in again.
  void notice_hold(Neighbour& neighbour, Instant now) {
    const bool is_held = neighbour.flaps.held_for(now).count() > 0;
    if (std::exchange(neighbour.is_held, is_held) != is_held) is_plan_due = true;
  }

  /// Without the copy that a braced list would make.
  static std::vector<ControllerAction> only(ControllerAction action) {
    std::vector<ControllerAction> actions;
    actions.reserve(2);  // A plan may come after it.
    actions.push_back(std::move(action));
    return actions;
  }

  std::vector<ControllerAction> with_due_plan(Instant now, std::vector<ControllerAction> actions) {
    if (is_plan_due && may_plan(now) && now - newest_plan_at >= plan_pause) {
      actions.emplace_back(make_plan(now, false));
    }
    return actions;
  }

  // --- events

  std::vector<ControllerAction> on(Instant now, const Observed& event) {
    const GatewayObservation& observation = event.observation;
    const bool is_first = !std::exchange(is_observed, true);
    const bool is_new_gateway = observation.boot != gateway_boot;
    bool are_functions_new = false;
    gateway_boot = observation.boot;
    if (is_first) take_over(observation, now);
    for (auto& [id, neighbour] : neighbours) {
      // The counters of a gateway that started anew began at zero.
      if (is_new_gateway) neighbour.counters.clear();
    }
    for (const FunctionObservation& seen : observation.functions) {
      const auto [place, is_new] = functions.try_emplace(seen.function);
      OwnFunction& own = place->second;
      if (own.seen.deployed != seen.deployed || own.seen.digest != seen.digest ||
          own.seen.slots != seen.slots || own.seen.traits.share != seen.traits.share ||
          own.seen.traits.share_with != seen.traits.share_with ||
          own.seen.traits.pool != seen.traits.pool ||
          own.seen.traits.match_by_name != seen.traits.match_by_name) {
        are_functions_new = true;
        is_plan_due = true;
      }
      if (is_new || is_new_gateway) {
        // What came before we looked is no rate of ours.
        own.arrivals_at_plan = is_first ? seen.user_arrivals : 0;
        own.guests_at_plan = is_first ? seen.guest_arrivals : 0;
        own.arrivals_sampled = own.arrivals_at_plan;
        own.counted_from = now;
        own.sampled_at = now;
      }
      if (now - own.sampled_at >= sample_time) {
        const auto arrived = static_cast<double>(grown(seen.user_arrivals, own.arrivals_sampled));
        own.arrivals_latest = Rate{arrived / to_seconds(now - own.sampled_at)};
        own.arrivals_sampled = seen.user_arrivals;
        own.sampled_at = now;
      }
      own.seen = seen;
    }
    are_offers_new = true;
    if (is_first) mark_counters();
    // Both are sorted, and all that was observed is among ours by now.
    if (functions.size() > observation.functions.size()) {
      std::erase_if(functions, [&](const auto& entry) {
        return !std::ranges::binary_search(observation.functions, entry.first, {},
                                           &FunctionObservation::function);
      });
    }
    // A gateway that started anew has no plan, whatever we believe it has.
    if (is_new_gateway) is_plan_due = true;
    auto actions = with_due_plan(now, {});
    // Damped: functions that flap are told as often as heartbeats are.
    const bool may_tell = !told_at || now - *told_at >= settings.heartbeat;
    if (event.is_pushed && are_functions_new && may_tell) {
      told_at = now;
      tell_all(actions);
    }
    return actions;
  }

  void tell_all(std::vector<ControllerAction>& actions) {
    for (auto& [id, neighbour] : neighbours) {
      SendExchange send{.to = id, .message = message(neighbour)};
      send.message.asks = neighbour.asks;
      actions.emplace_back(std::move(send));
    }
  }

  /// The gateway may go by a plan already: of an agent before us, which knew the neighbours.
  void take_over(const GatewayObservation& observation, Instant now) {
    plan.version = observation.plan_version;
    const bool has_plan = observation.plan_version > 0;
    hold_until = has_plan ? now + takeover_heartbeats * settings.heartbeat : now;
  }

  std::vector<ControllerAction> on(Instant now, const HeartbeatElapsed& /*event*/) {
    std::vector<ControllerAction> actions;
    for (auto& [id, neighbour] : neighbours) {
      notice_silence(neighbour, now);
      notice_hold(neighbour, now);
    }
    // Half a heartbeat early is in time: timers are not exact, and a whole one late would be worse.
    const bool is_tick =
        !is_planned || now - planned_at + settings.heartbeat / 2 >= settings.period;
    if (may_plan(now) && (is_tick || is_plan_due)) actions.emplace_back(make_plan(now, is_tick));
    tell_all(actions);
    return actions;
  }

  std::vector<ControllerAction> on(Instant now, const SilenceDue& /*event*/) {
    for (auto& [id, neighbour] : neighbours) notice_silence(neighbour, now);
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const ExchangeArrived& event) {
    Neighbour* const found = find_neighbour(event.from);
    if (found == nullptr) {
      ++dropped;
      return only(AnswerExchange{message(Neighbour{.guest_slots = 0})});
    }
    Neighbour& neighbour = *found;
    if (!learn(neighbour, event.message, &Sequences::request)) {
      ++dropped;
    } else {
      take_asks(neighbour, event.message, now);
    }
    ExchangeMessage answer = message(neighbour);
    if (is_planned && !draining) answer.grants = grants_for(event.from, neighbour, now);
    return with_due_plan(now, only(AnswerExchange{std::move(answer)}));
  }

  void take_asks(Neighbour& neighbour, const ExchangeMessage& request, Instant now) {
    Leases asked;
    for (const FunctionAsk& ask : request.asks) {
      asked.emplace_back(ask.function,
                         Leased{.value = ask.rate, .left = {}, .until = end_of(request, now)});
    }
    const auto same = [](const auto& a, const auto& b) {
      return a.first == b.first && a.second.value == b.second.value;
    };
    if (!std::ranges::equal(neighbour.asked, asked, same)) are_asks_new = true;
    neighbour.asked = std::move(asked);
  }

  std::vector<ControllerAction> on(Instant now, const ExchangeAnswered& event) {
    Neighbour* const found = find_neighbour(event.from);
    if (found == nullptr) {
      ++dropped;
      return {};
    }
    Neighbour& neighbour = *found;
    if (!learn(neighbour, event.message, &Sequences::answer)) {
      ++dropped;  // Overtaken by a newer answer: late, but its sender is alive.
    } else {
      if (is_first_offer(neighbour, event.message)) is_plan_due = true;
      neighbour.granted.clear();
      for (const FunctionGrant& grant : event.message.grants) {
        neighbour.granted.emplace_back(grant.function, Leased{.value = grant.granted,
                                                              .left = grant.left,
                                                              .until = end_of(event.message, now)});
      }
    }
    neighbour.rtt = smooth_rtt(neighbour.rtt, event.round_trip);
    neighbour.last_answer = now;
    neighbour.last_sign = now;
    neighbour.has_answered = true;
    if (!std::exchange(neighbour.up, true)) {
      is_plan_due = true;
      neighbour.flaps.returned(now);
      notice_hold(neighbour, now);
    }
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const ExchangeFailed& event) {
    Neighbour* const found = find_neighbour(event.to);
    if (found == nullptr) return {};
    Neighbour& neighbour = *found;
    if (event.only_agent_away || event.is_disowned) neighbour.last_sign = now;
    // As one that stops: nothing new. Its next answer says otherwise, should it take us in again.
    if (event.is_disowned && !std::exchange(neighbour.draining, true)) is_plan_due = true;
    notice_silence(neighbour, now);
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const NeighbourAdmitted& event) {
    if (!settings.policy.complaint_of(event.id, event.organisation).empty()) {
      ++dropped;
      return on(now, NeighbourGone{event.id});
    }
    const auto [place, is_new] = neighbours.try_emplace(event.id);
    Neighbour& neighbour = place->second;
    if (is_new) {
      list_neighbours();
      // What the gateway counted of it before is not news of it.
      mark_counters(event.id, neighbour);
    }
    // The gateway admits and reaches only whom the plan has, by the slot that it says.
    if (is_new || neighbour.slot != event.slot || neighbour.organisation != event.organisation) {
      is_plan_due = true;
    }
    neighbour.organisation = event.organisation;
    neighbour.guest_slots = settings.policy.slots_for(event.organisation, settings.organisation);
    neighbour.slot = event.slot;
    SendExchange send{.to = event.id, .message = message(neighbour)};
    return with_due_plan(now, only(std::move(send)));
  }

  std::vector<ControllerAction> on(Instant now, const NeighbourGone& event) {
    if (neighbours.erase(event.id) == 0) return {};
    list_neighbours();
    is_plan_due = true;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const StrategyChosen& event) {
    strategy = event.strategy;
    is_plan_due = true;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant now, const ExternalSaid& event) {
    if (external != event.shares) is_plan_due = true;
    external = event.shares;
    return with_due_plan(now, {});
  }

  std::vector<ControllerAction> on(Instant /*now*/, const DrainRequested& /*event*/) {
    draining = true;
    std::vector<ControllerAction> actions;
    actions.reserve(neighbours.size());
    for (const auto& [id, neighbour] : neighbours) {
      actions.emplace_back(SendExchange{.to = id, .message = message(neighbour)});
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

std::optional<Instant> Controller::next_silence() const {
  std::optional<Instant> next;
  for (const auto& [id, neighbour] : state_->neighbours) {
    if (!neighbour.up) continue;
    const Instant due = state_->silent_from(neighbour) + Micros{1};
    if (!next || due < *next) next = due;
  }
  return next;
}

std::vector<NeighbourStatus> Controller::neighbours(Instant now) const {
  std::vector<NeighbourStatus> list;
  for (const auto& [id, neighbour] : state_->neighbours) {
    const char* state = !neighbour.up ? (neighbour.has_answered ? "silent" : "new")
                                      : (neighbour.draining ? "draining" : "up");
    NeighbourStatus status{.id = id,
                           .name = neighbour.name,
                           .organisation = neighbour.organisation,
                           .slot = neighbour.slot,
                           .state = state,
                           .rtt = neighbour.rtt,
                           .guest_slots = neighbour.guest_slots,
                           .functions = neighbour.functions,
                           .held_for = neighbour.flaps.held_for(now),
                           .weight = state_->weight_of(neighbour)};
    for (const auto& [function, own] : state_->functions) {
      const Ejection why = counted(own.seen, id).ejected;
      if (why != Ejection::none) status.ejected.emplace_back(function, why);
    }
    if (neighbour.has_answered) {
      status.last_message_age = std::chrono::duration_cast<Micros>(now - neighbour.last_answer);
    }
    list.push_back(std::move(status));
  }
  return list;
}

const std::map<std::string, CreditAccount>& Controller::credits() const {
  return state_->ledger.accounts();
}
bool Controller::knows(const NodeId& id) const { return state_->neighbours.contains(id); }
std::uint64_t Controller::dropped_events() const { return state_->dropped; }
NodeView Controller::view(Instant now) const {
  return state_->view(now, Micros(state_->settings.period));
}
const RoutingPlan& Controller::plan() const { return state_->plan; }

}  // namespace dfaas
