// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/cgroup_directories.hpp"

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace dfaas {
namespace {

std::map<std::string, std::string> own_groups() {
  std::map<std::string, std::string> groups;  // By controller list; "" is version 2.
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::stringstream controllers(line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    if (first + 1 == second) groups[""] = path;
    for (std::string name; std::getline(controllers, name, ',');) groups[name] = path;
  }
  return groups;
}

}  // namespace

std::map<std::string, std::string> cgroup_directories() {
  const auto groups = own_groups();
  std::map<std::string, std::string> directories;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::stringstream fields(line);
    std::string skipped;
    std::string root;
    std::string place;
    fields >> skipped >> skipped >> skipped >> root >> place;
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::stringstream rest(line.substr(dash + 3));
    std::string type;
    std::string options;
    rest >> type >> skipped >> options;
    const auto take = [&](const std::string& controller) {
      const auto group = groups.find(controller);
      if (group == groups.end()) return;
      std::string path = group->second;
      // Inside a container the mount shows a part of the tree, and the path may count from its root.
      if (root != "/" && path.starts_with(root)) path.erase(0, root.size());
      std::string directory = place + (path == "/" ? "" : path);
      if (::access(directory.c_str(), F_OK) != 0) directory = place;
      directories.emplace(controller, directory);
    };
    if (type == "cgroup2") take("");
    if (type != "cgroup") continue;
    std::stringstream names(options);
    for (std::string name; std::getline(names, name, ',');) {
      if (name == "memory" || name == "cpu" || name == "pids") take(name);
    }
  }
  return directories;
}

}  // namespace dfaas
