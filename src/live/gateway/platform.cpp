// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/platform.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/openfaas/platform.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t list_bytes_max = 16U << 20U;
constexpr Micros retry_pause_min{100'000};
constexpr int retry_periods_max = 5;  ///< So late is a platform that came back noticed, at most.
constexpr std::size_t shown_max = 20;

/// Our entry in the header Via.
std::string via_text(const GatewayCore& core) { return "1.1 dfaas-" + core.settings.self.text(); }

Millis left_until(Instant until) {
  return std::max(std::chrono::duration_cast<Millis>(until - now()), Millis{1});
}

/// GET of a small answer, all of it within the time limit: a server that drips counts as silent.
asio::awaitable<Result<HttpReply>> ask(const GatewayCore* core, std::string target) {
  const Platform* const platform = core->platform.get();
  const Instant until = now() + Micros(platform->settings.timeout);
  RequestHead head = platform_request(*core, {.method = "GET"}, target);
  add_platform_credentials(*platform, head);
  head.keep_alive = false;
  const PlatformSettings& settings = platform->settings;
  auto connection =
      co_await ClientConnection::connect(settings.endpoint, left_until(until), settings.tls);
  if (!connection) co_return pass_on(std::move(connection));
  auto sent = co_await connection->write_request(std::move(head), {}, left_until(until));
  if (!sent) co_return pass_on(std::move(sent));
  auto answer = co_await connection->read_head(left_until(until));
  while (answer && answer->status < 200) {
    answer = co_await connection->read_head(left_until(until));
  }
  if (!answer) co_return pass_on(std::move(answer));
  HttpReply reply{.head = std::move(*answer), .body = {}};
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    if (now() >= until) co_return fail(ErrorCode::timed_out, "reading a body: it takes too long");
    const auto filled = co_await connection->read_body(piece, left_until(until));
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return reply;
    if (reply.body.size() + *filled > list_bytes_max) {
      co_return fail(ErrorCode::overloaded,
                     fmt::format("the answer is over {} bytes", list_bytes_max));
    }
    reply.body.append(piece.data(), *filled);
  }
}

/// As a deployed function of ours. What does not run here has no run plan.
DeployedFunction deployed(const GatewayCore& core, const PlatformFunction& function,
                          std::optional<Micros> service_time) {
  DeployedFunction result{.deployment = function.status.deployment,
                          .traits = function.traits,
                          .digest = deployment_digest(function.status.deployment, ""),
                          .created_at = function.status.created_at,
                          .retry = function.retry,
                          .max_inflight = function.max_inflight,
                          .replicas = function.status.replicas,
                          .slots = platform_slots(function, service_time, core.settings.cores),
                          .ready = function.status.available_replicas};
  result.plan.watchdog.max_inflight = function.max_inflight;
  return result;
}

bool is_same(const DeployedFunction& a, const DeployedFunction& b) {
  return a.deployment == b.deployment && a.replicas == b.replicas && a.slots == b.slots &&
         a.ready == b.ready && a.created_at == b.created_at;
}

void tell_left_out(Platform& platform, const std::vector<std::string>& left_out) {
  if (left_out == platform.left_out) return;
  platform.left_out = left_out;
  for (std::size_t at = 0; at < std::min(platform.left_out.size(), shown_max); ++at) {
    log_event(LogLevel::warn, "platform_function_left_out", {{"why", platform.left_out[at]}});
  }
}

void apply(GatewayCore* core, const PlatformList& list) {
  std::map<FunctionName, Micros> service_times;
  for (const FunctionObservation& seen : core->dispatcher.observe(now()).functions) {
    if (seen.service_time.count() > 0) service_times.emplace(seen.function, seen.service_time);
  }
  std::set<FunctionName> listed;
  for (const PlatformFunction& function : list.functions) {
    const FunctionName& name = function.status.deployment.function;
    listed.insert(name);
    const auto time = service_times.find(name);
    DeployedFunction wanted = deployed(
        *core, function, time == service_times.end() ? std::nullopt : std::optional(time->second));
    const auto known = core->functions.find(name);
    if (known != core->functions.end() && is_same(known->second, wanted)) continue;
    if (known == core->functions.end()) {
      log_event(LogLevel::info, "platform_function_found",
                {{"function", name.full()}, {"slots", std::to_string(wanted.slots)}});
    }
    core->put(std::move(wanted));
  }
  std::vector<FunctionName> gone;
  for (const auto& [name, function] : core->functions) {
    if (!listed.contains(name)) gone.push_back(name);
  }
  for (const FunctionName& name : gone) {
    log_event(LogLevel::info, "platform_function_gone", {{"function", name.full()}});
    core->erase(name);
  }
  tell_left_out(*core->platform, list.left_out);
}

/// The last list stands, but nothing of it can run.
void take_slots(GatewayCore* core) {
  std::vector<DeployedFunction> changed;
  for (const auto& [name, function] : core->functions) {
    if (function.slots > 0 || function.ready > 0) changed.push_back(function);
  }
  for (DeployedFunction& function : changed) {
    function.slots = 0;
    function.ready = 0;
    core->put(std::move(function));
  }
}

/// Once per change: a platform that stays away has been told of.
void set_health(GatewayCore* core, PlatformHealth health, std::string why) {
  Platform& platform = *core->platform;
  const bool is_news = health != platform.health || why != platform.why;
  platform.why = std::move(why);
  const PlatformHealth before = std::exchange(platform.health, health);
  if (!platform.can_run()) {
    platform.connections.clear();
    take_slots(core);
  }
  if (!is_news) return;
  if (health == PlatformHealth::ready) {
    if (before == health) return;
    log_event(
        LogLevel::info, "platform_ready",
        {{"url", platform.settings.url}, {"functions", std::to_string(core->functions.size())}});
    return;
  }
  log_event(LogLevel::error, fmt::format("platform_{}", to_text(health)),
            {{"url", platform.settings.url}, {"why", platform.why}});
}

