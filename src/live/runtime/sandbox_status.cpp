// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/sandbox_status.hpp"

#include <nlohmann/json.hpp>

namespace dfaas {

std::string sandbox_json(const SandboxReport& report) {
  return nlohmann::json{{"tier", to_text(report.tier)},
                        {"limits", to_text(report.limits)},
                        {"memory", report.memory ? "per function" : "per process"},
                        {"cpu", report.cpu},
                        {"notes", report.notes}}
      .dump();
}

}  // namespace dfaas
