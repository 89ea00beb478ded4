// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/gateway.hpp"
#include "live/files/files.hpp"

#include <sys/random.h>

#include <array>
#include <chrono>
#include <list>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"
#include "core/openfaas/classic_environment.hpp"
#include "live/gateway/local_run.hpp"
#include "live/gateway/platform.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

namespace asio = boost::asio;

namespace {

constexpr Millis body_patience{30'000};
constexpr Millis image_patience{55'000};    ///< faas-cli waits for 60 s.
constexpr Millis function_patience{1'000};  ///< For functions that stay, after their last call.

std::array<std::uint8_t, 16> random_bytes() {
  std::array<std::uint8_t, 16> bytes{};
  DFAAS_ASSERT(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
               "the kernel gives 16 random bytes at once");
  return bytes;
}

/// With max_inflight, each replica adds as many.
int slots_of(const FunctionTraits& traits, const WatchdogSettings& watchdog, int replicas,
             int cores) {
  std::optional<int> inflight_max = watchdog.max_inflight;
  if (inflight_max) *inflight_max *= std::max(replicas, 1);
  return effective_slots(traits, inflight_max, std::nullopt, cores);
}

/// Loudly: whoever reads the log of a start must learn what functions can do to the node.
void log_sandbox(const SandboxReport& report) {
  const bool is_full = report.tier == SandboxTier::namespaces && report.memory;
  log_event(is_full ? LogLevel::info : LogLevel::warn, "sandbox",
            {{"tier", std::string(to_text(report.tier))},
             {"limits", std::string(to_text(report.limits))},
             {"memory", report.memory ? "per function" : "per process"},
             {"cpu", report.cpu ? "limited" : "not limited"}});
  for (const std::string& note : report.notes) {
    log_event(LogLevel::info, "sandbox_note", {{"note", note}});
  }
}

}  // namespace

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant(std::chrono::duration_cast<Micros>(since));
}

Millis time_left(const CallPtr& call) {
  // Rounded up: a wait that ends a little early would look like a failure of whoever was waited for.
  const auto left = std::chrono::ceil<Millis>(call->deadline - now());
  return std::max(left, Millis{1});
}

asio::awaitable<Result<std::size_t>> read_upload(const GatewaySettings* settings, CallPtr call,
                                                 std::span<char> piece) {
  const Instant since = now();
  // Not by the connection's own time limit, which would close it before the answer.
  call->upload_timer.expires_after(std::max(call->upload_patience, Micros{1000}));
  call->upload_timer.async_wait(
      [weak = std::weak_ptr<Call>(call)](const boost::system::error_code& error) {
        const CallPtr waiting = weak.lock();
        if (error || !waiting) return;
        waiting->too_slow = true;
        waiting->connection->stop_reading();
      });
  auto filled = co_await call->connection->read_body(piece, time_left(call));
  call->upload_timer.cancel();
  call->upload_patience -= now() - since;
  if (!filled) co_return filled;
  constexpr std::uint64_t micros_a_second = 1'000'000;
  const auto rate = static_cast<std::uint64_t>(settings->body_bytes_per_second_min);
  const Micros earned(*filled * micros_a_second / rate);
  call->upload_patience = std::min(call->upload_patience + earned, Call::upload_patience_max);
  call->body_bytes += *filled;
  if (call->body_bytes > settings->request_bytes_max) {
    call->too_large = true;
    co_return fail(ErrorCode::invalid_input, "the body is too large");
  }
  co_return filled;
}

WallTime wall_now() { return std::chrono::floor<Millis>(std::chrono::system_clock::now()); }

std::string rfc3339_now() { return rfc3339_text(wall_now()); }

std::string make_call_id() {
  auto bytes = random_bytes();
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0fU) | 0x40U);  // RFC 9562, version 4.
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3fU) | 0x80U);
  std::string text = to_lower(hex_upper(bytes));
  for (const std::size_t at : {8U, 13U, 18U, 23U}) text.insert(at, "-");
  return text;
}

