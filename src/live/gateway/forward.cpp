// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One try at a neighbour, through the front door's egress socket.
///
/// Two ways to offer a call. *Confirmed*: the head goes alone with "Expect: 100-continue", the neighbour
/// answers 100 when it has a slot and starts the function only when the body, or its end, arrives: what
/// was refused, timed out or cut off before that has certainly not run. *Together*: for functions that may
/// run twice (dfaas.retry: safe) a small body travels with the head, and an interim 102 tells that a slot
/// was taken; this saves a round trip.
#include <array>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "core/base/assert.hpp"
#include "live/gateway/body_pump.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

constexpr std::size_t piece_bytes = 32 * 1024;
constexpr Millis connect_patience{2'000};

/// A try in progress; lives in the frame of forward_to().
struct Try {
  GatewayCore* core;
  CallPtr call;
  NodeId peer;
  ClientConnection connection;
  bool together = false;
  bool accepted = false;
  BodyPump pump;
  Instant since;
  ForwardEnd end;
};

RequestHead request_for(const GatewayCore& core, const CallPtr& call, const PeerPlan& peer,
                        bool together) {
  RequestHead head{
      .method = call->head.method, .target = call->head.target, .headers = call->head.headers};
  head.headers.add("DFaaS-To", fmt::format("p{}", peer.slot));
  head.headers.add("DFaaS-Function",
                   call->function.full() + ";" + core.dispatcher.digest(call->function));
  head.headers.add("DFaaS-Deadline-Ms", std::to_string(time_left(call).count()));
  head.headers.set("X-Call-Id", call->call_id);
  if (together) {
    head.body = {.length = call->body.size()};
  } else {
    head.expects_continue = true;
    // An empty body is sent as chunks too: its last chunk confirms that we heard the 100.
    head.body = call->head.body.length.value_or(0) > 0
                    ? call->head.body
                    : BodyFraming{.length = std::nullopt, .chunked = true};
  }
  return head;
}

/// Passes the answer on as it comes.
asio::awaitable<void> deliver(Try* attempt, ResponseHead head) {
  const CallPtr call = attempt->call;
  ServerConnection& user = *call->connection;
  attempt->end.kind = ForwardEnd::Kind::answered;
  attempt->end.status = head.status;
  head.headers.remove_prefixed("DFaaS-");
  head.headers.set("X-Call-Id", call->call_id);
  head.headers.remove("X-Server");
  add_server_headers(head.headers, attempt->peer, attempt->core->name_of(attempt->peer));
  if (call->explain) {
    auto steps = call->steps;
    steps.push_back({attempt->core->name_of(attempt->peer), "served", now() - attempt->since});
    head.headers.add("DFaaS-Decision", steps_text(steps));
  }
  head.keep_alive = true;
  const bool until_close = !head.body.length && !head.body.chunked;
  if (until_close) head.body.chunked = true;
  call->answer_begun = true;
  user.write_head(std::move(head));
  if (!attempt->connection.body_at_hand() && !co_await user.flush_head()) {
    call->gone = true;
    attempt->connection.close();
    co_return;
  }
  std::array<char, piece_bytes> piece{};
  for (;;) {
    const auto filled = co_await attempt->connection.read_body(piece, time_left(call));
    if (!filled) {
      attempt->end.complete = false;
      co_return;
    }
    if (*filled == 0) break;
    if (!co_await user.write_body(std::span(piece).first(*filled), time_left(call))) {
      call->gone = true;
      attempt->connection.close();
      co_return;
    }
  }
  attempt->end.complete = (co_await user.finish_body()).has_value();
}

/// An answer that the neighbour's gateway did not write: some front door on the way did.
void judge_front_door_answer(Try* attempt, const ResponseHead& head) {
  ForwardEnd& end = attempt->end;
  const bool may_have_run = attempt->accepted || attempt->together;
  if (head.status == 403) {
    end = {.kind = ForwardEnd::Kind::not_started, .outcome = Outcome::limit};
  } else if (may_have_run && head.status != 503) {
    end = {.kind = ForwardEnd::Kind::lost};
  } else {
    end = {.kind = ForwardEnd::Kind::not_started, .outcome = Outcome::unreachable};
  }
}

void judge_silence(Try* attempt) {
  const CallPtr call = attempt->call;
  if (call->over()) {
    attempt->end.kind = ForwardEnd::Kind::over;
  } else if (attempt->accepted) {
    attempt->end.kind = ForwardEnd::Kind::lost;
  } else {
    // Sent together, it may have run, but then it may also run twice: elsewhere at once.
    attempt->end = {.kind = ForwardEnd::Kind::not_started, .outcome = Outcome::unreachable};
  }
}

/// Waits for the answer's head and passes it on. The slot at the neighbour is taken.
asio::awaitable<void> await_answer(Try* attempt) {
  const CallPtr call = attempt->call;
  auto head = co_await attempt->connection.read_head(time_left(call));
  while (head && head->status < 200) head = co_await attempt->connection.read_head(time_left(call));
  if (!head) {
    judge_silence(attempt);
  } else if (head->headers.get("DFaaS-Node-ID") != attempt->peer.text()) {
    judge_front_door_answer(attempt, *head);
  } else {
    co_await deliver(attempt, std::move(*head));
    if (call->over() && attempt->end.kind == ForwardEnd::Kind::answered && !attempt->end.complete) {
      attempt->end.kind = ForwardEnd::Kind::over;
    }
  }
  // Nobody wants the rest of the body: of an answered call, or because a lost one cannot be replayed.
  if (!attempt->together && !call->body_complete) stop_pump(&attempt->pump);
  if (attempt->end.kind != ForwardEnd::Kind::answered) attempt->connection.close();
}

}  // namespace

