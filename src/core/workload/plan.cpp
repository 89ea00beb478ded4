// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/workload/plan.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/workload/arrivals.hpp"

namespace dfaas {
namespace {

constexpr std::size_t name_length_max = 63;
constexpr std::size_t method_length_max = 20;
constexpr std::string_view name_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
constexpr std::string_view method_letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";
/// RFC 9110, section 5.6.2.
constexpr std::string_view token_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
/// Written by the generator, or bound to one connection.
constexpr std::array<std::string_view, 7> own_headers{
    "connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade"};

tl::unexpected<Error> wrong(std::string message) {
  return fail(ErrorCode::invalid_input, std::move(message));
}

bool is_within(Micros value, Micros low, Micros high) { return value >= low && value <= high; }

bool is_made_of(std::string_view text, std::string_view letters, std::size_t length_max) {
  return !text.empty() && text.size() <= length_max &&
         text.find_first_not_of(letters) == std::string_view::npos;
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char letter) { return letter > ' ' && letter < 0x7f; });
}

Result<void> check_headers(const Headers& headers) {
  if (static_cast<std::size_t>(std::distance(headers.begin(), headers.end())) >
      load_limits::headers_max) {
    return wrong(fmt::format("more than {} headers", load_limits::headers_max));
  }
  constexpr std::size_t header_bytes_max = 8192;
  for (const Header& header : headers) {
    if (!is_made_of(header.name, token_letters, header_bytes_max)) {
      return wrong(fmt::format("header name {} holds characters that HTTP does not allow",
                               in_quotes(header.name)));
    }
    if (std::ranges::find(own_headers, to_lower(header.name)) != own_headers.end()) {
      return wrong(fmt::format("header {} is written by the generator and cannot be set",
                               in_quotes(header.name)));
    }
    const bool has_control = std::ranges::any_of(header.value, [](char letter) {
      return (static_cast<unsigned char>(letter) < ' ' && letter != '\t') || letter == 0x7f;
    });
    if (has_control || header.value.size() > header_bytes_max) {
      return wrong(fmt::format("value of header {} holds control characters or is over {} bytes",
                               in_quotes(header.name), header_bytes_max));
    }
  }
  return {};
}

Result<void> check_times(const LoadPhase& phase) {
  if (!is_within(phase.start, Micros{0}, load_limits::duration_max)) {
    return wrong(fmt::format("start {} is not within 0s and {}", duration_text(phase.start),
                             duration_text(load_limits::duration_max)));
  }
  if (!is_within(phase.duration, load_limits::duration_min, load_limits::duration_max)) {
    return wrong(fmt::format("duration {} is not within {} and {}", duration_text(phase.duration),
                             duration_text(load_limits::duration_min),
                             duration_text(load_limits::duration_max)));
  }
  if (!phase.requests.empty()) {
    if (!std::ranges::is_sorted(phase.requests, {}, &TimedRequest::at) ||
        !is_within(phase.requests.front().at, Micros{0}, phase.duration) ||
        !is_within(phase.requests.back().at, Micros{0}, phase.duration)) {
      return wrong(fmt::format("its requests are not in order of time within 0s and {}",
                               duration_text(phase.duration)));
    }
    return {};
  }
  // Written so that a NaN is refused, too.
  if (!(phase.rate >= load_limits::rate_min && phase.rate <= load_limits::rate_max)) {
    return wrong(fmt::format("rate {} is not a number of requests/s from {} to {}",
                             phase.rate.per_second, load_limits::rate_min.per_second,
                             load_limits::rate_max.per_second));
  }
  if (auto known = find_arrival_process(phase.arrivals); !known) {
    return wrong(known.error().message);
  }
  return {};
}