void add_server_headers(Headers& headers, const NodeId& id, const std::string& name) {
  headers.add("DFaaS-Node-ID", id.text());
  headers.add("X-Server", name);
}

asio::awaitable<void> respond_health(const GatewayCore* core, ServerConnection* connection) {
  const bool can_serve = core->is_healthy();
  ResponseHead head{.status = can_serve ? 200 : 503};
  head.headers.add("Content-Type", "text/plain");
  add_server_headers(head.headers, core->settings.self, core->settings.name.text());
  std::string text = can_serve ? "OK\n" : "this node cannot run functions now\n";
  std::ignore = co_await connection->respond(std::move(head), std::move(text));
}

asio::awaitable<void> respond_text(ServerConnection* connection, int status, std::string text) {
  ResponseHead head{.status = status};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-Content-Type-Options", "nosniff");
  std::ignore = co_await connection->respond(std::move(head), std::move(text));
}

asio::awaitable<void> respond_json(ServerConnection* connection, int status, std::string text) {
  ResponseHead head{.status = status};
  head.headers.add("Content-Type", "application/json");
  std::ignore = co_await connection->respond(std::move(head), std::move(text));
}

std::string too_large_text(const GatewaySettings& settings) {
  return fmt::format("the request body is over {} bytes\n", settings.request_bytes_max);
}

asio::awaitable<Result<std::string>> read_whole_body(ServerConnection* connection,
                                                     std::uint64_t bytes_max) {
  std::string body;
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    const auto filled = co_await connection->read_body(piece, body_patience);
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return body;
    if (body.size() + *filled > bytes_max) {
      co_return fail(ErrorCode::overloaded,
                     fmt::format("the request body is over {} bytes", bytes_max));
    }
    body.append(piece.data(), *filled);
  }
}

bool is_authorized(const RequestHead& head, const std::string& user, const std::string& password) {
  constexpr std::string_view scheme = "Basic ";
  std::string_view value = head.headers.get("Authorization");
  if (value.size() < scheme.size() ||
      !equal_ignoring_case(value.substr(0, scheme.size()), scheme)) {
    return false;
  }
  value.remove_prefix(scheme.size());
  const auto decoded = base64_decode(trim(value));
  const std::string expected = user + ":" + password;
  if (!decoded || decoded->size() != expected.size()) return false;
  return CRYPTO_memcmp(decoded->data(), expected.data(), expected.size()) == 0;
}

int slots_with(const GatewaySettings& settings, const DeployedFunction& function, int replicas) {
  return slots_of(function.traits, function.plan.watchdog, replicas, settings.cores);
}

int available_replicas(const GatewayCore& core, const DeployedFunction& function) {
  if (core.platform) return function.ready;
  return core.runner->counts(function.deployment.function).available;
}

asio::awaitable<Result<ImagePtr>> fetch_container(GatewayCore* core,
                                                  FunctionDeployment deployment) {
  const std::string scope = "function " + deployment.function.full();
  auto name = parse_image(deployment.image);
  if (!name) co_return tl::unexpected(std::move(name).error().within(scope));
  if (!is_container(*name)) co_return ImagePtr();
  const SandboxTier tier = core->runner->sandbox().tier;
  // Before anything is fetched for nothing.
  if (auto possible = check_image_tier(tier); !possible) {
    co_return tl::unexpected(std::move(possible).error().within(scope));
  }
  auto image = co_await core->images->get(*name, image_patience);
  if (!image) co_return tl::unexpected(std::move(image).error().within(scope));
  co_return std::move(*image);
}

