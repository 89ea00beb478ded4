// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/dataplane/dispatcher.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>
#include <utility>

#include "core/base/assert.hpp"
#include "core/dataplane/request_table.hpp"
#include "core/dataplane/state.hpp"

namespace dfaas {
namespace {

using dataplane::FunctionState;
using dataplane::Line;
using dataplane::PeerHealth;
using dataplane::PeerLink;
using dataplane::PeerState;
using dataplane::Phase;
using dataplane::PoolState;
using dataplane::Request;
using dataplane::TokenBucket;

constexpr double service_time_weight =
    0.1;  ///< Of the newest run in the mean, after the first ten.
constexpr std::uint64_t service_time_warm_up = 10;
constexpr Micros attempt_time_min{250'000};
constexpr double guest_burst_seconds = 1.0;
constexpr double local_burst_seconds =
    1.0;                                 ///< Of the rule `rate`: as a counter of one second allows.
constexpr std::size_t choices_max = 64;  ///< As many as a plan may name.

/// Why a request looks for a place.
enum class Cause : std::uint8_t { arrived, not_started, lost };

Decision refusal(Outcome reason) { return {.kind = Decision::Kind::refuse, .reason = reason}; }

}  // namespace

std::string_view to_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::busy:
      return "busy";
    case Outcome::limit:
      return "limit";
    case Outcome::draining:
      return "draining";
    case Outcome::unknown:
      return "unknown";
    case Outcome::late:
      return "late";
    case Outcome::unreachable:
      return "unreachable";
  }
  return "busy";
}

std::optional<Outcome> parse_outcome(std::string_view text) {
  for (const Outcome outcome : {Outcome::busy, Outcome::limit, Outcome::draining, Outcome::unknown,
                                Outcome::late, Outcome::unreachable}) {
    if (text == to_text(outcome)) return outcome;
  }
  return std::nullopt;
}

struct Dispatcher::State {
  State(DispatcherSettings given_settings, Random given_random, OutlierSettings given_outliers)
      : settings(given_settings), outlier_settings(given_outliers), random(given_random) {
    tries.tokens = settings.tries_burst;
    settings.attempts_max = std::min(settings.attempts_max, static_cast<int>(dataplane::tries_max));
  }

  std::pmr::unsynchronized_pool_resource memory;  ///< Of the lines: places in them come and go.
  DispatcherSettings settings;
  OutlierSettings outlier_settings;
  Random random;
  RoutingPlan plan;
  Instant plan_at{};
  bool draining = false;
  std::map<std::string, PoolState> pools;  ///< By pool_key().
  std::map<FunctionName, FunctionState> functions;
  dataplane::RequestTable requests;
  std::map<NodeId, PeerHealth> health;
  std::map<std::string, int> guests_of;  ///< Running or in line here, by their organisation.
  TokenBucket tries;  ///< At neighbours; each call of a user brings a little more than one.
  std::vector<RequestId> started;
  std::vector<RequestId> refused;
  std::vector<RequestId> stalled;
  std::vector<std::pair<RequestId, Decision>> moved;

  // --- what the rules look at

  [[nodiscard]] const PeerPlan* find_peer(const NodeId& id) const {
    const auto found = std::ranges::lower_bound(plan.peers, id, {}, &PeerPlan::id);
    return found != plan.peers.end() && found->id == id ? &*found : nullptr;
  }

  [[nodiscard]] double service_seconds(const FunctionState& f) const {
    return f.served > 0 ? f.service_seconds : to_seconds(settings.service_time_default);
  }

  /// Seconds until a request behind those in line gets a slot, on average.
  [[nodiscard]] double expected_wait(const FunctionState& f, bool behind_guests) const {
    const PoolState& pool = *f.pool;
    if (pool.slots < 1) return 1e9;
    double work = 0;
    for (const FunctionState* member : pool.members) {
      const std::size_t ahead =
          member->users_waiting + (behind_guests ? member->guests_waiting : 0);
      work += (static_cast<double>(ahead) + (member == &f ? 1 : 0)) * service_seconds(*member);
    }
    return work / pool.slots;
  }

  [[nodiscard]] double allowance(const FunctionState& f, double ratio, Micros least) const {
    return std::max(ratio * service_seconds(f), to_seconds(least));
  }

  /// Is the line short enough for a user whom no neighbour took?
  [[nodiscard]] bool is_short_for_user(const FunctionState& f) const {
    return expected_wait(f, false) <=
           allowance(f, settings.user_wait_ratio, settings.user_wait_min);
  }

  /// Slots kept for own users: as many as their load needs on average, less those they hold now.
  [[nodiscard]] int home_reserve(const PoolState& pool, Instant now) const {
    if (settings.home_reserve_ratio <= 0) return 0;
    double load = 0;
    for (const FunctionState* member : pool.members) {
      load += member->own_rate.now_is(now) * service_seconds(*member);
    }
    // Below a twentieth of a slot the own side counts as idle: a stray request waits for one run.
    const int wanted =
        load < 0.05 ? 0 : static_cast<int>(std::ceil(settings.home_reserve_ratio * load));
    return std::max(0, std::min(wanted, pool.slots) - pool.own_in_flight);
  }

  [[nodiscard]] bool has_slot_for_guest(const PoolState& pool, Instant now) const {
    return pool.users.empty() && pool.in_flight + home_reserve(pool, now) < pool.slots;
  }

  [[nodiscard]] static RoutingRule rule_of(const FunctionState& f) {
    return f.plan == nullptr ? RoutingRule::spill : f.plan->rule;
  }

  // --- pools

  static std::string pool_key(const FunctionName& function, const FunctionTraits& traits) {
    return traits.pool.empty() ? "function " + function.full() : "pool " + traits.pool;
  }

  /// Slots of a pool are those of the member that has most.
  static void count_slots(PoolState& pool) {
    pool.slots = 0;
    for (const FunctionState* member : pool.members) {
      pool.slots = std::max(pool.slots, member->slots);
    }
  }

