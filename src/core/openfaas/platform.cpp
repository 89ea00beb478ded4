// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/platform.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/model/exchange_message.hpp"
#include "core/openfaas/watchdog.hpp"

namespace dfaas {
namespace {

constexpr std::size_t list_bytes_max = 16U << 20U;
constexpr std::size_t info_bytes_max = 64U << 10U;
constexpr std::int64_t slots_max = 100'000;

/// Errors: invalid_input for labels that only mean something here and say nonsense.
Result<PlatformFunction> with_labels(FunctionStatus status) {
  auto traits = parse_traits(status.deployment.labels);
  if (!traits) return pass_on(std::move(traits));
  PlatformFunction function{.status = std::move(status), .traits = std::move(*traits)};
  // These belong to the platform: what we cannot read there is no reason to leave the function out.
  if (const auto watchdog = watchdog_settings(function.status.deployment)) {
    function.max_inflight = watchdog->max_inflight;
    if (!function.traits.timeout) function.traits.timeout = time_limit(*watchdog);
  }
  if (auto retry = retry_policy(function.status.deployment.annotations)) {
    function.retry = std::move(*retry);
  }
  return function;
}

void add_entry(PlatformList& list, const Fields& entry) {
  std::string name = "an entry";
  try {
    name = in_quotes(entry.text_or("name", 200, ""));
    auto function = with_labels(read_function_status(entry));
    if (function) {
      list.functions.push_back(std::move(*function));
    } else {
      list.left_out.push_back(fmt::format("{}: {}", name, function.error().message));
    }
  } catch (const BadField& bad) {
    list.left_out.push_back(fmt::format("{}: {}", name, bad.message));
  }
}

/// The first of each name, in order of names.
void sort_out(PlatformList& list) {
  std::map<FunctionName, PlatformFunction> by_name;
  std::size_t doubles = 0;
  for (PlatformFunction& function : list.functions) {
    const FunctionName name = function.status.deployment.function;
    if (!by_name.try_emplace(name, std::move(function)).second) ++doubles;
  }
  list.functions.clear();
  for (auto& [name, function] : by_name) list.functions.push_back(std::move(function));
  if (doubles > 0) list.left_out.push_back(fmt::format("{} entries come twice", doubles));
}

}  // namespace

Result<PlatformList> platform_list_from_json(std::string_view text) {
  PlatformList list;
  const std::string wrapped = "{\"functions\":" + std::string(text) + "}";
  const auto read = parse_json_object(wrapped, list_bytes_max, [&list](const Fields& fields) {
    if (fields.names().size() != 1) fields.fail_at("functions", "the answer is no JSON array");
    for (const Fields& entry : fields.objects("functions", functions_max)) add_entry(list, entry);
  });
  if (!read) return tl::unexpected(read.error());
  sort_out(list);
  return list;
}

std::string platform_name_from_json(std::string_view text) {
  std::string name;
  const auto read = parse_json_object(text, info_bytes_max, [&name](const Fields& fields) {
    const Fields provider = fields.object("provider");
    name = provider.text_or("provider", 100, "");
    if (name.empty()) name = provider.text_or("name", 100, "");
    if (!provider.has("version")) return;
    const std::string release = provider.object("version").text_or("release", 100, "");
    if (!release.empty()) name += " " + release;
  });
  if (!read || name.empty()) return {};
  const std::string quoted = in_quotes(name, 120);  // Printable, whatever it was.
  return quoted.substr(1, quoted.size() - 2);
}

int platform_slots(const PlatformFunction& function, std::optional<Micros> service_time_mean,
                   int cores) {
  if (function.traits.slots) return *function.traits.slots;
  const int replicas = function.status.available_replicas;
  if (replicas < 1) return 1;
  std::optional<int> inflight_max;
  if (function.max_inflight) {
    inflight_max = static_cast<int>(
        std::min<std::int64_t>(std::int64_t{*function.max_inflight} * replicas, slots_max));
  }
  return effective_slots(function.traits, inflight_max, service_time_mean, cores);
}

}  // namespace dfaas