namespace {

/// How processes of a deployment start, and what they start with.
struct Start {
  FunctionDeployment settings;    ///< What watchdog_settings() reads.
  FunctionDeployment deployment;  ///< With all variables of its processes.
  std::vector<std::string> command;
  std::string root;
};

Result<Start> plan_start(const GatewayCore& core, const FunctionDeployment& deployment,
                         const ImagePtr& container) {
  const std::string scope = "function " + deployment.function.full();
  auto name = parse_image(deployment.image);
  if (!name) return tl::unexpected(std::move(name).error().within(scope));
  Start start{.settings = deployment, .deployment = deployment, .command = {}, .root = {}};
  if (!container) {
    auto root = image_root(deployment, *name, core.settings.images.sources);
    if (!root) return pass_on(std::move(root));
    start.root = std::move(*root);
    return start;
  }
  auto run = plan_image_run(deployment, container->config);
  if (!run) return tl::unexpected(std::move(run).error().within(scope));
  start.settings = std::move(run->settings);
  start.deployment = std::move(run->deployment);
  start.command = std::move(run->command);
  start.root = container->root.string();
  return start;
}

}  // namespace

Result<DeployedFunction> prepare(GatewayCore& core, FunctionDeployment deployment,
                                 std::string created_at, std::optional<int> replicas,
                                 ImagePtr container) {
  auto traits = parse_traits(deployment.labels);
  if (!traits) return pass_on(std::move(traits));
  auto scaling = scaling_labels(deployment.labels);
  if (!scaling) return pass_on(std::move(scaling));
  auto retry = retry_policy(deployment.annotations);
  if (!retry) return pass_on(std::move(retry));
  auto start = plan_start(core, deployment, container);
  if (!start) return pass_on(std::move(start));
  auto watchdog = watchdog_settings(start->settings);
  if (!watchdog) return pass_on(std::move(watchdog));
  const ScaleSettings scale = scale_settings(*scaling, core.settings.replicas_max);
  auto command = container ? resolve_in_container(start->deployment, watchdog->process,
                                                  std::move(start->command), *container)
                           : resolve_command(deployment, watchdog->process, start->root);
  if (!command) return pass_on(std::move(command));
  if (!traits->timeout) traits->timeout = time_limit(*watchdog);
  const int slots = slots_of(*traits, *watchdog, scale.min, core.settings.cores);
  auto spec = plan_replica(deployment, *watchdog, command->front(), std::move(start->root), slots,
                           core.settings.replica, core.runner->settings(), core.runner->sandbox());
  if (!spec) return pass_on(std::move(spec));
  RunPlan plan{.spec = std::move(*spec),
               .watchdog = std::move(*watchdog),
               .scale = scale,
               .command = std::move(*command),
               .environment = standing_environment(start->deployment),
               .directory = container ? container->config.directory : "/",
               .image = std::move(container)};
  if (plan.watchdog.mode == FunctionMode::http) {
    for (const char* name : {"port", "PORT"}) {
      if (start->deployment.env.contains(name)) continue;
      plan.environment.push_back(fmt::format("{}={}", name, plan.watchdog.port));
    }
  }
  DeployedFunction function{.deployment = std::move(deployment),
                            .traits = *traits,
                            .digest = {},
                            .created_at = std::move(created_at),
                            .scaling = *scaling,
                            .retry = std::move(*retry),
                            .max_inflight = plan.watchdog.max_inflight,
                            .plan = std::move(plan)};
  function.digest = deployment_digest(function.deployment, function.image_digest());
  function.replicas = initial_replicas(function.scaling, replicas, core.settings.replicas_max);
  function.slots = slots_with(core.settings, function, function.replicas);
  // Last, as the only step that leaves a trace.
  const FunctionName& name = function.deployment.function;
  if (function.deployment.secrets.empty()) {
    core.secrets.revoke(name);
  } else {
    auto granted = core.secrets.grant(name, function.deployment.secrets);
    if (!granted) {
      // It is the deployment that is wrong, not the path that was asked for.
      const bool is_unknown = granted.error().code == ErrorCode::not_found;
      return fail(is_unknown ? ErrorCode::invalid_input : granted.error().code,
                  fmt::format("function {}: {}", name.full(), granted.error().message));
    }
    function.secrets = std::move(*granted);
    for (const std::string& secret : function.deployment.secrets) {
      function.plan.spec.secrets.emplace_back(secret, (function.secrets / secret).string());
    }
    const SandboxTier tier = core.runner->sandbox().tier;
    const bool is_given = start->deployment.env.contains("secret_mount_path");
    if (!is_given &&
        tier != SandboxTier::landlock) {  // There, each replica has a place of its own.
      function.plan.environment.push_back("secret_mount_path=" +
                                          (tier == SandboxTier::none
                                               ? function.secrets.string()
                                               : std::string("/var/openfaas/secrets")));
    }
  }
  return function;
}

