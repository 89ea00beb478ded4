// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The keys of a federation's gossip: a file that only the node may read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace dfaas {

/// A new one, base64 of 32 random bytes.
std::string make_gossip_key();
/// What may be shown of a key: 16 hexadecimal digits of its SHA-256.
std::string gossip_key_print(const std::string& key);

/// Errors: not_found, invalid_input naming the file.
Result<std::vector<std::string>> read_gossip_keys(const std::filesystem::path& file);
/// With mode 0600.
Result<void> write_gossip_keys(const std::filesystem::path& file,
                               const std::vector<std::string>& keys);

}  // namespace dfaas
