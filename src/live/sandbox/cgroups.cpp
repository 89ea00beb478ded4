// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/cgroups.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

#include "live/sandbox/cgroup_directories.hpp"

namespace dfaas {
namespace {

constexpr const char* own_prefix = "dfaas-";
constexpr std::uint64_t cpu_period_us = 100'000;  ///< The kernel's default.

std::string reason(int error) { return std::strerror(error); }  // NOLINT: one thread.

Result<void> write_text(const std::string& file, const std::string& text) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written = descriptor >= 0 && ::write(descriptor, text.data(), text.size()) ==
                                              static_cast<ssize_t>(text.size());
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (written) return {};
  return fail(ErrorCode::unavailable, file + ": " + reason(error));
}

std::vector<std::string> entries_of(const std::string& directory) {
  std::vector<std::string> names;
  DIR* open = ::opendir(directory.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = ::readdir(open)) {  // NOLINT: one thread.
    const std::string name(static_cast<const char*>(entry->d_name));
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.push_back(name);
  }
  ::closedir(open);
  return names;
}

/// Of launchers that are no more.
void remove_stale(const std::string& directory) {
  for (const std::string& name : entries_of(directory)) {
    if (!name.starts_with(own_prefix)) continue;
    int pid = 0;
    const char* digits = name.data() + std::strlen(own_prefix);
    std::from_chars(digits, name.data() + name.size(), pid);
    if (pid <= 0 || ::kill(pid, 0) == 0 || errno != ESRCH) continue;
    const std::string group = path_in(directory, name);
    for (const std::string& replica : entries_of(group)) ::rmdir(path_in(group, replica).c_str());
    ::rmdir(group.c_str());
  }
}

std::set<std::string> words_of(const std::string& file) {
  std::ifstream stream(file);
  std::set<std::string> words;
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

/// The group below which ours go: of a launcher that is started again in the group that make_room() made, the
/// service's, which holds no processes any more.
std::string service_group(const std::string& directory) {
  constexpr std::string_view made = ".service/node";
  if (!directory.ends_with(made)) return directory;
  return directory.substr(0, directory.rfind('/'));
}

/// A service's own group holds its processes, and such a group may not limit children: they move into one
/// beside. Only where the group is a service's, so that nobody else's processes are touched.
void make_room(const std::string& directory) {
  if (!directory.ends_with(".service")) return;
  const std::string inner = directory + "/node";
  ::mkdir(inner.c_str(), 0755);
  for (const std::string& pid : words_of(directory + "/cgroup.procs")) {
    // One that ended meanwhile needs no room.
    if (auto moved = write_text(inner + "/cgroup.procs", pid); !moved) continue;
  }
}

}  // namespace

bool Cgroups::has(const std::string& controller) const { return places_.contains(controller); }

Cgroups Cgroups::find(std::vector<std::string>& notes) {
  Cgroups cgroups;
  cgroups.try_v2(notes);
  if (cgroups.places_.empty()) cgroups.try_v1(notes);
  return cgroups;
}

void Cgroups::try_v2(std::vector<std::string>& notes) {
  const auto directories = cgroup_directories();
  const auto found = directories.find("");
  if (found == directories.end()) return;
  const std::string directory = service_group(found->second);
  const auto offered = words_of(directory + "/cgroup.controllers");
  if (!offered.contains("memory") || !offered.contains("pids")) {
    notes.push_back("control groups v2: memory and pids are not offered in " + directory);
    return;
  }
  remove_stale(directory);
  const std::string wanted = offered.contains("cpu") ? "+memory +pids +cpu" : "+memory +pids";
  auto enabled = write_text(directory + "/cgroup.subtree_control", wanted);
  if (!enabled) {
    make_room(directory);
    enabled = write_text(directory + "/cgroup.subtree_control", wanted);
  }
  const std::string place = directory + "/" + own_prefix + std::to_string(::getpid());
  if (!enabled || ::mkdir(place.c_str(), 0755) != 0) {
    notes.push_back("control groups v2: " +
                    (enabled ? place + ": " + reason(errno) : enabled.error().message));
    return;
  }
  if (auto passed = write_text(place + "/cgroup.subtree_control", wanted); !passed) {
    notes.push_back("control groups v2: " + passed.error().message);
    ::rmdir(place.c_str());
    return;
  }
  by_ = LimitsBy::cgroup_v2;
  places_["memory"] = places_["pids"] = place;
  if (offered.contains("cpu")) places_["cpu"] = place;
}

void Cgroups::try_v1(std::vector<std::string>& notes) {
  const auto directories = cgroup_directories();
  for (const char* controller : {"memory", "cpu", "pids"}) {
    const auto found = directories.find(controller);
    if (found == directories.end()) {
      notes.push_back(std::string("control group ") + controller + ": not mounted");
      continue;
    }
    remove_stale(found->second);
    const std::string place = found->second + "/" + own_prefix + std::to_string(::getpid());
    if (::mkdir(place.c_str(), 0755) != 0 && errno != EEXIST) {
      notes.push_back(std::string("control group ") + controller + ": " + place + ": " +
                      reason(errno));
      continue;
    }
    places_[controller] = place;
  }
  if (!places_.empty()) by_ = LimitsBy::cgroup_v1;
}

Result<void> Cgroups::set(const std::string& controller, std::uint64_t id, const std::string& file,
                          const std::string& value) const {
  const auto place = places_.find(controller);
  if (place == places_.end()) return {};
  return write_text(place->second + "/" + std::to_string(id) + "/" + file, value);
}

Result<void> Cgroups::make(std::uint64_t id, const ReplicaSpec& spec) const {
  for (const auto& [controller, place] : places_) {
    const std::string group = place + "/" + std::to_string(id);
    if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail(ErrorCode::unavailable, group + ": " + reason(errno));
    }
  }
  const bool is_v2 = by_ == LimitsBy::cgroup_v2;
  if (spec.memory_bytes > 0) {
    const std::string bytes = std::to_string(spec.memory_bytes);
    if (auto done = set("memory", id, is_v2 ? "memory.max" : "memory.limit_in_bytes", bytes);
        !done) {
      return done;
    }
    // Swapped out is not limited. Kernels without swap accounting lack the file: then nothing is lost.
    std::ignore = set("memory", id, is_v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
                      is_v2 ? "0" : bytes);
  }
  if (spec.processes > 0) {
    if (auto done = set("pids", id, "pids.max", std::to_string(spec.processes)); !done) return done;
  }
  if (spec.cpu_millis == 0) return {};
  const std::string quota = std::to_string(spec.cpu_millis * cpu_period_us / 1000);
  if (is_v2) return set("cpu", id, "cpu.max", quota + " " + std::to_string(cpu_period_us));
  return set("cpu", id, "cpu.cfs_quota_us", quota);
}

Result<void> Cgroups::join(std::uint64_t id) const {
  std::set<std::string> done;
  for (const auto& [controller, place] : places_) {
    if (!done.insert(place).second) continue;
    const std::string file = place + "/" + std::to_string(id) + "/cgroup.procs";
    if (auto joined = write_text(file, "0"); !joined) return joined;  // 0 is the writer itself.
  }
  return {};
}

std::map<std::string, std::string> Cgroups::directories_of(std::uint64_t id) const {
  std::map<std::string, std::string> directories;
  for (const auto& [controller, place] : places_) {
    directories.emplace(controller, path_in(place, std::to_string(id)));
  }
  return directories;
}

bool Cgroups::remove(std::uint64_t id) const {
  bool all_gone = true;
  for (const auto& [controller, place] : places_) {
    const std::string group = place + "/" + std::to_string(id);
    all_gone = (::rmdir(group.c_str()) == 0 || errno == ENOENT) && all_gone;
  }
  return all_gone;
}

void Cgroups::remove_all() const {
  for (const auto& [controller, place] : places_) {
    for (const std::string& replica : entries_of(place)) ::rmdir(path_in(place, replica).c_str());
    ::rmdir(place.c_str());
  }
}

}  // namespace dfaas