  void join_pool(FunctionState& f) {
    auto& pool = pools.try_emplace(pool_key(*f.name, f.traits), &memory).first->second;
    if (f.pool != &pool) {
      if (f.pool != nullptr) leave_pool(f, &pool);
      pool.members.push_back(&f);
      f.pool = &pool;
    }
    count_slots(pool);
  }

  /// What waits goes on waiting in `next`, behind those that are there, or is refused where that is null.
  void leave_pool(FunctionState& f, PoolState* next) {
    PoolState& pool = *f.pool;
    std::erase(pool.members, &f);
    count_slots(pool);
    for (Line PoolState::* line : {&PoolState::users, &PoolState::guests}) {
      for (auto place = (pool.*line).begin(); place != (pool.*line).end();) {
        Request& request = requests.at(*place);
        const auto here = place++;
        if (request.function != &f) continue;
        --pool.requests;
        if (next != nullptr) {
          (next->*line).splice((next->*line).end(), pool.*line, here);
          request.pool = next;
          ++next->requests;
        } else {
          refused.push_back(*here);
          leave_organisation(request);
          requests.close(*here);
          --f.requests;
          --((line == &PoolState::users) ? f.users_waiting : f.guests_waiting);
          (pool.*line).erase(here);
        }
      }
    }
    f.pool = nullptr;
    forget_if_empty(&pool);
  }

  void forget_if_empty(const PoolState* pool) {
    if (!pool->members.empty() || pool->requests > 0) return;
    std::erase_if(pools, [pool](const auto& entry) { return &entry.second == pool; });
  }

  // --- moves

  static void leave_organisation(Request& request) {
    if (int* count = std::exchange(request.of_organisation, nullptr)) --*count;
  }

  Request& open(RequestId id, FunctionState& f, bool is_guest) {
    ++f.requests;
    return requests.open(id, {.function = &f, .is_guest = is_guest});
  }

  /// The one way out. The function may be gone afterwards.
  void close(RequestId id, Request& request) {
    FunctionState& f = *request.function;
    leave_organisation(request);
    requests.close(id);
    --f.requests;
    forget_if_unused(f);
  }

  void forget_if_unused(FunctionState& f) {
    if (!f.deployed && f.plan == nullptr && f.requests == 0)
      functions.erase(functions.find(*f.name));
  }

  FunctionState& state_of(const FunctionName& function) {
    const auto place = functions.try_emplace(function).first;
    place->second.name = &place->first;
    return place->second;
  }

  /// Takes a slot of the pool of its function, or of the one in whose line it was.
  Decision serve(Request& request) {
    if (request.pool == nullptr) {
      request.pool = request.function->pool;
      ++request.pool->requests;
    }
    request.phase = Phase::running;
    ++request.function->in_flight;
    ++request.pool->in_flight;
    if (!request.is_guest) ++request.pool->own_in_flight;
    return {.kind = Decision::Kind::serve};
  }

  Decision enqueue(RequestId id, Request& request, bool as_user) {
    FunctionState& f = *request.function;
    request.phase = Phase::queued;
    request.waits_as_user = as_user;
    request.pool = f.pool;
    ++request.pool->requests;
    ++(as_user ? f.users_waiting : f.guests_waiting);
    auto& line = as_user ? f.pool->users : f.pool->guests;
    request.place_in_line = line.insert(line.end(), id);
    return {.kind = Decision::Kind::queue};
  }

  Decision refuse(RequestId id, Outcome reason) {
    close(id, requests.at(id));
    return refusal(reason);
  }

  /// Takes the request back from its peer; the caller puts it somewhere at once.
  static void leave_peer(Request& request) {
    DFAAS_ASSERT(request.phase == Phase::at_peer, "only a request at a peer comes back from one");
    --request.peer_state->outstanding;
    --request.peer_health->outstanding;
  }

  static void release_slot(Request& request) {
    PoolState& pool = *request.pool;
    --request.function->in_flight;
    --pool.in_flight;
    --pool.requests;
    if (!request.is_guest) --pool.own_in_flight;
    DFAAS_ASSERT(pool.in_flight >= 0 && pool.own_in_flight >= 0, "a slot is freed once");
  }

  void leave_line(Request& request) {
    PoolState& pool = *request.pool;
    (request.waits_as_user ? pool.users : pool.guests).erase(request.place_in_line);
    --(request.waits_as_user ? request.function->users_waiting : request.function->guests_waiting);
    --pool.requests;
  }

  /// Users first, each class in order of arrival.
  void fill_slots(PoolState& pool, Instant now) {
    while (!pool.is_full()) {
      const bool is_user = !pool.users.empty();
      // While nothing runs, nothing will end and look here again: then one guest starts whatever
      // the reserve, lest it wait for ever.
      const bool may_guest =
          !pool.guests.empty() && (pool.in_flight == 0 || has_slot_for_guest(pool, now));
      if (!is_user && !may_guest) return;
      Line& line = is_user ? pool.users : pool.guests;
      const RequestId id = line.front();
      Request& request = requests.at(id);
      line.pop_front();
      --(is_user ? request.function->users_waiting : request.function->guests_waiting);
      serve(request);
      started.push_back(id);
    }
  }

  void end(RequestId id, Instant now) {
    Request* found = requests.find(id);
    if (found == nullptr) return;
    Request& request = *found;
    PoolState* pool = request.pool;
    switch (request.phase) {
      case Phase::running:
        release_slot(request);
        break;
      case Phase::queued:
        leave_line(request);  // A user who leaves the line may make way for a guest.
        break;
      case Phase::at_peer:
        leave_peer(request);
        pool = nullptr;
        break;
    }
    close(id, request);
    if (pool == nullptr) return;
    fill_slots(*pool, now);
    forget_if_empty(pool);
  }

  // --- neighbours

