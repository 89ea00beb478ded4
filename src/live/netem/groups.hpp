// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Control groups of emulated machines: one each, with a share of the processors.
///
/// Where none can be made, machines run without: then nothing limits them, and `processors` is an Error.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "live/netem/janitor.hpp"

namespace dfaas {

class MachineGroups {
 public:
  /// Groups called `name`, which the janitor removes.
  MachineGroups(const std::string& name, Janitor& janitor);

  /// The files to write "0" to, to be in the group of a machine: one for each hierarchy, perhaps none.
  /// `processors` 0: no limit. Errors: unavailable, where they cannot be limited.
  [[nodiscard]] Result<std::vector<std::string>> make(const std::string& machine,
                                                      double processors) const;

 private:
  struct Place {
    std::string directory;
    bool has_cpu = false;
    bool is_v2 = false;
  };
  std::vector<Place> places_;
};

}  // namespace dfaas