GatewayCore::GatewayCore(asio::any_io_executor executor_, GatewaySettings settings_,
                         FunctionStore store_, SecretStore secrets_,
                         std::unique_ptr<AsyncQueue> async_, std::unique_ptr<ImageStore> images_,
                         std::unique_ptr<FunctionHost> runner_)
    : settings(std::move(settings_)),
      executor(std::move(executor_)),
      store(std::move(store_)),
      secrets(std::move(secrets_)),
      async(std::move(async_)),
      images(std::move(images_)),
      runner(std::move(runner_)),
      dispatcher(settings.dispatcher, Random{settings.seed}),
      egress(settings.egress),
      boot(to_lower(hex_upper(random_bytes()))) {
  if (settings.platform) platform = std::make_unique<Platform>(executor, *settings.platform);
  DFAAS_ASSERT((runner != nullptr) != (platform != nullptr), "either runs the functions");
}

GatewayCore::~GatewayCore() = default;

bool GatewayCore::is_healthy() const { return !draining && (platform || runner->healthy()); }

void GatewayCore::tell_change() {
  ++version;
  for (const auto& timer : std::exchange(watchers, {})) timer->cancel();
}

void GatewayCore::pump() {
  for (const RequestId id : dispatcher.started()) {
    if (const auto found = calls.find(id); found != calls.end()) {
      found->second->started = true;
      if (!recordings.empty()) found->second->slot_since = now();
      found->second->wake.cancel();
    }
  }
  for (const auto& [id, decision] : dispatcher.moved()) {
    if (const auto found = calls.find(id); found != calls.end()) {
      found->second->moved = decision;
      found->second->wake.cancel();
    }
  }
  for (const RequestId id : dispatcher.stalled()) {
    const auto found = calls.find(id);
    // One whose answer has begun, or whose body is gone, can only go on waiting.
    if (found == calls.end() || found->second->answer_begun || !found->second->body_complete)
      continue;
    found->second->peer_lost = true;
    found->second->interrupt();
  }
  for (const RequestId id : dispatcher.refused_in_queue()) {
    if (const auto found = calls.find(id); found != calls.end()) {
      found->second->removed = true;
      found->second->wake.cancel();
    }
  }
}

void GatewayCore::tell_if_idle() {
  if (calls.empty() && on_idle) asio::post(executor, std::exchange(on_idle, nullptr));
}

namespace {

AsyncPolicy async_policy(const GatewaySettings& settings, const DeployedFunction& function) {
  return {.retry = function.retry,
          .concurrency = std::max(function.slots, 1),
          .timeout = function.traits.timeout.value_or(settings.exec_timeout)};
}

}  // namespace

void GatewayCore::put(DeployedFunction function) {
  const FunctionName name = function.deployment.function;
  reserved_images.erase(name);
  if (runner) runner->put(name, function.plan);
  dispatcher.deploy(name, function.slots, function.digest, function.traits, now());
  metrics.set_slots(name.full(), function.slots);
  if (!recordings.empty()) recordings.tell(trace_line(recorded_function(*this, function)));
  metrics.set_replicas(name.full(), function.replicas);
  async->set_policy(name, async_policy(settings, function));
  const int replicas = function.replicas;
  const auto known = functions.insert_or_assign(name, std::move(function)).first;
  if (runner && runner->counts(name).wanted != replicas) runner->scale(name, replicas);
  known->second.ready_told = available_replicas(*this, known->second);
  tell_change();
  pump();
}

void GatewayCore::erase(const FunctionName& function) {
  functions.erase(function);
  if (runner) runner->erase(function);
  metrics.forget(function.full());
  answers.erase(function);
  secrets.revoke(function);
  logs.forget(function);
  async->forget(function);
  dispatcher.remove(function, now());
  tell_change();
  pump();
}

