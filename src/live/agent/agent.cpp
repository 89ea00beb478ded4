// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/agent/agent.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/control/external_observer.hpp"
#include "core/json/fields.hpp"
#include "core/model/membership_summary.hpp"
#include "core/strategy/external_model.hpp"
#include "live/files/files.hpp"
#include "live/haproxy/front_door.hpp"
#include "live/membership/membership.hpp"
#include "live/net/listener.hpp"
#include "live/net/task_group.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr Millis local_patience{2'000};
constexpr Millis proof_patience{3'000};
constexpr Millis watch_time{20'000};  ///< One question for changes of the gateway's functions.
constexpr Millis watch_pause{50};     ///< Between two such changes, however they flap.
constexpr Millis return_pause{20};    ///< Until a gateway that is away is asked again.
constexpr Millis membership_period{500};
constexpr Millis summary_period{1'000};         ///< Of what the gateway shows about members.
constexpr Micros reproof_patience{10'000'000};  ///< For neighbours that an earlier agent admitted.
constexpr Micros proof_retry_min{500'000};
constexpr Micros proof_retry_max{10'000'000};
constexpr Micros proof_retry_gossip_max{120'000'000};  ///< Anybody may name thousands there.
constexpr Micros goodbye_patience{2'000'000};          ///< Its last calls finish all the same.
constexpr Micros silence_patience{10'000'000};  ///< Then a neighbour gives way to others that wait.
constexpr Micros reproof_period{300'000'000};   ///< Of neighbours that are up.
constexpr Millis credits_period{60'000};        ///< Between two savings of the credits.
constexpr std::size_t local_bytes_max = 16U << 20U;
constexpr std::size_t trust_bytes_max = 512U << 10U;  ///< Of certificates and lists of the revoked.

Instant now() {
  return Instant(
      std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now().time_since_epoch()));
}

/// An address of the membership, and how far its proof has got.
struct Candidate {
  Endpoint address;
  std::map<std::string, MemberHint> hints;  ///< Who names it: by source and key.
  std::optional<Instant> unnamed_since;     ///< Nobody does any more.
  std::optional<ProvedPeer> proved;
  Micros rtt{0};  ///< Of connecting, for its proofs; smoothed.
  int slot = 0;
  bool is_self = false;
  bool is_proving = false;
  bool is_admitting = false;
  Instant next_proof{};
  FlapMeter flaps;
  std::optional<Instant> not_up_since;  ///< While it has a slot.
  bool was_up = false;
  bool is_loss_counted = false;
  bool is_doubted = false;  ///< Whom we trust has changed since the proof.
  bool is_denied = false;   ///< A member, but our operator wants none of it.
  Micros retry = proof_retry_min;
  std::string last_complaint;

  /// Empty while the operator's list names it.
  [[nodiscard]] std::string group() const {
    std::string result;
    for (const auto& [key, hint] : hints) {
      if (hint.group.empty()) return {};
      result = hint.group;
    }
    return result;
  }
  [[nodiscard]] std::string label(const std::string& name) const {
    for (const auto& [key, hint] : hints) {
      if (const auto found = hint.labels.find(name); found != hint.labels.end())
        return found->second;
    }
    return {};
  }
};

bool is_up(const std::string& state) { return state == "up" || state == "draining"; }

/// Spikes are queues, not distance: fall fast, rise slowly.
Micros smooth_round_trip(Micros before, Micros sample) {
  if (before.count() == 0 || sample < before) return sample;
  return before + (sample - before) / 4;
}

/// At least so long; none for what is past.
Millis until(Instant time) { return std::max(std::chrono::ceil<Millis>(time - now()), Millis{0}); }

asio::awaitable<void> pause(Millis time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  std::ignore = co_await timer.async_wait(as_result);
}

asio::awaitable<Result<HttpReply>> call_local(Endpoint endpoint, std::string method,
                                              std::string target, std::string body) {
  RequestHead head{.method = std::move(method), .target = std::move(target)};
  head.headers.add("Host", "gateway");
  co_return co_await fetch(std::move(endpoint), std::move(head), std::move(body), local_patience,
                           local_bytes_max);
}

asio::awaitable<void> answer_json(ServerConnection* connection, int status, std::string text) {
  ResponseHead head{.status = status};
  head.headers.add("Content-Type", "application/json");
  std::ignore = co_await connection->respond(std::move(head), std::move(text));
}

std::string error_json(const std::string& why) { return json_text({{"error", why}}); }

asio::awaitable<Result<std::string>> read_body(ServerConnection* connection,
                                               std::size_t bytes_max = exchange_bytes_max) {
  std::string body;
  std::array<char, 8192> piece{};
  for (;;) {
    const auto filled = co_await connection->read_body(piece, local_patience);
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return body;
    if (body.size() + *filled > bytes_max) {
      co_return fail(ErrorCode::invalid_input,
                     fmt::format("a message is over {} bytes", bytes_max));
    }
    body.append(piece.data(), *filled);
  }
}

}  // namespace

struct Agent::State : std::enable_shared_from_this<Agent::State> {
  using States = std::map<NodeId, std::string>;  ///< Of neighbours, as the controller calls them.

  State(asio::any_io_executor executor_, AgentSettings settings_)
      : executor(executor_),
        settings(std::move(settings_)),
        controller(settings.controller, settings.strategy, Random{settings.seed}),
        strategy(settings.strategy.name),
        front_door(executor_, settings.directory.haproxy_socket(), settings.directory.maps()),
        list(settings.peers_file),
        model_answers(settings.model ? Micros(settings.model->keep) : Micros{0}),
        tasks(executor_) {
    if (settings.serf) serf = std::make_unique<SerfMembership>(executor, *settings.serf);
  }

  asio::any_io_executor executor;
  AgentSettings settings;
  Controller controller;
  std::string strategy;
  FrontDoor front_door;
  StaticMembership list;
  std::unique_ptr<SerfMembership> serf;
  std::map<std::string, std::shared_ptr<Candidate>> candidates;  ///< By address.
  std::map<std::string, std::string> addresses;                  ///< Of hints, by source and key.
  std::set<int> closing_slots;
  std::set<NodeId> told_twice;  ///< Nodes that were seen at two addresses.
  std::map<NodeId, int> exchanges_under_way;
  ExternalObserver model_observer;
  ExternalAnswers model_answers;
  ModelCounters model_counters;
  CpuMeter cpu;
  ModelOutcome model_outcome_told = ModelOutcome::taken;  ///< The last one that was logged.
  bool is_model_known = false;                            ///< It answered once.
  GatewayObservation seen;                                ///< The newest of the gateway.
  std::uint64_t pushes = 0;  ///< Changes that the gateway told ahead of a heartbeat.
  std::optional<RoutingPlan> newest_plan;
  bool is_installing = false;
  bool stopping = false;
  std::uint64_t malformed = 0;
  std::map<std::string, CreditAccount> saved_credits;
  bool is_unsaved_told = false;
  std::optional<UnixAcceptor> peer_acceptor;
  std::optional<UnixAcceptor> local_acceptor;
  std::optional<UnixAcceptor> join_acceptor;
  std::unique_ptr<Trust> trust;
  TaskGroup tasks;

  [[nodiscard]] Endpoint control() const {
    return Endpoint::unix_socket(settings.directory.gateway_control_socket().string());
  }
  [[nodiscard]] Endpoint egress() const {
    return Endpoint::unix_socket(settings.directory.egress_socket().string());
  }

  /// Carries out what the controller wants; returns the answer to an exchange, if it made one.
  std::optional<ExchangeMessage> step(const ControllerEvent& event) {
    std::optional<ExchangeMessage> answer;
    for (ControllerAction& action : controller.step(now(), event)) {
      if (auto* install = std::get_if<InstallPlan>(&action)) {
        newest_plan = std::move(install->plan);
        if (!std::exchange(is_installing, true)) tasks.spawn(install_plans(shared_from_this()));
      } else if (auto* send = std::get_if<SendExchange>(&action)) {
        // One that hangs must not pile up behind itself; two overlap at most.
        constexpr int overlap_max = 2;
        if (exchanges_under_way[send->to] < overlap_max) {
          tasks.spawn(exchange(shared_from_this(), send->to, std::move(send->message)));
        }
      } else if (auto* reply = std::get_if<AnswerExchange>(&action)) {
        answer = std::move(reply->message);
      }
    }
    return answer;
  }

  [[nodiscard]] int slot_of(const NodeId& id) const {
    for (const auto& [address, candidate] : candidates) {
      if (candidate->slot > 0 && candidate->proved && candidate->proved->id == id) {
        return candidate->slot;
      }
    }
    return 0;
  }

  /// A neighbour keeps the slot that it has, also from an earlier agent.
  [[nodiscard]] int slot_for(const NodeId& id) const {
    if (const int known = front_door.slot_of(id); known > 0) return known;
    std::set<int> used = closing_slots;
    for (const auto& [slot, admission] : front_door.admissions()) used.insert(slot);
    for (const auto& [address, candidate] : candidates) used.insert(candidate->slot);
    for (int slot = 1; slot <= front_door_slots; ++slot) {
      if (!used.contains(slot)) return slot;
    }
    return 0;
  }

  // --- loops

  /// Hands over the newest plan; while one is under way, newer ones replace each other.
  static asio::awaitable<void> install_plans(std::shared_ptr<State> self) {
    while (self->newest_plan) {
      const RoutingPlan plan = *std::exchange(self->newest_plan, std::nullopt);
      const auto reply =
          co_await call_local(self->control(), "PUT", "/v1/plan", plan_to_json(plan));
      if (!reply || reply->head.status != 200) {
        log_event(LogLevel::warn, "plan_not_installed",
                  {{"version", std::to_string(plan.version)},
                   {"why", reply ? reply->body : reply.error().message}});
      } else {
        log_event(LogLevel::debug, "plan_installed", {{"version", std::to_string(plan.version)}});
      }
    }
    self->is_installing = false;
  }

  static asio::awaitable<void> observe_once(std::shared_ptr<State> self) {
    const auto reply = co_await call_local(self->control(), "GET", "/v1/observation", "");
    if (!reply) co_return;  // The supervisor is restarting it; the last view stands.
    auto observation = observation_from_json(reply->body);
    if (!observation) {
      log_event(LogLevel::error, "observation_unreadable", {{"why", observation.error().message}});
      co_return;
    }
    self->take(std::move(*observation), false);
  }

  /// Two ways bring observations; one that was overtaken is of no use.
  void take(GatewayObservation observation, bool is_pushed) {
    const bool is_same_gateway = observation.boot == seen.boot;
    if (is_same_gateway && observation.version < seen.version) return;
    const bool is_news = !is_same_gateway || observation.version > seen.version;
    if (is_pushed && is_news) ++pushes;
    seen = observation;
    step(Observed{.observation = std::move(observation), .is_pushed = is_pushed && is_news});
  }

  /// Changes of the functions here, as soon as the gateway knows them.
  static asio::awaitable<void> watch_loop(std::shared_ptr<State> self) {
    while (!self->stopping) {
      RequestHead head{
          .method = "GET",
          .target = fmt::format("/v1/observation?boot={}&after={}&wait_ms={}", self->seen.boot,
                                self->seen.version, watch_time.count())};
      head.headers.add("Host", "gateway");
      const Millis patience = watch_time + local_patience;
      const auto reply =
          co_await fetch(self->control(), std::move(head), "", patience, local_bytes_max);
      auto observation = reply && reply->head.status == 200
                             ? observation_from_json(reply->body)
                             : Result<GatewayObservation>(fail(ErrorCode::unavailable, "none"));
      if (observation) self->take(std::move(*observation), true);
      co_await pause(observation ? watch_pause : return_pause);
    }
  }

  static asio::awaitable<void> heartbeat_loop(std::shared_ptr<State> self) {
    while (!self->stopping) {
      co_await observe_once(self);
      self->step(HeartbeatElapsed{});
      const Instant next = now() + Micros(self->settings.controller.heartbeat);
      if (const auto due = self->controller.next_silence(); due && *due < next) {
        co_await pause(until(*due));
        self->step(SilenceDue{});
      }
      co_await pause(until(next));
    }
  }

  /// Tells the gateway whom this node knows, when that or the gateway is another one than before.
  static asio::awaitable<void> summary_loop(std::shared_ptr<State> self) {
    std::string told;
    while (!self->stopping) {
      const std::string summary = membership_summary_to_json(self->membership_summary());
      std::string newest = self->seen.boot + summary;
      if (newest != told) {
        const auto reply = co_await call_local(self->control(), "PUT", "/v1/membership", summary);
        if (reply && reply->head.status == 200) told = std::move(newest);
      }
      co_await pause(summary_period);
    }
  }

  // --- credits

  /// What others did for us outlives a restart.
  void save_credits() {
    const auto& accounts = controller.credits();
    if (accounts == saved_credits) return;
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    const SavedCredits newest{
        .unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count(),
        .accounts = accounts};
    auto done = write_file(settings.directory.credits(), credits_to_json(newest), 0600);
    if (done) {
      saved_credits = accounts;
    } else if (!std::exchange(is_unsaved_told, true)) {
      log_event(LogLevel::warn, "credits_not_saved", {{"why", done.error().message}});
    }
  }

  static asio::awaitable<void> credits_loop(std::shared_ptr<State> self) {
    while (!self->stopping) {
      co_await pause(credits_period);
      self->save_credits();
    }
  }

  // --- the model of strategy external_model

  [[nodiscard]] bool asks_a_model() const {
    return settings.model.has_value() && strategy == external_model_name;
  }

  /// Beside everything else: whatever the model does, calls are decided by the last plan.
  static asio::awaitable<void> model_loop(std::shared_ptr<State> self) {
    while (!self->stopping) {
      const Instant next = now() + Micros(self->settings.controller.period);
      if (self->asks_a_model()) co_await ask_model_once(self);
      co_await pause(std::max(until(next), Millis{10}));
    }
  }

  /// One round: a question for each function, a few of them at a time, all by one deadline.
  struct ModelRound {
    explicit ModelRound(asio::any_io_executor executor) : done(executor) {}

    std::vector<ExternalQuestion> questions;
    std::vector<ModelAnswer> answers;  ///< As the questions; late until one comes.
    std::size_t next = 0;
    std::size_t workers = 0;
    Instant deadline{};
    asio::steady_timer done;
  };

  static asio::awaitable<void> ask_model_once(std::shared_ptr<State> self) {
    const auto reply = co_await call_local(self->control(), "GET", "/v1/observation", "");
    if (!reply) co_return;  // Without a gateway there is nothing to divide.
    const auto observation = observation_from_json(reply->body);
    if (!observation) co_return;  // observe_once() tells it.
    constexpr std::size_t workers_max = 8;
    const auto round = std::make_shared<ModelRound>(self->executor);
    round->questions =
        self->model_observer.questions(now(), *observation, self->controller.view(now()),
                                       self->cpu.ratio_since_last(), self->settings.model->explore);
    round->answers.resize(round->questions.size());
    round->deadline = now() + Micros(self->settings.model->timeout);
    round->workers = std::min(workers_max, round->questions.size());
    // The workers end by the deadline; this is only in case that they do not.
    round->done.expires_after(self->settings.model->timeout + local_patience);
    for (std::size_t worker = round->workers; worker > 0; --worker) {
      self->tasks.spawn(ask_in_turn(self, round));
    }
    if (round->workers > 0) std::ignore = co_await round->done.async_wait(as_result);
    if (self->asks_a_model()) self->use_model_answers(*round);
    const std::string counters = model_counters_to_json(self->model_counters);
    std::ignore = co_await call_local(self->control(), "PUT", "/v1/model", counters);
  }

  static asio::awaitable<void> ask_in_turn(std::shared_ptr<State> self,
                                           std::shared_ptr<ModelRound> round) {
    while (round->next < round->questions.size() && now() < round->deadline) {
      const std::size_t at = round->next++;
      round->answers[at] = co_await ask_model(*self->settings.model, self->settings.controller.self,
                                              round->questions[at], round->deadline);
    }
    if (--round->workers == 0) round->done.cancel();
  }

  void use_model_answers(const ModelRound& round) {
    std::optional<std::size_t> complained_of;
    for (std::size_t at = 0; at < round.questions.size(); ++at) {
      const ModelAnswer& answer = round.answers[at];
      ++(model_counters.*member_of(answer.outcome));
      if (answer.outcome == ModelOutcome::taken) {
        model_answers.take(round.questions[at].function, answer.shares, now());
      } else if (!complained_of) {
        complained_of = at;
      }
    }
    if (!round.questions.empty()) tell_of_model(round, complained_of);
    ExternalAnswers::InForce in_force = model_answers.in_force(now());
    if (!in_force.expired.empty()) {
      log_event(LogLevel::warn, "model_answers_expired",
                {{"functions", std::to_string(in_force.expired.size())},
                 {"first", in_force.expired.front().full()},
                 {"now", "everything stays here"}});
    }
    model_counters.functions_without_answer = static_cast<std::uint64_t>(
        std::ranges::count_if(round.questions, [&in_force](const ExternalQuestion& question) {
          return !in_force.shares.contains(question.function);
        }));
    step(ExternalSaid{.shares = std::move(in_force.shares)});
  }

  /// Once per change: a model that stays dead has been told of. `complained_of` is the first question
  /// whose answer was not taken.
  void tell_of_model(const ModelRound& round, std::optional<std::size_t> complained_of) {
    if (!complained_of) {
      if (is_model_known && model_outcome_told == ModelOutcome::taken) return;
      is_model_known = true;
      model_outcome_told = ModelOutcome::taken;
      log_event(LogLevel::info, "model_answers", {{"url", settings.model->text()}});
      return;
    }
    const ModelAnswer& answer = round.answers[*complained_of];
    if (answer.outcome == std::exchange(model_outcome_told, answer.outcome)) return;
    log_event(LogLevel::warn, fmt::format("model_{}", word_of(answer.outcome)),
              {{"url", settings.model->text()},
               {"function", round.questions[*complained_of].function.full()},
               {"why", answer.why}});
  }

  static asio::awaitable<void> exchange(std::shared_ptr<State> self, NodeId to,
                                        ExchangeMessage message) {
    ++self->exchanges_under_way[to];
    RequestHead head{.method = "POST", .target = "/dfaas/v1/exchange"};
    head.headers.add("Host", to.text());
    head.headers.add("Content-Type", "application/json");
    head.headers.add("DFaaS-To", fmt::format("p{}", self->slot_of(to)));
    const Millis patience = 2 * self->settings.controller.heartbeat;
    const Instant sent = now();
    const auto reply = co_await fetch(self->egress(), std::move(head), exchange_to_json(message),
                                      patience, exchange_bytes_max);
    --self->exchanges_under_way[to];
    if (!reply || reply->head.status != 200) {
      // Our own front door marks what it cannot reach; a bare 503 is of the neighbour's, which runs
      // while its agent does not.
      const bool only_agent_away =
          reply && reply->head.status == 503 && reply->head.headers.get("DFaaS-Outcome").empty();
      const bool is_disowned = reply && reply->head.status == 403;
      self->step(
          ExchangeFailed{.to = to, .only_agent_away = only_agent_away, .is_disowned = is_disowned});
      co_return;
    }
    auto answer = exchange_from_json(reply->body);
    if (!answer) {
      ++self->malformed;
      log_event(LogLevel::warn, "exchange_malformed",
                {{"peer", to.text()}, {"why", answer.error().message}});
      self->step(ExchangeFailed{to});
      co_return;
    }
    self->step(
        ExchangeAnswered{.from = to, .message = std::move(*answer), .round_trip = now() - sent});
  }

  /// Whom an earlier agent admitted and nobody has proved again since must not stay a member.
  static asio::awaitable<void> dismiss_unproved(std::shared_ptr<State> self) {
    const std::map<int, Admission> admissions = self->front_door.admissions();
    for (const auto& [slot, admission] : admissions) {
      if (self->slot_of(admission.id) == slot) continue;
      log_event(LogLevel::info, "neighbour_not_proved_again", {{"peer", admission.id.text()}});
      co_await close_slot(self, slot);
    }
  }

  static asio::awaitable<void> membership_loop(std::shared_ptr<State> self) {
    if (auto done = co_await self->front_door.recall(); !done) {
      log_event(LogLevel::debug, "front_door_not_ready", {{"why", done.error().message}});
    }
    const Instant reproof_end = now() + reproof_patience;
    bool is_reproved = false;
    while (!self->stopping) {
      if (!is_reproved && now() > reproof_end) {
        is_reproved = true;
        co_await dismiss_unproved(self);
      }
      co_await take_hints(self);
      // Admissions survive in the maps; a front door that was restarted wants its slots again.
      if (auto done = co_await self->front_door.refresh(); !done) {
        log_event(LogLevel::debug, "front_door_not_ready", {{"why", done.error().message}});
      }
      const States states = self->states();
      self->watch_neighbours(states);
      co_await drop_unnamed(self, states);
      self->choose();
      self->start_proofs(states);
      co_await pause(membership_period);
    }
  }

  // --- hints

  static asio::awaitable<void> take_hints(std::shared_ptr<State> self) {
    for (const HintChange& change : self->list.poll()) {
      const std::string key = "list " + change.hint.key;
      const std::shared_ptr<Candidate> unnamed = self->detach(key);
      if (change.kind != HintChange::Kind::gone) {
        self->attach(key, change.hint);
      } else if (unnamed) {
        // The operator crossed it out.
        self->candidates.erase(unnamed->address.text());
        co_await dismiss(self, unnamed);
      }
    }
    if (!self->serf) co_return;
    for (const HintChange& change : self->serf->poll()) {
      const std::string key = "serf " + change.hint.key;
      self->detach(key);
      if (change.kind != HintChange::Kind::gone) self->attach(key, change.hint);
    }
  }

  void attach(const std::string& key, const MemberHint& hint) {
    const Endpoint address{.unix_path = {}, .host = hint.host, .port = hint.port};
    const std::string text = address.text();
    std::shared_ptr<Candidate>& candidate = candidates[text];
    if (!candidate) candidate = std::make_shared<Candidate>(Candidate{.address = address});
    if (candidate->unnamed_since) candidate->next_proof = now();  // It may have come back.
    candidate->unnamed_since.reset();
    candidate->hints[key] = hint;
    addresses[key] = text;
  }

  /// The candidate that nobody names any more; null when there is none.
  std::shared_ptr<Candidate> detach(const std::string& key) {
    const auto address = addresses.find(key);
    if (address == addresses.end()) return nullptr;
    const auto found = candidates.find(address->second);
    addresses.erase(address);
    if (found == candidates.end()) return nullptr;
    found->second->hints.erase(key);
    if (!found->second->hints.empty()) return nullptr;
    found->second->unnamed_since = now();
    return found->second;
  }

  /// Gossip takes back hints, not neighbours: those that answer stay, but for those that said goodbye.
  static asio::awaitable<void> drop_unnamed(std::shared_ptr<State> self, States states) {
    std::vector<std::shared_ptr<Candidate>> gone;
    for (const auto& [address, candidate] : self->candidates) {
      if (!candidate->unnamed_since) continue;
      const std::string state = candidate->slot > 0 ? states[candidate->proved->id] : "";
      const bool is_there = state == "up";
      const Micros patience = state == "draining" ? goodbye_patience : silence_patience;
      const bool is_late = now() > *candidate->unnamed_since + patience;
      if (candidate->slot == 0 || (!is_there && is_late)) gone.push_back(candidate);
    }
    for (const std::shared_ptr<Candidate>& candidate : gone) {
      self->candidates.erase(candidate->address.text());
      co_await dismiss(self, candidate);
    }
  }

  // --- neighbours

  [[nodiscard]] States states() const {
    States result;
    for (const NeighbourStatus& neighbour : controller.neighbours(now())) {
      result[neighbour.id] = neighbour.state;
    }
    return result;
  }

  void watch_neighbours(const States& states) {
    const Instant time = now();
    for (const auto& [address, candidate] : candidates) {
      if (candidate->slot == 0) continue;
      const auto state = states.find(candidate->proved->id);
      const bool is_there = state != states.end() && is_up(state->second);
      if (is_there) {
        candidate->not_up_since.reset();
        candidate->is_loss_counted = false;
      } else if (!candidate->not_up_since) {
        candidate->not_up_since = time;
      }
      // One that never answered has chosen others: that counts as lost, too.
      const bool is_lost =
          candidate->was_up
              ? !is_there
              : candidate->not_up_since && time > *candidate->not_up_since + silence_patience;
      candidate->was_up = is_there;
      if (is_lost && !std::exchange(candidate->is_loss_counted, true)) candidate->flaps.lost(time);
    }
  }

  /// Who is a neighbour from now on, out of those that were proved.
  void choose() {
    const Instant time = now();
    std::map<NodeId, std::shared_ptr<Candidate>> by_id;
    for (const auto& [address, candidate] : candidates) {
      if (!candidate->proved || candidate->is_self) continue;
      if (candidate->slot == 0 && !candidate->last_complaint.empty()) continue;
      std::shared_ptr<Candidate>& best = by_id[candidate->proved->id];
      if (!best || (best->slot == 0 && candidate->slot > 0)) best = candidate;
    }
    std::vector<ProvedMember> members;
    members.reserve(by_id.size());
    for (const auto& [id, candidate] : by_id) {
      const bool is_silent =
          candidate->not_up_since && time > *candidate->not_up_since + silence_patience;
      members.push_back({.id = id,
                         .name = candidate->label("name"),
                         .rtt = candidate->rtt,
                         .is_neighbour = candidate->slot > 0,
                         .is_doubtful = is_silent || candidate->flaps.is_damped(time)});
    }
    const std::vector<NodeId> chosen = choose_neighbours(members, settings.neighbours);
    for (const auto& [id, candidate] : by_id) {
      const bool is_chosen = std::ranges::binary_search(chosen, id);
      if (!is_chosen && candidate->slot > 0 && !candidate->is_admitting) {
        tasks.spawn(dismiss(shared_from_this(), candidate));
      }
      if (!is_chosen || candidate->slot > 0) continue;
      candidate->slot = slot_for(id);
      if (candidate->slot == 0) continue;  // It is being closed; the next round has it.
      candidate->is_admitting = true;
      candidate->not_up_since.reset();
      candidate->was_up = candidate->is_loss_counted = false;
      tasks.spawn(admit(shared_from_this(), candidate));
    }
  }

  static asio::awaitable<void> admit(std::shared_ptr<State> self,
                                     std::shared_ptr<Candidate> candidate) {
    const ProvedPeer proved = *candidate->proved;
    const int slot = candidate->slot;
    // Named: GCC 12 destroys braced temporaries of an awaited call twice.
    const Admission admission{.id = proved.id,
                              .fingerprints = {proved.fingerprint},
                              .address = proved.address,
                              .port = proved.port};
    auto admitted = co_await self->front_door.admit(slot, admission);
    candidate->is_admitting = false;
    if (!admitted) {
      log_event(LogLevel::warn, "front_door_not_changed", {{"why", admitted.error().message}});
    }
    if (candidate->slot != slot) co_return;  // Dismissed meanwhile.
    log_event(LogLevel::info, "neighbour_admitted",
              {{"peer", proved.id.text()},
               {"address", candidate->address.text()},
               {"organisation", proved.organisation},
               {"slot", std::to_string(slot)}});
    self->step(
        NeighbourAdmitted{.id = proved.id, .organisation = proved.organisation, .slot = slot});
    self->trust->greet(proved.id);
  }

  /// Whom an agent with other settings admitted, and this one denies.
  static asio::awaitable<void> shut_out(std::shared_ptr<State> self, NodeId id) {
    const int slot = self->front_door.slot_of(id);
    if (slot == 0 || self->slot_of(id) == slot) co_return;
    co_await close_slot(self, slot);
  }

  /// Nobody gets it meanwhile.
  static asio::awaitable<void> close_slot(std::shared_ptr<State> self, int slot) {
    self->closing_slots.insert(slot);
    if (auto done = co_await self->front_door.dismiss(slot); !done) {
      log_event(LogLevel::warn, "front_door_not_changed", {{"why", done.error().message}});
    }
    self->closing_slots.erase(slot);
  }

  static asio::awaitable<void> dismiss(std::shared_ptr<State> self,
                                       std::shared_ptr<Candidate> candidate) {
    if (candidate->slot == 0) co_return;
    const NodeId id = candidate->proved->id;
    const int slot = std::exchange(candidate->slot, 0);
    candidate->not_up_since.reset();
    log_event(LogLevel::info, "neighbour_gone", {{"peer", id.text()}});
    // Out of the plan first, so that nothing new is on its way when the slot closes.
    self->step(NeighbourGone{id});
    co_await close_slot(self, slot);
  }

  // --- proofs

  void start_proofs(const States& states) {
    std::map<std::string, std::size_t> under_way;
    std::vector<std::shared_ptr<Candidate>> due;
    std::vector<std::string> groups;
    for (const auto& [address, candidate] : candidates) {
      if (candidate->is_proving) ++under_way[candidate->group()];
      if (!needs_proof(*candidate, states)) continue;
      due.push_back(candidate);
      groups.push_back(candidate->group());
    }
    std::vector<ProofWish> wishes;
    wishes.reserve(due.size());
    for (std::size_t index = 0; index < due.size(); ++index) {
      wishes.push_back({.index = index,
                        .group = groups[index],
                        .is_neighbour = due[index]->slot > 0,
                        .since = due[index]->next_proof});
    }
    for (const std::size_t index : order_proofs(std::move(wishes), std::move(under_way), {})) {
      due[index]->is_proving = true;
      tasks.spawn(prove_candidate(shared_from_this(), due[index]));
    }
  }

  [[nodiscard]] static bool needs_proof(const Candidate& candidate, const States& states) {
    if (candidate.is_self || candidate.is_proving || now() < candidate.next_proof) return false;
    if (!candidate.proved || candidate.is_doubted) return true;
    const auto state = states.find(candidate.proved->id);
    // A neighbour that fell silent, or stopped in order, may have been replaced at its address.
    const bool is_quiet = candidate.slot > 0 && (state == states.end() || state->second != "up");
    return is_quiet || now() > candidate.next_proof + reproof_period;
  }

  static asio::awaitable<void> prove_candidate(std::shared_ptr<State> self,
                                               std::shared_ptr<Candidate> candidate) {
    const OwnCertificate own{self->settings.directory.certificate_and_key(),
                             self->settings.directory.authorities()};
    auto proved = co_await prove(candidate->address, own, proof_patience);
    candidate->is_proving = false;
    candidate->next_proof = now() + candidate->retry;
    if (proved) {
      const std::string complaint = self->trust->complaint_of(proved->id, proved->organisation);
      const std::string denial =
          self->settings.controller.policy.complaint_of(proved->id, proved->organisation);
      candidate->is_denied = complaint.empty() && !denial.empty();
      const NodeId proved_id = proved->id;
      if (candidate->is_denied) co_await shut_out(self, proved_id);
      if (!complaint.empty() || candidate->is_denied) {
        proved = fail(ErrorCode::denied, complaint.empty() ? denial : complaint);
      }
    }
    const bool was_doubted = std::exchange(candidate->is_doubted, false);
    if (!proved) {
      if (was_doubted && candidate->slot > 0 && proved.error().code == ErrorCode::denied) {
        co_await dismiss(self, candidate);
      }
      if (candidate->slot == 0) candidate->proved.reset();
      const Micros retry_max =
          candidate->group().empty() ? proof_retry_max : proof_retry_gossip_max;
      candidate->retry = std::min(2 * candidate->retry, retry_max);
      if (proved.error().message != candidate->last_complaint) {
        candidate->last_complaint = proved.error().message;
        log_event(candidate->is_denied ? LogLevel::info : LogLevel::warn,
                  candidate->is_denied ? "neighbour_denied" : "candidate_not_proved",
                  {{"address", candidate->address.text()}, {"why", proved.error().message}});
      }
      co_return;
    }
    candidate->last_complaint.clear();
    candidate->retry = proof_retry_min;
    candidate->rtt = smooth_round_trip(candidate->rtt, proved->round_trip);
    if (proved->id == self->settings.controller.self) {
      candidate->is_self = true;
      co_return;
    }
    const bool is_same = candidate->proved && candidate->slot > 0 &&
                         candidate->proved->id == proved->id &&
                         candidate->proved->fingerprint == proved->fingerprint &&
                         candidate->proved->address == proved->address;
    if (is_same) {
      candidate->retry = std::min(2 * candidate->retry, proof_retry_max);
      co_return;
    }
    const bool is_renewed = candidate->proved && candidate->slot > 0 &&
                            candidate->proved->id == proved->id &&
                            candidate->proved->organisation == proved->organisation &&
                            candidate->proved->address == proved->address;
    if (is_renewed) {
      candidate->proved = *proved;
      const int renewed_slot = candidate->slot;
      const std::string fingerprint = proved->fingerprint;
      auto done = co_await self->front_door.admit_certificate(renewed_slot, fingerprint);
      if (!done) {
        log_event(LogLevel::warn, "front_door_not_changed", {{"why", done.error().message}});
      }
      co_return;
    }
    if (candidate->slot > 0) co_await dismiss(self, candidate);
    candidate->proved = *proved;
    co_await move_neighbour(self, candidate);
    self->choose();
  }

  /// A neighbour that is silent at its old address, and was proved at this one just now, has moved.
  static asio::awaitable<void> move_neighbour(std::shared_ptr<State> self,
                                              std::shared_ptr<Candidate> candidate) {
    const NodeId id = candidate->proved->id;
    const States states = self->states();
    std::shared_ptr<Candidate> silent;
    for (const auto& [address, other] : self->candidates) {
      if (other == candidate || !other->proved || other->proved->id != id) continue;
      constexpr std::size_t told_max = 1000;
      const bool is_elsewhere = other->proved->address != candidate->proved->address ||
                                other->proved->port != candidate->proved->port;
      if (is_elsewhere && self->told_twice.size() < told_max &&
          self->told_twice.insert(id).second) {
        log_event(LogLevel::info, "node_at_two_addresses",
                  {{"peer", id.text()}, {"addresses", address + " " + candidate->address.text()}});
      }
      const auto state = states.find(id);
      constexpr Micros patience{2'000'000};
      const bool is_there = state != states.end() && is_up(state->second);
      const bool is_silent = other->not_up_since && now() > *other->not_up_since + patience;
      if (other->slot > 0 && !other->is_admitting && !is_there && is_silent) silent = other;
    }
    if (!silent) co_return;
    co_await dismiss(self, silent);
    silent->proved.reset();
  }

  // --- trust

  [[nodiscard]] TrustHooks trust_hooks() {
    return {.neighbours_up = [this] { return neighbours_up(); },
            .post =
                [this](NodeId to, std::string target, std::string body) {
                  return post_to(shared_from_this(), to, std::move(target), std::move(body));
                },
            .on_change = [this] { doubt_all(); }};
  }

  [[nodiscard]] std::vector<NodeId> neighbours_up() const {
    std::vector<NodeId> result;
    for (const NeighbourStatus& neighbour : controller.neighbours(now())) {
      if (neighbour.state == "up") result.push_back(neighbour.id);
    }
    return result;
  }

  static asio::awaitable<Result<HttpReply>> post_to(std::shared_ptr<State> self, NodeId to,
                                                    std::string target, std::string body) {
    RequestHead head{.method = "POST", .target = std::move(target)};
    head.headers.add("Host", to.text());
    head.headers.add("DFaaS-To", fmt::format("p{}", self->slot_of(to)));
    const Endpoint door = self->egress();
    co_return co_await fetch(door, std::move(head), std::move(body), local_patience,
                             exchange_bytes_max);
  }

  /// Who is not trusted any more goes at once; of the rest the certificate is looked at again.
  void doubt_all() {
    for (const auto& [address, candidate] : candidates) {
      if (!candidate->proved) continue;
      candidate->is_doubted = true;
      candidate->next_proof = now();
      const std::string complaint =
          trust->complaint_of(candidate->proved->id, candidate->proved->organisation);
      if (complaint.empty() || candidate->slot == 0) continue;
      candidate->last_complaint = complaint;
      log_event(LogLevel::warn, "neighbour_not_trusted", {{"why", complaint}});
      tasks.spawn(dismiss(shared_from_this(), candidate));
    }
  }

  static asio::awaitable<void> answer_peer(std::shared_ptr<State> self,
                                           ServerConnection* connection, RequestHead head) {
    const auto from = NodeId::parse(head.headers.get("DFaaS-Node-ID"));
    const auto body = co_await read_body(connection, trust_bytes_max);
    if (!from || !body) {
      const std::string& why = from ? body.error().message : from.error().message;
      co_await answer_json(connection, 400, error_json(why));
      co_return;
    }
    const NodeId id = *from;
    const std::string& text = *body;
    const Trust::Answer answer = co_await self->trust->answer_peer(id, head.target, text);
    co_await answer_json(connection, answer.status, answer.json);
  }

  static asio::awaitable<void> serve_join(std::shared_ptr<State> self, StreamSocket socket) {
    ServerConnection connection(std::move(socket));
    constexpr Millis idle{10'000};
    do {
      const auto head = co_await connection.read_head(idle);
      if (!head) co_return;
      const auto body = co_await read_body(&connection, trust_bytes_max);
      if (!body) co_return;
      const Trust::JoinCall call{.target = head->target,
                                 .certificate = std::string(head->headers.get("DFaaS-Certificate")),
                                 .from = std::string(head->headers.get("X-Forwarded-For")),
                                 .body = *body};
      const Trust::Answer answer = self->trust->answer_join(call);
      co_await answer_json(&connection, answer.status, answer.json);
    } while (connection.reusable());
  }

  // --- servers

  static asio::awaitable<void> serve_peer(std::shared_ptr<State> self, StreamSocket socket) {
    ServerConnection connection(std::move(socket));
    constexpr Millis idle{65'000};
    do {
      const auto head = co_await connection.read_head(idle);
      if (!head) co_return;
      if (head->method == "POST" && Trust::is_for_peers(head->target)) {
        co_await answer_peer(self, &connection, *head);
        continue;
      }
      if (head->method != "POST" || head->target != "/dfaas/v1/exchange") {
        co_await answer_json(&connection, 404,
                             R"({"error":"only POST /dfaas/v1/exchange is here"})");
        continue;
      }
      const auto from = NodeId::parse(head->headers.get("DFaaS-Node-ID"));
      const auto body = co_await read_body(&connection);
      auto message = body ? exchange_from_json(*body)
                          : Result<ExchangeMessage>(fail(body.error().code, body.error().message));
      if (!from || !message) {
        ++self->malformed;
        const std::string& why = from ? message.error().message : from.error().message;
        log_event(LogLevel::warn, "exchange_refused",
                  {{"peer", from ? from->text() : "unknown"}, {"why", why}});
        co_await answer_json(&connection, 400, error_json(why));
        continue;
      }
      const auto answer =
          self->step(ExchangeArrived{.from = *from, .message = std::move(*message)});
      const std::string text = answer ? exchange_to_json(*answer) : "{}";
      co_await answer_json(&connection, answer ? 200 : 503, text);
    } while (connection.reusable());
  }

  static asio::awaitable<void> serve_local(std::shared_ptr<State> self, StreamSocket socket) {
    ServerConnection connection(std::move(socket));
    constexpr Millis idle{10'000};
    do {
      const auto head = co_await connection.read_head(idle);
      if (!head) co_return;
      if (head->method == "GET" && head->target == "/v1/peers") {
        co_await answer_json(&connection, 200, self->peers_json());
      } else if (head->method == "GET" && head->target == "/v1/members") {
        co_await answer_json(&connection, 200, self->members_json());
      } else if (head->method == "PUT" && head->target == "/v1/strategy") {
        const auto body = co_await read_body(&connection);
        auto chosen = find_strategy(body ? *body : "");
        if (chosen && chosen->name == external_model_name && !self->settings.model) {
          chosen = fail(ErrorCode::invalid_input, std::string(model_url_missing));
        }
        if (chosen) {
          self->strategy = std::string(chosen->name);
          self->step(StrategyChosen{*chosen});
        }
        const std::string text = chosen ? "{}" : error_json(chosen.error().message);
        co_await answer_json(&connection, chosen ? 200 : 400, text);
      } else if (Trust::is_local(head->target)) {
        const auto body = co_await read_body(&connection, trust_bytes_max);
        const Trust::Answer answer =
            self->trust->answer_local(head->method, head->target, body ? *body : std::string());
        co_await answer_json(&connection, answer.status, answer.json);
      } else {
        co_await answer_json(
            &connection, 404,
            R"({"error":"here are GET /v1/peers, GET /v1/members, GET /v1/trust, PUT /v1/strategy"})");
      }
    } while (connection.reusable());
  }

  [[nodiscard]] std::string peers_json() const {
    nlohmann::json peers = nlohmann::json::array();
    for (const NeighbourStatus& neighbour : controller.neighbours(now())) {
      std::string address;
      for (const auto& [text, candidate] : candidates) {
        if (candidate->slot > 0 && candidate->proved->id == neighbour.id) address = text;
      }
      nlohmann::json functions = nlohmann::json::array();
      for (const FunctionOffer& offer : neighbour.functions) {
        functions.push_back({{"name", offer.function.full()}, {"slots", offer.slots}});
      }
      nlohmann::json peer{{"id", neighbour.id.text()},
                          {"name", neighbour.name.text()},
                          {"address", address},
                          {"organisation", neighbour.organisation},
                          {"state", neighbour.state},
                          {"slot", neighbour.slot},
                          {"rtt_ms", to_millis(neighbour.rtt)},
                          {"functions", functions}};
      if (neighbour.held_for.count() > 0) peer["held_ms"] = to_millis(neighbour.held_for);
      if (settings.controller.policy.has_credits) peer["weight"] = neighbour.weight;
      for (const auto& [function, why] : neighbour.ejected) {
        peer["ejected"].push_back({{"function", function.full()}, {"why", to_text(why)}});
      }
      if (neighbour.guest_slots) peer["guest_slots"] = *neighbour.guest_slots;
      if (neighbour.last_message_age) {
        peer["last_message_ms"] = to_millis(*neighbour.last_message_age);
      }
      peers.push_back(std::move(peer));
    }
    nlohmann::json unproved = nlohmann::json::array();
    for (const auto& [address, candidate] : candidates) {
      if (candidate->is_self || candidate->slot > 0) continue;
      if (candidate->proved && candidate->last_complaint.empty())
        continue;  // A member all the same.
      unproved.push_back({{"address", address},
                          {"denied", candidate->is_denied},
                          {"why", candidate->last_complaint}});
    }
    nlohmann::json own = nlohmann::json::array();
    for (const FunctionObservation& function : seen.functions) {
      if (!function.deployed) continue;
      own.push_back({{"name", function.function.full()},
                     {"slots", function.slots},
                     {"replicas_ready", function.replicas_ready}});
    }
    return json_text({{"peers", peers},
                      {"functions", own},
                      {"pushed_changes", pushes},
                      {"credits", credits_json()},
                      {"unproved", unproved},
                      {"strategy", strategy},
                      {"organisation", settings.controller.organisation},
                      {"period_ms", settings.controller.period.count()},
                      {"heartbeat_ms", settings.controller.heartbeat.count()},
                      {"malformed_messages", malformed},
                      {"dropped_messages", controller.dropped_events()}});
  }

  [[nodiscard]] nlohmann::json credits_json() const {
    nlohmann::json result = nlohmann::json::array();
    for (const auto& [organisation, account] : controller.credits()) {
      result.push_back({{"organisation", organisation},
                        {"for_us_s", account.for_us},
                        {"for_them_s", account.for_them}});
    }
    return result;
  }

  /// Everybody who was ever named and may still be there.
  [[nodiscard]] std::string members_json() const {
    std::map<NodeId, NeighbourStatus> neighbours;
    for (NeighbourStatus& neighbour : controller.neighbours(now())) {
      const NodeId id = neighbour.id;
      neighbours[id] = std::move(neighbour);
    }
    nlohmann::json members = nlohmann::json::array();
    for (const auto& [address, candidate] : candidates) {
      if (candidate->is_self) continue;
      nlohmann::json sources = nlohmann::json::array();
      std::set<std::string> told;
      NodeId claimed;
      for (const auto& [key, hint] : candidate->hints) {
        if (told.insert(hint.group.empty() ? "list" : "serf").second)
          sources.push_back(*told.rbegin());
        if (!hint.id.empty()) claimed = hint.id;
      }
      nlohmann::json member{
          {"address", address},
          {"id", candidate->proved ? candidate->proved->id.text() : claimed.text()},
          {"name", candidate->label("name")},
          {"sources", sources},
          {"neighbour", candidate->slot > 0},
          {"state", candidate->is_denied ? "denied" : (candidate->proved ? "proved" : "unproved")},
          {"why", candidate->last_complaint}};
      if (candidate->proved) {
        member["organisation"] = candidate->proved->organisation;
        member["rtt_ms"] = to_millis(candidate->rtt);
        const auto neighbour = neighbours.find(candidate->proved->id);
        if (candidate->slot > 0 && neighbour != neighbours.end()) {
          member["state"] = neighbour->second.state;
          member["name"] = neighbour->second.name.text();
        }
      }
      members.push_back(std::move(member));
    }
    return json_text({{"members", members},
                      {"neighbours_max", settings.neighbours.neighbours_max},
                      {"gossip", gossip_json()}});
  }

  [[nodiscard]] MembershipSummary membership_summary() const {
    MembershipSummary summary;
    for (const NeighbourStatus& neighbour : controller.neighbours(now())) {
      for (const auto& [state, member] : neighbour_states) {
        if (neighbour.state == state) ++(summary.*member);
      }
    }
    for (const auto& [address, candidate] : candidates) {
      if (candidate->is_self) continue;
      ++(candidate->is_denied ? summary.denied
                              : (candidate->proved ? summary.proved : summary.unproved));
    }
    if (!serf) return summary;
    const SerfStatus status = serf->status();
    summary.gossip = {.federation = settings.serf->federation,
                      .is_connected = status.is_connected,
                      .members = status.members,
                      .not_joined = status.not_joined.size(),
                      .other_federation = status.counters.ignored_other_federation,
                      .malformed = status.counters.ignored_malformed,
                      .copy_of_self = status.counters.ignored_copies_of_self,
                      .crowded_out = status.counters.crowded_out};
    return summary;
  }

  [[nodiscard]] nlohmann::json gossip_json() const {
    if (!serf) return nullptr;
    const SerfStatus status = serf->status();
    return {{"federation", settings.serf->federation},
            {"connected", status.is_connected},
            {"members", status.members},
            {"ignored_other_federation", status.counters.ignored_other_federation},
            {"ignored_malformed", status.counters.ignored_malformed},
            {"ignored_copies_of_self", status.counters.ignored_copies_of_self},
            {"crowded_out", status.counters.crowded_out},
            {"not_joined", status.not_joined}};
  }

  static asio::awaitable<void> say_goodbye(std::shared_ptr<State> self,
                                           std::function<void()> done) {
    self->step(DrainRequested{});
    self->save_credits();
    std::ignore = co_await call_local(self->control(), "POST", "/v1/drain", "");
    // Neighbours have heard it once the exchanges are through; their answers end the wait.
    const Instant patience_end = now() + 2 * Micros(self->settings.controller.heartbeat);
    const auto is_busy = [&self] {
      return std::ranges::any_of(self->exchanges_under_way,
                                 [](const auto& entry) { return entry.second > 0; });
    };
    while (is_busy() && now() < patience_end) co_await pause(Millis{10});
    if (self->serf) co_await self->serf->leave();
    done();
  }
};

Agent::Agent(std::shared_ptr<State> state) : state_(std::move(state)) {}
Agent::~Agent() = default;

Result<std::unique_ptr<Agent>> Agent::start(asio::any_io_executor executor,
                                            AgentSettings settings) {
  auto state = std::make_shared<State>(executor, std::move(settings));
  auto peer = listen_unix(executor, state->settings.directory.agent_peer_socket().string());
  if (!peer) return pass_on(std::move(peer));
  auto local = listen_unix(executor, state->settings.directory.agent_socket().string());
  if (!local) return pass_on(std::move(local));
  auto join = listen_unix(executor, state->settings.directory.agent_join_socket().string());
  if (!join) return pass_on(std::move(join));
  auto trust =
      Trust::start(executor, state->settings.trust, &state->front_door, state->trust_hooks());
  if (!trust) return pass_on(std::move(trust));
  state->trust = std::move(*trust);
  state->peer_acceptor.emplace(std::move(*peer));
  state->join_acceptor.emplace(std::move(*join));
  state->local_acceptor.emplace(std::move(*local));
  State* raw = state.get();  // The tasks belong to the state, so they do not outlive it.
  state->tasks.spawn(accept_loop(&*state->peer_acceptor, [raw](StreamSocket socket) {
    raw->tasks.spawn(State::serve_peer(raw->shared_from_this(), std::move(socket)));
  }));
  state->tasks.spawn(accept_loop(&*state->local_acceptor, [raw](StreamSocket socket) {
    raw->tasks.spawn(State::serve_local(raw->shared_from_this(), std::move(socket)));
  }));
  state->tasks.spawn(accept_loop(&*state->join_acceptor, [raw](StreamSocket socket) {
    raw->tasks.spawn(State::serve_join(raw->shared_from_this(), std::move(socket)));
  }));
  state->tasks.spawn(State::heartbeat_loop(state));
  state->tasks.spawn(State::watch_loop(state));
  state->tasks.spawn(State::membership_loop(state));
  state->tasks.spawn(State::summary_loop(state));
  state->tasks.spawn(State::credits_loop(state));
  if (state->settings.model) state->tasks.spawn(State::model_loop(state));
  return std::unique_ptr<Agent>(new Agent(std::move(state)));
}

void Agent::keep_credits() { state_->save_credits(); }

void Agent::stop(std::function<void()> done) {
  state_->stopping = true;
  state_->trust->stop();
  state_->tasks.spawn(State::say_goodbye(state_, std::move(done)));
}

}  // namespace dfaas
