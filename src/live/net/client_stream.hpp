// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A client's connection as a stream of bytes, with TLS or without. For the sources that know Boost.Beast alone.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include "live/net/beast_stream.hpp"
#include "live/net/tls_client.hpp"

namespace dfaas {

class ClientStream {
 public:
  using executor_type = BeastStream::executor_type;

  explicit ClientStream(BeastStream plain) : plain_(std::move(plain)) {}

  executor_type get_executor() noexcept { return wire().get_executor(); }
  /// What carries the bytes; deadlines are set here.
  BeastStream& wire() noexcept { return secure_ ? secure_->next_layer() : plain_; }
  void expires_after(Millis patience) { wire().expires_after(patience); }
  void close() { wire().close(); }

  /// From now on every byte goes through TLS. Called once, and nothing is under way.
  SSL* use_tls(boost::asio::ssl::context& context) {
    secure_ = std::make_unique<Secure>(std::move(plain_), context);
    return secure_->native_handle();
  }
  template <class Token>
  auto async_handshake(Token&& token) {
    return secure_->async_handshake(boost::asio::ssl::stream_base::client,
                                    std::forward<Token>(token));
  }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(BeastError, std::size_t)>(
        [this](auto handler, const Buffers& into) {
          if (secure_) {
            secure_->async_read_some(into, std::move(handler));
          } else {
            plain_.async_read_some(into, std::move(handler));
          }
        },
        token, buffers);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(BeastError, std::size_t)>(
        [this](auto handler, const Buffers& from) {
          if (secure_) {
            secure_->async_write_some(from, std::move(handler));
          } else {
            plain_.async_write_some(from, std::move(handler));
          }
        },
        token, buffers);
  }

 private:
  using Secure = boost::beast::ssl_stream<BeastStream>;
  BeastStream plain_;  ///< Until TLS has it.
  std::unique_ptr<Secure> secure_;
};

}  // namespace dfaas
