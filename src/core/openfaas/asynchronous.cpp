// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/asynchronous.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t attempts_max = 1000;
constexpr Millis wait_bound = std::chrono::hours{24};
constexpr std::size_t url_length_max = 2048;

using Annotations = std::map<std::string, std::string>;

tl::unexpected<Error> refused(std::string_view annotation, const std::string& value,
                              std::string_view allowed) {
  return fail(ErrorCode::invalid_input,
              fmt::format("annotation {}: {} is not {}", annotation, in_quotes(value), allowed));
}

Result<Millis> wait_annotation(const Annotations& annotations, const std::string& name,
                               Millis otherwise) {
  const auto found = annotations.find(name);
  if (found == annotations.end()) return otherwise;
  const bool is_bare = parse_unsigned(found->second).has_value();
  const auto wait = parse_duration(is_bare ? found->second + "s" : found->second);
  if (!wait || *wait > wait_bound) {
    return refused(name, found->second, "a time such as 500ms, 10s or 2m, up to 24h");
  }
  return std::chrono::ceil<Millis>(*wait);
}

}  // namespace

Result<RetryPolicy> retry_policy(const Annotations& annotations) {
  RetryPolicy policy;
  if (const auto found = annotations.find("com.openfaas.retry.attempts");
      found != annotations.end()) {
    const auto attempts = parse_unsigned(found->second);
    if (!attempts || *attempts < 1 || *attempts > attempts_max) {
      return refused(found->first, found->second,
                     fmt::format("a number from 1 to {}", attempts_max));
    }
    policy.attempts = static_cast<int>(*attempts);
  }
  auto wait_min = wait_annotation(annotations, "com.openfaas.retry.min_wait", policy.wait_min);
  if (!wait_min) return pass_on(std::move(wait_min));
  auto wait_max = wait_annotation(annotations, "com.openfaas.retry.max_wait",
                                  std::max(policy.wait_max, *wait_min));
  if (!wait_max) return pass_on(std::move(wait_max));
  if (*wait_max < *wait_min) {
    return fail(ErrorCode::invalid_input,
                "annotation com.openfaas.retry.max_wait is below com.openfaas.retry.min_wait");
  }
  policy.wait_min = *wait_min;
  policy.wait_max = *wait_max;
  if (const auto found = annotations.find("com.openfaas.retry.codes"); found != annotations.end()) {
    policy.codes.clear();
    for (const std::string_view word : split(found->second, ',')) {
      const auto code = parse_unsigned(trim(word));
      if (!code || *code < 400 || *code > 599) {
        return refused(found->first, found->second, "a list of statuses from 400 to 599: 429,502");
      }
      policy.codes.insert(static_cast<int>(*code));
    }
  }
  return policy;
}

bool should_retry(const RetryPolicy& policy, int status, bool is_platform_error) {
  if (status < 400) return false;
  if (is_platform_error) return status != 413;
  return policy.codes.contains(status);
}

Millis wait_after(const RetryPolicy& policy, int attempt) {
  Millis wait = policy.wait_min;
  for (int at = 1; at < attempt && wait < policy.wait_max; ++at) wait *= 2;
  return std::min(wait, policy.wait_max);
}

Result<CallbackUrl> parse_callback_url(std::string_view text) {
  const auto refuse = [text](std::string_view why) {
    return fail(ErrorCode::invalid_input,
                fmt::format("X-Callback-Url {} {}", in_quotes(text), why));
  };
  if (text.size() > url_length_max) return refuse("is longer than 2048 bytes");
  const bool is_odd = std::ranges::any_of(text, [](char letter) {
    const auto code = static_cast<unsigned char>(letter);
    return code <= 0x20 || code >= 0x7f;
  });
  if (is_odd) return refuse("holds a blank, a control character or a byte beyond ASCII");
  CallbackUrl url;
  std::string_view rest = text;
  const std::string scheme = to_lower(text.substr(0, text.find("://")));
  if (text.find("://") == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    return refuse("is not http:// or https://");
  }
  url.secure = scheme == "https";
  url.port = url.secure ? 443 : 80;
  rest.remove_prefix(scheme.size() + 3);
  const std::size_t end = rest.find_first_of("/?#");
  const std::string_view authority = rest.substr(0, end);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  target = target.substr(0, target.find('#'));
  url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
  if (authority.find('@') != std::string_view::npos) {
    return fail(ErrorCode::invalid_input, "X-Callback-Url holds credentials");  // Not quoted.
  }
  std::string_view host = authority;
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return refuse("has an open '['");
    host = authority.substr(1, close - 1);
    const std::string_view behind = authority.substr(close + 1);
    if (!behind.empty() && !behind.starts_with(':')) return refuse("has no port behind ']'");
    if (!behind.empty()) port = behind.substr(1);
  } else if (const std::size_t colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
  }
  const bool is_host = !host.empty() && std::ranges::all_of(host, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '-' || letter == '.' || letter == '_' ||
           letter == ':';
  });
  if (!is_host) return refuse("names no host");
  if (!port.empty()) {
    const auto number = parse_unsigned(port);
    if (!number || *number < 1 || *number > 65535) return refuse("has no port from 1 to 65535");
    url.port = static_cast<std::uint16_t>(*number);
  } else if (authority.ends_with(':')) {
    return refuse("has no port from 1 to 65535");
  }
  url.host = std::string(host);
  url.authority = std::string(authority);
  return url;
}

}  // namespace dfaas