  /// Only `spill` chooses by what it hears; the other rules go by the plan alone.
  [[nodiscard]] static bool is_candidate(const FunctionState& f, const Request& request,
                                         const PeerLink& link, Instant now) {
    if (!link.is_up || request.has_tried(link.health)) return false;
    if (link.health->is_suspect() && now < link.health->down_until) return false;
    if (link.state->outstanding >= link.to->window) return false;
    return rule_of(f) != RoutingRule::spill || now >= link.state->full_until;
  }

  // --- outliers: neighbours that do much worse than the others

  /// Whose answers the neighbour's are held against: the others that are up.
  [[nodiscard]] static std::vector<const dataplane::AnswerRecord*> others_of(const FunctionState& f,
                                                                             const PeerState* one) {
    std::vector<const dataplane::AnswerRecord*> others;
    for (const PeerLink& link : f.links) {
      const bool counts =
          link.state != one && link.is_up && link.state->outlier.ejected == Ejection::none;
      if (counts) others.push_back(&link.state->outlier.record);
    }
    return others;
  }

  /// At most half of those that are up are ejected at a time, so never the last.
  [[nodiscard]] static bool may_eject(const FunctionState& f) {
    std::size_t up = 0;
    std::size_t ejected = 0;
    for (const PeerLink& link : f.links) {
      if (!link.is_up) continue;
      ++up;
      if (link.state->outlier.ejected != Ejection::none) ++ejected;
    }
    return 2 * (ejected + 1) <= up;
  }

  void eject(PeerState& peer, Ejection why, Instant now) const {
    peer.outlier.eject(why, now, outlier_settings);
    ++peer.counters.ejections;
  }

  /// After each answer of the neighbour, or what stands for one.
  void judge_peer(const FunctionState& f, PeerState& peer, bool is_trial, bool was_good,
                  Instant now) const {
    dataplane::OutlierState& outlier = peer.outlier;
    outlier.heard(now);
    if (outlier.ejected == Ejection::stalled && was_good) return outlier.reinstate(now);
    if (outlier.ejected != Ejection::none) {
      if (!is_trial) return;  // Of a call from before.
      if (was_good) return outlier.reinstate(now);
      return eject(peer, outlier.ejected, now);
    }
    if (!dataplane::is_suspicious(outlier.record, outlier_settings)) return;
    const Ejection verdict =
        dataplane::judge(outlier.record, others_of(f, &peer), f.deployed ? &f.own_answers : nullptr,
                         outlier_settings);
    if (verdict != Ejection::none && may_eject(f)) eject(peer, verdict, now);
  }

  void count_answer(Request& request, Answer answer, Instant now) const {
    const FunctionState& f = *request.function;
    PeerState& peer = *request.peer_state;
    const auto took = std::chrono::duration_cast<Micros>(now - request.sent);
    if (answer == Answer::failed) {
      peer.outlier.record.failed();
    } else {
      peer.outlier.record.answered(took);
      // A claim of long runs, or an answer that was held back, earns no more than a run here takes.
      Micros work = peer.service_time.count() > 0 ? std::min(took, peer.service_time) : took;
      if (f.served > 0) work = std::min(work, from_seconds(f.service_seconds));
      peer.counters.work_for_us += work;
    }
    // A trial of one that was slow is good only if it is not.
    const bool is_late = peer.outlier.ejected == Ejection::slow &&
                         dataplane::takes_long(took, others_of(f, &peer), outlier_settings);
    const bool was_good = answer == Answer::good && !is_late;
    judge_peer(f, peer, request.is_trial, was_good, now);
  }

  void count_no_answer(Request& request, Instant now) const {
    request.peer_state->outlier.record.failed();
    judge_peer(*request.function, *request.peer_state, request.is_trial, false, now);
  }

  /// The user left or the time was up while the neighbour had the call. That says something only if it
  /// took much longer than usual.
  void count_abandoned(Request& request, Instant now) const {
    const double typical = typical_seconds_at(*request.function, *request.peer_state);
    const double patience = std::max(to_seconds(outlier_settings.stalled_min),
                                     outlier_settings.stalled_waits * typical);
    if (request.is_accepted && typical > 0 && to_seconds(now - request.sent) >= patience) {
      count_no_answer(request, now);
    }
  }

  /// Of a call there, as the others do; else as it did, tells, or as it takes here. 0: nothing is known.
  [[nodiscard]] double typical_seconds_at(const FunctionState& f, const PeerState& peer) const {
    const double as_told = to_seconds(peer.service_time);
    const double as_seen =
        peer.outlier.record.has_times() ? peer.outlier.record.typical_seconds_at_most() : 0;
    const double as_here = f.served > 0 ? f.service_seconds : 0;
    return dataplane::typical_seconds_at_most(others_of(f, &peer),
                                              std::max({as_told, as_seen, as_here}));
  }

  /// It has calls of ours, and nothing came back for long.
  void notice_stall(const FunctionState& f, PeerState& peer, Instant now) {
    dataplane::OutlierState& outlier = peer.outlier;
    const bool is_known = outlier.ejected == Ejection::stalled;
    if (peer.outstanding == 0 || (outlier.ejected != Ejection::none && !is_known)) return;
    if (now - outlier.heard_at < outlier_settings.stalled_min) return;
    outlier.wait(peer.outstanding, now);
    const double typical = typical_seconds_at(f, peer);
    // Of one that is known to stall, a single call on trial is enough.
    const bool is_stalled =
        typical > 0 &&
        to_seconds(now - outlier.heard_at) >= outlier_settings.stalled_factor * typical &&
        (is_known || outlier.waited_seconds >= outlier_settings.stalled_waits * typical);
    if (!is_stalled || (!is_known && !may_eject(f))) return;
    if (!is_known) eject(peer, Ejection::stalled, now);
    if (!f.traits.retry_safe) return;
    requests.for_each([&](RequestId id, const Request& request) {
      if (request.phase == Phase::at_peer && request.peer_state == &peer) stalled.push_back(id);
    });
  }

