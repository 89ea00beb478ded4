// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/import_azure.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/scenario/csv_rows.hpp"
#include "core/scenario/trace.hpp"

namespace dfaas {
namespace {

constexpr std::size_t minutes_a_day = 1440;
constexpr std::size_t first_minute = 4;  ///< Column of minute 1.
constexpr double calls_max = 1e9;        ///< Of one function in one minute; guessed.
constexpr double millis_max = 86'400'000;
constexpr double timestamp_max = 1e9;  ///< Seconds: some 30 years.
constexpr Micros minute = std::chrono::minutes{1};
/// Azure reports 0 ms for what is quicker than it can measure.
constexpr Micros service_time_min{100};

constexpr std::array<std::string_view, 4> invocation_columns{"HashOwner", "HashApp", "HashFunction",
                                                             "Trigger"};
constexpr std::array<std::string_view, 4> duration_columns{"HashOwner", "HashApp", "HashFunction",
                                                           "Average"};
constexpr std::array<std::string_view, 4> call_columns{"app", "func", "end_timestamp", "duration"};

/// What was read of one function.
struct Found {
  std::string_view hash;  ///< Of the function, for its name.
  double total = 0;       ///< Calls in the window.
  Micros mean{100'000};
  std::vector<Rate> rates;
  std::vector<TraceCall> calls;
};

void read_header(CsvRows& rows, const std::array<std::string_view, 4>& columns) {
  if (!rows.next() || rows.cells().size() < columns.size() ||
      !std::equal(columns.begin(), columns.end(), rows.cells().begin())) {
    rows.fail_with(fmt::format("the header does not begin with {}", fmt::join(columns, ",")));
  }
  rows.take_header();
}

/// Indexes of the `count` largest totals, those that come first in the file among equals. Without those
/// that are 0.
template <class List>
std::vector<std::size_t> busiest(const List& totals, std::size_t count) {
  std::vector<std::size_t> order(totals.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&totals](std::size_t left, std::size_t right) {
    return std::pair(totals[right].total, left) < std::pair(totals[left].total, right);
  });
  order.resize(std::min(order.size(), count));
  std::erase_if(order, [&totals](std::size_t index) { return totals[index].total <= 0; });
  return order;
}

/// Hashes become parts of names.
void check_hash(const CsvRows& rows, std::size_t column) {
  const std::string_view hash = rows.cells()[column];
  constexpr std::string_view digits = "0123456789abcdefABCDEF";
  if (hash.empty() || hash.find_first_not_of(digits) != std::string_view::npos) {
    rows.fail_at(column, fmt::format("{} is not hexadecimal", in_quotes(hash, 40)));
  }
}

struct Minutes {
  std::size_t first = 0;
  std::size_t count = 0;
};

Minutes read_window(const CsvRows& rows, const AzureSelection& selection) {
  const std::size_t there =
      rows.header().size() > first_minute ? rows.header().size() - first_minute : 0;
  const Minutes minutes{.first = static_cast<std::size_t>(selection.start / minute),
                        .count = static_cast<std::size_t>(selection.duration / minute)};
  if (selection.start % minute != Micros{0} || selection.duration % minute != Micros{0} ||
      minutes.count == 0 || there > minutes_a_day || minutes.first + minutes.count > there) {
    throw BadCell{
        fmt::format("the window of {} s from {} s is not of whole minutes within the {} "
                    "that the file holds",
                    to_seconds(selection.duration), to_seconds(selection.start), there)};
  }
  return minutes;
}

using Key = std::array<std::string_view, 3>;

Key key_of(const CsvRows& rows) { return {rows.cells()[0], rows.cells()[1], rows.cells()[2]}; }

/// The mean service times of the functions in `wanted`.
void read_durations(std::string_view text, const std::map<Key, std::size_t>& wanted,
                    std::vector<Found>& found) {
  CsvRows rows(text);
  read_header(rows, duration_columns);
  while (rows.next_of_header()) {
    const auto at = wanted.find(key_of(rows));
    if (at == wanted.end()) continue;
    const Micros mean{std::llround(rows.number(3, 0, millis_max) * 1e3)};
    found[at->second].mean = std::max(mean, service_time_min);
  }
}

/// Calls of the present row in `minute_index` of the window.
double calls_in(const CsvRows& rows, const Minutes& minutes, std::size_t minute_index) {
  return rows.number(first_minute + minutes.first + minute_index, 0, calls_max);
}

/// Twice through the file, so that only the rates of the chosen rows are kept.
std::vector<Found> read_2019(std::string_view invocations, std::string_view durations,
                             const AzureSelection& selection) {
  CsvRows rows(invocations);
  read_header(rows, invocation_columns);
  const Minutes minutes = read_window(rows, selection);
  std::vector<Found> all;
  while (rows.next_of_header()) {
    check_hash(rows, 2);
    Found& function = all.emplace_back(Found{.hash = rows.cells()[2]});
    for (std::size_t at = 0; at < minutes.count; ++at) {
      function.total += calls_in(rows, minutes, at);
    }
  }
  const std::vector<std::size_t> chosen = busiest(all, selection.functions);
  std::vector<std::optional<std::size_t>> rank(all.size());
  std::vector<Found> found;
  for (const std::size_t row : chosen) {
    rank[row] = found.size();
    found.push_back(all[row]);
  }
  std::map<Key, std::size_t> wanted;
  rows = CsvRows(invocations);
  read_header(rows, invocation_columns);
  for (std::size_t row = 0; rows.next_of_header(); ++row) {
    if (!rank[row]) continue;
    wanted.emplace(key_of(rows), *rank[row]);
    std::vector<Rate>& rates = found[*rank[row]].rates;
    for (std::size_t at = 0; at < minutes.count; ++at) {
      rates.push_back(Rate{calls_in(rows, minutes, at) / to_seconds(minute)} *
                      selection.rate_factor);
    }
  }
  if (!durations.empty()) {
    try {
      read_durations(durations, wanted, found);
    } catch (const BadCell& bad) {
      throw BadCell{"durations: " + bad.message};
    }
  }
  return found;
}

/// When a call of the 2021 trace began, from the start of the window; may lie outside it.
struct Call {
  Micros at{0};
  Micros service_time{0};
};

Call read_call(const CsvRows& rows, const AzureSelection& selection) {
  const double end = rows.number(2, 0, timestamp_max);
  const double duration = rows.number(3, 0, millis_max / 1e3);
  return {.at = Micros{std::llround((end - duration) * 1e6)} - selection.start,
          .service_time = Micros{std::llround(duration * 1e6)}};
}

std::vector<Found> read_2021(std::string_view text, const AzureSelection& selection) {
  using App = std::pair<std::string_view, std::string_view>;
  std::map<App, std::size_t> index;
  std::vector<Found> all;
  const auto walk = [&text, &selection](const auto& take) {
    CsvRows rows(text);
    read_header(rows, call_columns);
    while (rows.next_of_header()) {
      const Call call = read_call(rows, selection);
      if (call.at < Micros{0} || call.at >= selection.duration) continue;
      take(rows, call);
    }
  };
  walk([&index, &all](const CsvRows& rows, const Call& /*call*/) {
    const App app{rows.cells()[0], rows.cells()[1]};
    const auto [at, is_new] = index.emplace(app, all.size());
    if (is_new) {
      check_hash(rows, 1);
      all.push_back({.hash = rows.cells()[1]});
    }
    all[at->second].total += 1;
  });
  std::vector<std::optional<std::size_t>> rank(all.size());
  std::vector<Found> found;
  for (const std::size_t chosen : busiest(all, selection.functions)) {
    rank[chosen] = found.size();
    found.push_back(all[chosen]);
  }
  std::size_t calls = 0;
  walk([&](const CsvRows& rows, const Call& call) {
    const auto& place = rank[index.at({rows.cells()[0], rows.cells()[1]})];
    if (!place) return;
    if (++calls > trace_calls_max) {
      rows.fail_with(
          fmt::format("more than {} calls are too many: choose a shorter window", trace_calls_max));
    }
    found[*place].calls.push_back({.at = call.at, .service_time = call.service_time});
  });
  for (Found& function : found) {
    std::ranges::sort(function.calls, {},
                      [](const TraceCall& call) { return std::pair(call.at, call.service_time); });
    double sum = 0;
    for (const TraceCall& call : function.calls) sum += to_seconds(*call.service_time);
    function.mean = std::max(from_seconds(sum / function.total), service_time_min);
  }
  return found;
}

Result<void> check(const Scenario& scenario, const AzureSelection& selection) {
  const auto wrong = [](std::string why) { return fail(ErrorCode::invalid_input, std::move(why)); };
  if (selection.functions < 1 || selection.functions > scenario_limits::functions_max) {
    return wrong(fmt::format("{} functions are not 1 to {}", selection.functions,
                             scenario_limits::functions_max));
  }
  if (selection.start < Micros{0} || selection.duration <= Micros{0} ||
      selection.duration > scenario_limits::duration_max) {
    return wrong("the window does not begin at 0 s or later and last up to 24 h");
  }
  if (!(selection.rate_factor > 0 && selection.rate_factor <= 1e6)) {
    return wrong(fmt::format("rate factor {} is not above 0 and up to 1e6", selection.rate_factor));
  }
  if (scenario.nodes.empty()) return wrong("the scenario has no node to run the functions");
  for (const NodeIndex node : selection.nodes) {
    if (node >= scenario.nodes.size()) {
      return wrong(
          fmt::format("node number {} does not exist: there are {}", node, scenario.nodes.size()));
    }
  }
  for (const ScenarioNode& node : scenario.nodes) {
    if (node.pools.empty()) {
      return wrong(
          fmt::format("node {} has no slots to run the functions", in_quotes(node.name.text())));
    }
  }
  return {};
}

Result<void> add(Scenario& scenario, std::vector<Found> found, const AzureSelection& selection) {
  if (found.empty()) return fail(ErrorCode::invalid_input, "no function is called in the window");
  Scenario changed = scenario;
  std::vector<NodeIndex> nodes = selection.nodes;
  if (nodes.empty()) {
    nodes.resize(scenario.nodes.size());
    std::iota(nodes.begin(), nodes.end(), NodeIndex{0});
  }
  for (std::size_t rank = 0; rank < found.size(); ++rank) {
    Found& function = found[rank];
    const FunctionIndex index = changed.functions.size();
    changed.functions.push_back(
        {.name = *FunctionName::parse(
             fmt::format("azure-{}-{}", rank + 1, to_lower(function.hash.substr(0, 8)))),
         .service_time = {.mean = function.mean}});
    for (ScenarioNode& node : changed.nodes) {
      node.functions.push_back({.function = index, .pool = 0});
    }
    ScenarioLoad load{.node = nodes[rank % nodes.size()], .function = index};
    if (function.calls.empty()) {
      load.step = minute;
      load.rates = std::move(function.rates);
    } else {
      load.arrivals = ArrivalKind::trace;
      load.calls = std::move(function.calls);
    }
    changed.loads.push_back(std::move(load));
  }
  changed.duration = selection.duration;
  if (auto valid = validate(changed); !valid) return valid;
  scenario = std::move(changed);
  return {};
}

template <class Read>
Result<void> import(Scenario& scenario, const AzureSelection& selection, const Read& read) {
  if (auto checked = check(scenario, selection); !checked) return checked;
  try {
    return add(scenario, read(), selection);
  } catch (const BadCell& bad) {
    return fail(ErrorCode::invalid_input, bad.message);
  }
}

}  // namespace

Result<void> add_azure_2019(Scenario& scenario, std::string_view invocations,
                            std::string_view durations, const AzureSelection& selection) {
  return import(scenario, selection, [&] { return read_2019(invocations, durations, selection); });
}

Result<void> add_azure_2021(Scenario& scenario, std::string_view calls,
                            const AzureSelection& selection) {
  return import(scenario, selection, [&] { return read_2021(calls, selection); });
}

}  // namespace dfaas
