// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/loadgen/load_generator.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/assert.hpp"
#include "core/base/duration.hpp"
#include "core/workload/schedule.hpp"
#include "core/workload/tally.hpp"
#include "live/net/http.hpp"
#include "live/net/task_group.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// Servers close idle connections after 5 s and more; we are faster, so that they do not surprise us.
constexpr seconds idle_max{4};
constexpr seconds identify_patience{5};
constexpr rlim_t descriptors_reserved = 64;  ///< For the rest of the process.
constexpr std::size_t error_kinds_max = 16;
constexpr std::size_t servers_max = 256;
constexpr const char* unnamed_server = "unknown";

struct IdleConnection {
  ClientConnection connection;
  Clock::time_point since;
};

struct Target {
  std::string authority;
  Endpoint endpoint;
  std::string node_id;  ///< Empty: it did not say who it is.
  std::vector<IdleConnection> idle;
};

struct Request {
  Target* target = nullptr;
  RequestHead head;
  std::string_view body;  ///< In the plan.
};

RequestHead request_head(const LoadPhase& phase) {
  RequestHead head{.method = phase.method, .target = phase.target.path};
  head.headers.add("Host", phase.target.authority());
  for (const Header& header : phase.headers) head.headers.add(header.name, header.value);
  head.body = {.length = phase.body.size()};
  return head;
}

bool may_be_repeated(const RequestHead& head) {
  return head.method == "GET" || head.method == "HEAD";
}

/// What is left until `deadline`, at least 1 ms: a wait needs some time to see what is there already.
Millis left_until(Clock::time_point deadline) {
  return std::max(std::chrono::ceil<Millis>(deadline - Clock::now()), Millis{1});
}

}  // namespace

struct LoadRun {
  LoadRun(asio::any_io_executor loop, LoadPlan valid_plan)
      : executor(std::move(loop)),
        plan(std::move(valid_plan)),
        tally(plan.phases.size()),
        tasks(executor),
        timer(executor) {}

  asio::any_io_executor executor;
  LoadPlan plan;
  LoadTally tally;
  LoadReport report;
  TaskGroup tasks;
  asio::steady_timer timer;
  LoadGenerator::OnSecond on_second;
  LoadGenerator::OnDone on_done;
  LoadGenerator::OnEnd on_end;
  std::optional<Clock::time_point> begin;

  std::map<std::string, Target> targets;                         ///< By authority.
  std::vector<Request> requests;                                 ///< By phase.
  std::map<std::string, std::string, std::less<>> server_names;  ///< By node id.
  std::optional<Error> error;                                    ///< Why the run could not begin.

  Clock::time_point start;
  bool has_started = false;  ///< `start` is set.
  bool is_stopping = false;
  bool is_done = false;
  Micros offered_until{0};  ///< Every request meant for before this has been offered.
  std::size_t outstanding = 0;
  /// Answers are read into this and forgotten: whoever's they are, nobody looks.
  std::array<char, 64 * 1024> scratch;

  [[nodiscard]] Micros elapsed() const {
    return has_started ? std::chrono::duration_cast<Micros>(Clock::now() - start) : Micros{0};
  }

  void report_seconds(Micros passed) {
    for (const LoadSecond& second : tally.finished(passed)) on_second(second);
  }

  void settle(const LoadArrival& arrival, const LoadOutcome& outcome, int status) {
    tally.settle(arrival, outcome);
    if (on_end) on_end(arrival, outcome, status);
    report_seconds(std::min(elapsed(), offered_until));
  }

  void count_error(const std::string& message) {
    auto found = report.errors.find(message);
    if (found == report.errors.end()) {
      const bool is_full = report.errors.size() >= error_kinds_max;
      found = report.errors.emplace(is_full ? "other reasons" : message, 0).first;
    }
    ++found->second;
  }

  std::optional<ClientConnection> take_idle(Target& target) {
    while (!target.idle.empty()) {
      IdleConnection last = std::move(target.idle.back());
      target.idle.pop_back();
      if (Clock::now() - last.since > idle_max) {
        target.idle.clear();  // Those below have waited longer.
        return std::nullopt;
      }
      if (!last.connection.stale()) return std::move(last.connection);
    }
    return std::nullopt;
  }