GatewayObservation GatewayCore::observe() {
  GatewayObservation observation = dispatcher.observe(now());
  observation.boot = boot;
  observation.version = version;
  std::erase_if(answers, [&observation](const auto& entry) {
    return !std::ranges::binary_search(observation.functions, entry.first, {},
                                       &FunctionObservation::function);
  });
  for (FunctionObservation& function : observation.functions) {
    if (const auto own = functions.find(function.function); own != functions.end()) {
      function.replicas_ready = available_replicas(*this, own->second);
    }
    const auto found = answers.find(function.function);
    if (found == answers.end()) continue;
    const AnswerCounters& counters = found->second;
    function.kept = counters.kept;
    function.kept_good = counters.kept_good;
    function.served_here = counters.served_here;
    function.served_here_time = counters.served_here_time;
    for (PeerCounters& peer : function.peers) {
      const auto answered = counters.peers.find(peer.id);
      if (answered == counters.peers.end()) continue;
      peer.good = answered->second.good;
      peer.answer_time = answered->second.answer_time;
    }
  }
  return observation;
}

void GatewayCore::adjust_slots(const FunctionName& name) {
  const auto found = functions.find(name);
  if (found == functions.end()) return;
  DeployedFunction& function = found->second;
  function.replicas = runner->counts(name).wanted;
  metrics.set_replicas(name.full(), function.replicas);
  const int ready = available_replicas(*this, function);
  const int slots = slots_with(settings, function, function.replicas);
  if (std::exchange(function.ready_told, ready) != ready) tell_change();
  if (slots == function.slots) return;
  tell_change();
  function.slots = slots;
  dispatcher.deploy(name, slots, function.digest, function.traits, now());
  metrics.set_slots(name.full(), slots);
  async->set_policy(name, async_policy(settings, function));
  if (!recordings.empty()) recordings.tell(trace_line(recorded_function(*this, function)));
  pump();
}

Result<void> GatewayCore::scale(const FunctionName& function, int replicas) {
  if (auto stored = store.set_replicas(function, replicas); !stored) return stored;
  DeployedFunction changed = functions.at(function);
  changed.replicas = replicas;
  changed.slots = slots_with(settings, changed, replicas);
  put(std::move(changed));
  return {};
}

std::string GatewayCore::name_of(const NodeId& peer) const {
  const PeerPlan* plan = dispatcher.peer(peer);
  return plan == nullptr || plan->name.empty() ? peer.text() : plan->name.text();
}

struct Gateway::State {
  State(asio::any_io_executor executor, GatewaySettings settings, FunctionStore store,
        SecretStore secrets, std::unique_ptr<AsyncQueue> async, std::unique_ptr<ImageStore> images,
        std::unique_ptr<FunctionHost> runner)
      : core(executor, std::move(settings), std::move(store), std::move(secrets), std::move(async),
             std::move(images), std::move(runner)),
        tasks(executor),
        patience_timer(executor) {}

  GatewayCore core;
  std::list<UnixAcceptor> acceptors;
  TaskGroup tasks;
  asio::steady_timer patience_timer;
};

