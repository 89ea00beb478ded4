// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The life of one function call: read ahead, ask the rules, do what they say, record it.
#include <array>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"
#include "live/gateway/gateway_core.hpp"
#include "live/gateway/platform.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// A peer of ours may give a forwarded call less time than the function has.
constexpr Millis read_ahead_patience{10'000};

/// Nanoseconds since 1970, as OpenFaaS writes it.
std::string start_time_text() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

/// Reads what fits beside the head, so that it can be offered twice, and so that a sender who stands still holds no
/// slot. A client that waits for "100 Continue" is not asked for its body before somebody wants it.
asio::awaitable<bool> read_ahead(const GatewayCore* core, CallPtr call) {
  const std::size_t room = core->settings.buffered_body_bytes;
  if (call->head.body.empty()) {
    call->body_complete = true;
    co_return true;
  }
  if (call->head.expects_continue) co_return true;
  std::array<char, 4096> piece{};
  while (call->body.size() < room) {
    const std::size_t want = std::min(piece.size(), room - call->body.size());
    const auto filled =
        co_await call->connection->read_body(std::span(piece).first(want), read_ahead_patience);
    if (!filled) co_return false;
    if (*filled == 0) {
      call->body_complete = true;
      co_return true;
    }
    call->body.append(piece.data(), *filled);
    call->body_bytes += *filled;
  }
  call->body_complete = call->connection->body_done();
  co_return true;
}

asio::awaitable<void> wait_in_queue(CallPtr call) {
  while (!call->started && !call->removed && !call->moved && !call->over()) {
    call->wake.expires_at(asio::steady_timer::time_point::max());
    std::ignore = co_await call->wake.async_wait(as_result);
  }
}

/// Refusals, in the words of HTTP: a user may try again soon, a neighbour elsewhere at once.
struct Refusal {
  int status;
  std::string_view text;
};

Refusal refusal_of(Outcome reason) {
  switch (reason) {
    case Outcome::busy:
      return {503, "every slot is taken, here and at the neighbours that were asked\n"};
    case Outcome::limit:
      return {429, "over the share that this node grants\n"};
    case Outcome::draining:
      return {503, "this node is about to stop\n"};
    case Outcome::unknown:
      return {404, "no such function on this node or its neighbours\n"};
    case Outcome::late:
      return {504, "the deadline would pass first\n"};
    case Outcome::unreachable:
      return {502, "the neighbour that had the call was lost\n"};
  }
  return {503, "refused\n"};
}

constexpr std::string_view platform_away_text =
    "the platform of this node does not answer, and no neighbour took the call\n";

/// As its watchdog would say it: a limit that the function set itself, and no more slots by a label.
bool is_over_inflight_max(const GatewayCore& core, const Call& call, Outcome reason) {
  const auto found = core.functions.find(call.function);
  return reason == Outcome::busy && found != core.functions.end() &&
         found->second.plan.watchdog.max_inflight && !found->second.traits.slots;
}

asio::awaitable<CallEnd> refuse(GatewayCore* core, CallPtr call, Outcome reason) {
  Refusal refusal = refusal_of(reason);
  if (core->platform && !core->platform->can_run()) {
    if (reason == Outcome::busy) refusal.text = platform_away_text;
    // What it has is not known yet: that is no 404.
    if (reason == Outcome::unknown && !core->platform->list) {
      refusal = {503, platform_away_text};
    }
  }
  if (call->from.empty() && is_over_inflight_max(*core, *call, reason)) refusal.status = 429;
  ResponseHead head{.status = refusal.status};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-Call-Id", call->call_id);
  head.headers.add("X-OpenFaaS-Internal", "proxy");
  add_server_headers(head.headers, core->settings.self, core->settings.name.text());
  if (refusal.status == 503 || refusal.status == 429) head.headers.add("Retry-After", "1");
  if (call->from.empty()) {
    if (call->explain) head.headers.add("DFaaS-Decision", steps_text(call->steps));
  } else {
    head.headers.add("DFaaS-Outcome", std::string(to_text(reason)));
    head.headers.add("DFaaS-Room", std::to_string(core->dispatcher.room(call->function, now())));
  }
  call->answer_begun = true;
  std::ignore = co_await call->connection->respond(std::move(head), std::string(refusal.text));
  const bool lost = reason == Outcome::unreachable || reason == Outcome::late;
  co_return CallEnd{.end = lost ? GatewayMetrics::End::failed : GatewayMetrics::End::refused,
                    .by = std::string(to_text(reason)),
                    .status = refusal.status};
}

/// The body is too large (told so, before anything runs) or too slow.
asio::awaitable<CallEnd> refuse_body(GatewayCore* core, CallPtr call, int status,
                                     std::string text) {
  ResponseHead head{.status = status};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-Call-Id", call->call_id);
  head.headers.add("X-OpenFaaS-Internal", "proxy");
  add_server_headers(head.headers, core->settings.self, core->settings.name.text());
  call->answer_begun = true;
  std::ignore = co_await call->connection->respond(std::move(head), std::move(text));
  constexpr int too_large_status = 413;
  if (status == too_large_status) {
    co_return CallEnd{.end = GatewayMetrics::End::refused, .by = "too_large", .status = status};
  }
  co_return CallEnd{.end = GatewayMetrics::End::failed, .by = "body_too_slow", .status = status};
}

asio::awaitable<CallEnd> refuse_large_body(GatewayCore* core, CallPtr call) {
  std::string text = too_large_text(core->settings);
  co_return co_await refuse_body(core, call, 413, std::move(text));
}

asio::awaitable<CallEnd> refuse_slow_body(GatewayCore* core, CallPtr call) {
  std::string text(too_slow_text);
  co_return co_await refuse_body(core, call, 408, std::move(text));
}

/// Why a call is over before it was served.
std::string_view over_text(const CallPtr& call) {
  if (call->gone) return "user_left";
  if (call->too_slow) return "body_too_slow";
  return call->too_large ? "too_large" : "late";
}

int status_when_over(const CallPtr& call) {
  if (call->too_slow) return 408;
  return call->too_large ? 413 : 504;
}

/// The user left, or the time is up, or the body is too large: nobody waits for a result, or a 504 or 413
/// says so.
asio::awaitable<CallEnd> give_up(GatewayCore* core, CallPtr call) {
  core->dispatcher.abandoned(call->id, now());
  core->pump();
  if (call->gone) {
    constexpr int client_closed_request = 499;
    co_return CallEnd{
        .end = GatewayMetrics::End::failed, .by = "user_left", .status = client_closed_request};
  }
  if (call->answer_begun) {
    call->connection->close();
    co_return CallEnd{.end = GatewayMetrics::End::failed,
                      .by = std::string(over_text(call)),
                      .status = status_when_over(call)};
  }
  if (call->too_slow) co_return co_await refuse_slow_body(core, call);
  if (call->too_large) co_return co_await refuse_large_body(core, call);
  co_return co_await refuse(core, call, Outcome::late);
}

void note(const CallPtr& call, std::string where, std::string what, Instant since) {
  call->steps.push_back({std::move(where), std::move(what), now() - since});
}

/// As neighbours are judged: what the function answers below 500 is its own affair.
Answer answer_of(int status, bool is_complete) {
  constexpr int server_error = 500;
  return is_complete && status < server_error ? Answer::good : Answer::failed;
}

bool is_good(int status) { return status >= 200 && status < 300; }

/// A neighbour's answer to a call of our users, for the agent.
void count_answer(GatewayCore* core, const CallPtr& call, const NodeId& peer,
                  const ForwardEnd& forward, Micros took) {
  if (!core->dispatcher.knows(call->function)) return;
  AnswerCounters::Peer& counters = core->answers[call->function].peers[peer];
  if (forward.complete && is_good(forward.status)) ++counters.good;
  counters.answer_time += took;
}

/// The end of a call of our users, for the agent. An answer that was cut off was a neighbour's.
void count_end(GatewayCore* core, const CallPtr& call, const CallEnd& end, Micros took) {
  if (end.end == GatewayMetrics::End::served_by_peer || end.by == "cut_off") return;
  if (!core->dispatcher.knows(call->function)) return;
  AnswerCounters& counters = core->answers[call->function];
  ++counters.kept;
  if (is_good(end.status)) ++counters.kept_good;
  if (end.end != GatewayMetrics::End::served_here) return;
  ++counters.served_here;
  counters.served_here_time += took;
}

// --- recordings (dfaas node record); nothing where nobody records

void record_arrival(GatewayCore* core, Call& call) {
  // What nobody runs is no load that a replay could place.
  if (core->recordings.empty() || !core->dispatcher.knows(call.function)) return;
  call.recorded_as = core->recordings.called(call.function, call.call_id, now());
}

/// The time that its slot was taken, with all that it takes to start it and to hand out its answer.
void record_run(GatewayCore* core, const Call& call, Micros held) {
  if (core->recordings.empty()) return;
  if (!call.from.empty()) {
    core->recordings.tell(trace_line(RecordedRun{.origin = call.from,
                                                 .call_id = call.call_id,
                                                 .function = call.function,
                                                 .service_time = held}));
  } else if (call.recorded_as != 0) {
    core->recordings.tell(
        event_line(recorded_event::Ran{.number = call.recorded_as, .service_time = held}));
  }
}

void record_end(GatewayCore* core, const Call& call, GatewayMetrics::End end) {
  if (core->recordings.empty() || call.recorded_as == 0) return;
  constexpr std::array<RecordedResult, 4> results{RecordedResult::served_here,
                                                  RecordedResult::served_by_peer,
                                                  RecordedResult::refused, RecordedResult::failed};
  core->recordings.tell(event_line(recorded_event::Ended{
      .number = call.recorded_as, .result = results.at(static_cast<std::size_t>(end))}));
}

/// Neighbours that were passed over, for those who ask why.
void note_ejected(const GatewayCore& core, const CallPtr& call) {
  for (const auto& [peer, why] : core.dispatcher.ejected(call->function)) {
    call->steps.push_back(
        {core.name_of(peer), "set aside: " + std::string(to_text(why)), Micros{0}});
  }
}

/// Does what the rules say until the call is over.
asio::awaitable<CallEnd> follow(GatewayCore* core, CallPtr call, Decision decision) {
  for (;;) {
    switch (decision.kind) {
      case Decision::Kind::refuse:
        note(call, "here", std::string("refused ") + std::string(to_text(decision.reason)),
             call->arrived);
        co_return co_await refuse(core, call, decision.reason);
      case Decision::Kind::queue: {
        const Instant since = now();
        co_await wait_in_queue(call);
        note(call, "queue", "waited", since);
        if (call->over()) co_return co_await give_up(core, call);
        if (call->moved) {
          decision = *std::exchange(call->moved, std::nullopt);
          continue;
        }
        decision = call->removed
                       ? Decision{.kind = Decision::Kind::refuse, .reason = Outcome::unknown}
                       : Decision{.kind = Decision::Kind::serve};
        continue;
      }
      case Decision::Kind::serve: {
        const Instant since = now();
        CallEnd end = co_await run_here(core, call);
        if (end.not_run) {
          note(call, "here", end.by, since);
          if (call->over()) co_return co_await give_up(core, call);
          decision = core->dispatcher.not_run(call->id, now());
          core->pump();
          continue;
        }
        note(call, "here", end.by == "here" ? "served" : end.by, since);
        core->dispatcher.finished(call->id, end.service_time, now(), answer_of(end.status, true));
        record_run(core, *call, now() - call->slot_since.value_or(since));
        core->pump();
        co_return end;
      }
      case Decision::Kind::try_peer:
        break;
    }
    const Instant since = now();
    const NodeId peer = decision.peer;
    const std::string peer_name = core->name_of(peer);
    const ForwardEnd forward = co_await forward_to(core, call, peer);
    switch (forward.kind) {
      case ForwardEnd::Kind::answered: {
        core->metrics.forward(call->label, peer_name, "served");
        note(call, peer_name, "served", since);
        count_answer(core, call, peer, forward, now() - since);
        core->dispatcher.finished(call->id, std::nullopt, now(),
                                  answer_of(forward.status, forward.complete));
        core->pump();
        if (forward.complete) {
          co_return CallEnd{.end = GatewayMetrics::End::served_by_peer,
                            .by = peer_name,
                            .status = forward.status};
        }
        call->connection->close();
        co_return CallEnd{
            .end = GatewayMetrics::End::failed, .by = "cut_off", .status = forward.status};
      }
      case ForwardEnd::Kind::over:
        core->metrics.forward(call->label, peer_name, std::string(over_text(call)));
        note(call, peer_name, std::string(over_text(call)), since);
        co_return co_await give_up(core, call);
      case ForwardEnd::Kind::not_started: {
        const std::string outcome(to_text(forward.outcome));
        core->metrics.forward(call->label, peer_name, outcome);
        note(call, peer_name, outcome, since);
        decision = core->dispatcher.not_started(call->id, forward.outcome, now());
        break;
      }
      case ForwardEnd::Kind::lost:
        core->metrics.forward(call->label, peer_name, "lost");
        note(call, peer_name, "lost", since);
        decision = core->dispatcher.lost(call->id, forward.replayable, now());
        break;
    }
    core->pump();
    call->peer_lost = false;
    if (call->over()) co_return co_await give_up(core, call);
  }
}

void arm_deadline(const CallPtr& call, Micros left) {
  call->deadline_timer.expires_after(left);
  call->deadline_timer.async_wait(
      [weak = std::weak_ptr<Call>(call)](const boost::system::error_code& error) {
        const CallPtr waiting = weak.lock();
        if (error || !waiting) return;
        waiting->late = true;
        waiting->interrupt();
      });
}

void record(GatewayCore* core, const CallPtr& call, const CallEnd& end) {
  const Micros took = now() - call->arrived;
  constexpr std::array<std::string_view, 4> results{"served_here", "served_by_peer", "refused",
                                                    "failed"};
  const std::string_view result = results.at(static_cast<std::size_t>(end.end));
  const bool served =
      end.end == GatewayMetrics::End::served_here || end.end == GatewayMetrics::End::served_by_peer;
  if (call->from.empty()) {
    core->metrics.ended(call->label, end.end, end.by, end.status, took);
    count_end(core, call, end, took);
  } else {
    core->metrics.guest(call->label, call->from_name, served ? "served" : end.by);
  }
  core->decisions.add({.call_id = call->call_id,
                       .function = call->label,
                       .origin = call->from.empty() ? "user" : call->from.text(),
                       .time = rfc3339_now(),
                       .result = std::string(result),
                       .reason = served ? "" : end.by,
                       .status = end.status,
                       .took = took,
                       .steps = std::move(call->steps)});
}

/// What a neighbour says with a forwarded call.
struct GuestTerms {
  std::string digest;
  std::optional<Micros> time_left;
};

GuestTerms guest_terms(const Headers& headers) {
  GuestTerms terms;
  const std::string_view function = headers.get("DFaaS-Function");
  if (const std::size_t at = function.find(';'); at != std::string_view::npos) {
    terms.digest = std::string(trim(function.substr(at + 1)));
  }
  constexpr std::uint64_t day_ms = 86'400'000;
  if (const auto left = parse_unsigned(headers.get("DFaaS-Deadline-Ms"))) {
    terms.time_left = Millis{std::min(*left, day_ms)};
  }
  return terms;
}

}  // namespace