  /// While calls hang at a stalled one, another call would only join them.
  [[nodiscard]] static bool is_trial_due(const PeerState& peer, Instant now) {
    const bool hangs = peer.outlier.ejected == Ejection::stalled && peer.outstanding > 0;
    return now >= peer.outlier.trial_at && !hangs;
  }

  /// Who may be drawn: those in good standing, or due for a trial; where there is none of them, also the slow
  /// ones, and where nobody in good standing is up, all.
  enum class Standing : std::uint8_t { good, slow_too, all };

  [[nodiscard]] static bool stands(const PeerLink& link, Standing least, Instant now) {
    const dataplane::OutlierState& outlier = link.state->outlier;
    if (outlier.ejected == Ejection::none || is_trial_due(*link.state, now)) return true;
    return least == Standing::all ||
           (least == Standing::slow_too && outlier.ejected == Ejection::slow);
  }

  [[nodiscard]] static bool has_up_in_good_standing(const FunctionState& f) {
    return std::ranges::any_of(f.links, [](const PeerLink& link) {
      return link.is_up && link.state->outlier.ejected == Ejection::none;
    });
  }

  /// Destinations that may be drawn, with their weights.
  struct Choices {
    std::array<const PeerLink*, choices_max> links{};
    std::array<double, choices_max> weights{};
    std::size_t count = 0;
    double sum = 0;
  };

  [[nodiscard]] Choices choices_for(const FunctionState& f, const Request& request, Instant now,
                                    Standing least = Standing::all) const {
    Choices choices;
    const bool is_stale = now - plan_at > plan.lifetime;
    for (const PeerLink& link : f.links) {
      if (choices.count == choices_max || !is_candidate(f, request, link, now)) continue;
      if (!stands(link, least, now)) continue;
      const double weight = is_stale ? link.to->floor_weight : link.to->weight;
      choices.links[choices.count] = &link;
      choices.weights[choices.count] = weight;
      choices.sum += weight;
      ++choices.count;
    }
    return choices;
  }

  /// The neighbour for the next try: drawn by weight; of two draws the less busy one for its weight.
  [[nodiscard]] const PeerLink* choose_peer(const FunctionState& f, const Request& request,
                                            Instant now) {
    if (f.links.empty()) return nullptr;
    const bool goes_by_standing = rule_of(f) == RoutingRule::spill;
    if (goes_by_standing) {
      for (const PeerLink& link : f.links) notice_stall(f, *link.state, now);
    }
    Choices choices =
        choices_for(f, request, now, goes_by_standing ? Standing::good : Standing::all);
    if (choices.count == 0 && goes_by_standing) {
      choices = choices_for(f, request, now,
                            has_up_in_good_standing(f) ? Standing::slow_too : Standing::all);
    }
    if (choices.count == 0) return nullptr;
    const std::span<const double> weights(choices.weights.data(), choices.count);
    const std::size_t first = weighted(random, weights);
    if (f.plan->draws < 2) return choices.links[first];
    const std::size_t second = weighted(random, weights);
    const auto burden = [&](std::size_t at) {
      return (choices.links[at]->state->outstanding + 1) / choices.weights[at];
    };
    return choices.links[burden(second) < burden(first) ? second : first];
  }

  Decision send(Request& request, const PeerLink& link, Instant now) {
    request.phase = Phase::at_peer;
    request.is_accepted = false;
    request.peer = link.to->id;
    request.peer_state = link.state;
    request.peer_health = link.health;
    request.tried[request.tries++] = link.health;
    link.state->counters.id = link.to->id;
    request.sent = now;
    dataplane::OutlierState& outlier = link.state->outlier;
    request.is_trial = outlier.ejected != Ejection::none && is_trial_due(*link.state, now);
    if (request.is_trial) outlier.begin_trial(now, outlier_settings);
    if (link.state->outstanding == 0) outlier.heard(now);
    outlier.wait(link.state->outstanding, now);
    ++link.state->outstanding;
    ++link.health->outstanding;
    // After its pause a silent neighbour gets one request; the others wait for what that one tells.
    if (link.health->is_suspect()) link.health->down_until = now + settings.peer_down_time;
    return {.kind = Decision::Kind::try_peer, .peer = link.to->id};
  }

  /// Each call of a user, wherever it runs, pays for one try and a part of another: so all tries together
  /// stay below that many per call, however full the neighbours are, and while most calls run here the
  /// few that do not may try as often as they like. What was lost is replayed whatever the budget says,
  /// because it happens at most once per try.
  void earn_tries() {
    tries.tokens = std::min(tries.tokens + 1 + settings.retry_ratio, settings.tries_burst);
  }
  bool pay_for_try(Cause cause) { return tries.take() || cause == Cause::lost; }

  /// A slot here, or the line, or refusal.
  Decision place_here(RequestId id, Request& request, Cause cause) {
    FunctionState& f = *request.function;
    if (!f.deployed) return refuse(id, f.plan == nullptr ? Outcome::unknown : Outcome::busy);
    if (!f.pool->is_full()) return serve(request);
    // What was lost has waited already: it is not refused for the length of the line.
    const bool may_wait = cause == Cause::lost || is_short_for_user(f);
    if (may_wait && has_place_in(f.pool->users)) return enqueue(id, request, true);
    return refuse(id, Outcome::busy);
  }

  /// The rule `spill`: here, at a neighbour, in the line, or nowhere.
  Decision spill(RequestId id, Request& request, Cause cause, Instant now) {
    FunctionState& f = *request.function;
    if (f.deployed && !f.pool->is_full()) return serve(request);
    if (const PeerLink* to = next_try(request, cause, now)) return send(request, *to, now);
    return place_here(id, request, cause);
  }

  /// The neighbour to try now, if there is one and the budget has a try for it.
  const PeerLink* next_try(const Request& request, Cause cause, Instant now) {
    if (request.tries >= settings.attempts_max) return nullptr;
    const PeerLink* to = choose_peer(*request.function, request, now);
    return to != nullptr && pay_for_try(cause) ? to : nullptr;
  }

