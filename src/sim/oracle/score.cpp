// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/oracle/score.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "sim/oracle/oracle.hpp"
#include "sim/oracle/problems.hpp"

namespace dfaas {
namespace {

/// Where all requests are worth the same, most requests are most work.
bool is_work_alike(const OracleProblem& problem) {
  return std::ranges::all_of(problem.demands, [&problem](const OracleDemand& demand) {
    return demand.work_seconds == problem.demands.front().work_seconds;
  });
}

Result<OracleSum> solve(const OracleProblem& problem, const OracleOptions& options) {
  auto best = solve_oracle(problem, OracleObjective::most_served);
  if (!best) return pass_on(std::move(best));
  OracleSum sum{.offered = best->offered,
                .served_max = best->served,
                .forwarded_min = best->forwarded,
                .work_max = best->work};
  if (!is_work_alike(problem) && best->served < best->offered) {
    auto busiest = solve_oracle(problem, OracleObjective::most_work);
    if (!busiest) return pass_on(std::move(busiest));
    sum.work_max = busiest->work;
  }
  if (options.local_first == LocalFirst::work_out) {
    auto local = solve_oracle(problem, OracleObjective::local_first);
    if (!local) return pass_on(std::move(local));
    sum.local_first_max = local->served;
  }
  return sum;
}

void add(OracleSum& total, const OracleSum& window) {
  total.offered += window.offered;
  total.served_max += window.served_max;
  total.forwarded_min += window.forwarded_min;
  total.work_max += window.work_max;
  if (window.local_first_max) {
    total.local_first_max = total.local_first_max.value_or(0) + *window.local_first_max;
  }
}

}  // namespace

Result<OracleScore> score_oracle(const Scenario& scenario, const ArrivalCounts& arrivals,
                                 const OracleOptions& options) {
  if (auto valid = validate(scenario); !valid) return pass_on(std::move(valid));
  const OracleProblems problems(scenario);
  const auto spans = arrivals.spans();
  OracleScore score;
  for (std::size_t window = 0; window < spans.size(); ++window) {
    const OracleSpan span = spans[window];
    auto sum = solve(problems.at(span, arrivals.in(window)), options);
    if (!sum) {
      return tl::unexpected(std::move(sum).error().within(
          fmt::format("window of {} s to {} s", to_seconds(span.from), to_seconds(span.until))));
    }
    add(score.total, *sum);
    score.windows.push_back({.span = span, .sum = *sum});
    if (options.on_window) options.on_window(window + 1, spans.size());
  }
  return score;
}

}  // namespace dfaas
