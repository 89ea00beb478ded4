// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Asynchronous calls as data: what is queued, how it stands, how many there are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/http/message.hpp"
#include "core/openfaas/asynchronous.hpp"

namespace dfaas {

enum class AsyncState : std::uint8_t {
  waiting = 0,
  running = 1,
  done = 2,       ///< The function answered below 400, and the callback, if any, was taken.
  failed = 3,     ///< No further try: a dead letter.
  cancelled = 4,  ///< Before or while it ran.
};

std::string_view to_text(AsyncState state);
/// Nothing for another word.
std::optional<AsyncState> parse_async_state(std::string_view text);

struct AsyncCall {
  std::string call_id;  ///< As the caller gave it, so perhaps not the only one of this id.
  FunctionName function;
  std::string target;  ///< Behind the function's name: path and query.
  Headers headers;
  std::string body;
  std::string callback;  ///< A URL that was checked, or empty.
};

/// A call that was taken from the queue to be delivered.
struct ClaimedCall {
  std::int64_t number = 0;
  int attempts = 0;  ///< This one included.
  std::int64_t created_ms = 0;
  AsyncCall call;
};

/// How one attempt, or the whole call, ended.
struct AsyncEnd {
  std::int64_t number = 0;
  AsyncState state = AsyncState::done;  ///< `waiting`: try again at `due_ms`.
  std::int64_t due_ms = 0;
  int attempts = 0;
  int status = 0;
  std::string reason;
};

struct AsyncStatus {
  std::string call_id;
  std::string function;
  AsyncState state = AsyncState::waiting;
  int attempts = 0;
  int status = 0;  ///< Of the last attempt; 0 before its end.
  std::string reason;
  std::int64_t created_ms = 0;  ///< Wall clock.
  std::int64_t changed_ms = 0;  ///< When it ended; while it waits, when it is due.
};

std::string async_status_json(const AsyncStatus& status);

/// What the queue keeps to for a function.
struct AsyncPolicy {
  RetryPolicy retry;
  int concurrency = 4;     ///< Deliveries at once.
  Millis timeout{60'000};  ///< Of one run.
};

struct AsyncCounters {
  std::uint64_t waiting = 0;
  std::uint64_t running = 0;
  std::uint64_t accepted = 0;  ///< This and the following since the start.
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t retried = 0;
};

}  // namespace dfaas
