// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Directories that somebody else filled: looked into, made harmless and removed, never left by a link.
///
/// Limits  They must not change meanwhile, other than by a program that only adds to them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace dfaas {

/// Where `path` leads for one whose root is `root`: absolute, without links, as seen from inside. Nothing if it leads
/// nowhere, or in circles. The empty root is the host itself.
std::optional<std::string> resolve_inside(const std::filesystem::path& root, std::string_view path);

/// What the files take on disk, at least one block of 4 KiB each; of hard links the first counts.
std::uint64_t measure_tree(const std::filesystem::path& root);

/// Lets everybody read what its owner may, and takes set-user-id, set-group-id and sticky bits away; owners may
/// write, so that it can be removed. Returns the size. Errors: unavailable naming the file.
Result<std::uint64_t> open_up_tree(const std::filesystem::path& root);

/// Whatever the modes of its directories are. Errors: unavailable naming the file.
Result<void> remove_tree(const std::filesystem::path& root);

}  // namespace dfaas
