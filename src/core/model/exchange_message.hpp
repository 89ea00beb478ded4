// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What agents of neighbouring nodes tell each other twice a second: one request and its answer.
///
/// Use     The request carries what the sender has and asks for; the answer carries what the
///         receiver has, and its grants for the sender. A grant counts only as the answer to one's
///         own request.
/// Form    JSON; durations are integers in ms, rates in requests/s. Unknown fields are ignored, an
///         unknown version is refused. docs/reference/exchange.md holds the schema.
/// Limits  64 KiB of text, 1000 functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/base/shared_list.hpp"
#include "core/base/units.hpp"
#include "core/model/function.hpp"

namespace dfaas {

inline constexpr int exchange_version = 1;
inline constexpr std::size_t exchange_bytes_max = 64 * 1024;
/// Of a message, and of a plan.
inline constexpr std::size_t functions_max = 1000;

/// A function as its node announces it.
struct FunctionOffer {
  FunctionName function;
  std::string digest;
  int slots = 0;
  Millis service_time{0};  ///< 0 while unknown.
  Sharing share = Sharing::organisation;
  std::vector<std::string>
      share_with;    ///< With `organisation`: others that it is shared with; sorted.
  std::string pool;  ///< Offers of one node that name one pool share its slots; empty: its own.
  Rate arrivals;     ///< Of its own users, smoothed; 0 while unknown.

  [[nodiscard]] ShareTerms terms() const { return {.share = share, .with = share_with}; }

  friend bool operator==(const FunctionOffer&, const FunctionOffer&) = default;
};

struct FunctionAsk {
  FunctionName function;
  Rate rate;  ///< What the sender would like to send to the receiver.

  friend bool operator==(const FunctionAsk&, const FunctionAsk&) = default;
};

struct FunctionGrant {
  FunctionName function;
  Rate granted;  ///< <= the ask.
  Rate left;     ///< Pre-granted on top, for bursts between two exchanges.

  friend bool operator==(const FunctionGrant&, const FunctionGrant&) = default;
};

struct ExchangeMessage {
  std::string boot;            ///< Random per agent start: 1 to 64 of [a-z0-9].
  std::uint64_t sequence = 0;  ///< Grows within one boot.
  Millis lifetime{6000};       ///< How long the receiver may rely on this, by its own clock.
  NodeName name;               ///< The sender's name for people.
  bool draining = false;       ///< The sender is about to stop: send it nothing new.
  SharedList<FunctionOffer> functions;  ///< Sorted by function; the same for all neighbours.
  std::vector<FunctionAsk> asks;        ///< Sorted by function; in requests.
  std::vector<FunctionGrant> grants;    ///< Sorted by function; in answers.

  friend bool operator==(const ExchangeMessage&, const ExchangeMessage&) = default;
};

/// Never longer than exchange_bytes_max: what does not fit is left out, leftovers first, then grants,
/// asks and functions, each from the end.
std::string exchange_to_json(const ExchangeMessage& message);

/// Errors: invalid_input naming the field, its value and what is allowed; also for text that is too
/// long, too deep or not JSON, and for a version other than exchange_version.
Result<ExchangeMessage> exchange_from_json(std::string_view text);

}  // namespace dfaas
