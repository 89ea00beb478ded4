// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/membership/gossip_keys.hpp"

#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"
#include "core/membership/serf_rpc.hpp"
#include "live/files/files.hpp"

namespace dfaas {

std::string make_gossip_key() {
  std::array<char, 32> bytes{};
  DFAAS_ASSERT(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
               "the kernel gives 32 random bytes");
  return base64_encode(std::string_view(bytes.data(), bytes.size()));
}

std::string gossip_key_print(const std::string& key) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  DFAAS_ASSERT(
      ::EVP_Digest(key.data(), key.size(), digest.data(), nullptr, ::EVP_sha256(), nullptr) == 1,
      "OpenSSL has SHA-256");
  constexpr std::size_t shown = 8;
  return to_lower(hex_upper(std::span(digest).first(shown)));
}

Result<std::vector<std::string>> read_gossip_keys(const std::filesystem::path& file) {
  constexpr std::size_t bytes_max = 64U << 10U;
  const auto text = read_file(file, bytes_max);
  if (!text) return tl::unexpected(text.error());
  auto keys = parse_keyring(*text);
  if (!keys) return tl::unexpected(std::move(keys).error().within(file.string()));
  return keys;
}

Result<void> write_gossip_keys(const std::filesystem::path& file,
                               const std::vector<std::string>& keys) {
  return write_file(file, keyring_text(keys), 0600);
}

}  // namespace dfaas
