// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/netem/groups.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "live/sandbox/cgroup_directories.hpp"

namespace dfaas {
namespace {

constexpr int period_us = 100'000;

bool write_text(const std::string& file, const std::string& text) {
  std::ofstream stream(file);
  stream << text << std::flush;
  return stream.good();
}

}  // namespace

MachineGroups::MachineGroups(const std::string& name, Janitor& janitor) {
  const auto directories = cgroup_directories();
  const auto add = [&](const std::string& directory, bool has_cpu, bool is_v2) {
    const std::string path = directory + "/" + name;
    if (::mkdir(path.c_str(), 0755) != 0) return false;
    janitor.add_group(path);
    places_.push_back({.directory = path, .has_cpu = has_cpu, .is_v2 = is_v2});
    return true;
  };
  constexpr const char* controllers = "+memory +pids +cpu";
  if (const auto v2 = directories.find(""); v2 != directories.end()) {
    if (write_text(v2->second + "/cgroup.subtree_control", controllers) &&
        add(v2->second, true, true) &&
        write_text(places_.back().directory + "/cgroup.subtree_control", controllers)) {
      return;
    }
    places_.clear();
  }
  for (const char* controller : {"memory", "cpu", "pids"}) {
    const auto found = directories.find(controller);
    if (found != directories.end()) add(found->second, std::string(controller) == "cpu", false);
  }
}

Result<std::vector<std::string>> MachineGroups::make(const std::string& machine,
                                                     double processors) const {
  std::vector<std::string> files;
  bool is_limited = processors == 0;
  for (const Place& place : places_) {
    // A service's name: below it, the node may make groups of its own (live/sandbox).
    const std::string group =
        place.directory + "/" + machine + (place.is_v2 ? ".service" : std::string());
    if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) continue;
    files.push_back(group + "/cgroup.procs");
    if (processors == 0 || !place.has_cpu) continue;
    const std::string quota = std::to_string(static_cast<int>(processors * period_us));
    is_limited = place.is_v2
                     ? write_text(group + "/cpu.max", quota + " " + std::to_string(period_us))
                     : write_text(group + "/cpu.cfs_quota_us", quota);
  }
  if (is_limited) return files;
  return fail(ErrorCode::unavailable,
              fmt::format("node {}: processors {} cannot be limited: this host lets no control "
                          "group of processors be made",
                          machine, processors));
}

}  // namespace dfaas
