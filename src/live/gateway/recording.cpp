// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/recording.hpp"

#include <chrono>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/gateway/gateway_core.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t pending_bytes_max = 16U << 20U;
constexpr Millis flush_period{200};  ///< How old a line gets; a reader's last wait is as long.
constexpr Millis write_patience{5'000};

std::int64_t unix_micros() {
  return std::chrono::duration_cast<Micros>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What the gateway knows of itself; the agent knows the rest.
Recording head_of(const GatewayCore& core) {
  Recording head{.node = core.settings.name,
                 .id = core.settings.self,
                 .organisation = {},
                 .version = core.settings.version,
                 .began_unix = unix_micros(),
                 .strategy = core.dispatcher.plan().strategy,
                 .dispatcher = core.settings.dispatcher};
  for (const auto& [name, function] : core.functions) {
    head.functions.emplace(name, recorded_function(core, function));
  }
  return head;
}

}  // namespace

Recordings::Place Recordings::add(asio::any_io_executor executor, Instant now) {
  return readers_.emplace(readers_.end(), std::move(executor), now);
}

void Recordings::add_line(Reader& reader, std::string_view line) {
  if (reader.is_over) return;
  if (reader.pending.size() + line.size() > pending_bytes_max) return reader.end();
  reader.pending += line;
}

void Recordings::tell(std::string_view line) {
  for (Reader& reader : readers_) add_line(reader, line);
}

std::uint64_t Recordings::called(const FunctionName& function, const std::string& call_id,
                                 Instant now) {
  ++last_number_;
  for (Reader& reader : readers_) {
    add_line(reader, event_line(recorded_event::Called{.number = last_number_,
                                                       .at = now - reader.began,
                                                       .function = function,
                                                       .call_id = call_id}));
  }
  return last_number_;
}

RecordedFunction recorded_function(const GatewayCore& core, const DeployedFunction& function) {
  const FunctionTraits& traits = function.traits;
  return {.name = function.deployment.function,
          .slots = function.slots,
          .pool = traits.pool,
          .deadline = traits.timeout.value_or(core.settings.exec_timeout),
          .share = traits.share,
          .retry_safe = traits.retry_safe,
          .max_rate = traits.max_rate.value_or(Rate{})};
}

asio::awaitable<void> serve_recording(GatewayCore* core, ServerConnection* connection) {
  if (core->recordings.size() >= Recordings::readers_max) {
    co_await respond_text(
        connection, 503,
        fmt::format("{} others record this node already\n", Recordings::readers_max));
    co_return;
  }
  ResponseHead head{.status = 200};
  head.headers.add("Content-Type", "application/x-ndjson");
  head.body = {.length = std::nullopt, .chunked = true};
  connection->write_head(std::move(head));
  connection->close_after_answer();
  const auto reader = core->recordings.add(core->executor, now());
  log_event(LogLevel::info, "recording_began", {});
  reader->pending = trace_lines(head_of(*core));
  connection->watch_hangup([&reader] { reader->end(); });
  bool is_read = true;
  while (is_read && !reader->is_over) {
    std::string lines = std::exchange(reader->pending, {});
    lines += event_line(recorded_event::Now{.at = now() - reader->began});
    is_read = (co_await connection->write_body(lines, write_patience)).has_value();
    if (!is_read || reader->is_over) break;
    reader->wake.expires_after(flush_period);
    std::ignore = co_await reader->wake.async_wait(as_result);
  }
  connection->stop_watching();
  core->recordings.remove(reader);
  log_event(LogLevel::info, "recording_ended", {});
  // Without a last chunk: a reader that is still there learns that this was not its own end.
  connection->close();
}

}  // namespace dfaas