Result<void> check_request(const LoadPhase& phase) {
  if (phase.target.host.empty() || !is_visible(phase.target.host) || phase.target.port == 0) {
    return wrong(fmt::format("target {} is not HOST:PORT", in_quotes(phase.target.authority())));
  }
  if (!phase.target.path.starts_with('/') || !is_visible(phase.target.path)) {
    return wrong(fmt::format("path {} does not start with \"/\" or holds a blank",
                             in_quotes(phase.target.path)));
  }
  if (!is_made_of(phase.method, method_letters, method_length_max)) {
    return wrong(fmt::format("method {} is not a word of capital letters such as GET or POST",
                             in_quotes(phase.method)));
  }
  if (phase.body.size() > load_limits::body_bytes_max) {
    return wrong(fmt::format("a body of {} bytes is over the {} allowed", phase.body.size(),
                             load_limits::body_bytes_max));
  }
  return check_headers(phase.headers);
}

Result<void> check_phase(const LoadPhase& phase) {
  if (auto checked = check_times(phase); !checked) return checked;
  return check_request(phase);
}

}  // namespace

std::string LoadTarget::authority() const {
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

Result<LoadTarget> parse_load_target(std::string_view url) {
  const auto malformed = [url] {
    return wrong(fmt::format("target {} is not http://HOST[:PORT][/PATH]", in_quotes(url)));
  };
  if (url.starts_with("https://")) {
    return wrong(fmt::format("target {}: https is not spoken here; use http:// on the node itself",
                             in_quotes(url)));
  }
  std::string_view rest = url;
  constexpr std::string_view scheme = "http://";
  if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  const std::size_t path_start = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, path_start);
  LoadTarget target;
  if (path_start != std::string_view::npos) target.path = std::string(rest.substr(path_start));
  if (target.path.starts_with('?')) target.path.insert(0, "/");
  if (target.path.find('#') != std::string::npos || !is_visible(target.path)) return malformed();
  if (authority.find('@') != std::string_view::npos) {
    return wrong(
        "a target with credentials in it is not accepted; give them as a header "
        "\"Authorization: Basic ...\"");
  }
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && !authority.ends_with(']')) {
    const auto port = parse_unsigned(authority.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return malformed();
    target.port = static_cast<std::uint16_t>(*port);
    authority = authority.substr(0, colon);
  }
  const bool is_bracketed = authority.starts_with('[') && authority.ends_with(']');
  if (is_bracketed) authority = authority.substr(1, authority.size() - 2);
  const bool has_colon = authority.find(':') != std::string_view::npos;
  const bool has_bracket = authority.find_first_of("[]") != std::string_view::npos;
  if (authority.empty() || has_colon != is_bracketed || has_bracket || !is_visible(authority)) {
    return malformed();
  }
  target.host = std::string(authority);
  return target;
}

Micros LoadPlan::end() const {
  Micros last{0};
  for (const LoadPhase& phase : phases) last = std::max(last, phase.start + phase.duration);
  return last;
}

Result<void> validate(const LoadPlan& plan) {
  if (plan.phases.empty() || plan.phases.size() > load_limits::phases_max) {
    return wrong(fmt::format("a plan of {} phases is not one of 1 to {}", plan.phases.size(),
                             load_limits::phases_max));
  }
  if (!is_within(plan.timeout, load_limits::timeout_min, load_limits::timeout_max)) {
    return wrong(fmt::format("timeout {} is not within {} and {}", duration_text(plan.timeout),
                             duration_text(load_limits::timeout_min),
                             duration_text(load_limits::timeout_max)));
  }
  if (plan.outstanding_max < 1 || plan.outstanding_max > load_limits::outstanding_max) {
    return wrong(fmt::format("outstanding_max {} is not a number from 1 to {}",
                             plan.outstanding_max, load_limits::outstanding_max));
  }
  std::set<std::string_view> names;
  for (const LoadPhase& phase : plan.phases) {
    if (!is_made_of(phase.name, name_letters, name_length_max)) {
      return wrong(fmt::format("phase name {} is not 1 to {} of a-z, A-Z, 0-9, '-', '_', '.'",
                               in_quotes(phase.name), name_length_max));
    }
    if (!names.insert(phase.name).second) {
      return wrong(fmt::format("two phases are called {}", in_quotes(phase.name)));
    }
    if (auto checked = check_phase(phase); !checked) {
      return tl::unexpected(std::move(checked).error().within("phase " + in_quotes(phase.name)));
    }
  }
  return {};
}

}  // namespace dfaas
