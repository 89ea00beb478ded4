// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/oracle/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "sim/oracle/linear_program.hpp"

namespace dfaas {
namespace {

constexpr double number_max =
    1e12;  ///< Beyond, double precision leaves less than 1e-4 of a request.
constexpr double forward_cost = 1e-4;
/// What the rest may take of what is served at home, so that rounding does not make it impossible.
constexpr double home_slack_ratio = 1e-9;
constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

bool is_amount(double value) { return std::isfinite(value) && value >= 0 && value <= number_max; }

Result<void> check(const OracleProblem& problem) {
  const auto bad = [](std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); };
  for (std::size_t pool = 0; pool < problem.pools.size(); ++pool) {
    if (!is_amount(problem.pools[pool])) {
      return bad(
          fmt::format("pool {}: {} slot-seconds are not 0 to 1e12", pool, problem.pools[pool]));
    }
  }
  for (const OracleDemand& demand : problem.demands) {
    const auto about = [&demand](std::string_view what, double value) {
      return fmt::format("function {} at node {}: {} {}", demand.function, demand.node, value,
                         what);
    };
    if (!is_amount(demand.requests))
      return bad(about("requests are not 0 to 1e12", demand.requests));
    if (!is_amount(demand.work_seconds)) {
      return bad(about("s of work are not 0 to 1e12", demand.work_seconds));
    }
    for (const OracleArc& arc : demand.arcs) {
      if (arc.pool >= problem.pools.size()) {
        return bad(fmt::format("function {} at node {}: pool {} does not exist: there are {}",
                               demand.function, demand.node, arc.pool, problem.pools.size()));
      }
      if (!is_amount(arc.seconds_per_request) || arc.seconds_per_request == 0) {
        return bad(about("s per request are not above 0 and up to 1e12", arc.seconds_per_request));
      }
    }
  }
  return {};
}

/// A way for a demand to be served: a column of the program.
struct Way {
  std::size_t demand = 0;
  OracleArc arc;
};

/// Those that can carry anything.
std::vector<Way> ways_of(const OracleProblem& problem) {
  std::vector<Way> ways;
  for (std::size_t demand = 0; demand < problem.demands.size(); ++demand) {
    if (problem.demands[demand].requests == 0) continue;
    for (const OracleArc& arc : problem.demands[demand].arcs) {
      if (problem.pools[arc.pool] > 0) ways.push_back({demand, arc});
    }
  }
  return ways;
}

/// Every pool filled by the users of its own node, cheapest function first: the most requests it can
/// serve at home.
struct AtHome {
  std::vector<double> amounts;  ///< By way.
  std::vector<double> of_pool;
  std::vector<std::size_t> whole;    ///< Ways that serve all their demand that was left.
  std::vector<std::size_t> filling;  ///< Ways that fill their pool.
};

AtHome serve_at_home(const OracleProblem& problem, const std::vector<Way>& ways) {
  AtHome home{.amounts = std::vector<double>(ways.size()),
              .of_pool = std::vector<double>(problem.pools.size())};
  std::vector<std::size_t> order;
  for (std::size_t way = 0; way < ways.size(); ++way) {
    if (!ways[way].arc.is_forward) order.push_back(way);
  }
  std::ranges::sort(order, {}, [&ways](std::size_t way) {
    return std::pair(ways[way].arc.seconds_per_request, way);
  });
  std::vector<double> seconds_left = problem.pools;
  std::vector<double> requests_left;
  requests_left.reserve(problem.demands.size());
  for (const OracleDemand& demand : problem.demands) requests_left.push_back(demand.requests);
  for (const std::size_t at : order) {
    const auto& [demand, arc] = ways[at];
    double& seconds = seconds_left[arc.pool];
    double& requests = requests_left[demand];
    if (seconds == 0 || requests == 0) continue;
    const double fitting = seconds / arc.seconds_per_request;
    const bool fits = requests <= fitting;
    const double served = fits ? requests : fitting;
    (fits ? home.whole : home.filling).push_back(at);
    home.amounts[at] = served;
    home.of_pool[arc.pool] += served;
    seconds = fits ? std::max(0.0, seconds - served * arc.seconds_per_request) : 0;
    requests = fits ? 0 : requests - served;
  }
  return home;
}

OracleWindow sum(const OracleProblem& problem, const std::vector<Way>& ways,
                 const std::vector<double>& amounts) {
  OracleWindow window{.served_of = std::vector<double>(problem.demands.size())};
  for (const OracleDemand& demand : problem.demands) window.offered += demand.requests;
  for (std::size_t at = 0; at < ways.size(); ++at) {
    const double amount = std::max(amounts[at], 0.0);  // Rounding leaves -1e-12 at times.
    window.served += amount;
    if (ways[at].arc.is_forward) window.forwarded += amount;
    window.work += amount * problem.demands[ways[at].demand].work_seconds;
    window.served_of[ways[at].demand] += amount;
  }
  return window;
}

/// Rows: one a demand, one a pool in the requests of its cheapest function, one a pool's own users.
class Program {
 public:
  Program(const OracleProblem& problem, const std::vector<Way>& ways)
      : problem_(problem),
        ways_(ways),
        row_of_demand_(problem.demands.size(), nowhere),
        row_of_pool_(problem.pools.size(), nowhere),
        cheapest_(problem.pools.size(), std::numeric_limits<double>::infinity()) {
    for (const auto& [demand, arc] : ways) {
      cheapest_[arc.pool] = std::min(cheapest_[arc.pool], arc.seconds_per_request);
    }
    for (const auto& [demand, arc] : ways) {
      const std::size_t demand_row =
          row(row_of_demand_[demand], {.upper = problem.demands[demand].requests});
      const std::size_t pool_row =
          row(row_of_pool_[arc.pool], {.upper = problem.pools[arc.pool] / cheapest_[arc.pool]});
      program_.columns.push_back(
          {{demand_row, 1}, {pool_row, arc.seconds_per_request / cheapest_[arc.pool]}});
    }
  }

