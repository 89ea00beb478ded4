// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/files/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

namespace dfaas {
namespace {

tl::unexpected<Error> failed(const std::filesystem::path& file, int error) {
  const ErrorCode code = error == ENOENT   ? ErrorCode::not_found
                         : error == EEXIST ? ErrorCode::conflict
                         : error == EACCES ? ErrorCode::denied
                                           : ErrorCode::unavailable;
  return fail(code, fmt::format("{}: {}", file.string(),
                                std::error_code(error, std::generic_category()).message()));
}

Result<void> write_new(const std::filesystem::path& file, std::string_view text, mode_t mode) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) return failed(file, errno);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t bytes = ::write(descriptor, text.data() + written, text.size() - written);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) {
      const int error = errno;
      ::close(descriptor);
      ::unlink(file.c_str());
      return failed(file, error);
    }
    written += static_cast<std::size_t>(bytes);
  }
  ::fsync(descriptor);
  ::close(descriptor);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error) return failed(file, error.value());
  if (size > bytes_max) {
    return fail(ErrorCode::overloaded,
                fmt::format("{}: {} bytes are more than {}", file.string(), size, bytes_max));
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return failed(file, errno);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

Result<void> write_file(const std::filesystem::path& file, std::string_view text, mode_t mode) {
  const std::filesystem::path beside = file.string() + ".new";
  ::unlink(beside.c_str());  // Left by a process that died half way.
  if (auto written = write_new(beside, text, mode); !written) return written;
  if (::rename(beside.c_str(), file.c_str()) != 0) return failed(file, errno);
  return {};
}

Result<void> create_file(const std::filesystem::path& file, std::string_view text, mode_t mode) {
  return write_new(file, text, mode);
}

Result<void> make_directory(const std::filesystem::path& directory, mode_t mode) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return failed(directory, error.value());
  if (::chmod(directory.c_str(), mode) != 0) return failed(directory, errno);
  return {};
}

}  // namespace dfaas
