// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/tls/secure_fetch.hpp"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "live/net/tls_client.hpp"
#include "live/tls/shown_certificate.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;

Result<void> show_own(ssl::context& context, const std::filesystem::path& own) {
  if (own.empty()) return {};
  boost::system::error_code error;
  context.use_certificate_chain_file(own.string(), error);
  if (!error) context.use_private_key_file(own.string(), ssl::context::pem, error);
  if (!error) return {};
  return fail(ErrorCode::unavailable,
              fmt::format("own certificate {}: {}", own.string(), error.message()));
}

/// By id the key says it all, whoever signed.
Result<void> check_id(SSL* session, const Endpoint& address, const NodeId& id) {
  const auto certificate = shown_certificate(session);
  if (certificate && certificate->id == id) return {};
  return fail(
      ErrorCode::denied,
      fmt::format("{} is {}, not node {}: is the address right?", address.text(),
                  certificate ? "node " + certificate->id.text() : "somebody without a certificate",
                  id.text()));
}

Result<std::shared_ptr<const TlsClient>> tls_for(const SecurePlace& place) {
  if (place.id.empty()) return tls_client_for(place.address.host, {});
  auto tls = std::make_shared<TlsClient>();
  tls->context = new_tls_context();
  tls->check = [address = place.address, id = place.id](SSL* session) {
    return check_id(session, address, id);
  };
  if (auto shown = show_own(*tls->context, place.own); !shown) return pass_on(std::move(shown));
  return tls;
}

}  // namespace

asio::awaitable<Result<HttpReply>> secure_fetch(SecurePlace place, RequestHead head,
                                                std::string body, Millis patience,
                                                std::size_t bytes_max) {
  auto tls = tls_for(place);
  if (!tls) co_return pass_on(std::move(tls));
  std::shared_ptr<const TlsClient> client = std::move(*tls);
  co_return co_await fetch(place.address, std::move(head), std::move(body), patience, bytes_max,
                           std::move(client));
}

Result<HttpReply> secure_fetch_blocking(const SecurePlace& place, RequestHead head,
                                        std::string body, Millis patience, std::size_t bytes_max) {
  auto tls = tls_for(place);
  if (!tls) return pass_on(std::move(tls));
  return fetch_blocking(place.address, std::move(head), std::move(body), patience, bytes_max,
                        std::move(*tls));
}

}  // namespace dfaas