  void start_from(const AtHome& home) {
    for (const std::size_t way : home.whole) {
      program_.basic_columns.push_back(way);
      program_.tight_rows.push_back(row_of_demand_[ways_[way].demand]);
    }
    for (const std::size_t way : home.filling) {
      program_.basic_columns.push_back(way);
      program_.tight_rows.push_back(row_of_pool_[ways_[way].arc.pool]);
    }
  }

  void keep_at_home(const AtHome& home) {
    std::vector<std::size_t> row_of_home(problem_.pools.size(), nowhere);
    for (std::size_t way = 0; way < ways_.size(); ++way) {
      const OracleArc& arc = ways_[way].arc;
      if (arc.is_forward) continue;
      const double least = home.of_pool[arc.pool] * (1 - home_slack_ratio);
      const std::size_t home_row = row(row_of_home[arc.pool], {.lower = least});
      program_.columns[way].push_back({home_row, 1});
    }
  }

  [[nodiscard]] Result<std::vector<double>> solve(OracleObjective objective) const {
    const bool by_work = objective == OracleObjective::most_work;
    double least = std::numeric_limits<double>::infinity();
    for (const Way& way : ways_) {
      const double work = problem_.demands[way.demand].work_seconds;
      if (work > 0) least = std::min(least, work);
    }
    LinearObjective few_forwards;
    LinearObjective exact;
    for (const auto& [demand, arc] : ways_) {
      // By the least, so that the forward cost of each stands out from the solver's tolerance.
      const double worth = by_work ? problem_.demands[demand].work_seconds / least : 1;
      exact.push_back(worth);
      few_forwards.push_back(arc.is_forward ? worth * (1 - forward_cost) : worth);
    }
    return maximise(program_, std::vector{std::move(few_forwards), std::move(exact)});
  }

 private:
  std::size_t row(std::size_t& known, LinearRow bounds) {
    if (known == nowhere) {
      known = program_.rows.size();
      program_.rows.push_back(bounds);
    }
    return known;
  }

  const OracleProblem& problem_;
  const std::vector<Way>& ways_;
  std::vector<std::size_t> row_of_demand_;
  std::vector<std::size_t> row_of_pool_;
  std::vector<double> cheapest_;  ///< Seconds per request, by pool.
  LinearProgram program_;
};

}  // namespace

Result<OracleWindow> solve_oracle(const OracleProblem& problem, OracleObjective objective) {
  constexpr std::string_view scope = "oracle";
  if (auto valid = check(problem); !valid) {
    return tl::unexpected(std::move(valid).error().within(scope));
  }
  const std::vector<Way> ways = ways_of(problem);
  const AtHome home = serve_at_home(problem, ways);
  std::vector<bool> is_served(problem.demands.size(), true);
  for (const Way& way : ways) is_served[way.demand] = false;  // Until one of its ways serves all.
  for (const std::size_t way : home.whole) is_served[ways[way].demand] = true;
  if (std::ranges::all_of(is_served, std::identity{})) return sum(problem, ways, home.amounts);

  Program program(problem, ways);
  program.start_from(home);
  if (objective == OracleObjective::local_first) program.keep_at_home(home);
  const auto amounts = program.solve(objective);
  if (!amounts) return tl::unexpected(Error(amounts.error()).within(scope));
  return sum(problem, ways, *amounts);
}

}  // namespace dfaas
