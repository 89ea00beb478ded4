// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/command.hpp"

#include <openssl/sha.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

/// In an image links may lead to where only the function can follow: that they exist must do.
bool is_program(const std::string& root, const std::string& path) {
  const std::filesystem::path place = root + path;
  std::error_code ignored;  // What cannot be looked at is no program.
  if (!root.empty()) {
    const auto kind = std::filesystem::symlink_status(place, ignored);
    return std::filesystem::is_symlink(kind) || std::filesystem::is_regular_file(kind);
  }
  return std::filesystem::is_regular_file(place, ignored) && ::access(place.c_str(), X_OK) == 0;
}

Result<std::string> find_program(const std::string& name, const std::string& root,
                                 const FunctionName& function) {
  if (name.find('/') != std::string::npos) {
    if (name.starts_with('/') && is_program(root, name)) return name;
    return fail(ErrorCode::not_found,
                fmt::format("function {}: {} is not an executable file (use an absolute path)",
                            function.full(), in_quotes(name)));
  }
  for (const char* directory : {"/usr/local/bin/", "/usr/bin/", "/bin/"}) {
    std::string path = directory + name;
    if (is_program(root, path)) return path;
  }
  return fail(
      ErrorCode::not_found,
      fmt::format("function {}: program {} is not in /usr/local/bin, /usr/bin or /bin of "
                  "{}",
                  function.full(), in_quotes(name), root.empty() ? "this node" : "its image"));
}

constexpr std::string_view host_scheme = "host:";
constexpr std::string_view directory_scheme = "dir:";

}  // namespace

Result<std::vector<std::string>> split_command(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (letter == '\\' && quote != '\'' && at + 1 < text.size()) {
      word += text[++at];
      in_word = true;
    } else if (quote != 0) {
      if (letter == quote) {
        quote = 0;
      } else {
        word += letter;
      }
    } else if (letter == '\'' || letter == '"') {
      quote = letter;
      in_word = true;
    } else if (letter == ' ' || letter == '\t' || letter == '\n') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += letter;
      in_word = true;
    }
  }
  if (quote != 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("command {} has an open {}", in_quotes(text), quote));
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

Result<std::string> image_root(const FunctionDeployment& deployment,
                               const std::filesystem::path& images) {
  if (deployment.image.starts_with(host_scheme)) return std::string();
  const std::string scope = "function " + deployment.function.full();
  if (!deployment.image.starts_with(directory_scheme)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: image {} is not \"host:\", \"host:PROGRAM\" or \"dir:NAME\", a "
                            "directory in {}; other images are not run yet",
                            scope, in_quotes(deployment.image), images.string()));
  }
  const std::string name = deployment.image.substr(directory_scheme.size());
  const bool is_plain =
      !name.empty() && name.front() != '.' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
          std::string::npos;
  if (!is_plain) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: image {}: a name has letters, digits, '.', '_' and '-' and does "
                            "not start with '.'",
                            scope, in_quotes(deployment.image)));
  }
  const std::filesystem::path root = images / name;
  std::error_code ignored;  // What cannot be looked at is not there.
  if (!std::filesystem::is_directory(root, ignored)) {
    return fail(ErrorCode::not_found,
                fmt::format("{}: there is no image directory {}", scope, root.string()));
  }
  return root.string();
}

Result<std::vector<std::string>> resolve_command(const FunctionDeployment& deployment,
                                                 const std::string& process,
                                                 const std::string& root) {
  auto words = split_command(process);
  if (!words) {
    return tl::unexpected(
        std::move(words).error().within("function " + deployment.function.full()));
  }
  const std::string program =
      root.empty() ? deployment.image.substr(host_scheme.size()) : std::string();
  if (words->empty() && !program.empty()) words->push_back(program);
  if (words->empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("function {} names no program: give envProcess, or image host:PROGRAM",
                            deployment.function.full()));
  }
  auto path = find_program(words->front(), root, deployment.function);
  if (!path) return pass_on(std::move(path));
  words->front() = std::move(*path);
  return words;
}

std::string deployment_digest(const FunctionDeployment& deployment) {
  const std::string text = digest_input(deployment);
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  // NOLINTNEXTLINE: bytes are bytes.
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return to_lower(hex_upper(digest));
}

}  // namespace dfaas
