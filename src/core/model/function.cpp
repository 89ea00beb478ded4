// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/model/function.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr int slots_max = 100'000;
constexpr std::uint64_t timeout_ms_max = 86'400'000;

tl::unexpected<Error> wrong(std::string_view label, std::string_view value,
                            std::string_view allowed) {
  return fail(ErrorCode::invalid_input,
              fmt::format("label {}: {} is not {}", label, in_quotes(value), allowed));
}

bool is_pool_name(std::string_view text) {
  return !text.empty() && text.size() <= pool_name_length_max &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
             std::string_view::npos;
}

/// One of the three words, or organisations beside our own. False when it is neither.
bool read_share(std::string_view text, FunctionTraits& traits) {
  if (const auto share = parse_sharing(text)) {
    traits.share = *share;
    return true;
  }
  std::set<std::string> names;
  for (const std::string_view entry : split(text, ',')) {
    const std::string_view name = trim(entry);
    if (!NodeName::parse(name) || parse_sharing(name)) return false;
    names.emplace(name);
  }
  if (names.size() > share_with_max) return false;
  traits.share_with.assign(names.begin(), names.end());
  return true;
}

}  // namespace

std::string_view to_text(Sharing sharing) {
  switch (sharing) {
    case Sharing::node:
      return "node";
    case Sharing::organisation:
      return "organisation";
    case Sharing::federation:
      return "federation";
  }
  return "node";
}

Result<Sharing> parse_sharing(std::string_view text) {
  for (const Sharing sharing : {Sharing::node, Sharing::organisation, Sharing::federation}) {
    if (text == to_text(sharing)) return sharing;
  }
  return fail(ErrorCode::invalid_input,
              fmt::format("{} is not node, organisation or federation", in_quotes(text)));
}

bool admits(Sharing sharing, std::string_view organisation, std::string_view other) {
  return sharing == Sharing::federation ||
         (sharing == Sharing::organisation && organisation == other);
}

bool ShareTerms::admits(std::string_view owner, std::string_view other) const {
  return dfaas::admits(share, owner, other) ||
         (share == Sharing::organisation && std::ranges::find(with, other) != with.end());
}

Result<FunctionTraits> parse_traits(const std::map<std::string, std::string>& labels) {
  FunctionTraits traits;
  for (const auto& [label, value] : labels) {
    if (!label.starts_with("dfaas.")) continue;
    if (label == "dfaas.slots") {
      const auto slots = parse_unsigned(value);
      if (!slots || *slots < 1 || *slots > slots_max) {
        return wrong(label, value, fmt::format("a number from 1 to {}", slots_max));
      }
      traits.slots = static_cast<int>(*slots);
    } else if (label == "dfaas.maxrate") {
      const auto rate = parse_number(value);
      if (!rate || *rate <= 0 || *rate > 1e9)
        return wrong(label, value, "a rate above 0 per second");
      traits.max_rate = Rate{*rate};
    } else if (label == "dfaas.timeout_ms") {
      const auto timeout = parse_unsigned(value);
      if (!timeout || *timeout < 1 || *timeout > timeout_ms_max) {
        return wrong(label, value, fmt::format("milliseconds from 1 to {}", timeout_ms_max));
      }
      traits.timeout = Millis{*timeout};
    } else if (label == "dfaas.share") {
      if (!read_share(value, traits)) {
        return wrong(label, value,
                     "node, organisation or federation, nor names of organisations such as "
                     "acme,globex");
      }
    } else if (label == "dfaas.match") {
      if (value != "digest" && value != "name") return wrong(label, value, "digest or name");
      traits.match_by_name = value == "name";
    } else if (label == "dfaas.retry") {
      if (value != "safe" && value != "never") return wrong(label, value, "safe or never");
      traits.retry_safe = value == "safe";
    } else if (label == "dfaas.pool") {
      if (!is_pool_name(value)) {
        return wrong(label, value,
                     fmt::format("1 to {} letters, digits, - and _", pool_name_length_max));
      }
      traits.pool = value;
    } else {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("label {} is not known: dfaas.slots, dfaas.maxrate, dfaas.timeout_ms, "
                      "dfaas.share, dfaas.match, dfaas.retry and dfaas.pool are",
                      in_quotes(label)));
    }
  }
  return traits;
}

int effective_slots(const FunctionTraits& traits, std::optional<int> max_inflight_total,
                    std::optional<Micros> service_time_mean, int cores) {
  if (traits.slots) return *traits.slots;
  if (max_inflight_total) return std::clamp(*max_inflight_total, 1, slots_max);
  if (traits.max_rate && service_time_mean) {
    const double needed = std::ceil(traits.max_rate->per_second * to_seconds(*service_time_mean));
    return static_cast<int>(std::clamp(needed, 1.0, static_cast<double>(slots_max)));
  }
  return std::clamp(cores, 1, slots_max);
}

}  // namespace dfaas
