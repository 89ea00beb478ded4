// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// How a function runs on this node: what a replica is, and how many there should be.
#pragma once

#include <string>
#include <vector>

#include "core/openfaas/watchdog.hpp"
#include "live/images/image_store.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

struct RunPlan {
  ReplicaSpec spec;
  WatchdogSettings watchdog;
  ScaleSettings scale;
  std::vector<std::string> command;      ///< Program, absolute, and its arguments.
  std::vector<std::string> environment;  ///< Of processes that know no request yet.
  std::string directory = "/";           ///< Where they start.
  ImagePtr image;                        ///< Kept on disk while it runs; null without a container.

  friend bool operator==(const RunPlan&, const RunPlan&) = default;
};

/// Replicas of a function: how many there should be, and how many can take calls now.
struct ReplicaCounts {
  int wanted = 0;
  int available = 0;
};

}  // namespace dfaas