  /// Empty: the target itself. Otherwise the name of a peer, or its id, or "unknown".
  std::string_view server_of(const Target& target, const ResponseHead& answer) {
    const std::string_view id = answer.headers.get("DFaaS-Node-ID");
    if (!id.empty() && id == target.node_id) return {};
    const auto known = server_names.find(id);
    if (known != server_names.end()) return known->second;
    // Both come from outside and end up in files and on terminals: only what is a name gets there.
    std::string name = unnamed_server;
    if (const auto parsed = NodeId::parse(id)) name = parsed->text();
    if (const auto parsed = NodeName::parse(answer.headers.get("X-Server"))) name = parsed->text();
    if (server_names.size() >= servers_max) return unnamed_server;
    return server_names.emplace(std::string(id), std::move(name)).first->second;
  }

  void finish() {
    is_done = true;
    targets.clear();
    report.elapsed = elapsed();
    report.was_cancelled = is_stopping;
    report.seed = plan.seed;
    if (has_started) {
      report_seconds(std::chrono::ceil<seconds>(is_stopping ? report.elapsed : plan.end()));
    }
    for (std::size_t phase = 0; phase < plan.phases.size(); ++phase) {
      report.phases.push_back({.name = plan.phases[phase].name, .summary = tally.summary(phase)});
    }
    report.total = tally.total();
    Result<LoadReport> result = std::move(report);
    if (error) result = tl::unexpected(std::move(*error));
    // Posted, so that it may destroy the generator.
    asio::post(executor, [done = std::move(on_done), result = std::move(result)]() mutable {
      done(std::move(result));
    });
  }
};

namespace {

/// One request and its answer, whose body is read and dropped.
asio::awaitable<Result<ResponseHead>> exchange_on(ClientConnection* connection, RequestHead head,
                                                  std::string_view body, Clock::time_point deadline,
                                                  std::span<char> scratch) {
  auto sent = co_await connection->write_request(std::move(head), body, left_until(deadline));
  if (!sent && sent.error().code == ErrorCode::timed_out) co_return pass_on(std::move(sent));
  // Also after a failed write: a server may refuse, and close, before it has read a large body.
  auto answer = co_await connection->read_head(left_until(deadline));
  while (answer && answer->status >= 100 && answer->status < 200) {
    answer = co_await connection->read_head(left_until(deadline));
  }
  if (!answer) {
    if (!sent) co_return pass_on(std::move(sent));
    co_return answer;
  }
  for (;;) {
    const auto filled = co_await connection->read_body(scratch, left_until(deadline));
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return answer;
  }
}

asio::awaitable<Result<ResponseHead>> exchange(LoadRun* run, const Request* request,
                                               std::string_view body, Clock::time_point deadline) {
  Target& target = *request->target;
  std::optional<ClientConnection> connection = run->take_idle(target);
  bool is_reused = connection.has_value();
  for (;;) {
    if (!connection) {
      auto made = co_await ClientConnection::connect(target.endpoint, left_until(deadline));
      if (!made) co_return pass_on(std::move(made));
      connection.emplace(std::move(*made));
    }
    RequestHead head = request->head;
    head.body.length = body.size();
    auto answer = co_await exchange_on(&*connection, std::move(head), body, deadline, run->scratch);
    if (answer && connection->reusable()) {
      target.idle.push_back({std::move(*connection), Clock::now()});
    }
    const bool was_closed_on_us = !answer && answer.error().code == ErrorCode::unavailable &&
                                  is_reused && !connection->answer_begun();
    if (!was_closed_on_us || !may_be_repeated(request->head) || run->is_stopping) co_return answer;
    ++run->report.retried;
    is_reused = false;
    connection.reset();
  }
}

asio::awaitable<void> send(LoadRun* run, LoadArrival arrival) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const Request& request = run->requests[arrival.phase];
  const auto intended = run->start + arrival.at;
  const auto late = std::chrono::duration_cast<Micros>(Clock::now() - intended);
  run->tally.start(arrival, late);
  const std::vector<TimedRequest>& timed = run->plan.phases[arrival.phase].requests;
  const std::string_view body = timed.empty() ? request.body : timed[arrival.number].body;
  const auto answer = co_await exchange(run, &request, body, intended + run->plan.timeout);
  --run->outstanding;
  if (!answer) {
    if (run->is_stopping) {
      ++run->report.unfinished;
      run->tally.withdraw(arrival);
      co_return;
    }
    run->count_error(answer.error().code == ErrorCode::timed_out
                         ? "no complete answer within " + duration_text(run->plan.timeout)
                         : answer.error().message);
    const LoadOutcome lost{.end = LoadEnd::transport_error};
    run->settle(arrival, lost, 0);
    co_return;
  }
  LoadOutcome outcome{.end = load_end_of(answer->status)};
  if (outcome.end == LoadEnd::served_by_peer) {
    outcome.latency = std::chrono::duration_cast<Micros>(Clock::now() - intended);
    outcome.peer = run->server_of(*request.target, *answer);
    if (outcome.peer.empty()) outcome.end = LoadEnd::served_local;
  }
  run->settle(arrival, outcome, answer->status);
}

