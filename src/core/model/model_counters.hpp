// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What became of the agent's questions to the model of strategy external_model, since the agent started:
/// from the agent to the gateway, which shows them among its metrics.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.hpp"

namespace dfaas {

struct ModelCounters {
  std::uint64_t taken = 0;                     ///< A division of 1: in force since.
  std::uint64_t late = 0;                      ///< No whole answer in time.
  std::uint64_t unreachable = 0;               ///< Nobody listens, or the connection broke.
  std::uint64_t refused = 0;                   ///< A status other than 200.
  std::uint64_t wrong = 0;                     ///< Not an answer of the contract.
  std::uint64_t functions_without_answer = 0;  ///< Now.

  friend bool operator==(const ModelCounters&, const ModelCounters&) = default;
};

/// The outcomes under their names in messages and metrics.
inline constexpr std::array<std::pair<std::string_view, std::uint64_t ModelCounters::*>, 5>
    model_outcomes{{{"taken", &ModelCounters::taken},
                    {"late", &ModelCounters::late},
                    {"unreachable", &ModelCounters::unreachable},
                    {"refused", &ModelCounters::refused},
                    {"wrong", &ModelCounters::wrong}}};

std::string model_counters_to_json(const ModelCounters& counters);
Result<ModelCounters> model_counters_from_json(std::string_view text);

}  // namespace dfaas
