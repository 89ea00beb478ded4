// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/watchdog.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t inflight_max = 100'000;
constexpr std::uint64_t prefork_max = 256;
constexpr Millis timeout_max = std::chrono::hours{24};
constexpr std::string_view time_allowed =
    "a time such as 500ms, 10s or 1m30s, or seconds, from 0 (no limit) to 24h";

/// The environment of a deployment, read variable by variable; the first error stays.
class Reader {
 public:
  explicit Reader(const FunctionDeployment& deployment) : deployment_(&deployment) {}

  [[nodiscard]] const std::string* find(const std::string& name) const {
    const auto found = deployment_->env.find(name);
    return found == deployment_->env.end() ? nullptr : &found->second;
  }

  void refuse(std::string_view name, std::string_view value, std::string_view allowed) {
    if (error_) return;
    error_ = Error{ErrorCode::invalid_input,
                   fmt::format("environment variable {} of {}: {} is not {}", name,
                               deployment_->function.full(), in_quotes(value), allowed)};
  }

  std::optional<Millis> time(const std::string& name) {
    const std::string* text = find(name);
    if (text == nullptr) return std::nullopt;
    const bool is_bare = parse_unsigned(*text).has_value();
    const auto value = parse_duration(is_bare ? *text + "s" : *text);
    if (!value || *value > timeout_max) {
      refuse(name, *text, time_allowed);
      return std::nullopt;
    }
    const Millis given = std::chrono::ceil<Millis>(*value);
    return given.count() == 0 ? timeout_max : given;
  }

  bool flag(const std::string& name, bool otherwise) {
    const std::string* text = find(name);
    if (text == nullptr) return otherwise;
    const std::string word = to_lower(*text);
    const bool is_true = word == "true" || word == "1";
    if (!is_true && word != "false" && word != "0") refuse(name, *text, "true or false");
    return is_true;
  }

  std::optional<int> number(const std::string& name, std::uint64_t low, std::uint64_t high,
                            std::string_view meaning) {
    const std::string* text = find(name);
    if (text == nullptr) return std::nullopt;
    const auto value = parse_unsigned(*text);
    if (!value || *value < low || *value > high) {
      refuse(name, *text, fmt::format("a number from {}{} to {}", low, meaning, high));
      return std::nullopt;
    }
    return static_cast<int>(*value);
  }

  [[nodiscard]] std::optional<Error>& error() { return error_; }

 private:
  const FunctionDeployment* deployment_;
  std::optional<Error> error_;
};

FunctionMode read_mode(Reader& reader) {
  const std::string* mode = reader.find("mode");
  if (mode == nullptr) return FunctionMode::classic;
  if (*mode == "http") return FunctionMode::http;
  // The watchdog's other two also start a process per call; they differ in when they pass on what.
  if (*mode != "streaming" && *mode != "serializing" && *mode != "classic") {
    reader.refuse("mode", *mode, "classic, streaming, serializing or http");
  }
  return FunctionMode::classic;
}

/// "http://127.0.0.1:5000" or "unix:/tmp/x.sock".
void read_upstream(Reader& reader, WatchdogSettings& settings) {
  if (const auto port = reader.number("port", 1, 65535, "")) {
    settings.port = static_cast<std::uint16_t>(*port);
  }
  for (const char* name : {"upstream_url", "http_upstream_url"}) {
    const std::string* text = reader.find(name);
    if (text == nullptr) continue;
    std::string_view rest = *text;
    if (rest.starts_with("unix:/")) {
      settings.socket = rest.substr(5);
      continue;
    }
    if (rest.starts_with("http://")) rest.remove_prefix(7);
    while (rest.ends_with('/')) rest.remove_suffix(1);
    const std::size_t colon = std::min(rest.rfind(':'), rest.size());
    const std::string_view host = rest.substr(0, colon);
    const std::uint64_t port =
        colon == rest.size() ? 0 : parse_unsigned(rest.substr(colon + 1)).value_or(0);
    const bool is_here = host == "127.0.0.1" || host == "localhost";
    if (!is_here || port < 1 || port > 65535) {
      reader.refuse(name, *text, "http://127.0.0.1:PORT or unix:/PATH");
      continue;
    }
    settings.port = static_cast<std::uint16_t>(port);
  }
}

tl::unexpected<Error> wrong(std::string_view kind, std::string_view name, std::string_view value,
                            std::string_view allowed) {
  return fail(ErrorCode::invalid_input,
              fmt::format("{} {}: {} is not {}", kind, name, in_quotes(value), allowed));
}

}  // namespace

Result<WatchdogSettings> watchdog_settings(const FunctionDeployment& deployment) {
  Reader reader(deployment);
  WatchdogSettings settings;
  settings.mode = read_mode(reader);
  settings.process = deployment.process;
  for (const char* name : {"fprocess", "function_process"}) {
    const std::string* text = reader.find(name);
    if (text != nullptr && settings.process.empty()) settings.process = *text;
  }
  const auto inflight = reader.number("max_inflight", 0, inflight_max, " (no limit)");
  if (inflight && *inflight > 0) settings.max_inflight = inflight;
  settings.exec_timeout = reader.time("exec_timeout");
  settings.read_timeout = reader.time("read_timeout");
  settings.write_timeout = reader.time("write_timeout");
  settings.combine_output = reader.flag("combine_output", false);
  settings.cgi_headers = reader.flag("cgi_headers", true);
  if (settings.mode == FunctionMode::http) read_upstream(reader, settings);
  if (reader.error()) return tl::unexpected(std::move(*reader.error()));

  const auto ready = deployment.annotations.find("com.openfaas.ready.http.path");
  if (ready != deployment.annotations.end()) {
    if (!ready->second.starts_with('/') || ready->second.find(' ') != std::string::npos) {
      return wrong("annotation", ready->first, ready->second, "a path such as /ready");
    }
    settings.ready_path = ready->second;
  }
  const auto prefork = deployment.annotations.find("dfaas.prefork");
  if (prefork == deployment.annotations.end()) return settings;
  const auto count = parse_unsigned(prefork->second);
  if (!count || *count > prefork_max) {
    return wrong("annotation", prefork->first, prefork->second,
                 fmt::format("a number from 0 to {}", prefork_max));
  }
  if (*count > 0 && settings.mode == FunctionMode::http) {
    return fail(ErrorCode::invalid_input,
                "annotation dfaas.prefork: functions of mode http stay anyway");
  }
  settings.prefork = static_cast<int>(*count);
  // A process that was started before its request cannot have it in its environment.
  if (settings.prefork > 0) settings.cgi_headers = false;
  return settings;
}

std::optional<Millis> time_limit(const WatchdogSettings& settings) {
  if (!settings.exec_timeout) return settings.write_timeout;
  return std::min(*settings.exec_timeout, settings.write_timeout.value_or(timeout_max));
}

ScaleSettings scale_settings(const ScalingLabels& labels, int node_max) {
  ScaleSettings settings;
  settings.min = labels.min;
  settings.max = std::max(labels.min, std::min(labels.max.value_or(node_max), node_max));
  if (labels.target) {
    const double target = std::min(*labels.target, static_cast<double>(inflight_max));
    settings.target = static_cast<int>(std::ceil(target));
  }
  settings.zero = labels.to_zero;
  settings.zero_after = labels.zero_duration;
  return settings;
}

int wanted_replicas(const ScaleSettings& settings, int busiest, Micros idle) {
  if (settings.zero && busiest == 0 && idle >= settings.zero_after) return 0;
  const int needed = (busiest + settings.target - 1) / settings.target;
  return std::clamp(needed, settings.min, settings.max);
}

}  // namespace dfaas
