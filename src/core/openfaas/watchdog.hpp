// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the watchdogs of OpenFaaS read from the environment of a function, and so does this gateway.
///
/// Source  classic-watchdog and of-watchdog, their environment variables. Times are "10s" or bare seconds;
///         0 is no limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/scaling.hpp"

namespace dfaas {

enum class FunctionMode : std::uint8_t {
  classic,  ///< A process per call.
  http,     ///< A process that stays and answers HTTP.
};

struct WatchdogSettings {
  FunctionMode mode =
      FunctionMode::classic;  ///< "mode"; streaming and serializing are classic here.
  std::string process;        ///< envProcess, else "fprocess", else "function_process".
  std::optional<int> max_inflight;
  std::optional<Millis> exec_timeout;
  std::optional<Millis> read_timeout;   ///< For the request's body.
  std::optional<Millis> write_timeout;  ///< For everything, to the last byte of the answer.
  bool combine_output = false;          ///< Standard error goes into the answer.
  bool cgi_headers = true;              ///< The request's head as Http_* variables.
  int prefork = 0;                      ///< Annotation `dfaas.prefork`: processes started ahead.
  std::uint16_t port = 8080;            ///< Where a function of mode http listens on 127.0.0.1,
  std::string socket;                   ///< or the path of its unix socket, if set.
  std::string ready_path;  ///< Asked before the first call: "/ready". Empty for not at all.

  friend bool operator==(const WatchdogSettings&, const WatchdogSettings&) = default;
};

/// Errors: invalid_input naming the variable, its value and what is allowed.
Result<WatchdogSettings> watchdog_settings(const FunctionDeployment& deployment);

/// The least of exec_timeout and write_timeout.
std::optional<Millis> time_limit(const WatchdogSettings& settings);

/// When and how many replicas, as a node keeps them.
struct ScaleSettings {
  int min = 1;
  int max = 20;
  int target = 50;  ///< Calls in flight per replica.
  bool zero = false;
  Micros zero_after{15 * 60 * 1'000'000LL};

  friend bool operator==(const ScaleSettings&, const ScaleSettings&) = default;
};

/// `node_max` bounds what no label bounds.
ScaleSettings scale_settings(const ScalingLabels& labels, int node_max);

/// How many replicas there should be: `busiest` is the most calls in flight at once of late, `idle` how long
/// there has been none.
int wanted_replicas(const ScaleSettings& settings, int busiest, Micros idle);

}  // namespace dfaas