namespace {

/// The last thing before the gateway ends.
asio::awaitable<void> end_functions(GatewayCore* core, std::function<void()> done) {
  if (core->runner) co_await core->runner->drain(function_patience);
  done();
}

asio::awaitable<void> serve_user(GatewayCore* core, ServerConnection* connection,
                                 RequestHead head) {
  Route route = parse_route(head.target);
  if (auto* call = std::get_if<FunctionCallRoute>(&route)) {
    if (core->runner && is_watchdog_path(call->path) && core->functions.contains(call->function)) {
      co_await respond_watchdog(core, connection, std::move(call->function), std::move(call->path));
      co_return;
    }
    co_await serve_function_call(core, connection, std::move(head), std::move(*call), NodeId{});
  } else if (auto* queued = std::get_if<AsyncFunctionRoute>(&route)) {
    co_await serve_async(core, connection, std::move(head), std::move(*queued));
  } else {
    co_await serve_system(core, connection, std::move(head), std::move(route));
  }
}

asio::awaitable<void> serve_peer(GatewayCore* core, ServerConnection* connection,
                                 RequestHead head) {
  Route route = parse_route(head.target);
  if (std::holds_alternative<HealthzRoute>(route)) {  // The front door's own check of us.
    co_await respond_health(core, connection);
    co_return;
  }
  auto from = NodeId::parse(head.headers.get("DFaaS-Node-ID"));
  auto* call = std::get_if<FunctionCallRoute>(&route);
  if (!from) {
    // The front door lets nothing through without it: this is somebody on the local socket.
    co_await respond_text(connection, 403, from.error().message + "\n");
  } else if (call == nullptr) {
    co_await respond_text(connection, 404, "neighbours may call functions only\n");
  } else {
    co_await serve_function_call(core, connection, std::move(head), std::move(*call), *from);
  }
}

asio::awaitable<void> serve_connection(GatewayCore* core, Gateway::Port port, StreamSocket socket) {
  ServerConnection connection(std::move(socket));
  for (;;) {
    auto head = co_await connection.read_head(core->settings.head_timeout);
    if (!head) co_return;
    // The front door keeps connections: without this, it would bring calls until we are killed.
    if (core->draining) connection.close_after_answer();
    switch (port) {
      case Gateway::Port::user:
      case Gateway::Port::async:
        co_await serve_user(core, &connection, std::move(*head));
        break;
      case Gateway::Port::peer:
        co_await serve_peer(core, &connection, std::move(*head));
        break;
      case Gateway::Port::admin:
        co_await serve_admin(core, &connection, std::move(*head));
        break;
      case Gateway::Port::control:
        co_await serve_control(core, &connection, std::move(*head));
        break;
    }
    co_await connection.discard_body();
    if (!connection.reusable()) co_return;
  }
}

}  // namespace

namespace {

/// What the database has, as it was. What cannot run now is kept there: it comes back when its program does.
void bring_back(GatewayCore& core, StoredFunction function) {
  const FunctionName name = function.deployment.function;
  ImagePtr container;
  Result<DeployedFunction> prepared = fail(
      ErrorCode::not_found, fmt::format("its image {} is no longer unpacked here: deploy it again",
                                        function.image_digest));
  if (!function.image_digest.empty()) container = core.images->find(function.image_digest);
  if (container || function.image_digest.empty()) {
    prepared = prepare(core, std::move(function.deployment), function.created_at, function.replicas,
                       container);
  }
  if (prepared) {
    core.put(std::move(*prepared));
    return;
  }
  log_event(LogLevel::error, "function_not_deployed",
            {{"function", name.full()}, {"error", prepared.error().message}});
  if (container) core.reserved_images.emplace(name, std::move(container));
}

/// A gateway that takes over goes on with the plan of its predecessor, until the agent brings the next one.
void take_last_plan(GatewayCore& core) {
  constexpr auto age_max = std::chrono::seconds{30};
  const std::filesystem::path& file = core.settings.last_plan;
  std::error_code missing;
  const auto written = std::filesystem::last_write_time(file, missing);
  if (missing) return;
  const bool is_fresh = std::filesystem::file_time_type::clock::now() - written < age_max;
  const auto text = read_file(file);
  std::filesystem::remove(file, missing);
  if (!text || !is_fresh) return;
  if (const auto plan = plan_from_json(*text)) core.dispatcher.install(*plan, now());
}

/// Without it the successor waits for the agent: no reason to stop otherwise.
void leave_plan(const GatewayCore& core) {
  constexpr mode_t owner_only = 0600;
  const std::string text = plan_to_json(core.dispatcher.plan());
  if (auto left = write_file(core.settings.last_plan, text, owner_only); !left) {
    log_event(LogLevel::warn, "plan_not_left", {{"why", left.error().message}});
  }
}

}  // namespace

