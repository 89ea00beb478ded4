// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Asynchronous calls on disk. One thread uses it; changes are made between begin() and commit().
///
/// Guarantees  What commit() confirmed is on disk, also after a power cut. A call that was running when the
///             process died is waiting again when the file is opened.
/// Errors      Of the database: remembered until commit(), which then takes everything back.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "live/async/async_call.hpp"

namespace dfaas {

class AsyncStore {
 public:
  /// How many calls of a function wait, and when the first is due.
  struct Line {
    std::uint64_t waiting = 0;
    std::int64_t due_ms = 0;
  };

  /// Errors: unavailable naming the file and the reason.
  static Result<AsyncStore> open(const std::filesystem::path& file);
  ~AsyncStore();
  AsyncStore(AsyncStore&&) noexcept;
  AsyncStore& operator=(AsyncStore&&) noexcept;
  AsyncStore(const AsyncStore&) = delete;
  AsyncStore& operator=(const AsyncStore&) = delete;

  void begin();
  /// Errors: unavailable: nothing since begin() has happened.
  Result<void> commit();

  void insert(const AsyncCall& call, std::int64_t now_ms);
  /// Takes up to `count` due calls of the function, oldest first; each counts as an attempt.
  std::vector<ClaimedCall> claim(const std::string& function, std::int64_t now_ms, int count);
  void finish(const AsyncEnd& end, std::int64_t now_ms);
  /// Those of this id that wait; returns how many.
  int cancel_waiting(const std::string& call_id, std::int64_t now_ms);
  /// Dead letters of this id wait again, as if new; returns how many.
  int retry_failed(const std::string& call_id, std::int64_t now_ms);
  /// Forgets ended calls beyond `done_max` and `failed_max`, and those that ended before `before_ms`
  /// (done, cancelled) and `failed_before_ms`.
  void prune(std::int64_t before_ms, std::int64_t failed_before_ms, int done_max, int failed_max);

  /// The newest with this id.
  std::optional<AsyncStatus> find(const std::string& call_id);
  /// Newest first, of this state.
  std::vector<AsyncStatus> list(AsyncState state, const std::string& function, int count_max);
  /// When the next call of the function is due; nothing where none waits.
  std::optional<std::int64_t> next_due(const std::string& function);
  std::map<std::string, Line> lines();

 private:
  struct State;
  explicit AsyncStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
