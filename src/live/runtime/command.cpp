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

bool is_program(const std::filesystem::path& path) {
  std::error_code ignored;  // What cannot be looked at is no program.
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

Result<std::string> find_program(const std::string& name, const FunctionName& function) {
  if (name.find('/') != std::string::npos) {
    if (name.starts_with('/') && is_program(name)) return name;
    return fail(ErrorCode::not_found,
                fmt::format("function {}: {} is not an executable file (use an absolute path)",
                            function.full(), in_quotes(name)));
  }
  for (const char* directory : {"/usr/local/bin", "/usr/bin", "/bin"}) {
    const std::filesystem::path path = std::filesystem::path(directory) / name;
    if (is_program(path)) return path.string();
  }
  return fail(ErrorCode::not_found,
              fmt::format("function {}: program {} is not in /usr/local/bin, /usr/bin or /bin of "
                          "this node",
                          function.full(), in_quotes(name)));
}

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

Result<std::vector<std::string>> resolve_command(const FunctionDeployment& deployment,
                                                 const std::string& process) {
  constexpr std::string_view scheme = "host:";
  if (!deployment.image.starts_with(scheme)) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("function {}: image {} is not \"host:\" or \"host:PROGRAM\", the programs "
                    "of this node; container images are not run yet",
                    deployment.function.full(), in_quotes(deployment.image)));
  }
  const std::string program = deployment.image.substr(scheme.size());
  auto words = split_command(process);
  if (!words) {
    return tl::unexpected(
        std::move(words).error().within("function " + deployment.function.full()));
  }
  if (words->empty() && !program.empty()) words->push_back(program);
  if (words->empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("function {} names no program: give envProcess, or image host:PROGRAM",
                            deployment.function.full()));
  }
  auto path = find_program(words->front(), deployment.function);
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