Gateway::Gateway(std::unique_ptr<State> state) : state_(std::move(state)) {}
Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::start(asio::any_io_executor executor,
                                                GatewaySettings settings) {
  auto store = FunctionStore::open(settings.database);
  if (!store) return tl::unexpected(std::move(store).error().within("function database"));
  auto stored = store->all();
  if (!stored) return tl::unexpected(std::move(stored).error().within("function database"));
  auto spaces = store->namespaces();
  if (!spaces) return tl::unexpected(std::move(spaces).error().within("function database"));
  auto secrets = SecretStore::open(settings.function_secrets);
  if (!secrets) return tl::unexpected(std::move(secrets).error().within("function secrets"));
  const AsyncQueueSettings queue{.database = settings.async_database,
                                 .gateway = settings.async,
                                 .calls_max = settings.async_calls_max};
  auto async = AsyncQueue::start(executor, queue);
  if (!async) return tl::unexpected(std::move(async).error().within("asynchronous calls"));
  auto images = ImageStore::open(executor, settings.images);
  if (!images) return tl::unexpected(std::move(images).error().within("images"));
  std::unique_ptr<FunctionHost> host;
  if (!settings.platform) {
    auto runner = FunctionHost::start(executor, settings.launcher, settings.sandbox);
    if (!runner) return tl::unexpected(std::move(runner).error().within("sandbox"));
    log_sandbox((*runner)->sandbox());
    host = std::move(*runner);
  }
  auto state =
      std::make_unique<State>(executor, std::move(settings), std::move(*store), std::move(*secrets),
                              std::move(*async), std::move(*images), std::move(host));
  take_last_plan(state->core);
  for (Namespace& space : *spaces) state->core.namespaces.emplace(space.name, std::move(space));
  if (state->core.platform) {
    if (!stored->empty()) {
      log_event(LogLevel::info, "functions_rest",
                {{"functions", std::to_string(stored->size())},
                 {"why", "platform.kind is openfaas; they are kept for when it is embedded"}});
    }
    state->tasks.spawn(follow_platform(&state->core));
    return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
  }
  state->core.runner->on_change(
      [core = &state->core](const FunctionName& function) { core->adjust_slots(function); });
  state->core.runner->on_output(
      [core = &state->core](const FunctionName& function, std::string line) {
        core->logs.write(
            function,
            {.time = wall_now(), .instance = core->settings.name.text(), .text = std::move(line)});
      });
  for (StoredFunction& function : *stored) bring_back(state->core, std::move(function));
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

void Gateway::serve(Port port, UnixAcceptor acceptor) {
  State* state = state_.get();
  if (port == Port::async) state->core.async->deliver();
  state->acceptors.push_back(std::move(acceptor));
  state->tasks.spawn(accept_loop(&state->acceptors.back(), [state, port](StreamSocket socket) {
    state->tasks.spawn(serve_connection(&state->core, port, std::move(socket)));
  }));
}

void Gateway::stop(Millis patience, std::function<void()> done) {
  State* state = state_.get();
  state->core.draining = true;
  state->core.dispatcher.drain();
  state->core.logs.close();
  state->core.async->stop();
  state->core.tell_change();
  for (UnixAcceptor& acceptor : state->acceptors) {
    boost::system::error_code ignored;  // Closing is all that is wanted.
    acceptor.close(ignored);
  }
  for (const auto& [id, call] : state->core.calls) call->connection->close_after_answer();
  // Idle keep-alive connections would hold us up: only calls in flight are waited for.
  auto once = std::make_shared<std::function<void()>>(std::move(done));
  const auto finish = [state, once] {
    if (!*once) return;
    state->patience_timer.cancel();
    leave_plan(state->core);
    state->tasks.spawn(end_functions(&state->core, std::exchange(*once, nullptr)));
  };
  state->patience_timer.expires_after(patience);
  state->patience_timer.async_wait([finish](const boost::system::error_code& error) {
    if (!error) finish();
  });
  state->core.on_idle = finish;
  state->core.tell_if_idle();
}

}  // namespace dfaas
