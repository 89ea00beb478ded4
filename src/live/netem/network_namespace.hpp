// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A network of its own on this machine: loopback, and one tap device whose cable is in our hands.
///
/// Guarantees  It has no name and no file: it is gone, with its devices, when the last process in it and the
///             last descriptor of it are, however they went. Two programs cannot be in each other's way.
/// Errors      denied without the privileges, not_found without tap devices: one sentence, what is needed.
#pragma once

#include <functional>
#include <string>

#include "core/base/result.hpp"
#include "core/netem/frame_switch.hpp"

namespace dfaas {

/// A descriptor that is closed in the end.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int get() const { return number_; }
  /// The caller closes it from now on.
  [[nodiscard]] int release();

 private:
  int number_;
};

/// May this program make networks? Tried by making one.
Result<void> check_networks();

class NetworkNamespace {
 public:
  /// With its loopback up.
  static Result<NetworkNamespace> make();

  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  /// Runs `work` in it, on a thread of its own that ends with it: sockets made there stay there.
  [[nodiscard]] Result<void> run_inside(const std::function<Result<void>()>& work) const;
  /// Moves the calling thread into it, for good.
  [[nodiscard]] Result<void> enter() const;

  /// Takes eth0 down, or up again, as an administrator would: its addresses stay, its routes go and come.
  [[nodiscard]] Result<void> switch_device(bool is_up) const;

  /// Device eth0 with these addresses; its frames are read and written at the descriptor, one at a time,
  /// without waiting.
  [[nodiscard]] Result<Descriptor> make_tap(const HardwareAddress& hardware,
                                            const std::string& address) const;

 private:
  explicit NetworkNamespace(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
  Descriptor descriptor_;
};

}  // namespace dfaas
