// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/control/credits.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr double credit_min = -0.9;
constexpr double credit_max = 4;
constexpr double seconds_max = 1e12;
constexpr double forgotten_seconds = 0.001;
constexpr std::size_t accounts_max = 1000;
constexpr std::size_t bytes_max = 1U << 20U;

}  // namespace

void CreditLedger::add(const std::string& organisation, const CreditAccount& work) {
  if (work.for_us <= 0 && work.for_them <= 0) return;
  if (accounts_.size() >= accounts_max && !accounts_.contains(organisation)) return;
  CreditAccount& account = accounts_[organisation];
  account.for_us = std::min(account.for_us + std::max(0.0, work.for_us), seconds_max);
  account.for_them = std::min(account.for_them + std::max(0.0, work.for_them), seconds_max);
}

void CreditLedger::forget(Micros passed) {
  const double kept = std::exp(-std::max(0.0, to_seconds(passed)) / to_seconds(rules_.memory));
  for (auto& [organisation, account] : accounts_) {
    account.for_us *= kept;
    account.for_them *= kept;
  }
  std::erase_if(accounts_, [](const auto& entry) {
    return entry.second.for_us + entry.second.for_them < forgotten_seconds;
  });
}

double CreditLedger::weight_of(const std::string& organisation) const {
  const auto found = accounts_.find(organisation);
  if (found == accounts_.end()) return 1;
  double balance = found->second.for_us - found->second.for_them;
  if (balance < 0) balance = std::min(0.0, balance + rules_.allowance_seconds);
  return 1 + std::clamp(balance / rules_.scale_seconds, credit_min, credit_max);
}

std::string credits_to_json(const SavedCredits& saved) {
  nlohmann::json accounts = nlohmann::json::array();
  for (const auto& [organisation, account] : saved.accounts) {
    accounts.push_back({{"organisation", organisation},
                        {"for_us_s", account.for_us},
                        {"for_them_s", account.for_them}});
  }
  return json_text({{"unix_s", saved.unix_seconds}, {"accounts", accounts}});
}

Result<SavedCredits> credits_from_json(std::string_view text) {
  SavedCredits saved;
  const auto read = parse_json_object(text, bytes_max, [&saved](const Fields& fields) {
    saved.unix_seconds = fields.integer("unix_s", 0, INT64_MAX);
    constexpr std::size_t name_length_max = 64;
    for (const Fields& entry : fields.objects("accounts", accounts_max)) {
      saved.accounts[entry.text("organisation", name_length_max)] = {
          .for_us = entry.number("for_us_s", 0, seconds_max),
          .for_them = entry.number("for_them_s", 0, seconds_max)};
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("credits"));
  return saved;
}

}  // namespace dfaas
