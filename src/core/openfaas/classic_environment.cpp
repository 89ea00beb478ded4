// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/classic_environment.hpp"

#include <algorithm>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::size_t headers_max = 200;
constexpr std::size_t bytes_max = 64 * 1024;

std::string variable_of(std::string_view header) {
  std::string name = "Http_";
  bool starts_word = true;
  for (const char letter : header) {
    const bool is_plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                          (letter >= '0' && letter <= '9');
    if (!is_plain) {
      name += '_';
      starts_word = true;
      continue;
    }
    // The front door passes names in lower case: Go's canonical form is what functions expect.
    const bool is_lower = letter >= 'a' && letter <= 'z';
    name += starts_word && is_lower ? static_cast<char>(letter - 'a' + 'A') : letter;
    starts_word = false;
  }
  return name;
}

}  // namespace

std::vector<std::string> standing_environment(const FunctionDeployment& deployment) {
  std::vector<std::string> environment;
  for (const auto& [name, value] : deployment.env) {
    environment.push_back(name);
    environment.back().append("=").append(value);
  }
  if (!deployment.env.contains("PATH")) {
    environment.emplace_back("PATH=/usr/local/bin:/usr/bin:/bin");
  }
  environment.push_back("OPENFAAS_NAME=" + deployment.function.name());
  environment.push_back("OPENFAAS_NAMESPACE=" + deployment.function.space());
  return environment;
}

std::vector<std::string> classic_environment(const FunctionDeployment& deployment,
                                             const RequestHead& head, std::string_view path,
                                             std::string_view query) {
  return with_request(standing_environment(deployment), head, path, query);
}

std::vector<std::string> with_request(std::vector<std::string> environment, const RequestHead& head,
                                      std::string_view path, std::string_view query) {
  std::size_t bytes = 0;
  const std::size_t variables_max = environment.size() + headers_max;
  const auto add = [&](std::string_view name, std::string_view value) {
    if (value.find('\0') != std::string_view::npos) return;
    if (environment.size() >= variables_max || bytes > bytes_max) return;
    bytes += name.size() + value.size() + 2;
    environment.push_back(std::string(name) + "=" + std::string(value));
  };
  add("Http_Method", head.method);
  add("Http_Path", path);
  if (!query.empty()) add("Http_Query", query);
  if (head.body.length) {
    const std::string length = std::to_string(*head.body.length);
    add("Http_Content_Length", length);
    add("Http_ContentLength", length);
  }
  if (head.body.chunked) add("Http_Transfer_Encoding", "chunked");
  for (const Header& header : head.headers) {
    if (bytes + header.value.size() > bytes_max) continue;
    add(variable_of(header.name), header.value);
  }
  return environment;
}

}  // namespace dfaas
