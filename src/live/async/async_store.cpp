// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/async/async_store.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/openfaas/logs.hpp"

namespace dfaas {
namespace {

using nlohmann::json;

constexpr int schema_version = 1;

/// Partial indexes: a call costs one entry in each while it waits, and none of the others.
constexpr const char* schema =
    "CREATE TABLE calls (number INTEGER PRIMARY KEY AUTOINCREMENT, call_id TEXT NOT NULL, "
    "function TEXT NOT NULL, target TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL, "
    "callback TEXT NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL, "
    "created_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, status INTEGER NOT NULL, "
    "reason TEXT NOT NULL) STRICT; "
    "CREATE INDEX calls_by_id ON calls (call_id); "
    "CREATE INDEX calls_waiting ON calls (function, due_ms, number) WHERE state = 0; "
    "CREATE INDEX calls_ended ON calls (state, due_ms) WHERE state > 1; "
    "PRAGMA user_version=1";

constexpr const char* status_columns =
    "call_id, function, state, attempts, status, reason, created_ms, due_ms";

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

std::string text_column(sqlite3_stmt* statement, int at) {
  // NOLINTNEXTLINE: SQLite's text is bytes.
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_blob(statement, at));
  const int size = sqlite3_column_bytes(statement, at);
  return text == nullptr ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

/// As lines: the parser of heads let no end of line through, and any other byte is kept as it is.
std::string headers_text(const Headers& headers) {
  std::string text;
  for (const Header& header : headers) {
    text.append(header.name).append(":").append(header.value).append("\n");
  }
  return text;
}

Headers headers_from_text(std::string_view text) {
  Headers headers;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    headers.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
  }
  return headers;
}

AsyncStatus status_of(sqlite3_stmt* statement) {
  return {.call_id = text_column(statement, 0),
          .function = text_column(statement, 1),
          .state = static_cast<AsyncState>(sqlite3_column_int(statement, 2)),
          .attempts = sqlite3_column_int(statement, 3),
          .status = sqlite3_column_int(statement, 4),
          .reason = text_column(statement, 5),
          .created_ms = sqlite3_column_int64(statement, 6),
          .changed_ms = sqlite3_column_int64(statement, 7)};
}

}  // namespace

std::string_view to_text(AsyncState state) {
  switch (state) {
    case AsyncState::waiting:
      return "waiting";
    case AsyncState::running:
      return "running";
    case AsyncState::done:
      return "done";
    case AsyncState::failed:
      return "failed";
    case AsyncState::cancelled:
      return "cancelled";
  }
  return "waiting";
}

std::optional<AsyncState> parse_async_state(std::string_view text) {
  for (const AsyncState state : {AsyncState::waiting, AsyncState::running, AsyncState::done,
                                 AsyncState::failed, AsyncState::cancelled}) {
    if (text == to_text(state)) return state;
  }
  return std::nullopt;
}

std::string async_status_json(const AsyncStatus& status) {
  const auto time = [](std::int64_t ms) { return rfc3339_text(WallTime(Millis{ms})); };
  json out{{"call_id", status.call_id},
           {"function", status.function},
           {"state", to_text(status.state)},
           {"attempts", status.attempts},
           {"created", time(status.created_ms)}};
  if (status.status != 0) out["status"] = status.status;
  if (!status.reason.empty()) out["reason"] = status.reason;
  if (status.state == AsyncState::waiting) out["due"] = time(status.changed_ms);
  if (status.state > AsyncState::running) out["ended"] = time(status.changed_ms);
  return json_text(out);
}

struct AsyncStore::State {
  std::unique_ptr<sqlite3, CloseDatabase> database;
  std::string file;
  std::map<std::string, Statement, std::less<>> statements;
  std::optional<Error> error;  ///< The first since begin().

  Error failure() const {
    return {ErrorCode::unavailable, fmt::format("{}: {}", file, sqlite3_errmsg(database.get()))};
  }

  void remember_failure() {
    if (!error) error = failure();
  }

  Result<void> execute(const char* sql) const {
    if (sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      return tl::unexpected(failure());
    }
    return {};
  }

  /// Compiled once. Null after an error.
  sqlite3_stmt* prepare(std::string_view sql) {
    auto found = statements.find(sql);
    if (found == statements.end()) {
      sqlite3_stmt* statement = nullptr;
      if (sqlite3_prepare_v2(database.get(), sql.data(), static_cast<int>(sql.size()), &statement,
                             nullptr) != SQLITE_OK) {
        remember_failure();
        return nullptr;
      }
      found = statements.emplace(std::string(sql), Statement(statement)).first;
    }
    sqlite3_reset(found->second.get());
    sqlite3_clear_bindings(found->second.get());
    return found->second.get();
  }

