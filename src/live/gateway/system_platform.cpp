// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// /system of a node whose functions a platform runs: the platform answers, with its own credentials in place of ours.
///
/// Guarantees What changed something is answered after the functions were read again, so that a call that follows
///            finds them. A platform that refuses this node's credentials is no 401 for the user, whose own were right.
#include <array>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/model/function.hpp"
#include "live/gateway/platform.hpp"
#include "live/gateway/system_api.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr std::size_t piece_bytes = 16 * 1024;
/// faasd answers a deployment when it has pulled the image.
constexpr Millis change_patience{300'000};
constexpr Millis write_patience{10'000};

/// A mistyped dfaas label must not be silently without effect, here either.
Result<void> check_labels(const std::string& body, std::uint64_t bytes_max) {
  std::map<std::string, std::string> labels;
  const auto read = parse_json_object(body, bytes_max, [&labels](const Fields& fields) {
    for (auto& [key, value] : fields.text_map("labels", 1000, 65536)) {
      labels.emplace(std::move(key), std::move(value));
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("deployment"));
  if (const auto traits = parse_traits(labels); !traits) {
    return tl::unexpected(Error(traits.error()).within("deployment: labels"));
  }
  return {};
}

asio::awaitable<void> respond_platform_failure(ServerConnection* connection, std::string why) {
  ResponseHead head{.status = 502};
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-OpenFaaS-Internal", "gateway");
  std::ignore = co_await connection->respond(std::move(head), std::move(why) + "\n");
}

/// Passes the rest on as it comes: logs that are followed have no end.
asio::awaitable<void> relay(ClientConnection* from, ServerConnection* to, ResponseHead head,
                            Instant until) {
  if (!head.body.length && !head.body.chunked) head.body.chunked = true;
  head.keep_alive = true;
  to->write_head(std::move(head));
  if (!from->body_at_hand() && !co_await to->flush_head()) co_return;
  std::array<char, piece_bytes> piece{};
  while (now() < until) {
    const auto left = std::chrono::ceil<Millis>(until - now());
    const auto filled = co_await from->read_body(piece, left);
    if (!filled && now() < until) {
      to->close();  // Cut off there, cut off here.
      co_return;
    }
    if (!filled || *filled == 0) break;
    if (!co_await to->write_body(std::span(piece).first(*filled), write_patience)) co_return;
  }
  std::ignore = co_await to->finish_body();
}

asio::awaitable<Result<std::string>> read_answer(ClientConnection* from, std::uint64_t bytes_max) {
  std::string body;
  std::array<char, piece_bytes> piece{};
  for (;;) {
    const auto filled = co_await from->read_body(piece, change_patience);
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return body;
    if (body.size() + *filled > bytes_max) {
      co_return fail(ErrorCode::overloaded, "the platform's answer is too long");
    }
    body.append(piece.data(), *filled);
  }
}

bool is_deployment(const RequestHead& head) {
  return (head.method == "POST" || head.method == "PUT") &&
         head.target.substr(0, head.target.find('?')) == "/system/functions";
}

}  // namespace

asio::awaitable<void> pass_to_platform(GatewayCore* core, ServerConnection* connection,
                                       RequestHead head) {
  Platform& platform = *core->platform;
  const std::uint64_t bytes_max = core->settings.system_body_bytes_max;
  if (is_loop(*core, head.headers)) {
    co_await respond_text(connection, loop_status, std::string(loop_text));
    co_return;
  }
  auto body = co_await read_whole_body(connection, bytes_max);
  if (!body) {
    co_await respond_error(connection, std::move(body).error());
    co_return;
  }
  if (is_deployment(head)) {
    if (auto checked = check_labels(*body, bytes_max); !checked) {
      co_await respond_error(connection, std::move(checked).error());
      co_return;
    }
  }
  const bool is_change = head.method != "GET" && head.method != "HEAD";
  const std::string target = head.target;
  const std::string method = head.method;
  head.headers.remove_prefixed("DFaaS-");
  RequestHead request = platform_request(*core, std::move(head), target);
  add_platform_credentials(platform, request);
  request.body = {.length = body->size()};
  request.expects_continue = false;
  request.keep_alive = false;

  auto to = co_await ClientConnection::connect(platform.settings.endpoint,
                                               platform.settings.timeout, platform.settings.tls);
  if (!to) {
    const std::string why = "the platform of this node does not answer: " + why_of(to.error());
    platform_refused(core, to.error());
    co_await respond_platform_failure(connection, why);
    co_return;
  }
  connection->watch_hangup([to = &*to] { to->close(); });
  const Instant until =
      now() + Micros(is_change ? change_patience
                               : std::max(core->settings.log_follow_time, Millis{60'000}));
  Result<ResponseHead> answer = fail(ErrorCode::unavailable, "not sent");
  const std::string text = *body;
  if (co_await to->write_request(std::move(request), text, write_patience)) {
    answer = co_await to->read_head(change_patience);
    while (answer && answer->status < 200) answer = co_await to->read_head(change_patience);
  }
  if (!answer) {
    const std::string why = "the platform of this node does not answer: " + answer.error().message;
    co_await respond_platform_failure(connection, why);
  } else if (answer->status == 401) {
    const std::string why =
        "the platform refuses this node's credentials (settings platform.user and "
        "platform.password_file)";
    co_await respond_platform_failure(connection, why);
  } else if (is_change) {
    ResponseHead told = std::move(*answer);
    auto rest = co_await read_answer(&*to, bytes_max);
    if (!rest) {
      const std::string why = "the platform's answer broke off: " + rest.error().message;
      co_await respond_platform_failure(connection, why);
    } else {
      log_event(LogLevel::info, "platform_asked",
                {{"method", method},
                 {"path", target.substr(0, target.find('?'))},
                 {"status", std::to_string(told.status)}});
      if (told.status < 300) co_await read_platform(core);
      told.keep_alive = true;
      std::string whole = std::move(*rest);
      std::ignore = co_await connection->respond(std::move(told), std::move(whole));
    }
  } else {
    ResponseHead told = std::move(*answer);
    co_await relay(&*to, connection, std::move(told), until);
  }
  connection->stop_watching();
}

}  // namespace dfaas
