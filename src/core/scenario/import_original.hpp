// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Instances and measured data of the DFaaS prototype's simulators, as scenarios.
///
/// Input   JSON: an instance of `simulation/` (per node node_type, neighbours and exp_history), one of
///         `framework/` (node_type, neighbours and load), or a data file of `simulation/data` (input and
///         output). A minute each; rates in requests/s.
/// Output  Arrivals are Poisson; the time in which results matter most is theirs: minutes 1 to 5 of
///         `simulation/`, 2 and 3 of `framework/`. "node_0" becomes "node-0", node types become light, mid
///         and heavy.
///         `simulation/`: a node serves at most max_rate of a function, whatever else it does. So each
///         function has a pool of its own, and the longest service time with which slots / service time is
///         max_rate at every node. The measured afet is not used: it says nothing of how much fits.
///         `framework/`: what fits is said by trained models that no file holds. Slots are the virtual CPUs
///         of the type (2, 4, 6), service times those with which a light node is full at the generator's
///         highest rates (330, 180 and 40 requests/s): an approximation, and a generous one for heavy nodes.
/// Errors  invalid_input naming the field: "node_0.exp_history[2].functions[0].invoc_rate: is missing".
/// Source  github.com/unimib-datAI/dfaas, `simulation/instance_generator.py`, `simulation/data` and
///         `framework/instance_generator.py`, as of 2025.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

/// An instance of either simulator; which one shows in the file. A data file becomes one node.
Result<Scenario> import_original(std::string_view json);

struct OriginalDataFile {
  std::string name;  ///< For messages.
  std::string json;
};

/// One node for each data file, all linked with each other. Requires at least one file.
Result<Scenario> import_original_data(std::span<const OriginalDataFile> files);

}  // namespace dfaas
