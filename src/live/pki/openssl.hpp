// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// OpenSSL's objects as values that free themselves, and its texts. Only for sources of this module.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas::openssl {

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Request = std::unique_ptr<X509_REQ, Free<X509_REQ_free>>;
using Store = std::unique_ptr<X509_STORE, Free<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>>;
using X509Pointer = std::unique_ptr<X509, Free<X509_free>>;

/// invalid_input: "doing: OpenSSL's own words".
tl::unexpected<Error> failure(std::string_view doing);

/// To read `text`, which must live as long.
Bio reader(std::string_view text);
std::string text_of(BIO* bio);

std::string key_pem(EVP_PKEY* key);
std::string certificate_pem(X509* certificate);
Result<X509Pointer> parse_certificate(std::string_view pem);
Result<Key> parse_key(std::string_view pem);

NodeId id_of(EVP_PKEY* key);
std::string common_name(const X509_NAME* name);

}  // namespace dfaas::openssl
