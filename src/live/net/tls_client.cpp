// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/net/tls_client.hpp"

#include <utility>

#include <fmt/format.h>

namespace dfaas {

namespace ssl = boost::asio::ssl;

std::shared_ptr<ssl::context> new_tls_context() {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  ::SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  return context;
}

Result<std::shared_ptr<const TlsClient>> tls_client_for(std::string name,
                                                        const std::filesystem::path& authority) {
  auto context = new_tls_context();
  boost::system::error_code error;
  if (authority.empty()) {
    context->set_default_verify_paths(error);
    if (error) {
      return fail(ErrorCode::unavailable, "the authorities of this machine: " + error.message());
    }
  } else {
    context->load_verify_file(authority.string(), error);
    if (error) {
      return fail(ErrorCode::unavailable,
                  fmt::format("{} holds no certificate in PEM form that could be read: {}",
                              authority.string(), error.message()));
    }
  }
  context->set_verify_mode(ssl::verify_peer, error);
  if (error) return fail(ErrorCode::unavailable, "TLS: " + error.message());
  return std::make_shared<const TlsClient>(
      TlsClient{.context = std::move(context), .name = std::move(name), .check = {}});
}

}  // namespace dfaas
