// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/file_system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <utility>

namespace dfaas {
namespace {

/// In the system's directories, and nobody's business.
constexpr const char* always_hidden[] = {"/etc/shadow",      "/etc/shadow-", "/etc/gshadow",
                                         "/etc/gshadow-",    "/etc/sudoers", "/etc/ssl/private",
                                         "/etc/krb5.keytab", "/etc/ssh"};
constexpr const char* devices[] = {"null", "zero", "full", "random", "urandom"};
/// Where the new root is put together: a directory of every Linux that no function sees.
constexpr const char* bases[] = {"/sys", "/mnt", "/srv", "/tmp"};

tl::unexpected<Error> failed(const std::string& what) {
  return fail(ErrorCode::unavailable, what + ": " + std::strerror(errno));  // NOLINT: one thread.
}

Result<void> mount_tmpfs(const std::string& place, const std::string& options,
                         unsigned long flags) {
  if (::mount("tmpfs", place.c_str(), "tmpfs", flags, options.c_str()) != 0) {
    return failed("mounting " + place);
  }
  return {};
}

/// mkdir -p. What is there already is fine.
void make_directories(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    ::mkdir(path.substr(0, at).c_str(), 0755);
  }
  ::mkdir(path.c_str(), 0755);
}

Result<void> set_attributes(const std::string& place, std::uint64_t attributes) {
  mount_attr change{};
  change.attr_set = attributes;
  if (::mount_setattr(AT_FDCWD, place.c_str(), AT_RECURSIVE, &change, sizeof change) != 0) {
    return failed("restricting " + place);
  }
  return {};
}

/// A path of the host, held open: it stays reachable when something is mounted over it.
class HostPath {
 public:
  explicit HostPath(std::string path)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_PATH | O_CLOEXEC)) {}
  ~HostPath() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  HostPath(HostPath&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  HostPath(const HostPath&) = delete;
  HostPath& operator=(const HostPath&) = delete;
  HostPath& operator=(HostPath&&) = delete;

  [[nodiscard]] bool exists() const { return descriptor_ >= 0; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// Shows it at `place`, with everything mounted below it.
  [[nodiscard]] Result<void> bind(const std::string& place, std::uint64_t attributes) const {
    struct stat kind{};
    if (::fstat(descriptor_, &kind) != 0) return failed(path_);
    if (S_ISDIR(kind.st_mode)) {
      make_directories(place);
    } else {
      make_directories(place.substr(0, place.rfind('/')));
      const int made = ::open(place.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
      if (made >= 0) ::close(made);
    }
    const std::string source = "/proc/self/fd/" + std::to_string(descriptor_);
    if (::mount(source.c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
      return failed("showing " + path_);
    }
    return set_attributes(place, attributes);
  }

 private:
  std::string path_;
  int descriptor_;
};

constexpr std::uint64_t read_only = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

Result<void> copy_link(const std::string& from, const std::string& place) {
  std::string target(4096, '\0');
  const ssize_t size = ::readlink(from.c_str(), target.data(), target.size());
  if (size <= 0) return {};
  target.resize(static_cast<std::size_t>(size));
  if (::symlink(target.c_str(), place.c_str()) != 0) return failed(place);
  return {};
}

/// The top of the tree: directories shown, links copied.
Result<void> show_system(const std::string& root) {
  for (const std::string_view path : system_directories) {
    const std::string from(path);
    const std::string place = root + from;
    struct stat kind{};
    if (::lstat(from.c_str(), &kind) != 0) continue;
    if (S_ISLNK(kind.st_mode)) {
      if (auto copied = copy_link(from, place); !copied) return copied;
    } else if (auto shown = HostPath(from).bind(place, read_only); !shown) {
      return shown;
    }
  }
  return {};
}

/// Shows each entry of the directory `from` in `place`. `skipped` are ours to make.
Result<void> show_entries(const std::string& from, const std::string& place,
                          std::initializer_list<std::string_view> skipped) {
  DIR* directory = ::opendir(from.c_str());
  if (directory == nullptr) return failed("image " + from);
  Result<void> result;
  while (const dirent* entry = ::readdir(directory)) {  // NOLINT: one thread.
    const std::string name(static_cast<const char*>(entry->d_name));
    const bool is_ours = std::find(skipped.begin(), skipped.end(), name) != skipped.end();
    if (name == "." || name == ".." || is_ours) continue;
    struct stat kind{};
    if (::lstat(path_in(from, name).c_str(), &kind) != 0) continue;
    if (S_ISLNK(kind.st_mode)) {
      result = copy_link(path_in(from, name), path_in(place, name));
    } else {
      const HostPath source(path_in(from, name));
      if (source.exists()) result = source.bind(path_in(place, name), read_only);
    }
    if (!result) break;
  }
  ::closedir(directory);
  return result;
}

Result<void> show_image(const std::string& root, const ReplicaSpec& spec) {
  auto shown = show_entries(spec.root, root, {"proc", "dev", "sys", "tmp", "run", "var"});
  const std::string variable = spec.root + "/var";
  struct stat kind{};
  // A link would be followed here, on the host. Without it, the function has an empty /var.
  const bool is_there = ::lstat(variable.c_str(), &kind) == 0 && S_ISDIR(kind.st_mode);
  if (!shown || !is_there) return shown;
  // One level deeper, so that secrets find a place in it.
  make_directories(root + "/var");
  return show_entries(variable, root + "/var", {"openfaas", "tmp", "run", "lock"});
}

/// May something of the host be shown at `path`? An image that has a link there could lead us out of it.
Result<void> refuse_links(const std::string& root, const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string place = root + path.substr(0, end);
    struct stat kind{};
    if (::lstat(place.c_str(), &kind) == 0 && S_ISLNK(kind.st_mode)) {
      return fail(ErrorCode::invalid_input,
                  "the image has a link where this node shows " + path + " of its own");
    }
    if (end == std::string::npos) return {};
  }
}

Result<void> hide(const std::string& root, const std::string& path) {
  const std::string place = root + path;
  struct stat kind{};
  if (::lstat(place.c_str(), &kind) != 0 || S_ISLNK(kind.st_mode)) return {};
  if (S_ISDIR(kind.st_mode)) return mount_tmpfs(place, "size=4k,nr_inodes=2,mode=0555", MS_RDONLY);
  const std::string nothing = root + "/dev/.nothing";
  if (::mount(nothing.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return failed("hiding " + path);
  }
  return set_attributes(place, read_only);
}

Result<void> make_devices(const std::string& root, std::uint64_t shared_bytes) {
  const std::string place = root + "/dev";
  make_directories(place);
  if (auto made = mount_tmpfs(place, "size=64k,mode=0755", MS_NOSUID | MS_NOEXEC); !made) {
    return made;
  }
  for (const char* name : devices) {
    const HostPath device(std::string("/dev/") + name);
    if (!device.exists()) return failed(device.path());
    if (auto shown = device.bind(place + "/" + name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        !shown) {
      return shown;
    }
  }
  const std::pair<const char*, const char*> links[] = {{"/proc/self/fd", "fd"},
                                                       {"/proc/self/fd/0", "stdin"},
                                                       {"/proc/self/fd/1", "stdout"},
                                                       {"/proc/self/fd/2", "stderr"}};
  for (const auto& [target, name] : links) {
    if (::symlink(target, (place + "/" + name).c_str()) != 0) return failed(name);
  }
  const int nothing = ::open((place + "/.nothing").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0);
  if (nothing >= 0) ::close(nothing);
  make_directories(place + "/shm");
  return mount_tmpfs(place + "/shm", "mode=1777,size=" + std::to_string(shared_bytes),
                     MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

Result<void> write_secrets(const std::string& root, const ReplicaSpec& spec, unsigned owner) {
  if (spec.secrets.empty()) return {};
  const std::string directory = root + "/var/openfaas/secrets";
  make_directories(directory);
  if (auto made = mount_tmpfs(directory, "size=4m,mode=0755", MS_NOSUID | MS_NODEV | MS_NOEXEC);
      !made) {
    return made;
  }
  if (auto copied = copy_secrets(directory, spec, owner); !copied) return copied;
  return set_attributes(directory, MOUNT_ATTR_RDONLY);
}

}  // namespace

Result<void> copy_secrets(const std::string& directory, const ReplicaSpec& spec, unsigned owner) {
  for (const auto& [name, file] : spec.secrets) {
    std::ifstream source(file, std::ios::binary);
    std::stringstream text;
    text << source.rdbuf();
    if (!source) return failed("secret " + name);
    const std::string place = path_in(directory, name);
    const int made = ::open(place.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0400);
    const std::string bytes = text.str();
    const bool written =
        made >= 0 &&
        ::write(made, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
        ::fchown(made, owner, owner) == 0;
    if (made >= 0) ::close(made);
    if (!written) return failed("secret " + name);
  }
  return {};
}

Result<void> enter_file_system(const SandboxSettings& settings, const ReplicaSpec& spec,
                               unsigned owner) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return failed("separating mounts");
  }
  std::vector<std::pair<HostPath, std::uint64_t>> extra;
  extra.reserve(settings.readable.size() + settings.writable.size());
  for (const std::string& path : settings.readable) extra.emplace_back(path, read_only);
  for (const std::string& path : settings.writable) {
    extra.emplace_back(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  }
  std::string root;
  for (const char* base : bases) {
    if (mount_tmpfs(base, "size=1m,mode=0755", MS_NOSUID | MS_NODEV)) {
      root = base;
      break;
    }
  }
  if (root.empty()) return failed("a directory for the root of a sandbox");

  Result<void> done = spec.root.empty() ? show_system(root) : show_image(root, spec);
  if (!done) return done;
  const std::string size = "mode=1777,size=" + std::to_string(spec.tmp_bytes);
  if (done = make_devices(root, spec.tmp_bytes); !done) return done;
  make_directories(root + "/tmp");
  if (done = mount_tmpfs(root + "/tmp", size, MS_NOSUID | MS_NODEV); !done) return done;
  make_directories(root + "/run");
  make_directories(root + "/var");
  if (::symlink("/tmp", (root + "/var/tmp").c_str()) != 0) return failed("/var/tmp");
  make_directories(root + "/proc");
  if (::mount("proc", (root + "/proc").c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              nullptr) != 0) {
    return failed("mounting /proc");
  }
  if (spec.root.empty()) {
    for (const char* path : always_hidden) {
      if (done = hide(root, path); !done) return done;
    }
    for (const std::string& path : settings.hidden) {
      if (done = hide(root, path); !done) return done;
    }
  }
  for (const auto& [path, attributes] : extra) {
    // What is not there when a replica starts is not there for it.
    if (!path.exists()) continue;
    if (!spec.root.empty()) {
      if (done = refuse_links(root, path.path()); !done) return done;
    }
    if (done = path.bind(root + path.path(), attributes); !done) return done;
  }
  if (done = write_secrets(root, spec, owner); !done) return done;
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_RDONLY;
  for (const std::string& place :
       {root, root + "/dev"}) {  // These alone, not what is mounted below.
    if (::mount_setattr(AT_FDCWD, place.c_str(), 0, &change, sizeof change) != 0) {
      return failed("restricting " + place);
    }
  }
  extra.clear();
  if (::chdir(root.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) {
    return failed("changing the root");
  }
  return {};
}

}  // namespace dfaas
