// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/trust_bundle.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/pki/openssl.hpp"

namespace dfaas {
namespace {

constexpr std::size_t file_bytes_max = 1U << 20U;
constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view end = "-----END CERTIFICATE-----";

Result<TrustedAuthority> authority_from(std::string_view pem) {
  auto certificate = openssl::parse_certificate(pem);
  if (!certificate) return pass_on(std::move(certificate));
  const auto described = inspect_certificate(pem);
  if (!described) return tl::unexpected(described.error());
  if (X509_check_ca(certificate->get()) != 1) {
    return fail(ErrorCode::invalid_input, fmt::format("certificate {} is not an authority's",
                                                      in_quotes(described->common_name)));
  }
  if (!NodeName::parse(described->common_name)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("organisation {} is not 1 to 63 characters of a-z, 0-9 and '-'",
                            in_quotes(described->common_name)));
  }
  return TrustedAuthority{.organisation = described->common_name,
                          .fingerprint = described->fingerprint,
                          .not_after = described->not_after,
                          .pem = openssl::certificate_pem(certificate->get())};
}

}  // namespace

Result<TrustBundle> TrustBundle::parse(std::string_view pem) {
  if (pem.find("PRIVATE KEY-----") != std::string_view::npos) {
    return fail(
        ErrorCode::invalid_input,
        "there is a private key in it: only certificates belong here, and a key that was given "
        "away must be replaced");
  }
  TrustBundle bundle;
  for (std::size_t at = pem.find(begin); at != std::string_view::npos; at = pem.find(begin, at)) {
    const std::size_t stop = pem.find(end, at);
    if (stop == std::string_view::npos) {
      return fail(ErrorCode::invalid_input, "its last certificate has no end");
    }
    auto authority = authority_from(pem.substr(at, stop + end.size() - at));
    if (!authority) return pass_on(std::move(authority));
    if (auto added = bundle.add(std::move(*authority)); !added) return pass_on(std::move(added));
    at = stop;
  }
  if (bundle.authorities_.empty()) {
    return fail(ErrorCode::invalid_input, "there is no certificate in it");
  }
  return bundle;
}

Result<TrustBundle> TrustBundle::read(const std::filesystem::path& file) {
  const auto text = read_file(file, file_bytes_max);
  if (!text) return tl::unexpected(text.error());
  auto bundle = parse(*text);
  if (!bundle) return tl::unexpected(std::move(bundle).error().within(file.string()));
  return bundle;
}

const TrustedAuthority* TrustBundle::find(std::string_view organisation) const {
  const auto found = std::ranges::find(authorities_, organisation, &TrustedAuthority::organisation);
  return found == authorities_.end() ? nullptr : &*found;
}

std::string TrustBundle::pem() const {
  std::string text;
  for (const TrustedAuthority& authority : authorities_) text += authority.pem;
  return text;
}

Result<void> TrustBundle::add(TrustedAuthority authority) {
  if (const TrustedAuthority* known = find(authority.organisation); known != nullptr) {
    if (known->fingerprint == authority.fingerprint) return {};
    return fail(ErrorCode::conflict,
                fmt::format("organisation {} has another authority already, {}: remove that first",
                            authority.organisation, known->fingerprint));
  }
  const auto place = std::ranges::lower_bound(authorities_, authority.organisation, {},
                                              &TrustedAuthority::organisation);
  authorities_.insert(place, std::move(authority));
  return {};
}

Result<void> TrustBundle::remove(std::string_view organisation) {
  const auto gone = std::erase_if(authorities_, [organisation](const TrustedAuthority& authority) {
    return authority.organisation == organisation;
  });
  if (gone > 0) return {};
  std::vector<std::string> names;
  names.reserve(authorities_.size());
  for (const TrustedAuthority& authority : authorities_) names.push_back(authority.organisation);
  return fail(ErrorCode::not_found,
              fmt::format("organisation {} is not trusted: those that are: {}",
                          in_quotes(organisation), fmt::join(names, ", ")));
}

Result<Certificate> TrustBundle::verify(std::string_view text) const {
  auto certificate = openssl::parse_certificate(text);
  if (!certificate) return pass_on(std::move(certificate));
  auto described = inspect_certificate(text);
  if (!described) return described;
  if (auto checked = check_node_certificate(*described); !checked) {
    return pass_on(std::move(checked));
  }
  const openssl::Store store(X509_STORE_new());
  for (const TrustedAuthority& authority : authorities_) {
    auto trusted = openssl::parse_certificate(authority.pem);
    if (trusted) X509_STORE_add_cert(store.get(), trusted->get());
  }
  const openssl::StoreContext context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), certificate->get(), nullptr);
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    return fail(ErrorCode::denied,
                fmt::format("certificate of {} is not of a trusted authority: {}",
                            described->id.text(), X509_verify_cert_error_string(error)));
  }
  return described;
}

Result<void> TrustBundle::check_signature(std::string_view organisation, std::string_view text,
                                          std::string_view signature) const {
  const TrustedAuthority* authority = find(organisation);
  if (authority == nullptr) {
    return fail(ErrorCode::denied,
                fmt::format("organisation {} is not trusted", in_quotes(organisation)));
  }
  const auto certificate = openssl::parse_certificate(authority->pem);
  const auto bytes = base64_decode(signature);
  if (!certificate || !bytes) return fail(ErrorCode::denied, "the signature is not base64");
  const openssl::Digest digest(EVP_MD_CTX_new());
  // NOLINTBEGIN: OpenSSL's texts are unsigned.
  const auto* signed_bytes = reinterpret_cast<const unsigned char*>(bytes->data());
  const auto* text_bytes = reinterpret_cast<const unsigned char*>(text.data());
  // NOLINTEND
  const bool is_good =
      EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr,
                           X509_get0_pubkey(certificate->get())) == 1 &&
      EVP_DigestVerify(digest.get(), signed_bytes, bytes->size(), text_bytes, text.size()) == 1;
  ERR_clear_error();
  if (is_good) return {};
  return fail(ErrorCode::denied,
              fmt::format("the signature is not of the authority of {}", organisation));
}

}  // namespace dfaas
