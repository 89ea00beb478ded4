// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/membership/membership.hpp"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/telemetry/log.hpp"
#include "live/tls/shown_certificate.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t file_bytes_max = 1U << 20U;
constexpr std::size_t addresses_max = 10'000;

MemberHint listed(const Endpoint& address) {
  return {.key = address.text(),
          .group = {},
          .id = {},
          .host = address.host,
          .port = address.port,
          .labels = {}};
}

asio::awaitable<Result<ProvedPeer>> shake_hands(Endpoint candidate, OwnCertificate own) {
  const auto executor = co_await asio::this_coro::executor;
  boost::system::error_code error;
  ssl::context context(ssl::context::tls_client);
  context.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1, error);
  context.use_certificate_chain_file(own.certificate_and_key.string(), error);
  if (!error)
    context.use_private_key_file(own.certificate_and_key.string(), ssl::context::pem, error);
  if (!error) context.load_verify_file(own.authorities.string(), error);
  if (!error) context.set_verify_mode(ssl::verify_peer, error);
  if (error) {
    co_return fail(
        ErrorCode::unavailable,
        fmt::format("own certificate {}: {}", own.certificate_and_key.string(), error.message()));
  }
  asio::ip::tcp::resolver resolver(executor);
  const auto [resolve_error, found] =
      co_await resolver.async_resolve(candidate.host, std::to_string(candidate.port), as_result);
  if (resolve_error) {
    co_return fail(ErrorCode::unavailable, "resolving its name: " + resolve_error.message());
  }
  ssl::stream<asio::ip::tcp::socket> stream(executor, context);
  const auto began = std::chrono::steady_clock::now();
  const auto [connect_error, endpoint] =
      co_await asio::async_connect(stream.next_layer(), found, as_result);
  const auto connected = std::chrono::steady_clock::now();
  if (connect_error) co_return fail(ErrorCode::unavailable, connect_error.message());
  const auto [handshake_error] =
      co_await stream.async_handshake(ssl::stream_base::client, as_result);
  if (handshake_error) co_return fail(ErrorCode::denied, "TLS: " + handshake_error.message());
  auto certificate = shown_certificate(stream.native_handle());
  if (!certificate) co_return pass_on(std::move(certificate));
  if (auto checked = check_node_certificate(*certificate); !checked) {
    co_return pass_on(std::move(checked));
  }
  co_return ProvedPeer{.id = certificate->id,
                       .organisation = certificate->organisation,
                       .fingerprint = certificate->fingerprint,
                       .address = endpoint.address().to_string(),
                       .port = endpoint.port(),
                       .round_trip = std::chrono::duration_cast<Micros>(connected - began)};
}

}  // namespace

CandidateList parse_candidates(std::string_view text) {
  CandidateList list;
  std::size_t number = 0;
  for (const std::string_view whole : split(text, '\n')) {
    ++number;
    std::string_view line = whole.substr(0, whole.find('#'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = trim(line);
    if (line.empty()) continue;
    auto address = Endpoint::parse(line);
    if (!address || !address->unix_path.empty()) {
      list.complaints.push_back(
          fmt::format("line {}: {} is not HOST:PORT", number, in_quotes(line)));
    } else if (list.addresses.size() == addresses_max) {
      list.complaints.push_back(
          fmt::format("line {}: {} addresses are the most", number, addresses_max));
      break;
    } else if (std::ranges::find(list.addresses, *address) == list.addresses.end()) {
      list.addresses.push_back(std::move(*address));
    }
  }
  return list;
}

std::vector<HintChange> StaticMembership::poll() {
  auto text = read_file(file_, file_bytes_max);
  if (!text && text.error().code != ErrorCode::not_found) return {};  // Keep what we know.
  const std::string current = text ? std::move(*text) : std::string();
  if (current == seen_text_) return {};
  seen_text_ = current;
  CandidateList list = parse_candidates(current);
  for (const std::string& complaint : list.complaints) {
    log_event(LogLevel::warn, "peers_file_line_skipped",
              {{"file", file_.string()}, {"why", complaint}});
  }
  std::vector<HintChange> changes;
  for (const Endpoint& address : list.addresses) {
    if (std::ranges::find(seen_, address) == seen_.end()) {
      changes.push_back({.kind = HintChange::Kind::appeared, .hint = listed(address)});
    }
  }
  for (const Endpoint& address : seen_) {
    if (std::ranges::find(list.addresses, address) == list.addresses.end()) {
      changes.push_back({.kind = HintChange::Kind::gone, .hint = listed(address)});
    }
  }
  seen_ = std::move(list.addresses);
  return changes;
}

asio::awaitable<Result<ProvedPeer>> prove(Endpoint candidate, OwnCertificate own, Millis patience) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  asio::steady_timer timer(co_await asio::this_coro::executor, patience);
  auto first = co_await (shake_hands(candidate, own) || timer.async_wait(as_result));
  if (first.index() == 1) {
    co_return fail(ErrorCode::timed_out, fmt::format("{}: no answer", candidate.text()));
  }
  Result<ProvedPeer> proved = std::get<0>(std::move(first));
  if (!proved) co_return tl::unexpected(std::move(proved).error().within(candidate.text()));
  co_return proved;
}

}  // namespace dfaas
