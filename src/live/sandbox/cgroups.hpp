// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Limits of memory, processors and processes for a whole replica, by the kernel's control groups.
///
/// Use        Below the group that the node itself is in, so that what limits the node limits its functions.
///            Version 2 where its controllers can be had, else version 1, else nothing: then only limits per
///            process remain.
/// Guarantees A group that cannot be made is an error, never a function without its limits.
/// Limits     Groups of a launcher that was killed are removed by the next one once they are empty.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

class Cgroups {
 public:
  /// Finds out by making and removing a group. `notes` tells why it is not more.
  static Cgroups find(std::vector<std::string>& notes);

  [[nodiscard]] LimitsBy by() const { return by_; }
  [[nodiscard]] bool has(const std::string& controller) const;

  /// Makes the group `id` with the limits of `spec`; nothing where there are none to be had.
  Result<void> make(std::uint64_t id, const ReplicaSpec& spec) const;
  /// The calling process joins it, and its children after it.
  [[nodiscard]] Result<void> join(std::uint64_t id) const;
  /// Where the kernel shows what the group `id` uses, by controller; empty where there are no groups.
  [[nodiscard]] std::map<std::string, std::string> directories_of(std::uint64_t id) const;
  /// Of a group without processes; true when it is gone.
  bool remove(std::uint64_t id) const;
  /// Every group of this launcher that is empty, and then what held them.
  void remove_all() const;

 private:
  [[nodiscard]] Result<void> set(const std::string& controller, std::uint64_t id,
                                 const std::string& file, const std::string& value) const;
  void try_v2(std::vector<std::string>& notes);
  void try_v1(std::vector<std::string>& notes);

  LimitsBy by_ = LimitsBy::rlimits;
  /// Controller and the directory that holds our groups; in version 2 the same for all.
  std::map<std::string, std::string> places_;
};

}  // namespace dfaas
