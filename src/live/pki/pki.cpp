// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/pki.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "core/base/text.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using X509Pointer = std::unique_ptr<X509, Free<X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;

constexpr std::string_view default_days_hint = "days must be from 1 to 36500";

tl::unexpected<Error> openssl_failure(std::string_view doing) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return fail(ErrorCode::invalid_input, fmt::format("{}: {}", doing, text.data()));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string key_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

std::string certificate_pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return text_of(bio.get());
}

Result<X509Pointer> parse_certificate(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Pointer certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return openssl_failure("no readable certificate");
  return certificate;
}

Result<Key> parse_key(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return openssl_failure("no readable private key");
  return key;
}

NodeId id_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  std::array<std::uint8_t, 32> digest{};
  EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  return NodeId::from_key_digest(digest);
}

std::string common_name(const X509_NAME* name) {
  std::array<char, 256> text{};
  const int size = X509_NAME_get_text_by_NID(name, NID_commonName, text.data(), text.size());
  return size < 0 ? std::string() : std::string(text.data());
}

std::string time_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "?";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

Certificate describe(X509* certificate) {
  std::array<std::uint8_t, 32> digest{};
  X509_digest(certificate, EVP_sha256(), digest.data(), nullptr);
  Certificate result{.id = {},
                     .common_name = common_name(X509_get_subject_name(certificate)),
                     .organisation = common_name(X509_get_issuer_name(certificate)),
                     .fingerprint = hex_upper(digest),
                     .not_before = time_text(X509_get0_notBefore(certificate)),
                     .not_after = time_text(X509_get0_notAfter(certificate))};
  result.expired = X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 ||
                   X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
  if (X509_check_ca(certificate) == 0) result.id = id_of(X509_get0_pubkey(certificate));
  return result;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

/// An unsigned certificate for `key` with a random serial number.
X509Pointer make_certificate(EVP_PKEY* key, std::string_view name, int days) {
  X509Pointer certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::array<unsigned char, 16> serial{};
  RAND_bytes(serial.data(), serial.size());
  serial[0] &= 0x7fU;
  BIGNUM* number = BN_bin2bn(serial.data(), serial.size(), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  constexpr long clock_slack_seconds = 300;
  constexpr long day_seconds = 86'400;
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -clock_slack_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), day_seconds * days);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  // NOLINTNEXTLINE: OpenSSL's texts are unsigned.
  const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, bytes, static_cast<int>(name.size()), -1,
                             0);
  return certificate;
}

}  // namespace

Result<void> create_authority(const std::filesystem::path& directory, std::string_view organisation,
                              int days) {
  if (auto name = NodeName::parse(organisation); !name) {
    return fail(ErrorCode::invalid_input,
                fmt::format("organisation {} is not 1 to 63 characters of a-z, 0-9 and '-'",
                            in_quotes(organisation)));
  }
  if (days < 1 || days > 36500)
    return fail(ErrorCode::invalid_input, std::string(default_days_hint));
  const Key key(EVP_EC_gen("P-256"));
  X509Pointer certificate = make_certificate(key.get(), organisation, days);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  const bool extended =
      add_extension(certificate.get(), certificate.get(), NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") &&
      add_extension(certificate.get(), certificate.get(), NID_key_usage,
                    "critical,keyCertSign,cRLSign") &&
      add_extension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash");
  if (!extended || X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) {
    return openssl_failure("signing the authority's certificate");
  }
  if (auto made = make_directory(directory, 0700); !made) return made;
  if (auto written = create_file(directory / "ca.key", key_pem(key.get()), 0600); !written) {
    return written;
  }
  return create_file(directory / "ca.crt", certificate_pem(certificate.get()), 0644);
}

Result<NodeId> create_node_certificate(const std::filesystem::path& node_directory,
                                       const std::filesystem::path& authority_directory, int days) {
  if (days < 1 || days > 36500)
    return fail(ErrorCode::invalid_input, std::string(default_days_hint));
  const auto authority_text = read_file(authority_directory / "ca.crt");
  if (!authority_text) {
    return fail(authority_text.error().code,
                fmt::format("{}; make an authority first: dfaas pki ca create --dir {} "
                            "--organisation NAME",
                            authority_text.error().message, authority_directory.string()));
  }
  const auto authority_key_text = read_file(authority_directory / "ca.key");
  if (!authority_key_text) {
    return fail(authority_key_text.error().code, authority_key_text.error().message);
  }
  auto authority = parse_certificate(*authority_text);
  if (!authority) {
    return tl::unexpected(
        std::move(authority).error().within((authority_directory / "ca.crt").string()));
  }
  auto authority_key = parse_key(*authority_key_text);
  if (!authority_key) {
    return tl::unexpected(
        std::move(authority_key).error().within((authority_directory / "ca.key").string()));
  }
  const Key key(EVP_EC_gen("P-256"));
  NodeId id = id_of(key.get());
  X509Pointer certificate = make_certificate(key.get(), id.text(), days);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(authority->get()));
  const bool extended =
      add_extension(certificate.get(), authority->get(), NID_basic_constraints,
                    "critical,CA:FALSE") &&
      add_extension(certificate.get(), authority->get(), NID_key_usage,
                    "critical,digitalSignature") &&
      add_extension(certificate.get(), authority->get(), NID_ext_key_usage,
                    "serverAuth,clientAuth") &&
      add_extension(certificate.get(), authority->get(), NID_subject_alt_name, "DNS:" + id.text());
  if (!extended || X509_sign(certificate.get(), authority_key->get(), EVP_sha256()) == 0) {
    return openssl_failure("signing the node's certificate");
  }
  const std::filesystem::path pki = node_directory / "pki";
  const std::string pem = certificate_pem(certificate.get());
  const std::string key_text = key_pem(key.get());
  if (auto made = make_directory(pki, 0700); !made) return pass_on(std::move(made));
  if (auto done = create_file(pki / "node.key", key_text, 0600); !done)
    return pass_on(std::move(done));
  if (auto done = write_file(pki / "node.crt", pem, 0644); !done) return pass_on(std::move(done));
  if (auto done = write_file(pki / "node.pem", pem + key_text, 0600); !done) {
    return pass_on(std::move(done));
  }
  // A bundle of several authorities stays one when the node gets a new certificate.
  const auto trusted = read_file(pki / "ca.pem");
  const std::string bundle = trusted ? *trusted : std::string();
  const bool is_trusted = bundle.find(*authority_text) != std::string::npos;
  const std::string authorities = is_trusted ? bundle : bundle + *authority_text;
  if (auto done = write_file(pki / "ca.pem", authorities, 0644); !done) {
    return pass_on(std::move(done));
  }
  return id;
}

Result<Certificate> inspect_certificate(std::string_view pem) {
  auto certificate = parse_certificate(pem);
  if (!certificate) return pass_on(std::move(certificate));
  return describe(certificate->get());
}

Result<Certificate> inspect_certificate_der(const unsigned char* data, long size) {
  const X509Pointer certificate(d2i_X509(nullptr, &data, size));
  if (!certificate) return openssl_failure("no readable certificate");
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
  auto certificate = parse_certificate(certificate_text);
  if (!certificate) return pass_on(std::move(certificate));
  auto key = parse_key(key_text);
  if (!key) return pass_on(std::move(key));
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::invalid_input, "the private key does not belong to the certificate");
  }
  return {};
}

}  // namespace dfaas
