// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a gateway asks of the launcher, and what the launcher says it can do.
///
/// Tiers   namespaces: each replica has its own processes, files, network, users; nothing of the host is
///         seen but programs and libraries. landlock: for hosts and containers that allow no namespaces:
///         the same files, no network and fewer system calls, but host processes share the numbers.
///         none: only what the node's user cannot do anyway; never chosen by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dfaas {

enum class SandboxTier : std::uint8_t { namespaces, landlock, none };
std::string_view to_text(SandboxTier tier);
std::optional<SandboxTier> parse_tier(std::string_view text);

enum class LimitsBy : std::uint8_t { cgroup_v2, cgroup_v1, rlimits };
std::string_view to_text(LimitsBy limits);

/// For all replicas of a gateway.
struct SandboxSettings {
  std::optional<SandboxTier> tier;  ///< Empty for the best that works here, never none.
  std::vector<std::string> hidden;  ///< Host paths that no function may see, whatever holds them.
  std::vector<std::string>
      readable;  ///< Host paths that functions see beside the system's programs.
  std::vector<std::string> writable;  ///< The same, and may write to.
  std::string scratch;                ///< Where temporary files go in the tier landlock: "/tmp".
  std::uint32_t first_user = 0;       ///< User and group ids of functions begin here.
};

struct ReplicaSpec {
  std::string name;                ///< Of the function; its host name.
  std::string root;                ///< Unpacked image; empty for the programs of the host.
  std::uint32_t user = 0;          ///< Added to first_user.
  std::uint64_t memory_bytes = 0;  ///< 0 for no limit.
  std::uint32_t cpu_millis = 0;    ///< Thousandths of a processor; 0 for no limit.
  std::uint32_t processes = 0;     ///< And threads; 0 for no limit.
  std::uint64_t tmp_bytes = 0;
  bool host_network = false;
  std::uint16_t port = 0;  ///< Where the function listens on 127.0.0.1; 0 for not at all.
  std::vector<std::pair<std::string, std::string>> secrets;  ///< Name, and file on the host.

  friend bool operator==(const ReplicaSpec&, const ReplicaSpec&) = default;
};

/// What works on this host, found out by trying.
struct SandboxReport {
  SandboxTier tier = SandboxTier::none;
  LimitsBy limits = LimitsBy::rlimits;
  bool memory = false;  ///< Is memory limited per replica? Else per process.
  bool cpu = false;
  std::vector<std::string> notes;  ///< Why it is not more; for people.
  std::string failure;             ///< Why no function can run at all; else empty.
};

/// Where the kernel shows what a replica uses.
struct UsagePlaces {
  int keeper = 0;            ///< Process id, as the launcher sees it; 0 when it is not known.
  std::string memory_group;  ///< Directories of its control groups; empty without.
  std::string cpu_group;

  friend bool operator==(const UsagePlaces&, const UsagePlaces&) = default;
};

/// What a keeper says when its sandbox is complete.
struct ReplicaReady {
  std::string temporary;  ///< Where functions find room for temporary files, when that is not /tmp.
  UsagePlaces usage;
};

/// "name=value" texts, as packets carry them. Unknown names are skipped.
std::vector<std::string> to_texts(const SandboxSettings& settings);
std::vector<std::string> to_texts(const ReplicaSpec& spec);
std::vector<std::string> to_texts(const SandboxReport& report);
std::vector<std::string> to_texts(const ReplicaReady& ready);
SandboxSettings settings_from_texts(const std::vector<const char*>& texts);
ReplicaSpec spec_from_texts(const std::vector<const char*>& texts);
SandboxReport report_from_texts(const std::vector<const char*>& texts);
ReplicaReady ready_from_texts(const std::vector<const char*>& texts);

/// Directories of the host with programs and what these need; functions see them read-only.
inline constexpr std::string_view system_directories[] = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt"};

/// "directory/name".
std::string path_in(std::string_view directory, std::string_view name);

/// Does `path` lie in `directory`, or is it the same?
bool is_below(std::string_view path, std::string_view directory);

/// Would a function in a sandbox see this file of the host?
bool is_visible(const SandboxSettings& settings, std::string_view path);

}  // namespace dfaas