  /// A neighbour, if one may be tried, or refusal: for what cannot run here, whatever the slots say.
  Decision place_elsewhere(RequestId id, Request& request, Instant now) {
    if (request.is_guest) return refuse(id, Outcome::busy);
    if (const PeerLink* to = next_try(request, Cause::not_started, now)) {
      return send(request, *to, now);
    }
    return refuse(id, Outcome::busy);
  }

  /// Without any slot the line would stand still.
  void empty_line(PoolState& pool, Instant now) {
    while (pool.slots < 1 && pool.waiting() > 0) {
      const RequestId id = pool.users.empty() ? pool.guests.front() : pool.users.front();
      Request& request = requests.at(id);
      leave_line(request);
      request.pool = nullptr;
      const Decision decision = place_elsewhere(id, request, now);
      moved.emplace_back(id, decision);
    }
  }

  [[nodiscard]] static bool can_run_here(const FunctionState& f) {
    return f.deployed && f.pool->slots > 0;
  }

  /// Is it this one's turn to make room here by going to a neighbour first?
  static bool is_displaced(FunctionState& f) {
    if (f.plan == nullptr || f.plan->displaced_ratio <= 0) return false;
    f.displacement += f.plan->displaced_ratio;
    if (f.displacement < 1) return false;
    f.displacement -= 1;
    return true;
  }

  Decision arrive_by_spill(RequestId id, Request& request, Instant now) {
    FunctionState& f = *request.function;
    if (f.deployed && is_displaced(f)) {
      if (const PeerLink* to = next_try(request, Cause::arrived, now))
        return send(request, *to, now);
    }
    const bool queues_at_once =
        f.deployed && f.pool->is_full() && has_place_in(f.pool->users) &&
        expected_wait(f, false) < allowance(f, settings.spill_wait_ratio, settings.spill_wait_min);
    if (queues_at_once) return enqueue(id, request, true);
    return spill(id, request, Cause::arrived, now);
  }

  /// The rule `shares`: neighbours that are away leave their share to the others.
  Decision arrive_by_shares(RequestId id, Request& request, Instant now) {
    FunctionState& f = *request.function;
    const Choices choices = choices_for(f, request, now);
    const double local = can_run_here(f) ? f.plan->local_share : 0;
    double drawn = uniform(random, 0, 1) * (local + f.plan->refused_share + choices.sum);
    if (drawn < local || (choices.count == 0 && f.plan->refused_share <= 0)) {
      return place_here(id, request, Cause::arrived);
    }
    drawn -= local;
    if (drawn < f.plan->refused_share) return refuse(id, Outcome::busy);
    drawn -= f.plan->refused_share;
    std::size_t at = 0;
    while (at + 1 < choices.count && drawn >= choices.weights[at]) drawn -= choices.weights[at++];
    return send(request, *choices.links[at], now);
  }

  /// The rule `rate`: the first so many calls per second run here, whatever is free.
  Decision arrive_by_rate(RequestId id, Request& request, Instant now) {
    FunctionState& f = *request.function;
    if (can_run_here(f) && has_local_token(f, now)) {
      take_local_token(f, now);
      return place_here(id, request, Cause::arrived);
    }
    const PeerLink* to = next_try(request, Cause::arrived, now);
    return to != nullptr ? send(request, *to, now) : refuse(id, Outcome::busy);
  }

  static double local_burst(const FunctionState& f) {
    return std::max(1.0, f.plan->local_rate.per_second * local_burst_seconds);
  }
  static bool has_local_token(FunctionState& f, Instant now) {
    f.local_tokens.refill(f.plan->local_rate.per_second, local_burst(f), now);
    return f.local_tokens.tokens >= 1;
  }
  /// Guests count, too; they are not asked whether there is one.
  static void take_local_token(FunctionState& f, Instant now) {
    f.local_tokens.refill(f.plan->local_rate.per_second, local_burst(f), now);
    f.local_tokens.tokens = std::max(f.local_tokens.tokens - 1, -local_burst(f));
  }

  Decision arrive(RequestId id, Request& request, Instant now) {
    switch (rule_of(*request.function)) {
      case RoutingRule::spill:
        return arrive_by_spill(id, request, now);
      case RoutingRule::shares:
        return arrive_by_shares(id, request, now);
      case RoutingRule::rate:
        return arrive_by_rate(id, request, now);
    }
    return refuse(id, Outcome::busy);
  }

  /// The neighbour did not start it, or was lost with it. Only `spill` asks another one; under the other
  /// rules who was drawn decides, and a neighbour that is away leaves the request to us.
  Decision place_again(RequestId id, Request& request, Cause cause, Outcome outcome, Instant now) {
    if (rule_of(*request.function) == RoutingRule::spill) return spill(id, request, cause, now);
    const bool was_decided = outcome == Outcome::busy || outcome == Outcome::limit;
    return was_decided ? refuse(id, outcome) : place_here(id, request, cause);
  }

  [[nodiscard]] bool has_place_in(const Line& line) const {
    return static_cast<int>(line.size()) < settings.queue_length_max;
  }

  // --- guests

  [[nodiscard]] bool is_at_limit(const std::string& organisation, int here) const {
    const auto limit =
        std::ranges::lower_bound(plan.limits, organisation, {}, &OrganisationLimit::organisation);
    return limit != plan.limits.end() && limit->organisation == organisation &&
           here >= limit->slots;
  }

  /// The cap of a neighbour, filled up to now.
  static TokenBucket& guest_cap(FunctionState& f, const GuestLimit& limit, Instant now) {
    const double rate = limit.rate.per_second;
    const double burst = std::max(1.0, rate * guest_burst_seconds);
    TokenBucket& cap =
        f.guest_caps.try_emplace(limit.id, TokenBucket{.tokens = burst, .filled = now})
            .first->second;
    cap.refill(rate, burst, now);
    return cap;
  }