void offer(LoadRun* run, const LoadArrival& arrival) {
  run->tally.offer(arrival);
  if (run->outstanding >= run->plan.outstanding_max) {
    ++run->report.over_limit;
    run->count_error("not sent: too many requests were open");
    run->settle(arrival, {.end = LoadEnd::transport_error}, 0);
    return;
  }
  ++run->outstanding;
  run->tasks.spawn(send(run, arrival));
}

/// The addresses of a target: itself, if it is one.
asio::awaitable<Result<std::vector<Endpoint>>> resolve(Endpoint endpoint) {
  boost::system::error_code no_address;
  asio::ip::make_address(endpoint.host, no_address);
  if (!no_address) co_return std::vector{endpoint};
  // Bounded by the resolver's own time limits: a look-up in progress cannot be called off.
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  const std::string service = std::to_string(endpoint.port);
  const auto [error, found] = co_await resolver.async_resolve(endpoint.host, service, as_result);
  if (error) {
    co_return fail(ErrorCode::unavailable,
                   fmt::format("looking up {}: {}", endpoint.host, error.message()));
  }
  std::vector<Endpoint> addresses;
  for (const auto& entry : found) {
    Endpoint address = endpoint;
    address.host = entry.endpoint().address().to_string();
    addresses.push_back(std::move(address));
  }
  co_return addresses;
}

/// Settles on an address that takes connections, and asks there who it is. The connection is kept.
asio::awaitable<Result<void>> identify(LoadRun* run, Target* target) {
  auto addresses = co_await resolve(target->endpoint);
  if (!addresses) co_return pass_on(std::move(addresses));
  const auto deadline = Clock::now() + identify_patience;
  auto connection = co_await ClientConnection::connect(addresses->front(), left_until(deadline));
  target->endpoint = addresses->front();
  for (std::size_t index = 1; !connection && index < addresses->size(); ++index) {
    target->endpoint = (*addresses)[index];
    connection = co_await ClientConnection::connect(target->endpoint, left_until(deadline));
  }
  if (!connection) co_return pass_on(std::move(connection));
  RequestHead head{.method = "GET", .target = "/healthz"};
  head.headers.add("Host", target->authority);
  const std::string_view no_body;
  const auto answer =
      co_await exchange_on(&*connection, std::move(head), no_body, deadline, run->scratch);
  if (!answer) co_return Result<void>{};  // It may not know the path; the load will tell.
  if (const auto id = NodeId::parse(answer->headers.get("DFaaS-Node-ID"))) {
    target->node_id = id->text();
  }
  if (connection->reusable()) target->idle.push_back({std::move(*connection), Clock::now()});
  co_return Result<void>{};
}

/// Does what was found behind the targets fit what the phases expect?
Result<void> check_expectations(LoadRun& run) {
  for (std::size_t index = 0; index < run.plan.phases.size(); ++index) {
    const LoadPhase& phase = run.plan.phases[index];
    if (!phase.expected_node) continue;
    std::string& found = run.requests[index].target->node_id;
    if (found.empty()) found = phase.expected_node->text();
    if (found != phase.expected_node->text()) {
      return fail(ErrorCode::conflict,
                  fmt::format("phase \"{}\": target {} is node {}, not {}", phase.name,
                              phase.target.authority(), found, phase.expected_node->text()));
    }
  }
  return {};
}

bool is_expected_anyway(const LoadRun& run, const Target& target) {
  return std::ranges::any_of(run.plan.phases, [&](const LoadPhase& phase) {
    return phase.expected_node && phase.target.authority() == target.authority;
  });
}

asio::awaitable<Result<void>> identify_all(LoadRun* run) {
  for (auto& [authority, target] : run->targets) {
    auto identified = co_await identify(run, &target);
    if (run->is_stopping) co_return Result<void>{};
    if (!identified && !is_expected_anyway(*run, target)) {
      co_return tl::unexpected(std::move(identified).error().within("target " + authority));
    }
  }
  auto checked = check_expectations(*run);
  for (const auto& [authority, target] : run->targets) {
    if (!target.node_id.empty()) continue;
    run->report.notes.push_back(fmt::format(
        "target {} does not say which node it is: all it serves counts as served by peers",
        authority));
  }
  co_return checked;
}

