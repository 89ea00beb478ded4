// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The functions of an OpenFaaS gateway or faasd, as a node that lets them run there reads them.
///
/// Input   The answer to GET /system/functions: an array of FunctionStatus, from a program that is not ours.
/// Errors  An entry that cannot be used is left out and named; a whole that is no list is an error.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/model/function.hpp"
#include "core/openfaas/asynchronous.hpp"
#include "core/openfaas/status.hpp"

namespace dfaas {

struct PlatformFunction {
  FunctionStatus status;
  FunctionTraits traits;  ///< With the time limit of its environment, where no label has one.
  std::optional<int> max_inflight;  ///< Of one replica.
  RetryPolicy retry;                ///< Of asynchronous calls.
};

struct PlatformList {
  std::vector<PlatformFunction> functions;  ///< Sorted by name; each name once.
  std::vector<std::string> left_out;        ///< A sentence for each entry that cannot be used.
};

/// Errors: invalid_input when `text` is no list of at most 1000 objects.
Result<PlatformList> platform_list_from_json(std::string_view text);

/// What GET /system/info says of a platform, for people: "faasd 0.18.5". Empty where it says nothing.
std::string platform_name_from_json(std::string_view text);

/// How many calls of it the platform shall carry for this node, first that exists: the label dfaas.slots; 1 while
/// it sleeps, so that a call wakes it; max_inflight times the replicas that can take calls; the label
/// dfaas.maxrate times the mean service time; `cores`.
int platform_slots(const PlatformFunction& function, std::optional<Micros> service_time_mean,
                   int cores);

}  // namespace dfaas