  /// Behind our own users, whose load is kept free.
  Decision admit_home_first(RequestId id, FunctionState& f, const GuestLimit& limit, Instant now) {
    PoolState& pool = *f.pool;
    // Guests who wait come first, should the home reserve have faded since somebody last looked.
    fill_slots(pool, now);
    // The cap counts every admitted call, but holds only while the pool is under pressure: while there is a
    // line, or another neighbour within its cap found no slot a moment ago.
    TokenBucket& cap = guest_cap(f, limit, now);
    if (has_slot_for_guest(pool, now) && pool.guests.empty()) {
      const bool is_within = cap.take();
      const Micros lately =
          from_seconds(allowance(f, settings.guest_wait_ratio, settings.guest_wait_min));
      if (!is_within && pool.pressure.is_on(limit.id, lately, now)) return refusal(Outcome::limit);
      return serve(open(id, f, true));
    }
    if (cap.tokens >= 1) pool.pressure.note(limit.id, now);
    const bool may_wait =
        has_place_in(pool.guests) &&
        expected_wait(f, true) <= allowance(f, settings.guest_wait_ratio, settings.guest_wait_min);
    // A line in front of reserved slots would wait for our own users to stop coming: refuse instead.
    if (!may_wait || !pool.is_full()) return refusal(Outcome::busy);
    if (!cap.take()) return refusal(Outcome::limit);
    return enqueue(id, open(id, f, true), false);
  }

  Decision admit_as_user(RequestId id, FunctionState& f, Instant now) {
    if (rule_of(f) == RoutingRule::rate) take_local_token(f, now);
    if (!f.pool->is_full()) return serve(open(id, f, true));
    if (!is_short_for_user(f) || !has_place_in(f.pool->users)) return refusal(Outcome::busy);
    return enqueue(id, open(id, f, true), true);
  }

  /// One that has left the neighbours meanwhile is forgotten.
  void count_work(FunctionState& f, const NodeId& origin, Micros took) const {
    if (find_peer(origin) == nullptr) return;
    PeerCounters& counters = f.peers[origin].counters;
    counters.id = origin;
    counters.work_for_it += took;
  }

  Decision admit_guest(RequestId id, FunctionState& f, const GuestLimit& limit, Instant now) {
    switch (f.plan->guest_rule) {
      case GuestRule::home_first:
        return admit_home_first(id, f, limit, now);
      case GuestRule::capped:
        if (!guest_cap(f, limit, now).take()) return refusal(Outcome::limit);
        return admit_as_user(id, f, now);
      case GuestRule::as_users:
        return admit_as_user(id, f, now);
    }
    return refusal(Outcome::limit);
  }

  /// Once per try, however often the caller tells.
  static void count_acceptance(Request& request) {
    if (std::exchange(request.is_accepted, true)) return;
    ++request.peer_state->counters.accepted;
    request.peer_state->full_until = {};
    request.peer_health->failures = 0;
  }

  void count_failure(PeerHealth& peer, Instant now) const {
    ++peer.failures;
    if (peer.is_suspect()) peer.down_until = now + settings.peer_down_time;
  }

  // --- plans

  void link_peers(FunctionState& f) {
    f.links.clear();
    std::set<const PeerState*> were_up;
    for (auto& [id, state] : f.peers) {
      if (std::exchange(state.is_up, false)) were_up.insert(&state);
    }
    if (f.plan == nullptr) return;
    for (const FunctionPeer& to : f.plan->peers) {
      const PeerPlan* peer = find_peer(to.id);
      if (peer == nullptr) continue;
      PeerState& state = f.peers[to.id];
      state.service_time = to.service_time;
      // One that was away may be another by now; what it does is looked at anew.
      if (peer->up && !were_up.contains(&state)) {
        state.outlier.reinstate(plan_at);
        state.outlier.heard(plan_at);
      }
      state.is_up = peer->up;
      f.links.push_back({.to = &to, .is_up = peer->up, .state = &state, .health = &health[to.id]});
    }
  }
};

Dispatcher::Dispatcher(DispatcherSettings settings, Random random, OutlierSettings outliers)
    : state_(std::make_unique<State>(settings, random, outliers)) {}
Dispatcher::~Dispatcher() = default;
Dispatcher::Dispatcher(Dispatcher&&) noexcept = default;
Dispatcher& Dispatcher::operator=(Dispatcher&&) noexcept = default;

void Dispatcher::deploy(const FunctionName& function, int slots, std::string digest,
                        const FunctionTraits& traits, Instant now) {
  DFAAS_ASSERT(slots >= 0, "slots are counted");
  FunctionState& f = state_->state_of(function);
  f.deployed = true;
  f.slots = slots;
  if (f.digest != digest) f.served = 0;  // Other code takes another time.
  f.digest = std::move(digest);
  f.traits = traits;
  state_->join_pool(f);
  state_->fill_slots(*f.pool, now);
  state_->empty_line(*f.pool, now);
}

void Dispatcher::remove(const FunctionName& function, Instant now) {
  State& s = *state_;
  const auto found = s.functions.find(function);
  if (found == s.functions.end() || !found->second.deployed) return;
  FunctionState& f = found->second;
  const std::string key = State::pool_key(function, f.traits);
  f.deployed = false;
  f.slots = 0;
  s.leave_pool(f, nullptr);
  f.digest.clear();
  f.traits = {};
  f.served = 0;
  // A plan without neighbours was about this node alone: from now on the function is unknown.
  if (f.plan != nullptr && f.plan->peers.empty()) f.plan = nullptr;
  s.forget_if_unused(f);
  // Those behind the ones that left may start.
  if (const auto pool = s.pools.find(key); pool != s.pools.end()) s.fill_slots(pool->second, now);
}