/// Waits for `at`, from the start of the run. False: the run is being stopped.
asio::awaitable<bool> wait_until(LoadRun* run, Micros at) {
  // One second at a time, to report the seconds in which nothing happens.
  while (!run->is_stopping && run->elapsed() < at) {
    run->report_seconds(std::min(run->elapsed(), run->offered_until));
    const Micros next_second = std::chrono::floor<seconds>(run->elapsed()) + seconds{1};
    run->timer.expires_at(run->start + std::min(at, next_second));
    std::ignore = co_await run->timer.async_wait(as_result);
  }
  co_return !run->is_stopping;
}

asio::awaitable<void> follow_plan(LoadRun* run) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto identified = co_await identify_all(run);
  if (!identified) {
    run->error = std::move(identified).error();
    co_return;
  }
  if (run->is_stopping) co_return;
  if (run->begin) {
    run->timer.expires_at(*run->begin);
    std::ignore = co_await run->timer.async_wait(as_result);
    if (run->is_stopping) co_return;
  }
  run->start = run->begin.value_or(Clock::now());
  run->has_started = true;
  LoadSchedule schedule(run->plan);
  for (auto arrival = schedule.next(); arrival; arrival = schedule.next()) {
    run->offered_until = arrival->at;
    if (run->elapsed() < arrival->at && !co_await wait_until(run, arrival->at)) co_return;
    if (run->is_stopping) co_return;
    offer(run, *arrival);
  }
  run->offered_until = std::chrono::ceil<seconds>(run->plan.end());
  const bool is_complete = co_await wait_until(run, run->plan.end());
  if (is_complete) run->report_seconds(run->elapsed());
}

/// The open requests that the limit on descriptors leaves room for.
std::size_t descriptors_left() {
  rlimit limit{};
  DFAAS_ASSERT(::getrlimit(RLIMIT_NOFILE, &limit) == 0, "the limit can always be asked for");
  return limit.rlim_cur > descriptors_reserved ? limit.rlim_cur - descriptors_reserved : 1;
}

}  // namespace

LoadGenerator::LoadGenerator(std::unique_ptr<LoadRun> run) : run_(std::move(run)) {}
LoadGenerator::~LoadGenerator() = default;

Result<std::unique_ptr<LoadGenerator>> LoadGenerator::make(asio::any_io_executor executor,
                                                           LoadPlan plan) {
  if (auto valid = validate(plan); !valid) return pass_on(std::move(valid));
  auto run = std::make_unique<LoadRun>(std::move(executor), std::move(plan));
  if (const std::size_t room = descriptors_left(); room < run->plan.outstanding_max) {
    run->report.notes.push_back(fmt::format(
        "the limit on file descriptors allows {} open requests, not {}: raise it with ulimit -n",
        room, run->plan.outstanding_max));
    run->plan.outstanding_max = room;
  }
  for (const LoadPhase& phase : run->plan.phases) {
    const std::string authority = phase.target.authority();
    Target& target = run->targets[authority];
    target.authority = authority;
    target.endpoint =
        Endpoint{.unix_path = {}, .host = phase.target.host, .port = phase.target.port};
    run->requests.push_back({.target = &target, .head = request_head(phase), .body = phase.body});
  }
  return std::unique_ptr<LoadGenerator>(new LoadGenerator(std::move(run)));
}

void LoadGenerator::start(OnSecond on_second, OnDone on_done) {
  run_->on_second = std::move(on_second);
  run_->on_done = std::move(on_done);
  run_->tasks.spawn(follow_plan(run_.get()));
  run_->tasks.when_empty([run = run_.get()] { run->finish(); });
}

void LoadGenerator::on_end(OnEnd on_end) { run_->on_end = std::move(on_end); }
void LoadGenerator::begin_at(Clock::time_point when) { run_->begin = when; }

void LoadGenerator::cancel() {
  if (run_->is_stopping || run_->is_done) return;
  run_->is_stopping = true;
  // Posted: a task can be told to end only once it has begun, and those spawned have by then.
  asio::post(run_->executor, [run = run_.get()] {
    if (!run->is_done) run->tasks.cancel();
  });
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  // If it is not allowed, make() says how many requests may be open.
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

}  // namespace dfaas
