// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the demo concludes from its figures, and how it shows them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/units.hpp"
#include "core/report/report.hpp"
#include "core/workload/results.hpp"

namespace dfaas {

/// What was offered, and to what.
struct DemoLoad {
  std::vector<std::string> nodes;  ///< Names; the load goes to the first.
  std::vector<int> slots;          ///< Of the loaded function, for each node.
  Micros run_time{0};              ///< Of one call.
  Rate rate;
  Micros duration{0};
  std::string arrivals;
  std::uint64_t seed = 0;
  std::string command;  ///< That repeats the demo.

  [[nodiscard]] Rate local_capacity() const;       ///< Of the first node.
  [[nodiscard]] Rate federation_capacity() const;  ///< Of all nodes.
};

/// The load under one strategy.
struct DemoRun {
  std::string strategy;
  std::vector<LoadSecond> seconds;
  LoadReport report;
};

/// A sentence that the figures make true or false.
struct DemoCheck {
  std::string sentence;
  bool holds = false;
};

/// The first run is all_local, the second the one that shall do better.
std::vector<DemoCheck> demo_checks(const DemoLoad& load, const std::vector<DemoRun>& runs);

/// Strategies as columns, figures as rows, for a terminal.
std::string demo_table(const DemoLoad& load, const std::vector<DemoRun>& runs);

/// {"strategies": {name: summary}, ...}: docs/reference/results.md.
std::string demo_json(const DemoLoad& load, const std::vector<DemoRun>& runs,
                      const std::vector<DemoCheck>& checks);

Report demo_report(const DemoLoad& load, const std::vector<DemoRun>& runs,
                   const std::vector<DemoCheck>& checks, std::string date);

}  // namespace dfaas