void Dispatcher::install(const RoutingPlan& plan, Instant now) {
  State& s = *state_;
  const bool same_peers =
      std::ranges::equal(s.plan.peers, plan.peers, {}, &PeerPlan::id, &PeerPlan::id);
  s.plan = plan;
  s.plan_at = now;
  for (auto& [name, function] : s.functions) function.plan = nullptr;
  for (const FunctionPlan& function : s.plan.functions) {
    s.state_of(function.function).plan = &function;
  }
  // What nobody deploys, plans or uses any more is forgotten: names come from neighbours, too.
  std::erase_if(s.functions, [](const auto& entry) {
    const FunctionState& f = entry.second;
    return !f.deployed && f.plan == nullptr && f.requests == 0;
  });
  if (!same_peers) {
    const auto is_gone = [&s](const auto& entry) { return s.find_peer(entry.first) == nullptr; };
    const auto is_idle_and_gone = [&is_gone](const auto& entry) {
      return entry.second.outstanding == 0 && is_gone(entry);
    };
    for (auto& [name, function] : s.functions) {
      std::erase_if(function.peers, is_idle_and_gone);
      std::erase_if(function.guest_caps, is_gone);
    }
    std::erase_if(s.health, is_idle_and_gone);
    std::erase_if(s.guests_of, [](const auto& entry) { return entry.second == 0; });
  }
  for (auto& [name, function] : s.functions) s.link_peers(function);
}

void Dispatcher::drain() { state_->draining = true; }

Decision Dispatcher::arrive_user(RequestId id, const FunctionName& function, Instant now) {
  State& s = *state_;
  const auto found = s.functions.find(function);
  if (found == s.functions.end()) return refusal(Outcome::unknown);
  FunctionState& f = found->second;
  ++f.user_arrivals;
  s.earn_tries();
  if (s.settings.home_reserve_ratio > 0) f.own_rate.count(now);  // Nothing else asks for it.
  return s.arrive(id, s.open(id, f, false), now);
}

Decision Dispatcher::arrive_guest(RequestId id, const FunctionName& function,
                                  std::string_view digest, const NodeId& from,
                                  std::optional<Micros> time_left, Instant now) {
  State& s = *state_;
  if (s.draining) return refusal(Outcome::draining);
  const auto found = s.functions.find(function);
  if (found == s.functions.end() || !found->second.deployed) return refusal(Outcome::unknown);
  FunctionState& f = found->second;
  if (!f.traits.match_by_name && !digest.empty() && digest != f.digest) {
    return refusal(Outcome::unknown);
  }
  const PeerPlan* peer = s.find_peer(from);
  if (f.plan == nullptr || peer == nullptr) return refusal(Outcome::limit);
  const auto limit = std::ranges::lower_bound(f.plan->guests, from, {}, &GuestLimit::id);
  if (limit == f.plan->guests.end() || limit->id != from) return refusal(Outcome::limit);
  if (time_left && to_seconds(*time_left) < s.service_seconds(f)) return refusal(Outcome::late);
  ++f.guest_arrivals;
  int& here = s.guests_of[peer->organisation];
  if (s.is_at_limit(peer->organisation, here)) return refusal(Outcome::limit);
  const Decision decision = s.admit_guest(id, f, *limit, now);
  if (decision.kind != Decision::Kind::refuse) {
    Request& request = s.requests.at(id);
    request.of_organisation = &here;
    request.peer = from;
    ++here;
  }
  return decision;
}

void Dispatcher::accepted(RequestId id, Instant /*now*/) {
  State& s = *state_;
  Request* request = s.requests.find(id);
  if (request == nullptr || request->phase != Phase::at_peer) return;
  State::count_acceptance(*request);
}

Decision Dispatcher::not_started(RequestId id, Outcome outcome, Instant now) {
  State& s = *state_;
  Request* found = s.requests.find(id);
  if (found == nullptr) return {};
  Request& request = *found;
  State::leave_peer(request);
  PeerState& state = *request.peer_state;
  // A trial that never began is to be had again.
  if (request.is_trial) state.outlier.trial_at = now;
  if (outcome == Outcome::unreachable) {
    ++state.counters.unreachable;
    s.count_failure(*request.peer_health, now);
  } else {
    ++state.counters.refused;
    request.peer_health->failures = 0;
    const Micros memory =
        from_seconds(s.settings.full_memory_ratio * to_seconds(state.service_time));
    state.full_until = now + std::max(memory, s.settings.full_memory_min);
  }
  return s.place_again(id, request, Cause::not_started, outcome, now);
}

Decision Dispatcher::not_run(RequestId id, Instant now) {
  State& s = *state_;
  Request* found = s.requests.find(id);
  if (found == nullptr) return {};
  Request& request = *found;
  DFAAS_ASSERT(request.phase == Phase::running, "only what has a slot can fail to run");
  PoolState& pool = *request.pool;
  State::release_slot(request);
  request.pool = nullptr;
  const Decision decision = s.place_elsewhere(id, request, now);
  s.fill_slots(pool, now);
  s.forget_if_empty(&pool);
  return decision;
}

Decision Dispatcher::lost(RequestId id, bool replayable, Instant now) {
  State& s = *state_;
  Request* found = s.requests.find(id);
  if (found == nullptr) return refusal(Outcome::unreachable);
  Request& request = *found;
  State::leave_peer(request);
  ++request.peer_state->counters.unreachable;
  s.count_failure(*request.peer_health, now);
  s.count_no_answer(request, now);
  if (!request.function->traits.retry_safe || !replayable)
    return s.refuse(id, Outcome::unreachable);
  return s.place_again(id, request, Cause::lost, Outcome::unreachable, now);
}

void Dispatcher::finished(RequestId id, std::optional<Micros> service_time, Instant now,
                          Answer answer) {
  State& s = *state_;
  Request* found = s.requests.find(id);
  if (found == nullptr) return;
  Request& request = *found;
  FunctionState& f = *request.function;
  if (request.phase == Phase::at_peer) {
    State::count_acceptance(request);
    ++request.peer_state->counters.served;
    s.count_answer(request, answer, now);
  } else if (service_time) {
    if (answer == Answer::good) {
      f.own_answers.answered(*service_time);
    } else {
      f.own_answers.failed();
    }
    if (request.is_guest) s.count_work(f, request.peer, *service_time);
    ++f.served;
    const double weight = f.served <= service_time_warm_up ? 1.0 / static_cast<double>(f.served)
                                                           : service_time_weight;
    f.service_seconds += weight * (to_seconds(*service_time) - f.service_seconds);
  }
  s.end(id, now);
}

