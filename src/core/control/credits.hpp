// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What organisations did for us and we for them, and the weight that it gives them where not all can have
/// what they ask for.
///
/// Input       Work in seconds of slot time.
/// Guarantees  Weights lie in [0.1, 5]. A newcomer has weight 1, and so has one that took up to the allowance
///             more than it gave. Our own organisation is never behind another one.
/// Source      docs/decisions/0026-what-a-node-accepts-from-whom.md.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

struct CreditAccount {
  double for_us = 0;  ///< Seconds of slot time.
  double for_them = 0;

  friend bool operator==(const CreditAccount&, const CreditAccount&) = default;
};

struct CreditRules {
  double scale_seconds = 600;              ///< A balance of so much doubles the weight.
  double allowance_seconds = 300;          ///< Debts up to this do not count.
  Micros memory = std::chrono::hours{24};  ///< Time constant of forgetting.
};

class CreditLedger {
 public:
  explicit CreditLedger(std::map<std::string, CreditAccount> accounts = {}, CreditRules rules = {})
      : rules_(rules), accounts_(std::move(accounts)) {}

  void add(const std::string& organisation, const CreditAccount& work);
  /// What is old counts less.
  void forget(Micros passed);

  [[nodiscard]] double weight_of(const std::string& organisation) const;
  [[nodiscard]] const std::map<std::string, CreditAccount>& accounts() const { return accounts_; }

 private:
  CreditRules rules_;
  std::map<std::string, CreditAccount> accounts_;
};

/// The form in which an agent keeps them: what a restart must not forget, and when it was so.
struct SavedCredits {
  std::int64_t unix_seconds = 0;
  std::map<std::string, CreditAccount> accounts;
};

std::string credits_to_json(const SavedCredits& saved);
/// Errors: invalid_input naming the field, its value and what is allowed.
Result<SavedCredits> credits_from_json(std::string_view text);

}  // namespace dfaas
