// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/netem/network_namespace.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace dfaas {
namespace {

constexpr const char* device_name = "eth0";

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

tl::unexpected<Error> no_network(int error) {
  if (error == EPERM || error == EACCES) {
    return fail(ErrorCode::denied,
                "networks of their own need root (CAP_SYS_ADMIN and CAP_NET_ADMIN): run it with "
                "sudo, or in a container with --privileged");
  }
  return fail(ErrorCode::unavailable,
              fmt::format("this kernel makes no network namespace: {}", reason(error)));
}

ifreq request_for(const char* device) {
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);  // NOLINT: a C interface.
  return request;
}

Result<void> ask(int socket, unsigned long what, ifreq& request, const char* doing) {
  if (::ioctl(socket, what, &request) == 0) return {};
  return fail(ErrorCode::unavailable,
              fmt::format("device {}: {}: {}", request.ifr_name, doing, reason(errno)));
}

Result<void> switch_device_here(const char* device, bool is_up) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(device);
  if (auto read = ask(socket.get(), SIOCGIFFLAGS, request, "reading its state"); !read) return read;
  const int flags =
      is_up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;  // NOLINT: a union of C.
  request.ifr_flags = static_cast<short>(flags);
  return ask(socket.get(), SIOCSIFFLAGS, request, is_up ? "bringing it up" : "taking it down");
}

Result<void> bring_up(const char* device) { return switch_device_here(device, true); }

Result<void> set_address(int socket, unsigned long what, const std::string& text) {
  ifreq request = request_for(device_name);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, text.c_str(), &address.sin_addr);
  std::memcpy(&request.ifr_addr, &address, sizeof address);  // NOLINT: how addresses are passed.
  return ask(socket, what, request, "setting its address");
}

Result<void> configure_tap(const HardwareAddress& hardware, const std::string& address) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(device_name);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;  // NOLINT: a union of C.
  // NOLINTNEXTLINE: the same.
  std::ranges::copy(hardware, reinterpret_cast<std::uint8_t*>(request.ifr_hwaddr.sa_data));
  if (auto set = ask(socket.get(), SIOCSIFHWADDR, request, "setting its hardware address"); !set) {
    return set;
  }
  // The switch carries IPv4. Where the kernel has no IPv6, there is nothing to turn off.
  std::ofstream("/proc/sys/net/ipv6/conf/eth0/disable_ipv6") << "1";
  if (auto set = set_address(socket.get(), SIOCSIFADDR, address); !set) return set;
  if (auto set = set_address(socket.get(), SIOCSIFNETMASK, "255.255.0.0"); !set) return set;
  return bring_up(device_name);
}

/// On a thread of its own, which this leaves in another network.
Result<void> on_thread(const std::function<Result<void>()>& work) {
  Result<void> result;
  std::thread thread([&] { result = work(); });
  thread.join();
  return result;
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}
Descriptor::Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this == &other) return *this;
  if (number_ >= 0) ::close(number_);
  number_ = other.release();
  return *this;
}
int Descriptor::release() { return std::exchange(number_, -1); }

Result<NetworkNamespace> NetworkNamespace::make() {
  Descriptor made;
  auto done = on_thread([&made]() -> Result<void> {
    if (::unshare(CLONE_NEWNET) != 0) return no_network(errno);
    made = Descriptor(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (made.get() < 0) return no_network(errno);
    return bring_up("lo");
  });
  if (!done) return pass_on(std::move(done));
  return NetworkNamespace(std::move(made));
}

Result<void> NetworkNamespace::enter() const {
  if (::setns(descriptor_.get(), CLONE_NEWNET) == 0) return {};
  return no_network(errno);
}

Result<void> NetworkNamespace::run_inside(const std::function<Result<void>()>& work) const {
  return on_thread([this, &work]() -> Result<void> {
    if (auto entered = enter(); !entered) return entered;
    return work();
  });
}

Result<void> NetworkNamespace::switch_device(bool is_up) const {
  return run_inside([is_up] { return switch_device_here(device_name, is_up); });
}

Result<Descriptor> NetworkNamespace::make_tap(const HardwareAddress& hardware,
                                              const std::string& address) const {
  Descriptor tap;
  auto done = run_inside([&]() -> Result<void> {
    // A tap device comes to be in the network in which this was opened.
    tap = Descriptor(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (tap.get() < 0) {
      return fail(ErrorCode::not_found,
                  fmt::format("/dev/net/tun: {}: links need tap devices: modprobe tun; a container "
                              "needs --device /dev/net/tun",
                              reason(errno)));
    }
    ifreq request = request_for(device_name);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;  // NOLINT: a union of C.
    if (auto made = ask(tap.get(), TUNSETIFF, request, "making it"); !made) return made;
    return configure_tap(hardware, address);
  });
  if (!done) return pass_on(std::move(done));
  return tap;
}

Result<void> check_networks() {
  auto network = NetworkNamespace::make();
  if (!network) return pass_on(std::move(network));
  auto tap = network->make_tap(hardware_address_of(0), address_of(0));
  if (!tap) return pass_on(std::move(tap));
  return {};
}

}  // namespace dfaas
