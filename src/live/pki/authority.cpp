// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/authority.hpp"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/pki/openssl.hpp"

namespace dfaas {
namespace {

using openssl::X509Pointer;

constexpr std::chrono::minutes day{24 * 60};
constexpr int days_max = 36'500;

Result<std::chrono::minutes> validity_of(int days) {
  if (days >= 1 && days <= days_max) return days * day;
  return fail(ErrorCode::invalid_input,
              fmt::format("days of validity: {} is not from 1 to {}", days, days_max));
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

/// How long before now a certificate begins: for machines whose clock is slow. An hour, as of one that is wrong
/// about summer time, and more; of a short validity half, because a third of the whole is when it is renewed.
std::chrono::seconds slack_of(std::chrono::minutes validity) {
  using namespace std::chrono_literals;  // NOLINT: of this function alone.
  return std::clamp<std::chrono::seconds>(validity / 2, 5min, 2h);
}

/// An unsigned certificate for `key` with a random serial number.
X509Pointer make_certificate(EVP_PKEY* key, std::string_view name, std::chrono::minutes validity) {
  X509Pointer certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::array<unsigned char, 16> serial{};
  RAND_bytes(serial.data(), serial.size());
  serial[0] &= 0x7fU;
  BIGNUM* number = BN_bin2bn(serial.data(), serial.size(), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -slack_of(validity).count());
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), std::chrono::seconds(validity).count());
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  // NOLINTNEXTLINE: OpenSSL's texts are unsigned.
  const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, bytes, static_cast<int>(name.size()), -1,
                             0);
  return certificate;
}

/// The key that signed the request.
Result<openssl::Key> key_of_request(std::string_view text) {
  const openssl::Bio bio = openssl::reader(text);
  const openssl::Request request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!request) return openssl::failure("no readable request for a certificate");
  openssl::Key key(X509_REQ_get_pubkey(request.get()));
  if (!key || X509_REQ_verify(request.get(), key.get()) != 1) {
    return openssl::failure("the request for a certificate is not signed by its key");
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || EVP_PKEY_get_bits(key.get()) != 256) {
    return fail(ErrorCode::invalid_input, "the request for a certificate is not of a P-256 key");
  }
  return key;
}

std::filesystem::path pki_of(const std::filesystem::path& node) { return node / "pki"; }

}  // namespace

Result<void> create_authority(const std::filesystem::path& directory, std::string_view organisation,
                              int days) {
  if (auto name = NodeName::parse(organisation); !name) {
    return fail(ErrorCode::invalid_input,
                fmt::format("organisation {} is not 1 to 63 characters of a-z, 0-9 and '-'",
                            in_quotes(organisation)));
  }
  const auto validity = validity_of(days);
  if (!validity) return tl::unexpected(validity.error());
  const openssl::Key key(EVP_EC_gen("P-256"));
  X509Pointer certificate = make_certificate(key.get(), organisation, *validity);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  const bool extended =
      add_extension(certificate.get(), certificate.get(), NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") &&
      add_extension(certificate.get(), certificate.get(), NID_key_usage,
                    "critical,keyCertSign,cRLSign") &&
      add_extension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash");
  if (!extended || X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) {
    return openssl::failure("signing the authority's certificate");
  }
  if (auto made = make_directory(directory, 0700); !made) return made;
  if (auto written = create_file(directory / "ca.key", openssl::key_pem(key.get()), 0600);
      !written) {
    return written;
  }
  return create_file(directory / "ca.crt", openssl::certificate_pem(certificate.get()), 0644);
}

struct Authority::State {
  X509Pointer certificate;
  openssl::Key key;
  std::string organisation;
  std::string pem;
};

Authority::Authority(std::unique_ptr<State> state) : state_(std::move(state)) {}
Authority::~Authority() = default;
Authority::Authority(Authority&&) noexcept = default;
Authority& Authority::operator=(Authority&&) noexcept = default;

Result<Authority> Authority::open(const std::filesystem::path& directory) {
  auto state = std::make_unique<State>();
  auto text = read_file(directory / "ca.crt");
  if (!text) {
    return fail(text.error().code,
                fmt::format("{}; make an authority first: dfaas pki ca create --dir {} "
                            "--organisation NAME",
                            text.error().message, directory.string()));
  }
  const auto key_text = read_file(directory / "ca.key");
  if (!key_text) return tl::unexpected(key_text.error());
  auto certificate = openssl::parse_certificate(*text);
  if (!certificate) {
    return tl::unexpected(std::move(certificate).error().within((directory / "ca.crt").string()));
  }
  auto key = openssl::parse_key(*key_text);
  if (!key) {
    return tl::unexpected(std::move(key).error().within((directory / "ca.key").string()));
  }
  state->certificate = std::move(*certificate);
  state->key = std::move(*key);
  state->organisation = openssl::common_name(X509_get_subject_name(state->certificate.get()));
  state->pem = std::move(*text);
  return Authority(std::move(state));
}

const std::string& Authority::organisation() const { return state_->organisation; }
const std::string& Authority::certificate() const { return state_->pem; }

Result<std::string> Authority::certify(std::string_view request,
                                       std::chrono::minutes validity) const {
  auto key = key_of_request(request);
  if (!key) return pass_on(std::move(key));
  const std::string id = openssl::id_of(key->get()).text();
  X509Pointer certificate = make_certificate(key->get(), id, validity);
  X509* const issuer = state_->certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  const bool extended =
      add_extension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature") &&
      add_extension(certificate.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
      add_extension(certificate.get(), issuer, NID_subject_alt_name, "DNS:" + id);
  if (!extended || X509_sign(certificate.get(), state_->key.get(), EVP_sha256()) == 0) {
    return openssl::failure("signing the node's certificate");
  }
  return openssl::certificate_pem(certificate.get());
}

Result<std::string> Authority::sign(std::string_view text) const {
  const openssl::Digest digest(EVP_MD_CTX_new());
  std::array<unsigned char, 256> signature{};
  std::size_t size = signature.size();
  // NOLINTNEXTLINE: OpenSSL's texts are unsigned.
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const bool is_signed =
      EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, state_->key.get()) == 1 &&
      EVP_DigestSign(digest.get(), signature.data(), &size, bytes, text.size()) == 1;
  if (!is_signed) return openssl::failure("signing");
  // NOLINTNEXTLINE: OpenSSL's texts are unsigned.
  return base64_encode({reinterpret_cast<const char*>(signature.data()), size});
}

std::string make_key() {
  const openssl::Key key(EVP_EC_gen("P-256"));
  return openssl::key_pem(key.get());
}

Result<std::string> make_request(std::string_view key_text) {
  auto key = openssl::parse_key(key_text);
  if (!key) return pass_on(std::move(key));
  const openssl::Request request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key->get());
  if (X509_REQ_sign(request.get(), key->get(), EVP_sha256()) == 0) {
    return openssl::failure("signing a request for a certificate");
  }
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return openssl::text_of(bio.get());
}