void Dispatcher::abandoned(RequestId id, Instant now) {
  State& s = *state_;
  if (Request* request = s.requests.find(id);
      request != nullptr && request->phase == Phase::at_peer) {
    s.count_abandoned(*request, now);
  }
  s.end(id, now);
}

std::vector<RequestId> Dispatcher::started() {
  std::vector<RequestId> ids = std::exchange(state_->started, {});
  std::erase_if(ids, [this](RequestId id) { return state_->requests.find(id) == nullptr; });
  return ids;
}

std::vector<RequestId> Dispatcher::refused_in_queue() { return std::exchange(state_->refused, {}); }

std::vector<RequestId> Dispatcher::stalled() {
  std::vector<RequestId> ids = std::exchange(state_->stalled, {});
  std::ranges::sort(ids);
  const auto again = std::ranges::unique(ids);
  ids.erase(again.begin(), again.end());
  std::erase_if(ids, [this](RequestId id) {
    const Request* request = state_->requests.find(id);
    // One that has just come back may be elsewhere by now.
    return request == nullptr || request->phase != Phase::at_peer ||
           request->peer_state->outlier.ejected != Ejection::stalled;
  });
  return ids;
}

std::vector<std::pair<RequestId, Decision>> Dispatcher::moved() {
  return std::exchange(state_->moved, {});
}

std::vector<RequestId> Dispatcher::requests_at_lost_peers() const {
  std::vector<RequestId> lost;
  const auto is_lost = [this](const NodeId& id) {
    const PeerPlan* peer = state_->find_peer(id);
    return peer != nullptr && !peer->up;
  };
  const bool has_any = std::ranges::any_of(state_->health, [&is_lost](const auto& entry) {
    return entry.second.outstanding > 0 && is_lost(entry.first);
  });
  if (!has_any) return lost;
  state_->requests.for_each([&](RequestId id, const Request& request) {
    if (request.phase == Phase::at_peer && is_lost(request.peer)) lost.push_back(id);
  });
  std::ranges::sort(lost);
  return lost;
}

int Dispatcher::room(const FunctionName& function, Instant now) const {
  const auto found = state_->functions.find(function);
  if (found == state_->functions.end() || !found->second.deployed) return 0;
  const PoolState& pool = *found->second.pool;
  if (state_->draining || pool.waiting() > 0) return 0;
  return std::max(0, pool.slots - pool.in_flight - state_->home_reserve(pool, now));
}

const RoutingPlan& Dispatcher::plan() const { return state_->plan; }

bool Dispatcher::knows(const FunctionName& function) const {
  const auto found = state_->functions.find(function);
  if (found == state_->functions.end()) return false;
  return found->second.deployed || found->second.plan != nullptr;
}

const PeerPlan* Dispatcher::peer(const NodeId& id) const { return state_->find_peer(id); }

std::string Dispatcher::digest(const FunctionName& function) const {
  const auto found = state_->functions.find(function);
  return found == state_->functions.end() ? std::string() : found->second.digest;
}

FunctionTraits Dispatcher::traits(const FunctionName& function) const {
  const auto found = state_->functions.find(function);
  return found == state_->functions.end() ? FunctionTraits{} : found->second.traits;
}

Micros Dispatcher::attempt_time_limit(const FunctionName& function, const NodeId& peer) const {
  const State& s = *state_;
  const auto found = s.functions.find(function);
  const PeerPlan* plan = s.find_peer(peer);
  const Micros rtt = plan == nullptr ? Micros{0} : plan->rtt;
  double service = to_seconds(s.settings.service_time_default);
  if (found != s.functions.end() && found->second.plan != nullptr) {
    const auto& peers = found->second.plan->peers;
    const auto to = std::ranges::lower_bound(peers, peer, {}, &FunctionPeer::id);
    if (to != peers.end() && to->id == peer && to->service_time.count() > 0) {
      service = to_seconds(to->service_time);
    }
  }
  const Micros queue =
      std::max(s.settings.guest_wait_min, from_seconds(s.settings.guest_wait_ratio * service));
  return std::max(attempt_time_min, 4 * rtt + 2 * queue);
}

std::vector<std::pair<NodeId, Ejection>> Dispatcher::ejected(const FunctionName& function) const {
  std::vector<std::pair<NodeId, Ejection>> result;
  const auto found = state_->functions.find(function);
  if (found == state_->functions.end()) return result;
  for (const PeerLink& link : found->second.links) {
    const Ejection why = link.state->outlier.ejected;
    if (link.is_up && why != Ejection::none) result.emplace_back(link.to->id, why);
  }
  return result;
}

GatewayObservation Dispatcher::observe(Instant /*now*/) const {
  const State& s = *state_;
  GatewayObservation observation{
      .boot = {}, .plan_version = s.plan.version, .plan_strategy = s.plan.strategy};
  for (const auto& [name, f] : s.functions) {
    FunctionObservation seen{
        .function = name,
        .digest = f.digest,
        .deployed = f.deployed,
        .traits = f.traits,
        .slots = f.deployed ? f.pool->slots : 0,
        .in_flight = f.in_flight,
        .queued = static_cast<int>(f.users_waiting + f.guests_waiting),
        .service_time = f.served > 0 ? from_seconds(f.service_seconds) : Micros{0},
        .user_arrivals = f.user_arrivals,
        .guest_arrivals = f.guest_arrivals};
    for (const auto& [id, peer] : f.peers) {
      if (peer.counters.id.empty()) continue;
      seen.peers.push_back(peer.counters);
      seen.peers.back().ejected = peer.is_up ? peer.outlier.ejected : Ejection::none;
    }
    observation.functions.push_back(std::move(seen));
  }
  return observation;
}

}  // namespace dfaas
