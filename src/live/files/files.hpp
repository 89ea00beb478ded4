// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Files read and written whole, with errors that name them.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace dfaas {

/// Errors: not_found, unavailable or, over `bytes_max`, overloaded, naming the file.
Result<std::string> read_file(const std::filesystem::path& file,
                              std::size_t bytes_max = 64U << 20U);

/// Replaces the file in one step: written beside with `mode`, synced, renamed.
Result<void> write_file(const std::filesystem::path& file, std::string_view text, mode_t mode);

/// As write_file(), but never over an existing file: conflict.
Result<void> create_file(const std::filesystem::path& file, std::string_view text, mode_t mode);

/// Makes the directory, and those above it, with `mode` for the last.
Result<void> make_directory(const std::filesystem::path& directory, mode_t mode);

}  // namespace dfaas
