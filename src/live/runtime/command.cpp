// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/command.hpp"

#include <openssl/sha.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "live/files/tree.hpp"

namespace dfaas {
namespace {

/// In an image links may lead to where only the function can follow: that they exist must do.
bool is_program(const std::string& root, const std::string& path) {
  std::error_code ignored;  // What cannot be looked at is no program.
  if (root.empty()) {
    return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
  }
  const std::size_t slash = path.rfind('/');
  const auto directory = resolve_inside(root, path.substr(0, slash + 1));
  if (!directory) return false;
  const auto kind =
      std::filesystem::symlink_status(root + *directory + path.substr(slash), ignored);
  if (std::filesystem::is_symlink(kind)) return true;
  return std::filesystem::is_regular_file(kind) &&
         (kind.permissions() & std::filesystem::perms::owner_exec) != std::filesystem::perms::none;
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
constexpr std::string_view usual_path = "/usr/local/bin:/usr/bin:/bin";

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

Result<std::string> image_root(const FunctionDeployment& deployment, const ImageName& image,
                               const std::filesystem::path& images) {
  if (image.kind != ImageKind::directory) return std::string();
  const std::filesystem::path root = images / image.place;
  std::error_code ignored;  // What cannot be looked at is not there.
  if (!std::filesystem::is_directory(root, ignored)) {
    return fail(ErrorCode::not_found, fmt::format("function {}: there is no image directory {}",
                                                  deployment.function.full(), root.string()));
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

Result<std::vector<std::string>> resolve_in_container(const FunctionDeployment& deployment,
                                                      const std::string& process,
                                                      std::vector<std::string> command,
                                                      const UnpackedImage& image) {
  const std::string scope = "function " + deployment.function.full();
  if (command.empty()) {
    auto words = split_command(process);
    if (!words) return tl::unexpected(std::move(words).error().within(scope));
    command = std::move(*words);
  }
  if (command.empty()) return fail(ErrorCode::invalid_input, scope + " names no program");
  const std::string& name = command.front();
  const std::string root = image.root.string();
  if (!resolve_inside(image.root, image.config.directory)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: its image has no directory {} to work in", scope,
                            in_quotes(image.config.directory)));
  }
  if (name.find('/') != std::string::npos) {
    const std::string path =
        (std::filesystem::path(image.config.directory) / name).lexically_normal().string();
    if (!is_program(root, path)) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("{}: {} is not an executable file in its image", scope, in_quotes(path)));
    }
    command.front() = path;
    return command;
  }
  const auto given = deployment.env.find("PATH");
  const std::string_view path =
      given == deployment.env.end() ? usual_path : std::string_view(given->second);
  for (const std::string_view directory : split(path, ':')) {
    if (!directory.starts_with('/')) continue;
    std::string place = std::string(directory) + "/" + name;
    if (!is_program(root, place)) continue;
    command.front() = std::move(place);
    return command;
  }
  return fail(ErrorCode::invalid_input, fmt::format("{}: program {} is not in {} of its image",
                                                    scope, in_quotes(name), in_quotes(path, 200)));
}

std::string deployment_digest(const FunctionDeployment& deployment, std::string_view image_digest) {
  const std::string text = digest_input(deployment, image_digest);
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  // NOLINTNEXTLINE: bytes are bytes.
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return to_lower(hex_upper(digest));
}

}  // namespace dfaas
