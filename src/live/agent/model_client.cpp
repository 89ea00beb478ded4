// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/agent/model_client.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/strategy/external_codec.hpp"
#include "live/net/http.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

constexpr std::size_t answer_bytes_max = 64 * 1024;

Millis time_left(Instant deadline) {
  const auto now = Instant(
      std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now().time_since_epoch()));
  return std::max(std::chrono::ceil<Millis>(deadline - now), Millis{1});
}

ModelAnswer not_taken(ModelOutcome outcome, std::string why) {
  ModelAnswer answer;
  answer.outcome = outcome;
  answer.why = std::move(why);
  return answer;
}

ModelOutcome outcome_of(ErrorCode code) {
  if (code == ErrorCode::timed_out) return ModelOutcome::late;
  const bool is_wrong = code == ErrorCode::invalid_input || code == ErrorCode::overloaded;
  return is_wrong ? ModelOutcome::wrong : ModelOutcome::unreachable;
}

ModelAnswer answer_of(const Result<HttpReply>& reply, const NodeId& self,
                      const ExternalQuestion& question) {
  if (!reply) return not_taken(outcome_of(reply.error().code), reply.error().message);
  if (reply->head.status != 200) {
    return not_taken(ModelOutcome::refused, fmt::format("status {}", reply->head.status));
  }
  auto shares = external_action_from_json(reply->body, self, question.neighbours);
  if (!shares) return not_taken(ModelOutcome::wrong, shares.error().message);
  ModelAnswer answer;
  answer.outcome = ModelOutcome::taken;
  answer.shares = std::move(*shares);
  return answer;
}

/// The status and, of 200, the body. As fetch(), but by one deadline for all.
asio::awaitable<Result<HttpReply>> post(Endpoint endpoint, RequestHead head, std::string body,
                                        Instant deadline) {
  auto connection = co_await ClientConnection::connect(std::move(endpoint), time_left(deadline));
  if (!connection) co_return pass_on(std::move(connection));
  auto sent = co_await connection->write_request(std::move(head), body, time_left(deadline));
  if (!sent) co_return pass_on(std::move(sent));
  auto answer = co_await connection->read_head(time_left(deadline));
  while (answer && answer->status >= 100 && answer->status < 200) {
    answer = co_await connection->read_head(time_left(deadline));
  }
  if (!answer) co_return pass_on(std::move(answer));
  HttpReply reply{.head = std::move(*answer), .body = {}};
  if (reply.head.status != 200) co_return reply;
  std::array<char, 4096> piece{};
  for (;;) {
    const auto filled = co_await connection->read_body(piece, time_left(deadline));
    if (!filled) co_return fail(filled.error().code, filled.error().message);
    if (*filled == 0) co_return reply;
    reply.body.append(piece.data(), *filled);
    if (reply.body.size() > answer_bytes_max) {
      co_return fail(ErrorCode::overloaded,
                     fmt::format("the answer is over {} bytes", answer_bytes_max));
    }
    if (std::chrono::steady_clock::now().time_since_epoch() >= deadline.time_since_epoch()) {
      co_return fail(ErrorCode::timed_out, "the answer did not end in time");
    }
  }
}

}  // namespace

std::string ModelSettings::text() const {
  const bool is_v6 = url.host.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}{}/action", is_v6 ? "[" : "", url.host, is_v6 ? "]" : "",
                     url.port, url.path);
}

std::string_view word_of(ModelOutcome outcome) {
  return model_outcomes.at(static_cast<std::size_t>(outcome)).first;
}

std::uint64_t ModelCounters::* member_of(ModelOutcome outcome) {
  return model_outcomes.at(static_cast<std::size_t>(outcome)).second;
}

asio::awaitable<ModelAnswer> ask_model(ModelSettings settings, NodeId self,
                                       ExternalQuestion question, Instant deadline) {
  Endpoint endpoint{.unix_path = {}, .host = settings.url.host, .port = settings.url.port};
  RequestHead head{.method = "POST", .target = settings.url.path + "/action"};
  head.headers.add("Host", fmt::format("{}:{}", settings.url.host, settings.url.port));
  head.headers.add("Content-Type", "application/json");
  head.body = {.length = question.json.size()};
  head.keep_alive = false;
  const auto reply =
      co_await post(std::move(endpoint), std::move(head), std::move(question.json), deadline);
  co_return answer_of(reply, self, question);
}

double CpuMeter::ratio_since_last() {
  std::ifstream file("/proc/stat");
  std::string name;
  std::array<std::uint64_t, 8> ticks{};  // user nice system idle iowait irq softirq steal
  file >> name;
  for (std::uint64_t& count : ticks) file >> count;
  if (!file || name != "cpu") return 0;
  std::uint64_t all = 0;
  for (const std::uint64_t count : ticks) all += count;
  const std::uint64_t busy = all - ticks[3] - ticks[4];
  const std::uint64_t busy_before = std::exchange(busy_, busy);
  const std::uint64_t all_before = std::exchange(all_, all);
  if (all_before == 0 || all <= all_before || busy < busy_before) return 0;
  return static_cast<double>(busy - busy_before) / static_cast<double>(all - all_before);
}

}  // namespace dfaas
