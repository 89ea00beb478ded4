// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/secret.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::size_t name_length_max = 253;

bool is_secret_letter(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' || letter == '.';
}

}  // namespace

Result<SecretName> SecretName::parse(std::string_view name, std::string_view space) {
  if (name.empty() || name.size() > name_length_max || name.front() == '.' ||
      !std::ranges::all_of(name, is_secret_letter)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("secret name {} is not 1 to {} characters of a-z, A-Z, 0-9, '-', '_' "
                            "and '.' (not in front)",
                            in_quotes(name), name_length_max));
  }
  // A namespace is checked as the one of a function.
  auto checked = FunctionName::parse("x", space);
  if (!checked) return pass_on(std::move(checked));
  return SecretName(std::string(name), checked->space());
}

Result<SecretRequest> secret_request_from_json(std::string_view text, std::size_t bytes_max) {
  SecretRequest request;
  const auto read = parse_json_object(text, bytes_max, [&](const Fields& fields) {
    request.secret = fields.accept(
        "name", SecretName::parse(fields.text("name", 1024), fields.text_or("namespace", 200, "")));
    if (fields.has("rawValue")) {
      const auto raw = base64_decode(fields.text("rawValue", bytes_max));
      if (!raw) fields.fail_at("rawValue", "is not base64");
      request.value = *raw;
    } else if (fields.has("value")) {
      request.value = fields.text("value", bytes_max);
    }
  });
  if (!read) {
    // The text of the parser may quote what it could not read: not where that is a secret.
    const bool is_syntax = read.error().message.starts_with("not JSON");
    return fail(ErrorCode::invalid_input,
                "secret: " + (is_syntax ? std::string("not JSON") : read.error().message));
  }
  return request;
}

std::string secret_list_json(std::span<const SecretName> secrets) {
  nlohmann::json list = nlohmann::json::array();
  for (const SecretName& secret : secrets) {
    list.push_back({{"name", secret.name()}, {"namespace", secret.space()}});
  }
  return json_text(list);
}

}  // namespace dfaas
