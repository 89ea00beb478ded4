// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the asynchronous queue needs to know of a function and of a caller.
///
/// Source  OpenFaaS: annotations com.openfaas.retry.*, header X-Callback-Url. Attempts, waits and codes
///         default to those of its queue-worker.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct RetryPolicy {
  int attempts = 10;         ///< com.openfaas.retry.attempts, 1 to 1000, the first included.
  Millis wait_min{10'000};   ///< com.openfaas.retry.min_wait, before the second.
  Millis wait_max{120'000};  ///< com.openfaas.retry.max_wait.
  std::set<int> codes{408, 429, 500, 502, 504};  ///< com.openfaas.retry.codes: "429,502".

  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

/// Errors: invalid_input naming the annotation, its value and what is allowed.
Result<RetryPolicy> retry_policy(const std::map<std::string, std::string>& annotations);

/// Is an answer worth another try? What the platform itself could not do (its header
/// X-OpenFaaS-Internal) always is, except that the body is too large: also an unknown function may be back.
bool should_retry(const RetryPolicy& policy, int status, bool is_platform_error);

/// Before attempt `attempt` + 1: doubles from wait_min up to wait_max. `attempt` counts from 1.
Millis wait_after(const RetryPolicy& policy, int attempt);

/// "http://host[:port][/path][?query]" or https.
struct CallbackUrl {
  bool secure = false;
  std::string host;  ///< A v6 address without its brackets.
  std::uint16_t port = 80;
  std::string authority;  ///< As the header Host carries it.
  std::string target = "/";

  friend bool operator==(const CallbackUrl&, const CallbackUrl&) = default;
};

/// Errors: invalid_input: not http or https, no host, credentials in it, or longer than 2048.
Result<CallbackUrl> parse_callback_url(std::string_view text);

}  // namespace dfaas
