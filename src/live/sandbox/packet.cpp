// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/packet.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

namespace dfaas {

static_assert(std::is_trivially_copyable_v<PacketHead>);

std::string make_packet(const PacketHead& head, const std::vector<std::string>& texts) {
  std::string packet(sizeof(PacketHead), '\0');
  std::memcpy(packet.data(), &head, sizeof(PacketHead));
  for (const std::string& text : texts) packet.append(text.c_str(), text.size() + 1);
  return packet;
}

bool parse_packet(const char* data, std::size_t size, PacketHead& head,
                  std::vector<const char*>& texts) {
  if (size < sizeof(PacketHead)) return false;
  std::memcpy(&head, data, sizeof(PacketHead));
  const char* at = data + sizeof(PacketHead);
  const char* const end = data + size;
  while (at < end) {
    const void* zero = std::memchr(at, 0, static_cast<std::size_t>(end - at));
    if (zero == nullptr) return false;
    texts.push_back(at);
    at = static_cast<const char*>(zero) + 1;
  }
  return true;
}

PacketDescriptors::~PacketDescriptors() {
  for (const int value : values_) {
    if (value >= 0) ::close(value);
  }
}

int PacketDescriptors::take(int index) {
  return std::exchange(values_.at(static_cast<std::size_t>(index)), -1);
}

void PacketDescriptors::add(int descriptor) {
  if (count_ == packet_descriptors_max) {
    ::close(descriptor);
    return;
  }
  values_.at(static_cast<std::size_t>(count_++)) = descriptor;
}

int send_packet(int socket, const std::string& packet, const int* descriptors, int count,
                int flags) {
  iovec vector{const_cast<char*>(packet.data()),  // NOLINT: sendmsg() does not write.
               packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * packet_descriptors_max)> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (count > 0) {
    const std::size_t bytes = sizeof(int) * static_cast<std::size_t>(count);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(part), descriptors, bytes);
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL | flags) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

long receive_packet(int socket, char* buffer, std::size_t size, PacketDescriptors& descriptors,
                    int flags) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * packet_descriptors_max)> control{};
  iovec vector{buffer, size};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const long received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
  if (received <= 0) return received;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::array<int, packet_descriptors_max> values{};
    std::memcpy(values.data(), CMSG_DATA(part),
                sizeof(int) * std::min<std::size_t>(count, values.size()));
    for (std::size_t at = 0; at < std::min<std::size_t>(count, values.size()); ++at) {
      descriptors.add(values.at(at));
    }
  }
  return received;
}

}  // namespace dfaas
