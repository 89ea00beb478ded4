// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/landlock.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace dfaas {
namespace {

// Newer than the headers of Debian 12. Source: linux/landlock.h of Linux 6.12.
constexpr std::uint64_t access_fs_truncate = 1ULL << 14U;   // Version 3.
constexpr std::uint64_t access_fs_ioctl_dev = 1ULL << 15U;  // Version 5.
constexpr std::uint64_t access_net_bind = 1ULL << 0U;       // Version 4.
constexpr std::uint64_t access_net_connect = 1ULL << 1U;
constexpr std::uint64_t scope_abstract_sockets = 1ULL << 0U;  // Version 6.
constexpr std::uint64_t scope_signals = 1ULL << 1U;
constexpr int rule_net_port = 2;

struct Ruleset {
  std::uint64_t fs = 0;
  std::uint64_t net = 0;
  std::uint64_t scoped = 0;
};
struct PortRule {
  std::uint64_t access = 0;
  std::uint64_t port = 0;
};

constexpr std::uint64_t read_access =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t file_access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                                      LANDLOCK_ACCESS_FS_WRITE_FILE | access_fs_truncate |
                                      access_fs_ioctl_dev;

std::uint64_t all_access(int version) {
  constexpr std::uint64_t first_version = (1ULL << 13U) - 1;
  std::uint64_t access = first_version;
  if (version >= 2) access |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) access |= access_fs_truncate;
  if (version >= 5) access |= access_fs_ioctl_dev;
  return access;
}

tl::unexpected<Error> failed(const std::string& what) {
  return fail(ErrorCode::unavailable,
              "landlock: " + what + ": " + std::strerror(errno));  // NOLINT: one thread.
}

/// What is not there needs no rule.
Result<void> allow(int ruleset, const std::string& path, std::uint64_t access) {
  const int place = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (place < 0) return {};
  struct stat kind{};
  const bool is_directory = ::fstat(place, &kind) == 0 && S_ISDIR(kind.st_mode);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = is_directory ? access : access & file_access;
  rule.parent_fd = place;
  const long done = ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  const int error = errno;
  ::close(place);
  errno = error;
  if (done != 0) return failed(path);
  return {};
}

/// Everything below `path` but what is hidden: rules can only add, so the entries beside it are named.
Result<void> allow_reading(int ruleset, const std::string& path,
                           const std::vector<std::string>& hidden) {
  const auto holds_hidden = [&path](const std::string& place) { return is_below(place, path); };
  if (std::none_of(hidden.begin(), hidden.end(), holds_hidden)) {
    return allow(ruleset, path, read_access);
  }
  if (std::find(hidden.begin(), hidden.end(), path) != hidden.end()) return {};
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return {};
  Result<void> result;
  while (const dirent* entry = ::readdir(directory)) {  // NOLINT: one thread.
    const std::string name(static_cast<const char*>(entry->d_name));
    if (name == "." || name == ".." || entry->d_type == DT_LNK) continue;
    result = allow_reading(ruleset, path_in(path, name), hidden);
    if (!result) break;
  }
  ::closedir(directory);
  return result;
}

}  // namespace

int landlock_version() {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version < 0 ? 0 : static_cast<int>(version);
}

std::vector<std::string> landlock_notes(int version) {
  std::vector<std::string> notes{"functions see host processes by number"};
  if (version < 4) notes.emplace_back("functions of mode http may use the node's network");
  if (version < 6) notes.emplace_back("functions may send signals to processes of the node's user");
  return notes;
}

Result<void> confine_by_landlock(const SandboxSettings& settings, const ReplicaSpec& spec,
                                 const std::string& temporary) {
  const int version = landlock_version();
  if (version == 0) return fail(ErrorCode::unavailable, "landlock: this kernel does not have it");
  Ruleset rules{.fs = all_access(version)};
  std::size_t size = sizeof rules.fs;
  if (version >= 4) {
    if (!spec.host_network) rules.net = access_net_bind | access_net_connect;
    size = offsetof(Ruleset, scoped);
  }
  if (version >= 6) {
    rules.scoped = scope_abstract_sockets | scope_signals;
    size = sizeof rules;
  }
  const int ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, size, 0));
  if (ruleset < 0) return failed("rules");
  Result<void> result;
  const auto then = [&result](Result<void> next) {
    if (result) result = std::move(next);
  };
  if (spec.root.empty()) {
    for (const std::string_view path : system_directories) {
      // Of links (/bin to /usr/bin) the target counts.
      then(allow_reading(ruleset, std::string(path), settings.hidden));
    }
  } else {
    then(allow(ruleset, spec.root, read_access));
  }
  for (const std::string& path : settings.readable) then(allow(ruleset, path, read_access));
  for (const std::string& path : settings.writable) {
    then(allow(ruleset, path, all_access(version)));
  }
  then(allow(ruleset, temporary, all_access(version)));
  for (const char* device :
       {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
    then(allow(ruleset, device, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE));
  }
  if (version >= 4 && !spec.host_network && spec.port != 0) {
    const PortRule rule{.access = access_net_bind | access_net_connect, .port = spec.port};
    if (::syscall(SYS_landlock_add_rule, ruleset, rule_net_port, &rule, 0) != 0) {
      then(failed("port"));
    }
  }
  if (result && ::syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
    result = failed("confining");
  }
  ::close(ruleset);
  return result;
}

}  // namespace dfaas
