// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// GET /system/logs: one JSON object a line, each sent when it comes.
///
/// With follow=true the answer goes on until the function is removed, the reader leaves, the gateway stops
/// or gateway.log_follow_ms have passed, and then ends properly: faas-cli reads to the end.
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/gateway/system_api.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr Millis write_patience{10'000};

bool is_wanted(const LogQuery& query, const LogLine& line) {
  return (!query.since || line.time >= *query.since) &&
         (query.instance.empty() || line.instance == query.instance);
}

std::string lines_text(const LogQuery& query, const std::vector<LogLine>& lines) {
  std::string text;
  for (const LogLine& line : lines) {
    if (is_wanted(query, line)) text += log_line_json(query.function, line);
  }
  return text;
}

/// The past: the last `tail` of the lines that are wanted.
std::string past_text(const LogQuery& query, std::vector<LogLine> lines) {
  std::erase_if(lines, [&query](const LogLine& line) { return !is_wanted(query, line); });
  if (query.tail && lines.size() > *query.tail) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(*query.tail));
  }
  return lines_text(query, lines);
}

asio::awaitable<bool> send(ServerConnection* connection, std::string text) {
  if (text.empty()) co_return true;
  const auto written = co_await connection->write_body(text, write_patience);
  co_return written.has_value();
}

}  // namespace

asio::awaitable<void> serve_logs(GatewayCore* core, ServerConnection* connection, RequestHead head,
                                 std::string query_text) {
  if (head.method != "GET") {
    co_await respond_wrong_method(connection, "GET");
    co_return;
  }
  const auto query = parse_log_query(query_text);
  if (!query) {
    co_await respond_text(connection, 422, query.error().message + "\n");
    co_return;
  }
  if (!core->functions.contains(query->function)) {
    co_await respond_text(connection, 404, fmt::format("no function {}\n", query->function.full()));
    co_return;
  }
  co_await connection->discard_body();
  asio::steady_timer wake(core->executor);
  const auto reader = core->logs.read(query->function, &wake);
  ResponseHead answer{.status = 200};
  answer.headers.add("Content-Type", "application/x-ndjson");
  answer.body = {.length = std::nullopt, .chunked = true};
  connection->write_head(std::move(answer));
  bool is_read = (co_await connection->flush_head()).has_value();
  if (is_read) {
    std::string past = past_text(*query, reader->take());
    is_read = co_await send(connection, std::move(past));
  }
  if (query->follow && is_read) {
    bool has_left = false;
    connection->watch_hangup([&has_left, &wake] {
      has_left = true;
      wake.cancel();
    });
    const Instant until = now() + core->settings.log_follow_time;
    while (is_read && !has_left && !reader->closed() && now() < until) {
      wake.expires_after(until - now());
      std::ignore = co_await wake.async_wait(as_result);
      std::string lines = lines_text(*query, reader->take());
      is_read = !has_left && co_await send(connection, std::move(lines));
    }
    connection->stop_watching();
    is_read = is_read && !has_left;
  }
  if (is_read) {
    std::ignore = co_await connection->finish_body();
  } else {
    connection->close();
  }
}

}  // namespace dfaas