  static void bind(sqlite3_stmt* statement, int at, std::int64_t value) {
    sqlite3_bind_int64(statement, at, value);
  }
  static void bind(sqlite3_stmt* statement, int at, const std::string& value) {
    // Every statement is stepped before its values go out of scope.
    sqlite3_bind_text64(statement, at, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
  }

  template <class... Values>
  sqlite3_stmt* bound(std::string_view sql, const Values&... values) {
    sqlite3_stmt* statement = prepare(sql);
    if (statement == nullptr) return nullptr;
    int at = 0;
    (bind(statement, ++at, values), ...);
    return statement;
  }

  /// Runs a statement without rows; the number of rows it changed.
  template <class... Values>
  int change(std::string_view sql, const Values&... values) {
    sqlite3_stmt* statement = bound(sql, values...);
    if (statement == nullptr) return 0;
    const bool is_done = sqlite3_step(statement) == SQLITE_DONE;
    if (!is_done) remember_failure();
    sqlite3_reset(statement);
    return is_done ? sqlite3_changes(database.get()) : 0;
  }

  /// True with a row; at the end the statement is reset.
  bool step(sqlite3_stmt* statement) {
    if (statement == nullptr) return false;
    const int result = sqlite3_step(statement);
    if (result == SQLITE_ROW) return true;
    if (result != SQLITE_DONE) remember_failure();
    sqlite3_reset(statement);
    return false;
  }
};

AsyncStore::AsyncStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
AsyncStore::~AsyncStore() = default;
AsyncStore::AsyncStore(AsyncStore&&) noexcept = default;
AsyncStore& AsyncStore::operator=(AsyncStore&&) noexcept = default;

Result<AsyncStore> AsyncStore::open(const std::filesystem::path& file) {
  auto state = std::make_unique<State>();
  state->file = file.string();
  sqlite3* database = nullptr;
  const mode_t before = ::umask(0077);
  const int opened =
      sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  ::umask(before);
  state->database.reset(database);
  if (opened != SQLITE_OK) return tl::unexpected(state->failure());
  sqlite3_busy_timeout(database, 5000);
  for (const char* sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"}) {
    if (auto done = state->execute(sql); !done) return pass_on(std::move(done));
  }
  int version = 0;
  sqlite3_stmt* statement = state->prepare("PRAGMA user_version");
  if (state->step(statement)) version = sqlite3_column_int(statement, 0);
  if (state->error) return tl::unexpected(*state->error);
  sqlite3_reset(statement);
  if (version > schema_version) {
    return fail(ErrorCode::unavailable,
                fmt::format("{} was written by a newer release (form {}, this one knows {})",
                            state->file, version, schema_version));
  }
  if (auto done = state->execute("BEGIN IMMEDIATE"); !done) return pass_on(std::move(done));
  if (version == 0) {
    if (auto done = state->execute(schema); !done) return pass_on(std::move(done));
  }
  for (const char* sql : {"UPDATE calls SET state = 0 WHERE state = 1", "COMMIT"}) {
    if (auto done = state->execute(sql); !done) return pass_on(std::move(done));
  }
  return AsyncStore(std::move(state));
}

void AsyncStore::begin() {
  state_->error.reset();
  if (auto begun = state_->execute("BEGIN IMMEDIATE"); !begun) state_->error = begun.error();
}

Result<void> AsyncStore::commit() {
  if (!state_->error) {
    if (auto done = state_->execute("COMMIT"); !done) state_->error = done.error();
  }
  if (!state_->error) return {};
  std::ignore = state_->execute("ROLLBACK");  // There may be nothing to take back.
  return tl::unexpected(*std::exchange(state_->error, std::nullopt));
}

void AsyncStore::insert(const AsyncCall& call, std::int64_t now_ms) {
  sqlite3_stmt* statement = state_->prepare(
      "INSERT INTO calls (call_id, function, target, headers, callback, state, attempts, "
      "created_ms, "
      "due_ms, status, reason, body) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?6, 0, '', ?7)");
  if (statement == nullptr) return;
  const std::string function = call.function.full();
  const std::string headers = headers_text(call.headers);
  State::bind(statement, 1, call.call_id);
  State::bind(statement, 2, function);
  State::bind(statement, 3, call.target);
  State::bind(statement, 4, headers);
  State::bind(statement, 5, call.callback);
  State::bind(statement, 6, now_ms);
  sqlite3_bind_blob64(statement, 7, call.body.data(), call.body.size(), SQLITE_STATIC);
  // A null pointer would bind NULL.
  if (call.body.empty()) sqlite3_bind_zeroblob(statement, 7, 0);
  if (sqlite3_step(statement) != SQLITE_DONE) state_->remember_failure();
  sqlite3_reset(statement);
}

std::vector<ClaimedCall> AsyncStore::claim(const std::string& function, std::int64_t now_ms,
                                           int count) {
  std::vector<ClaimedCall> claimed;
  auto name = FunctionName::parse(function);
  if (!name) return claimed;
  sqlite3_stmt* statement = state_->bound(
      "SELECT number, attempts, created_ms, call_id, target, headers, body, callback FROM calls "
      "WHERE state = 0 AND function = ?1 AND due_ms <= ?2 ORDER BY due_ms, number LIMIT ?3",
      function, now_ms, std::int64_t{count});
  while (state_->step(statement)) {
    claimed.push_back({.number = sqlite3_column_int64(statement, 0),
                       .attempts = sqlite3_column_int(statement, 1) + 1,
                       .created_ms = sqlite3_column_int64(statement, 2),
                       .call = {.call_id = text_column(statement, 3),
                                .function = *name,
                                .target = text_column(statement, 4),
                                .headers = headers_from_text(text_column(statement, 5)),
                                .body = text_column(statement, 6),
                                .callback = text_column(statement, 7)}});
  }
  for (const ClaimedCall& call : claimed) {
    state_->change("UPDATE calls SET state = 1, attempts = ?2 WHERE number = ?1", call.number,
                   std::int64_t{call.attempts});
  }
  return claimed;
}

void AsyncStore::finish(const AsyncEnd& end, std::int64_t now_ms) {
  const auto state = static_cast<std::int64_t>(end.state);
  const bool is_over = end.state > AsyncState::running;
  state_->change(
      "UPDATE calls SET state = ?2, attempts = ?3, due_ms = ?4, status = ?5, reason = ?6 WHERE "
      "number = ?1",
      end.number, state, std::int64_t{end.attempts}, is_over ? now_ms : end.due_ms,
      std::int64_t{end.status}, end.reason);
  if (end.state == AsyncState::done || end.state == AsyncState::cancelled) {
    // Only a dead letter may be wanted again.
    state_->change("UPDATE calls SET body = zeroblob(0), headers = '' WHERE number = ?1",
                   end.number);
  }
}

int AsyncStore::cancel_waiting(const std::string& call_id, std::int64_t now_ms) {
  return state_->change(
      "UPDATE calls SET state = 4, due_ms = ?2, body = zeroblob(0), headers = '' WHERE call_id = "
      "?1 AND state = 0",
      call_id, now_ms);
}

int AsyncStore::retry_failed(const std::string& call_id, std::int64_t now_ms) {
  return state_->change(
      "UPDATE calls SET state = 0, attempts = 0, due_ms = ?2, created_ms = ?2 WHERE call_id = ?1 "
      "AND "
      "state = 3",
      call_id, now_ms);
}

void AsyncStore::prune(std::int64_t before_ms, std::int64_t failed_before_ms, int done_max,
                       int failed_max) {
  const std::pair<AsyncState, std::pair<std::int64_t, int>> rules[] = {
      {AsyncState::done, {before_ms, done_max}},
      {AsyncState::failed, {failed_before_ms, failed_max}},
      {AsyncState::cancelled, {before_ms, done_max}}};
  for (const auto& [state, rule] : rules) {
    const auto number = static_cast<std::int64_t>(state);
    state_->change("DELETE FROM calls WHERE state > 1 AND state = ?1 AND due_ms < ?2", number,
                   rule.first);
    state_->change(
        "DELETE FROM calls WHERE number IN (SELECT number FROM calls WHERE state > 1 AND state = "
        "?1 "
        "ORDER BY due_ms DESC LIMIT -1 OFFSET ?2)",
        number, std::int64_t{rule.second});
  }
}

std::optional<AsyncStatus> AsyncStore::find(const std::string& call_id) {
  static const std::string sql = fmt::format(
      "SELECT {} FROM calls WHERE call_id = ?1 ORDER BY number DESC LIMIT 1", status_columns);
  sqlite3_stmt* statement = state_->bound(sql, call_id);
  if (!state_->step(statement)) return std::nullopt;
  AsyncStatus status = status_of(statement);
  sqlite3_reset(statement);
  return status;
}

std::vector<AsyncStatus> AsyncStore::list(AsyncState state, const std::string& function,
                                          int count_max) {
  static const std::string sql = fmt::format(
      "SELECT {} FROM calls WHERE state = ?1 AND (?2 = '' OR function = ?2) ORDER BY number DESC "
      "LIMIT ?3",
      status_columns);
  std::vector<AsyncStatus> list;
  sqlite3_stmt* statement =
      state_->bound(sql, static_cast<std::int64_t>(state), function, std::int64_t{count_max});
  while (state_->step(statement)) list.push_back(status_of(statement));
  return list;
}

std::optional<std::int64_t> AsyncStore::next_due(const std::string& function) {
  sqlite3_stmt* statement = state_->bound(
      "SELECT due_ms FROM calls WHERE state = 0 AND function = ?1 ORDER BY due_ms LIMIT 1",
      function);
  if (!state_->step(statement)) return std::nullopt;
  const std::int64_t due = sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return due;
}

std::map<std::string, AsyncStore::Line> AsyncStore::lines() {
  std::map<std::string, Line> lines;
  sqlite3_stmt* statement = state_->prepare(
      "SELECT function, COUNT(*), MIN(due_ms) FROM calls WHERE state = 0 GROUP BY function");
  while (state_->step(statement)) {
    lines[text_column(statement, 0)] = {
        .waiting = static_cast<std::uint64_t>(sqlite3_column_int64(statement, 1)),
        .due_ms = sqlite3_column_int64(statement, 2)};
  }
  return lines;
}

}  // namespace dfaas
