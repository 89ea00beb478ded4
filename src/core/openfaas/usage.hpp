// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What functions use of processors and memory: texts of the kernel in, figures out.
///
/// Source  Documentation/admin-guide/cgroup-v1/{cpuacct,memory}.rst, cgroup-v2.rst and proc(5) of Linux. Memory is
///         what cannot be dropped at once, as Kubernetes counts it (its "working set"), because OpenFaaS shows that.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"

namespace dfaas {

struct FunctionUsage {
  double cpu_millis = 0;  ///< Thousandths of a processor.
  std::uint64_t memory_bytes = 0;

  friend bool operator==(const FunctionUsage&, const FunctionUsage&) = default;
};

/// Turns processor time that only grows into a rate.
///
/// Guarantees The rate is that since the last reading, at first since the start; of readings in quick succession only
///            those a second apart count, so that each rate is one over a second at least. Never negative.
class CpuMeter {
 public:
  explicit CpuMeter(Instant start) : older_{.at = start}, newer_(older_) {}

  /// Thousandths of a processor; `used` is the processor time since the start, `now` does not go backwards.
  double read(Instant now, Micros used);

 private:
  struct Reading {
    Instant at;
    Micros used{0};
  };
  Reading older_;  ///< What rates count from.
  Reading newer_;
};

/// The first word of a file that holds one number, as memory.current and cpuacct.usage do.
std::optional<std::uint64_t> number_in(std::string_view text);

/// The number behind `key` in lines of "key number", as cpu.stat and memory.stat have them.
std::optional<std::uint64_t> number_of(std::string_view text, std::string_view key);

/// Of a group: what it holds without files that were not used lately, by either of the two names for them.
std::uint64_t memory_in_use(std::uint64_t held, std::string_view statistics);

struct ProcessUsage {
  std::uint64_t ticks =
      0;  ///< Processor time of itself and of those children that it has waited for.
  std::uint64_t pages = 0;  ///< Resident.
};

/// Of /proc/PID/stat. The process chose the name in it, which may hold anything.
std::optional<ProcessUsage> process_usage(std::string_view stat);

/// Process ids in a text such as /proc/PID/task/TID/children; ends at the first that is none.
std::vector<int> process_ids(std::string_view text);

}  // namespace dfaas
