// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The files a replica sees: programs of the host or of an image, read-only, and room for its own.
///
/// Output  /usr, /bin, /sbin, /lib*, /etc, /opt of the host, or the top directories of an image; /proc of
///         the replica's own processes; /dev with null, zero, full, random, urandom and shm; an empty,
///         writable /tmp and /var/tmp of limited size; secrets; paths of the settings. Nothing else.
/// Why     A short list of what is shown, on an empty root, instead of the host's root with a list of what
///         is hidden: what nobody thought of is not there.
/// Limits  Linux 5.12 (mount_setattr).
#pragma once

#include <string>

#include "core/base/result.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

/// Makes it the root of the calling process, which must be the first one of new mount and pid namespaces
/// and have their privileges. `owner` will own the secrets.
Result<void> enter_file_system(const SandboxSettings& settings, const ReplicaSpec& spec,
                               unsigned owner);

/// Copies the secrets of `spec` into `directory`, for its user alone.
Result<void> copy_secrets(const std::string& directory, const ReplicaSpec& spec, unsigned owner);

}  // namespace dfaas
