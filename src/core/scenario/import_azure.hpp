// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The public traces of Azure Functions, as loads of a scenario that has nodes already.
///
/// Input   2019: invocations_per_function_md.anon.dNN.csv, one row per function and day: HashOwner,
///         HashApp, HashFunction, Trigger, then the calls of each of 1440 minutes; and, if wanted,
///         function_durations_percentiles.anon.dNN.csv of the same day, of which Average (ms) is read.
///         2021: AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt, one row per call: app, func,
///         end_timestamp and duration (s), in no order.
/// Output  The functions with most calls in the window, called azure-RANK-HASH, deployed in the first pool
///         of every node. That of rank r is called by users of the r-th of the given nodes, begun anew
///         after the last, so that the first ones have the busier users, as in a real federation. 2019
///         gives Poisson loads with one rate a minute; 2021 each call at its time (its end less its
///         duration) with its own service time.
/// Errors  invalid_input with line and column: "line 3, column 5 (\"1\"): \"x\" is not a number from 0 to
///         1e9"; the scenario has not changed then.
/// Source  github.com/Azure/AzurePublicDataset, AzureFunctionsDataset2019.md (revision 2, 2020-06-18) and
///         AzureFunctionsInvocationTrace2021.md (revision 1, 2021-11-30), both CC-BY. To be cited: M. Shahrad
///         et al., "Serverless in the Wild", USENIX ATC 2020; Y. Zhang et al., "Faster and Cheaper Serverless
///         Computing on Harvested Resources", SOSP 2021.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

struct AzureSelection {
  std::size_t functions = 10;  ///< As many of the busiest, 1 to 1000; fewer where there are fewer.
  Micros start{0};             ///< Of the window, from the start of the file (2019) or timestamp 0.
  Micros duration =
      std::chrono::hours{1};     ///< Of the window, and of the scenario; 2019: whole minutes.
  std::vector<NodeIndex> nodes;  ///< Whose users call; empty: all.
  double rate_factor = 1;        ///< Of the rates of 2019, > 0.
};

/// `durations` may be empty: every mean service time is then 100 ms, as it is for functions not in it.
Result<void> add_azure_2019(Scenario& scenario, std::string_view invocations,
                            std::string_view durations, const AzureSelection& selection);

Result<void> add_azure_2021(Scenario& scenario, std::string_view calls,
                            const AzureSelection& selection);

}  // namespace dfaas
