// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/files/tree.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;

constexpr int links_max = 40;  ///< As Linux has it.
constexpr std::uint64_t block_bytes = 4096;

tl::unexpected<Error> failed(const fs::path& path, const std::error_code& error) {
  return fail(ErrorCode::unavailable, path.string() + ": " + error.message());
}

std::error_code last_error() { return {errno, std::generic_category()}; }

/// Parts of a path, in front of those that are still to be walked.
void put_before(std::deque<std::string>& rest, std::string_view path) {
  const auto parts = split(path, '/');
  rest.insert(rest.begin(), parts.begin(), parts.end());
}

class Measure {
 public:
  void add(const struct stat& file) {
    if (file.st_nlink > 1 && !S_ISDIR(file.st_mode) &&
        !seen_.insert({file.st_dev, file.st_ino}).second) {
      return;
    }
    constexpr std::uint64_t unit = 512;  // Of st_blocks, whatever the file system.
    bytes_ += std::max(block_bytes, static_cast<std::uint64_t>(file.st_blocks) * unit);
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  std::set<std::pair<dev_t, ino_t>> seen_;
  std::uint64_t bytes_ = 0;
};

/// Makes a directory that its owner may not enter one that can be walked.
bool let_owner_in(const fs::path& path) {
  struct stat kind{};
  if (::lstat(path.c_str(), &kind) != 0 || !S_ISDIR(kind.st_mode)) return false;
  return (kind.st_mode & S_IRWXU) == S_IRWXU || ::chmod(path.c_str(), kind.st_mode | S_IRWXU) == 0;
}

/// Each entry but links; a link's own mode means nothing.
Result<void> open_up(const fs::path& path, const struct stat& kind) {
  if (S_ISLNK(kind.st_mode)) return {};
  mode_t mode = (kind.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO)) | S_IRUSR | S_IWUSR;
  if (S_ISDIR(kind.st_mode)) mode |= S_IXUSR;
  const mode_t shared = (mode & (S_IRUSR | S_IXUSR));
  mode |= (shared >> 3U) | (shared >> 6U);
  if (mode == (kind.st_mode & ~static_cast<mode_t>(S_IFMT))) return {};
  if (::chmod(path.c_str(), mode) != 0) return failed(path, last_error());
  return {};
}

}  // namespace

std::optional<std::string> resolve_inside(const fs::path& root, std::string_view path) {
  std::deque<std::string> rest;
  put_before(rest, path);
  fs::path inside = "/";
  int links = 0;
  while (!rest.empty()) {
    const std::string part = std::move(rest.front());
    rest.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      inside = inside.parent_path();
      continue;
    }
    const fs::path next = inside / part;
    const fs::path outside = root.empty() ? next : root / next.relative_path();
    struct stat kind{};
    if (::lstat(outside.c_str(), &kind) != 0) return std::nullopt;
    if (S_ISLNK(kind.st_mode)) {
      if (++links > links_max) return std::nullopt;
      std::error_code error;
      const fs::path target = fs::read_symlink(outside, error);
      if (error) return std::nullopt;
      if (target.is_absolute()) inside = "/";
      put_before(rest, target.string());
      continue;
    }
    if (!S_ISDIR(kind.st_mode) && !rest.empty()) return std::nullopt;
    inside = next;
  }
  return inside.string();
}

std::uint64_t measure_tree(const fs::path& root) {
  Measure measure;
  std::error_code error;  // What is gone, or closed, when we come takes no room that we could tell.
  fs::recursive_directory_iterator at(root, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    struct stat file{};
    if (::lstat(at->path().c_str(), &file) == 0) measure.add(file);
  }
  return measure.bytes();
}

Result<std::uint64_t> open_up_tree(const fs::path& root) {
  Measure measure;
  let_owner_in(root);
  std::error_code error;
  fs::recursive_directory_iterator at(root, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const fs::path& path = at->path();
    struct stat kind{};
    if (::lstat(path.c_str(), &kind) != 0) return failed(path, last_error());
    if (auto opened = open_up(path, kind); !opened) return pass_on(std::move(opened));
    measure.add(kind);
  }
  if (error) return failed(root, error);
  struct stat kind{};
  if (::lstat(root.c_str(), &kind) != 0) return failed(root, last_error());
  if (auto opened = open_up(root, kind); !opened) return pass_on(std::move(opened));
  return measure.bytes();
}

Result<void> remove_tree(const fs::path& root) {
  std::error_code error;
  fs::remove_all(root, error);
  if (!error) return {};
  // As an ordinary user, one must be let in first.
  if (let_owner_in(root)) {
    std::error_code ignored;  // The last try tells.
    fs::recursive_directory_iterator at(root, ignored);
    for (; !ignored && at != fs::recursive_directory_iterator(); at.increment(ignored)) {
      let_owner_in(at->path());
    }
  }
  fs::remove_all(root, error);
  if (error) return failed(root, error);
  return {};
}

}  // namespace dfaas