asio::awaitable<Result<ConnectionPool::Taken>> ConnectionPool::take(Millis patience) {
  while (!idle_.empty()) {
    ClientConnection connection = std::move(idle_.back());
    idle_.pop_back();
    if (!connection.stale()) {
      co_return Taken{.connection = std::move(connection), .is_fresh = false};
    }
  }
  auto connection = co_await ClientConnection::connect(endpoint_, patience, tls_);
  if (!connection) co_return pass_on(std::move(connection));
  co_return Taken{.connection = std::move(*connection)};
}

void ConnectionPool::give_back(ClientConnection connection) {
  if (connection.reusable() && idle_.size() < idle_max) idle_.push_back(std::move(connection));
}

asio::awaitable<ForwardEnd> forward_to(GatewayCore* core, CallPtr call, NodeId peer) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  const Instant since = now();
  const PeerPlan* plan = core->dispatcher.peer(peer);
  if (plan == nullptr || !plan->up) co_return ForwardEnd{};
  const bool together = call->body_complete && core->dispatcher.traits(call->function).retry_safe;
  RequestHead request = request_for(*core, call, *plan, together);
  const auto limit =
      std::chrono::ceil<Millis>(core->dispatcher.attempt_time_limit(call->function, peer));

  auto taken = co_await core->egress.take(connect_patience);
  if (!taken) co_return ForwardEnd{};
  Try attempt{.core = core,
              .call = call,
              .peer = peer,
              .connection = std::move(taken->connection),
              .together = together,
              .pump = {.core = core, .call = call, .to = nullptr},
              .since = since};
  attempt.pump.to = &attempt.connection;
  call->abort = [&attempt] { attempt.connection.close(); };
  if (call->over()) {
    call->abort = nullptr;
    co_return ForwardEnd{.kind = ForwardEnd::Kind::over};
  }
  const Millis patience = std::min(limit, time_left(call));
  const std::string_view body = together ? std::string_view(call->body) : std::string_view();
  Result<ResponseHead> head = fail(ErrorCode::unavailable, "not sent");
  if (co_await attempt.connection.write_request(std::move(request), body, patience)) {
    head = co_await attempt.connection.read_head(patience);
  }
  if (!head) {
    judge_silence(&attempt);
    attempt.connection.close();
  } else if (const auto outcome = parse_outcome(head->headers.get("DFaaS-Outcome"))) {
    attempt.end = {.kind = ForwardEnd::Kind::not_started, .outcome = *outcome};
    if (together) {
      // Read the refusal's short text, so that the connection can be used again.
      std::array<char, 1024> piece{};
      const auto rest = co_await attempt.connection.read_body(piece, patience);
      if (rest && *rest > 0) std::ignore = co_await attempt.connection.read_body(piece, patience);
    }
  } else if (head->status < 200) {
    attempt.accepted = true;
    core->dispatcher.accepted(call->id, now());
    if (together) {
      co_await await_answer(&attempt);
    } else {
      co_await (await_answer(&attempt) && pump_body(&attempt.pump));
    }
  } else if (head->headers.get("DFaaS-Node-ID") != peer.text()) {
    judge_front_door_answer(&attempt, *head);
  } else {
    core->dispatcher.accepted(call->id, now());
    co_await deliver(&attempt, std::move(*head));
  }
  call->abort = nullptr;
  attempt.end.replayable = call->body_complete && !call->answer_begun;
  if (call->over() && !call->answer_begun) attempt.end.kind = ForwardEnd::Kind::over;
  core->egress.give_back(std::move(attempt.connection));
  co_return attempt.end;
}

}  // namespace dfaas