/// What is wrong with an answer that is no list; nothing when it may be one.
std::optional<std::pair<PlatformHealth, std::string>> complaint_of(const Platform& platform,
                                                                   const HttpReply& reply) {
  if (reply.head.status == 200) return std::nullopt;
  if (reply.head.status == 401 || reply.head.status == 403) {
    return std::pair{PlatformHealth::denied,
                     fmt::format("the platform answers {} to GET /system/functions: it does not "
                                 "accept the user {} of platform.user with the password in "
                                 "platform.password_file",
                                 reply.head.status, in_quotes(platform.settings.user))};
  }
  return std::pair{PlatformHealth::silent,
                   fmt::format("the platform answers {} to GET /system/functions: {}",
                               reply.head.status, in_quotes(trim(reply.body), 200))};
}

asio::awaitable<void> read_name(GatewayCore* core) {
  const auto reply = co_await ask(core, "/system/info");
  if (reply && reply->head.status == 200) {
    core->platform->name = platform_name_from_json(reply->body);
  }
}

}  // namespace

std::string_view to_text(PlatformHealth health) {
  switch (health) {
    case PlatformHealth::unknown:
      return "unknown";
    case PlatformHealth::ready:
      return "ready";
    case PlatformHealth::denied:
      return "denied";
    case PlatformHealth::silent:
      return "silent";
  }
  return "unknown";
}

RequestHead platform_request(const GatewayCore& core, RequestHead head, const std::string& target) {
  const PlatformSettings& settings = core.platform->settings;
  head.target = settings.path + target;
  head.headers.set("Host", settings.host);
  head.headers.add("Via", via_text(core));
  return head;
}

bool is_loop(const GatewayCore& core, const Headers& headers) {
  const std::string own = via_text(core);
  return std::ranges::any_of(headers, [&own](const Header& header) {
    return equal_ignoring_case(header.name, "Via") && header.value.find(own) != std::string::npos;
  });
}

void add_platform_credentials(const Platform& platform, RequestHead& head) {
  head.headers.remove("Authorization");
  if (platform.settings.user.empty()) return;
  head.headers.add("Authorization", "Basic " + base64_encode(platform.settings.user + ":" +
                                                             platform.settings.password));
}

std::string why_of(const Error& error) {
  if (error.code != ErrorCode::denied) return error.message;
  return error.message +
         " (platform.url has the name, platform.authority says whose signature counts)";
}

asio::awaitable<void> read_platform(GatewayCore* core) {
  Platform& platform = *core->platform;
  const std::uint64_t number = ++platform.reading_begun;
  const auto reply = co_await ask(core, "/system/functions");
  ++platform.readings;
  // One that began later knows better.
  if (number < platform.reading_applied) co_return;
  platform.reading_applied = number;
  if (!reply) {
    ++platform.failures;
    set_health(core, PlatformHealth::silent, why_of(reply.error()));
    co_return;
  }
  if (const auto complaint = complaint_of(platform, *reply)) {
    ++platform.failures;
    set_health(core, complaint->first, complaint->second);
    if (platform.can_run()) apply(core, *platform.list);  // It may have been silent before.
    co_return;
  }
  auto list = platform_list_from_json(reply->body);
  if (!list) {
    ++platform.failures;
    set_health(core, PlatformHealth::silent,
               "the answer to GET /system/functions: " + list.error().message);
    co_return;
  }
  platform.list = std::move(*list);
  apply(core, *platform.list);
  set_health(core, PlatformHealth::ready, "");
}

asio::awaitable<void> follow_platform(GatewayCore* core) {
  Platform& platform = *core->platform;
  const Micros period(platform.settings.period);
  Micros retry = retry_pause_min;
  while (!core->draining) {
    const std::uint64_t failures = platform.failures;
    co_await read_platform(core);
    const bool is_good = platform.failures == failures && platform.health == PlatformHealth::ready;
    if (is_good && platform.name.empty()) co_await read_name(core);
    if (is_good) retry = std::min(retry_pause_min, period);
    platform.wake.expires_after(is_good ? period : retry);
    if (!is_good) retry = std::min(2 * retry, retry_periods_max * period);
    const auto [woken] = co_await platform.wake.async_wait(as_result);
    if (woken) retry = std::min(retry_pause_min, period);
  }
}

void platform_refused(GatewayCore* core, const Error& error) {
  Platform& platform = *core->platform;
  ++platform.refused_connections;
  if (platform.health == PlatformHealth::silent) return;
  // Whatever is being read now began before.
  platform.reading_applied = platform.reading_begun + 1;
  platform.reading_begun = platform.reading_applied;
  set_health(core, PlatformHealth::silent, why_of(error));
  platform.wake.cancel();
}

std::string platform_json(const GatewayCore& core) {
  if (!core.platform) return R"({"kind":"embedded"})";
  const Platform& platform = *core.platform;
  nlohmann::json left_out = nlohmann::json::array();
  for (std::size_t at = 0; at < std::min(platform.left_out.size(), shown_max); ++at) {
    left_out.push_back(platform.left_out[at]);
  }
  return json_text({{"kind", "openfaas"},
                    {"url", platform.settings.url},
                    {"name", platform.name},
                    {"state", std::string(to_text(platform.health))},
                    {"answers", platform.health == PlatformHealth::ready},
                    {"why", platform.why},
                    {"functions", core.functions.size()},
                    {"left_out", left_out}});
}

}  // namespace dfaas
