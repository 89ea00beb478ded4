// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What gateway, launcher and keepers say to each other: packets of a head and texts.
///
/// Protocol   SOCK_SEQPACKET sockets. To the launcher: `setup` once, answered by `hello`; then `create`,
///            which carries the keeper's end of a new socket and gets no answer here. On that socket the
///            keeper says `ready` or `refused`; then each `spawn` carries three descriptors (stdin,
///            stdout, stderr of the function) and is answered once, by `failed` or, at its end, `exited`;
///            each `connect` by `connected`, with a descriptor, or `failed`.
/// Guarantees Both ends are of one release, so a head is plain memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dfaas {

enum class Verb : std::uint8_t {
  setup,
  hello,
  create,
  ready,
  refused,
  spawn,
  kill,
  connect,
  failed,
  exited,
  connected,
};

struct PacketHead {
  Verb verb = Verb::spawn;
  std::uint64_t id = 0;
  std::int32_t number = 0;        ///< Signal, port, errno or exit status.
  std::int64_t wall_us = 0;       ///< With exited.
  std::int64_t cpu_us = 0;        ///< With exited.
  std::uint32_t arguments = 0;    ///< With spawn: how many texts follow as arguments,
  std::uint32_t environment = 0;  ///< then as environment; before them the directory.
};

inline constexpr std::size_t packet_bytes_max = 160 * 1024;
inline constexpr int packet_descriptors_max = 3;

/// Where a program that was started with a socket finds it.
inline constexpr int inherited_socket = 3;

/// Head and texts (each ended by a zero byte) as one packet.
std::string make_packet(const PacketHead& head, const std::vector<std::string>& texts);

/// False when the packet is no head and whole texts. The texts point into `data`.
bool parse_packet(const char* data, std::size_t size, PacketHead& head,
                  std::vector<const char*>& texts);

/// Descriptors that came with a packet; closed with the object, except those that were taken.
class PacketDescriptors {
 public:
  PacketDescriptors() = default;
  PacketDescriptors(const PacketDescriptors&) = delete;
  PacketDescriptors& operator=(const PacketDescriptors&) = delete;
  PacketDescriptors(PacketDescriptors&&) = delete;
  PacketDescriptors& operator=(PacketDescriptors&&) = delete;
  ~PacketDescriptors();

  [[nodiscard]] int count() const { return count_; }
  [[nodiscard]] int at(int index) const { return values_.at(static_cast<std::size_t>(index)); }
  int take(int index);  ///< The caller closes it.
  void add(int descriptor);

 private:
  std::array<int, packet_descriptors_max> values_{-1, -1, -1};
  int count_ = 0;
};

/// Sends it, with `count` descriptors. Errno, or 0. `flags` as of sendmsg(2); no signal comes of it.
int send_packet(int socket, const std::string& packet, const int* descriptors, int count,
                int flags);

/// One packet into `buffer`. Its size; 0 when the other side is gone; -1 with errno set. Descriptors come
/// close-on-exec.
long receive_packet(int socket, char* buffer, std::size_t size, PacketDescriptors& descriptors,
                    int flags);

}  // namespace dfaas