std::string choose_call_id(const Headers& headers) {
  const std::string_view given = headers.get("X-Call-Id");
  constexpr std::size_t length_max = 64;
  const bool is_harmless =
      !given.empty() && given.size() <= length_max &&
      given.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") ==
          std::string_view::npos;
  return is_harmless ? std::string(given) : make_call_id();
}

asio::awaitable<void> serve_function_call(GatewayCore* core, ServerConnection* connection,
                                          RequestHead head, FunctionCallRoute route, NodeId from) {
  const auto call = std::make_shared<Call>(core->executor);
  call->id = core->next_id++;
  call->call_id = choose_call_id(head.headers);
  call->function = std::move(route.function);
  call->path = std::move(route.path);
  call->query = std::move(route.query);
  call->connection = connection;
  call->arrived = now();
  call->from = from;
  call->explain = call->from.empty() && head.headers.get("DFaaS-Explain") == "1";
  const GuestTerms terms = call->from.empty() ? GuestTerms{} : guest_terms(head.headers);
  head.headers.remove_prefixed("DFaaS-");
  head.headers.set("X-Call-Id", call->call_id);
  if (head.headers.find("X-Start-Time") == nullptr) {
    head.headers.add("X-Start-Time", start_time_text());
  }
  call->head = std::move(head);
  call->label = core->dispatcher.knows(call->function) ? call->function.full() : "unknown";
  if (!call->from.empty()) call->from_name = core->name_of(call->from);

  const bool is_user = call->from.empty();
  if (is_user) core->metrics.offered(call->label);
  core->metrics.in_flight(call->label, 1);
  core->calls.emplace(call->id, call);

  Micros left =
      core->dispatcher.traits(call->function).timeout.value_or(core->settings.exec_timeout);
  if (terms.time_left) left = std::min(left, *terms.time_left);
  call->deadline = call->arrived + left;
  arm_deadline(call, left);

  CallEnd end;
  if (call->head.body.length.value_or(0) > core->settings.request_bytes_max) {
    end = co_await refuse_large_body(core, call);
  } else if (is_user && !co_await read_ahead(core, call)) {
    end = {.end = GatewayMetrics::End::failed, .by = "body_cut_off", .status = 400};
    connection->close();
  } else {
    watch_hangup(call);
    if (is_user) record_arrival(core, *call);
    const Decision decision =
        is_user ? core->dispatcher.arrive_user(call->id, call->function, now())
                : core->dispatcher.arrive_guest(call->id, call->function, terms.digest, call->from,
                                                terms.time_left, now());
    if (is_user && decision.kind != Decision::Kind::serve) note_ejected(*core, call);
    core->pump();  // An arrival may let others start who waited for the home reserve to fade.
    end = co_await follow(core, call, decision);
  }
  connection->stop_watching();
  call->deadline_timer.cancel();
  call->abort = nullptr;
  core->calls.erase(call->id);
  core->metrics.in_flight(call->label, -1);
  record(core, call, end);
  record_end(core, *call, end.end);
  core->tell_if_idle();
}

}  // namespace dfaas
