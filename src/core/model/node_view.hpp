// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a node knows when it plans: itself and its neighbours, as plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/units.hpp"
#include "core/model/function.hpp"

namespace dfaas {

/// One function as it runs here, or as our users ask for it while only neighbours have it.
struct FunctionView {
  FunctionName function;
  std::string digest;
  bool deployed = false;   ///< Here, and able to run.
  bool installed = false;  ///< Here, be it able to run now or not.
  FunctionTraits traits;
  int slots = 0;           ///< 0 when not deployed here.
  Micros service_time{0};  ///< Mean; never 0 in a view (a default stands in while unknown).
  Rate arrivals;           ///< Of our own users, smoothed.
  Rate arrivals_latest;  ///< Of our own users in the last second: noisy, as a stick table shows it.
  Rate guest_arrivals;   ///< Offered by neighbours, smoothed.
};

/// What a neighbour has to do with one function of ours, or one that our users may ask for: the code is
/// the same where it runs, and the sharing rules of both are met. With slots it may stand in for us;
/// without, it does not run the function, but may send us requests of its users for ours.
struct NeighbourFunction {
  FunctionName function;
  int slots = 0;               ///< 0: does not run there.
  std::string pool;            ///< Functions of the neighbour that name one pool share its slots.
  Rate arrivals;               ///< Of the neighbour's own users, as it told.
  Micros service_time{0};      ///< Never 0 in a view.
  Rate granted;                ///< To us, still alive.
  Rate left;                   ///< Pre-granted on top.
  Rate asked;                  ///< By the neighbour, of us, still alive.
  std::uint64_t accepted = 0;  ///< Of our forwards since the last plan.
  std::uint64_t refused = 0;   ///< Of our forwards since the last plan, unreachable included.
};

struct NeighbourView {
  NodeId id;
  NodeName name;
  std::string organisation;
  int slot = 0;
  bool up = false;  ///< Answers, and is not about to stop.
  Micros rtt{0};
  bool is_refused = false;  ///< By our operator: no call of its users is taken here.
  double weight = 1;        ///< > 0: its part where not all can have what they ask for.
  std::vector<NeighbourFunction> functions;  ///< Sorted by function.
};

/// What a model outside of the node last said about our users' requests of one function: parts that sum
/// to 1.
struct ExternalShares {
  double local = 1;
  double refused = 0;
  std::map<NodeId, double> neighbours;

  friend bool operator==(const ExternalShares&, const ExternalShares&) = default;
};

struct NodeView {
  NodeId self;
  std::string organisation;
  Micros period{2'000'000};                         ///< Time since the last plan.
  std::vector<FunctionView> functions;              ///< Sorted by function.
  std::vector<NeighbourView> neighbours;            ///< Sorted by id.
  std::map<FunctionName, ExternalShares> external;  ///< Of those about which it said something.
};

}  // namespace dfaas
