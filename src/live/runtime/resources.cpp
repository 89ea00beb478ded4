// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/resources.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "core/openfaas/usage.hpp"
#include "live/runtime/descriptor.hpp"

namespace dfaas {
namespace {

/// A replica has at most as many processes as its limit, which an operator may lift.
constexpr std::size_t processes_max = 4096;

/// A file of the kernel, which has no size before it is read; empty where it is not there.
std::string read_kernel_file(const std::string& file) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> piece{};
  while (descriptor.get() >= 0) {
    const ssize_t size = ::read(descriptor.get(), piece.data(), piece.size());
    if (size <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
  return text;
}

std::optional<Micros> cpu_of_group(const std::string& group) {
  if (group.empty()) return std::nullopt;
  if (const auto usec = number_of(read_kernel_file(group + "/cpu.stat"), "usage_usec")) {
    return Micros{static_cast<Micros::rep>(*usec)};
  }
  // Version 1, where both controllers share their groups.
  const auto nanoseconds = number_in(read_kernel_file(group + "/cpuacct.usage"));
  if (!nanoseconds) return std::nullopt;
  return Micros{static_cast<Micros::rep>(*nanoseconds / 1'000)};
}

std::optional<std::uint64_t> memory_of_group(const std::string& group) {
  if (group.empty()) return std::nullopt;
  auto held = number_in(read_kernel_file(group + "/memory.current"));
  if (!held) held = number_in(read_kernel_file(group + "/memory.usage_in_bytes"));
  if (!held) return std::nullopt;
  return memory_in_use(*held, read_kernel_file(group + "/memory.stat"));
}

std::vector<int> children_of(int process) {
  std::vector<int> children;
  std::error_code error;  // A process that ends meanwhile has none.
  const std::string threads = "/proc/" + std::to_string(process) + "/task";
  auto at = std::filesystem::directory_iterator(threads, error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    for (const int child : process_ids(read_kernel_file(at->path().string() + "/children"))) {
      children.push_back(child);
    }
  }
  return children;
}

/// Of the keeper and all that it started.
std::optional<ResourcesUsed> read_processes(int keeper) {
  static const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (keeper <= 0) return std::nullopt;
  ProcessUsage sum;
  bool is_shown = false;
  std::vector<int> waiting{keeper};
  std::set<int> seen;  // A number may be used again while we walk.
  while (!waiting.empty() && seen.size() < processes_max) {
    const int process = waiting.back();
    waiting.pop_back();
    if (!seen.insert(process).second) continue;
    const auto usage =
        process_usage(read_kernel_file("/proc/" + std::to_string(process) + "/stat"));
    if (!usage) continue;
    is_shown = is_shown || process == keeper;
    sum.ticks += usage->ticks;
    sum.pages += usage->pages;
    for (const int child : children_of(process)) waiting.push_back(child);
  }
  if (!is_shown) return std::nullopt;
  return ResourcesUsed{.cpu = from_seconds(static_cast<double>(sum.ticks) / ticks_per_second),
                       .memory_bytes = sum.pages * page_bytes};
}

}  // namespace

std::optional<ResourcesUsed> read_resources(const UsagePlaces& places) {
  const auto cpu = cpu_of_group(places.cpu_group);
  const auto memory = memory_of_group(places.memory_group);
  if (cpu && memory) return ResourcesUsed{.cpu = *cpu, .memory_bytes = *memory};
  auto used = read_processes(places.keeper);
  if (!used) return std::nullopt;
  if (cpu) used->cpu = *cpu;
  if (memory) used->memory_bytes = *memory;
  return used;
}

}  // namespace dfaas