Result<NodeId> id_in_request(std::string_view request) {
  auto key = key_of_request(request);
  if (!key) return pass_on(std::move(key));
  return openssl::id_of(key->get());
}

Result<NodeId> create_node_certificate(const std::filesystem::path& node_directory,
                                       const std::filesystem::path& authority_directory, int days) {
  const auto validity = validity_of(days);
  if (!validity) return tl::unexpected(validity.error());
  const auto authority = Authority::open(authority_directory);
  if (!authority) return tl::unexpected(authority.error());
  const std::string key = make_key();
  const auto request = make_request(key);
  if (!request) return tl::unexpected(request.error());
  const auto certificate = authority->certify(*request, *validity);
  if (!certificate) return tl::unexpected(certificate.error());
  const std::filesystem::path pki = pki_of(node_directory);
  if (auto made = make_directory(pki, 0700); !made) return pass_on(std::move(made));
  if (auto done = create_file(pki / "node.key", key, 0600); !done) return pass_on(std::move(done));
  if (auto done = write_file(pki / "node.crt", *certificate, 0644); !done) {
    return pass_on(std::move(done));
  }
  if (auto done = write_file(pki / "node.pem", *certificate + key, 0600); !done) {
    return pass_on(std::move(done));
  }
  // A bundle of several authorities stays one when the node gets a new certificate.
  const auto trusted = read_file(pki / "ca.pem");
  const std::string bundle = trusted ? *trusted : std::string();
  const bool is_trusted = bundle.find(authority->certificate()) != std::string::npos;
  const std::string authorities = is_trusted ? bundle : bundle + authority->certificate();
  if (auto done = write_file(pki / "ca.pem", authorities, 0644); !done) {
    return pass_on(std::move(done));
  }
  return id_in_request(*request);
}

Result<NodeId> renew_node_certificate(const std::filesystem::path& node_directory,
                                      const std::filesystem::path& authority_directory, int days) {
  const auto validity = validity_of(days);
  if (!validity) return tl::unexpected(validity.error());
  const auto authority = Authority::open(authority_directory);
  if (!authority) return tl::unexpected(authority.error());
  const std::filesystem::path pki = pki_of(node_directory);
  const auto key = read_file(pki / "node.key");
  if (!key) return tl::unexpected(key.error());
  const auto request = make_request(*key);
  if (!request) {
    return tl::unexpected(Error(request.error()).within((pki / "node.key").string()));
  }
  const auto certificate = authority->certify(*request, *validity);
  if (!certificate) return tl::unexpected(certificate.error());
  if (auto done = write_file(pki / "next.pem", *certificate + *key, 0600); !done) {
    return pass_on(std::move(done));
  }
  return id_in_request(*request);
}

Result<void> use_next_certificate(const std::filesystem::path& node_directory) {
  const std::filesystem::path pki = pki_of(node_directory);
  const auto both = read_file(pki / "next.pem");
  if (!both) return tl::unexpected(both.error());
  const auto certificate = openssl::parse_certificate(*both);
  if (!certificate) return tl::unexpected(certificate.error());
  if (auto done = write_file(pki / "node.crt", openssl::certificate_pem(certificate->get()), 0644);
      !done) {
    return done;
  }
  if (auto done = write_file(pki / "node.pem", *both, 0600); !done) return done;
  std::error_code error;
  std::filesystem::remove(pki / "next.pem", error);
  if (!error) return {};
  return fail(ErrorCode::unavailable, (pki / "next.pem").string() + ": " + error.message());
}

}  // namespace dfaas
