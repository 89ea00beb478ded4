// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Asking the model of strategy external_model: one POST of one question, with everything that can go
/// wrong as a value.
///
/// Limits  One deadline for the whole of it, however slowly the model speaks; 64 KiB of answer.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/control/external_observer.hpp"
#include "core/model/model_counters.hpp"
#include "core/model/node_view.hpp"
#include "core/settings/settings.hpp"

namespace dfaas {

inline constexpr std::string_view model_url_missing =
    "strategy external_model needs the setting external_model.url, such as http://127.0.0.1:8000";

struct ModelSettings {
  LocalUrl url;
  Millis timeout{900};  ///< Of all questions of a period together.
  Millis keep{10'000};  ///< How long an answer holds.
  bool explore = false;

  /// "http://127.0.0.1:8000/action".
  [[nodiscard]] std::string text() const;
};

/// In the order of model_outcomes.
enum class ModelOutcome : std::uint8_t { taken, late, unreachable, refused, wrong };
std::string_view word_of(ModelOutcome outcome);
std::uint64_t ModelCounters::* member_of(ModelOutcome outcome);

struct ModelAnswer {
  ModelOutcome outcome = ModelOutcome::late;
  ExternalShares shares;                                            ///< Where it was taken.
  std::string why = "the model's other answers took all the time";  ///< Where it was not.
};

boost::asio::awaitable<ModelAnswer> ask_model(ModelSettings settings, NodeId self,
                                              ExternalQuestion question, Instant deadline);

/// How busy the machine's processors are, from /proc/stat.
class CpuMeter {
 public:
  /// 0 to 1, since the last call; 0 the first time, and where the file cannot be read.
  double ratio_since_last();

 private:
  std::uint64_t busy_ = 0;
  std::uint64_t all_ = 0;
};

}  // namespace dfaas
