// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The keeper: a small process of one thread, the only one that starts functions.
///
/// Why        Starting a process from a large, threaded program holds its event loop for milliseconds; a
///            message to the keeper costs some 20 us. It is also where a sandbox will be set up once.
/// Protocol   Packets on a SOCK_SEQPACKET socket, one JSON head each; a spawn carries three descriptors
///            (stdin, stdout, stderr of the function) and its argument and environment blocks.
/// Guarantees Every function runs in its own process group. When its main process ends, the rest of the
///            group is killed. When the socket closes, for whatever reason, every group is killed and the
///            keeper ends: no function outlives its gateway.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dfaas {

/// Runs until `socket` closes. The exit status of the process.
int keeper_main(int socket);

/// Descriptor of the socket in a keeper that was started by ProcessRunner.
inline constexpr int keeper_socket = 3;

inline constexpr std::size_t keeper_packet_bytes_max = 160 * 1024;

/// What travels; both ends are this program, so the form is plain memory.
enum class KeeperVerb : std::uint8_t { spawn, kill, spawned, failed, exited };

struct KeeperHead {
  KeeperVerb verb = KeeperVerb::spawn;
  std::uint64_t id = 0;
  std::int32_t number = 0;        ///< Signal, pid, errno or exit status.
  std::int64_t wall_us = 0;       ///< With exited.
  std::int64_t cpu_us = 0;        ///< With exited.
  std::uint32_t arguments = 0;    ///< With spawn: how many texts follow as arguments,
  std::uint32_t environment = 0;  ///< then as environment; before them the directory.
};

/// Head and texts (each ended by a zero byte) as one packet.
std::string keeper_packet(const KeeperHead& head, const std::vector<std::string>& texts);

/// False when the packet is no head and whole texts.
bool parse_keeper_packet(const char* data, std::size_t size, KeeperHead& head,
                         std::vector<const char*>& texts);

}  // namespace dfaas
