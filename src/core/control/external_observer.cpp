// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/control/external_observer.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "core/strategy/sharers.hpp"

namespace dfaas {
namespace {

constexpr Micros window_min{1'000};  ///< For what is divided by it.

double grown(std::uint64_t now_is, std::uint64_t was) {
  return static_cast<double>(now_is >= was ? now_is - was : now_is);
}

double grown_ms(Micros now_is, Micros was) {
  return to_millis(now_is >= was ? now_is - was : now_is);
}

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

PeerCounters counted(const FunctionObservation& seen, const NodeId& id) {
  const auto found = std::ranges::find(seen.peers, id, &PeerCounters::id);
  return found == seen.peers.end() ? PeerCounters{} : *found;
}

ExternalWindow window_of(const FunctionObservation& now_is, const FunctionObservation& was,
                         double seconds, double cpu_ratio) {
  const double kept = grown(now_is.kept, was.kept);
  const double good = grown(now_is.kept_good, was.kept_good);
  return {.input = Rate{grown(now_is.user_arrivals, was.user_arrivals) / seconds},
          .reject_ratio = ratio(kept - good, kept),
          .response_time_ms_mean = ratio(grown_ms(now_is.served_here_time, was.served_here_time),
                                         grown(now_is.served_here, was.served_here)),
          .cpu_ratio = cpu_ratio,
          .replicas = now_is.deployed ? 1 : 0};
}

ExternalForwards forwards_of(const PeerCounters& now_is, const PeerCounters& was, double seconds) {
  const double sent = grown(now_is.accepted, was.accepted) + grown(now_is.refused, was.refused) +
                      grown(now_is.unreachable, was.unreachable);
  const double good = grown(now_is.good, was.good);
  // What was sent before and answered since counts as good of this time: never more than was sent.
  return {.sent = Rate{sent / seconds},
          .rejected = Rate{std::max(sent - good, 0.0) / seconds},
          .response_time_ms_mean = ratio(grown_ms(now_is.answer_time, was.answer_time),
                                         grown(now_is.served, was.served))};
}

}  // namespace

std::vector<ExternalQuestion> ExternalObserver::questions(Instant now,
                                                          const GatewayObservation& seen,
                                                          const NodeView& view, double cpu_ratio,
                                                          bool explore) {
  if (boot_ != seen.boot) functions_.clear();
  boot_ = seen.boot;
  std::vector<ExternalQuestion> questions;
  std::set<FunctionName> known;
  for (const FunctionView& function : view.functions) {
    ExternalQuestion question{.function = function.function, .neighbours = {}, .json = {}};
    for (const Sharer& runner : runners_of(view, function.function)) {
      question.neighbours.push_back(runner.node->id);
    }
    if (!function.deployed && question.neighbours.empty()) continue;
    known.insert(function.function);
    const auto found =
        std::ranges::find(seen.functions, function.function, &FunctionObservation::function);
    FunctionObservation counters =
        found == seen.functions.end() ? FunctionObservation{.function = function.function} : *found;
    const auto [place, is_new] = functions_.try_emplace(function.function);
    Last& last = place->second;
    if (is_new) {
      // What came before we looked is no rate of ours.
      last = {.at = now - window_min, .seen = counters, .window = {}, .forwards = {}};
    }
    const double seconds =
        to_seconds(std::max(std::chrono::duration_cast<Micros>(now - last.at), window_min));
    ExternalObservation observation{.self = view.self,
                                    .function = function.function,
                                    .current = window_of(counters, last.seen, seconds, cpu_ratio),
                                    .previous = last.window,
                                    .previous_forwards = {},
                                    .explore = explore};
    std::map<NodeId, ExternalForwards> forwards;
    for (const NodeId& id : question.neighbours) {
      observation.previous_forwards[id] = last.forwards[id];
      forwards[id] = forwards_of(counted(counters, id), counted(last.seen, id), seconds);
    }
    question.json = external_observation_json(observation);
    last = {.at = now,
            .seen = std::move(counters),
            .window = observation.current,
            .forwards = std::move(forwards)};
    questions.push_back(std::move(question));
  }
  std::erase_if(functions_, [&known](const auto& entry) { return !known.contains(entry.first); });
  return questions;
}

void ExternalAnswers::take(const FunctionName& function, ExternalShares shares, Instant now) {
  answers_.insert_or_assign(function, Answer{.shares = std::move(shares), .at = now});
}

ExternalAnswers::InForce ExternalAnswers::in_force(Instant now) {
  InForce result;
  for (const auto& [function, answer] : answers_) {
    if (now - answer.at > keep_) {
      result.expired.push_back(function);
    } else {
      result.shares.emplace(function, answer.shares);
    }
  }
  for (const FunctionName& function : result.expired) answers_.erase(function);
  return result;
}

}  // namespace dfaas
