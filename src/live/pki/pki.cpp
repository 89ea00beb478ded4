// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/pki.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "core/base/text.hpp"
#include "live/pki/openssl.hpp"

namespace dfaas {
namespace {

std::string time_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "?";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

Certificate describe(X509* certificate) {
  std::array<std::uint8_t, 32> digest{};
  X509_digest(certificate, EVP_sha256(), digest.data(), nullptr);
  Certificate result{.id = {},
                     .common_name = openssl::common_name(X509_get_subject_name(certificate)),
                     .organisation = openssl::common_name(X509_get_issuer_name(certificate)),
                     .fingerprint = hex_upper(digest),
                     .not_before = time_text(X509_get0_notBefore(certificate)),
                     .not_after = time_text(X509_get0_notAfter(certificate)),
                     .valid_from = time_of(X509_get0_notBefore(certificate)),
                     .valid_until = time_of(X509_get0_notAfter(certificate))};
  result.expired = X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 ||
                   X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
  if (X509_check_ca(certificate) == 0) result.id = openssl::id_of(X509_get0_pubkey(certificate));
  return result;
}

}  // namespace

Result<Certificate> inspect_certificate(std::string_view pem) {
  auto certificate = openssl::parse_certificate(pem);
  if (!certificate) return pass_on(std::move(certificate));
  return describe(certificate->get());
}

std::string pem_from_base64_der(std::string_view base64) {
  constexpr std::size_t line = 64;
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  for (std::size_t at = 0; at < base64.size(); at += line) {
    pem += base64.substr(at, line);
    pem += '\n';
  }
  return pem + "-----END CERTIFICATE-----\n";
}

Result<Certificate> inspect_certificate_der(const unsigned char* data, long size) {
  const openssl::X509Pointer certificate(d2i_X509(nullptr, &data, size));
  if (!certificate) return openssl::failure("no readable certificate");
  return describe(certificate.get());
}

Result<void> check_node_certificate(const Certificate& certificate) {
  if (certificate.id.empty()) {
    return fail(ErrorCode::denied, fmt::format("certificate {} is an authority's, not a node's",
                                               in_quotes(certificate.common_name)));
  }
  if (certificate.common_name != certificate.id.text()) {
    return fail(ErrorCode::denied,
                fmt::format("certificate names {}, but its key makes it {}",
                            in_quotes(certificate.common_name), certificate.id.text()));
  }
  if (certificate.expired) {
    return fail(ErrorCode::denied,
                fmt::format("certificate of {} is valid from {} to {} only", certificate.id.text(),
                            certificate.not_before, certificate.not_after));
  }
  return {};
}

Result<void> check_key_matches(std::string_view certificate_text, std::string_view key_text) {
  auto certificate = openssl::parse_certificate(certificate_text);
  if (!certificate) return pass_on(std::move(certificate));
  auto key = openssl::parse_key(key_text);
  if (!key) return pass_on(std::move(key));
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::invalid_input, "the private key does not belong to the certificate");
  }
  return {};
}

}  // namespace dfaas
