// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The pages that `dfaas sim` writes: what a run or a comparison showed, to look at.
#pragma once

#include <string>
#include <vector>

#include "sim/compare/comparison.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/run_tally.hpp"

namespace dfaas {

std::string sim_run_html(const RunTally& tally, const RunFigures& figures,
                         const std::string& command);

std::string sim_compare_html(const ComparisonPlan& plan, const std::vector<ComparedRun>& runs,
                             const std::vector<StrategyMeans>& means, const std::string& command);

}  // namespace dfaas
