// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/issuer.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "live/files/files.hpp"
#include "live/pki/trust_bundle.hpp"

namespace dfaas {
namespace {

constexpr std::size_t invitations_max = 1000;
constexpr std::size_t issued_max = 100'000;
constexpr std::size_t file_bytes_max = 32U << 20U;
constexpr int uses_max = 10'000;
constexpr std::chrono::minutes valid_for_max{366 * 24 * 60};
constexpr std::size_t text_length_max = 200;
constexpr std::int64_t time_max = 253'402'300'799;  ///< The last second of the year 9999.

/// So many random characters of a-z and 2-7, five bits each.
std::string random_letters(std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  return base32_lower(bytes).substr(0, count);
}

std::string digest_of(std::string_view secret) {
  std::array<std::uint8_t, 32> digest{};
  EVP_Digest(secret.data(), secret.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  return hex_upper(digest);
}

bool is_same_secret(const std::string& left, const std::string& right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

/// The objects of a JSON file with one list; none where there is no file.
Result<void> read_list(const std::filesystem::path& file, std::string_view name,
                       std::size_t count_max, const std::function<void(const Fields&)>& read) {
  const auto text = read_file(file, file_bytes_max);
  if (!text && text.error().code == ErrorCode::not_found) return {};
  if (!text) return tl::unexpected(text.error());
  auto parsed = parse_json_object(*text, file_bytes_max, [&](const Fields& fields) {
    for (const Fields& entry : fields.objects(name, count_max)) read(entry);
  });
  if (!parsed) return tl::unexpected(std::move(parsed).error().within(file.string()));
  return {};
}

}  // namespace

Result<Issuer> Issuer::open(const std::filesystem::path& directory, std::chrono::minutes validity) {
  std::error_code ignored;  // What is there but cannot be read is told by open().
  if (!std::filesystem::exists(directory / "ca.key", ignored)) {
    return fail(ErrorCode::not_found,
                fmt::format("{} does not hold an authority", directory.string()));
  }
  auto authority = Authority::open(directory);
  if (!authority) return pass_on(std::move(authority));
  Issuer issuer(directory, std::move(*authority), validity);
  if (auto loaded = issuer.load(); !loaded) return pass_on(std::move(loaded));
  return issuer;
}

Result<void> Issuer::load() {
  auto invitations = read_list(
      directory_ / "invitations.json", "invitations", invitations_max, [this](const Fields& entry) {
        invitations_.push_back(
            {.id = entry.text("id", text_length_max),
             .secret_digest = entry.text("secret_digest", text_length_max),
             .expires = std::chrono::sys_seconds(
                 std::chrono::seconds(entry.integer("expires", 0, time_max))),
             .uses_left = static_cast<int>(entry.integer("uses_left", 0, uses_max))});
      });
  if (!invitations) return invitations;
  return read_list(directory_ / "issued.json", "nodes", issued_max, [this](const Fields& entry) {
    issued_.push_back(
        {.id = entry.accept("id", NodeId::parse(entry.text("id", NodeId::length))),
         .name = entry.accept("name", NodeName::parse(entry.text("name", text_length_max))),
         .joined = entry.text("joined", text_length_max),
         .invitation = entry.text("invitation", text_length_max)});
  });
}

Result<void> Issuer::save_invitations() const {
  nlohmann::json list = nlohmann::json::array();
  for (const Invitation& invitation : invitations_) {
    list.push_back({{"id", invitation.id},
                    {"secret_digest", invitation.secret_digest},
                    {"expires", invitation.expires.time_since_epoch().count()},
                    {"uses_left", invitation.uses_left}});
  }
  const std::string text = json_text({{"invitations", std::move(list)}}) + "\n";
  return write_file(directory_ / "invitations.json", text, 0600);
}

Result<void> Issuer::save_issued() const {
  nlohmann::json list = nlohmann::json::array();
  for (const IssuedNode& node : issued_) {
    list.push_back({{"id", node.id.text()},
                    {"name", node.name.text()},
                    {"joined", node.joined},
                    {"invitation", node.invitation}});
  }
  return write_file(directory_ / "issued.json", json_text({{"nodes", std::move(list)}}) + "\n",
                    0600);
}

Result<JoinToken> Issuer::invite(std::string address, const NodeId& self, int uses,
                                 std::chrono::minutes valid_for, std::chrono::sys_seconds now) {
  if (uses < 1 || uses > uses_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("uses of an invitation: {} is not from 1 to {}", uses, uses_max));
  }
  if (valid_for < std::chrono::minutes{1} || valid_for > valid_for_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("validity of an invitation: {} minutes is not from 1 to {}",
                            valid_for.count(), valid_for_max.count()));
  }
  std::erase_if(invitations_, [now](const Invitation& invitation) {
    return invitation.expires <= now || invitation.uses_left == 0;
  });
  if (invitations_.size() >= invitations_max) {
    return fail(ErrorCode::overloaded,
                fmt::format("{} invitations are open: wait until some are used or expired",
                            invitations_max));
  }
  constexpr std::size_t id_length = 16;
  constexpr std::size_t secret_length = 32;
  JoinToken token{.address = std::move(address),
                  .issuer = self,
                  .organisation = authority_.organisation(),
                  .invitation = random_letters(id_length),
                  .secret = random_letters(secret_length),
                  .expires = (now + valid_for).time_since_epoch().count()};
  invitations_.push_back({.id = token.invitation,
                          .secret_digest = digest_of(token.secret),
                          .expires = now + valid_for,
                          .uses_left = uses});
  if (auto saved = save_invitations(); !saved) {
    invitations_.pop_back();
    return pass_on(std::move(saved));
  }
  return token;
}

Result<std::string> Issuer::admit(const JoinRequest& request, const IsRevoked& is_revoked,
                                  std::chrono::sys_seconds now) {
  const auto found = std::ranges::find(invitations_, request.invitation, &Invitation::id);
  // One sentence for an unknown invitation and a wrong secret: who guesses learns nothing.
  if (found == invitations_.end() ||
      !is_same_secret(found->secret_digest, digest_of(request.secret))) {
    return fail(ErrorCode::denied, "the invitation is not known here: ask for a new one");
  }
  if (found->expires <= now) {
    return fail(ErrorCode::denied, fmt::format("the invitation expired at {:%Y-%m-%dT%H:%M:%SZ}: "
                                               "ask for a new one",
                                               found->expires));
  }
  if (found->uses_left < 1) {
    return fail(ErrorCode::denied, "the invitation has been used: ask for a new one");
  }
  const auto id = id_in_request(request.request);
  if (!id) return tl::unexpected(id.error());
  if (is_revoked(*id)) return fail(ErrorCode::denied, fmt::format("{} is revoked", id->text()));
  --found->uses_left;
  issued_.push_back({.id = *id,
                     .name = request.name,
                     .joined = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", now),
                     .invitation = request.invitation});
  if (auto saved = save_invitations(); !saved) return pass_on(std::move(saved));
  if (auto saved = save_issued(); !saved) return pass_on(std::move(saved));
  return authority_.certify(request.request, validity_);
}

Result<std::string> Issuer::renew(std::string_view present, std::string_view request,
                                  const IsRevoked& is_revoked) const {
  const auto own = TrustBundle::parse(authority_.certificate());
  if (!own) return tl::unexpected(own.error());
  const auto certificate = own->verify(present);
  if (!certificate) return tl::unexpected(certificate.error());
  const auto id = id_in_request(request);
  if (!id) return tl::unexpected(id.error());
  if (*id != certificate->id) {
    return fail(ErrorCode::denied,
                fmt::format("{} asks for a certificate of {}", certificate->id.text(), id->text()));
  }
  if (is_revoked(*id)) return fail(ErrorCode::denied, fmt::format("{} is revoked", id->text()));
  return authority_.certify(request, validity_);
}

}  // namespace dfaas
