// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/function_store.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <utility>

#include <fmt/format.h>

namespace dfaas {
namespace {

constexpr int schema_version = 3;

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

std::string column(const Statement& statement, int at) {
  // NOLINTNEXTLINE: SQLite's text is bytes.
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), at));
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

struct FunctionStore::State {
  std::unique_ptr<sqlite3, CloseDatabase> database;
  std::string file;

  tl::unexpected<Error> failed() const {
    return fail(ErrorCode::unavailable,
                fmt::format("{}: {}", file, sqlite3_errmsg(database.get())));
  }

  Result<void> execute(const char* sql) const {
    if (sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed();
    return {};
  }

  Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database.get(), sql, -1, &statement, nullptr) != SQLITE_OK) {
      return failed();
    }
    return Statement(statement);
  }

  /// Runs `sql` with these texts in place of its question marks.
  Result<void> run(const char* sql, std::initializer_list<std::string> texts) const {
    auto statement = prepare(sql);
    if (!statement) return pass_on(std::move(statement));
    int at = 0;
    for (const std::string& text : texts) {
      sqlite3_bind_text(statement->get(), ++at, text.data(), static_cast<int>(text.size()),
                        SQLITE_TRANSIENT);
    }
    if (sqlite3_step(statement->get()) != SQLITE_DONE) return failed();
    return {};
  }
};

FunctionStore::FunctionStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
FunctionStore::~FunctionStore() = default;
FunctionStore::FunctionStore(FunctionStore&&) noexcept = default;
FunctionStore& FunctionStore::operator=(FunctionStore&&) noexcept = default;

Result<FunctionStore> FunctionStore::open(const std::filesystem::path& file) {
  auto state = std::make_unique<State>();
  state->file = file.string();
  sqlite3* database = nullptr;
  const mode_t before = ::umask(0077);
  const int opened =
      sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  ::umask(before);
  state->database.reset(database);
  if (opened != SQLITE_OK) return state->failed();
  sqlite3_busy_timeout(database, 5000);
  for (const char* sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"}) {
    if (auto done = state->execute(sql); !done) return pass_on(std::move(done));
  }
  auto statement = state->prepare("PRAGMA user_version");
  if (!statement) return pass_on(std::move(statement));
  sqlite3_step(statement->get());
  const int version = sqlite3_column_int(statement->get(), 0);
  if (version > schema_version) {
    return fail(ErrorCode::unavailable,
                fmt::format("{} was written by a newer release (form {}, this one knows {})",
                            state->file, version, schema_version));
  }
  statement->reset();
  const char* const since_1 =
      "CREATE TABLE IF NOT EXISTS functions (name TEXT PRIMARY KEY, deployment TEXT NOT NULL, "
      "created_at TEXT NOT NULL) STRICT";
  const char* const since_2 =
      "ALTER TABLE functions ADD COLUMN replicas INTEGER; "
      "CREATE TABLE namespaces (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT; "
      "PRAGMA user_version=2";
  const char* const since_3 =
      "ALTER TABLE functions ADD COLUMN image TEXT NOT NULL DEFAULT ''; PRAGMA user_version=3";
  if (auto done = state->execute("BEGIN IMMEDIATE"); !done) return pass_on(std::move(done));
  if (auto done = state->execute(since_1); !done) return pass_on(std::move(done));
  if (version < 2) {
    if (auto done = state->execute(since_2); !done) return pass_on(std::move(done));
  }
  if (version < 3) {
    if (auto done = state->execute(since_3); !done) return pass_on(std::move(done));
  }
  if (auto done = state->execute("COMMIT"); !done) return pass_on(std::move(done));
  return FunctionStore(std::move(state));
}

Result<void> FunctionStore::put(const FunctionDeployment& deployment, const std::string& created_at,
                                const std::string& image_digest) {
  return state_->run(
      "INSERT INTO functions (name, deployment, created_at, image) VALUES (?, ?, ?, ?) ON CONFLICT "
      "(name) DO UPDATE SET deployment = excluded.deployment, image = excluded.image",
      {deployment.function.full(), deployment_to_json(deployment), created_at, image_digest});
}

Result<void> FunctionStore::remove(const FunctionName& function) {
  return state_->run("DELETE FROM functions WHERE name = ?", {function.full()});
}

Result<void> FunctionStore::set_replicas(const FunctionName& function, int replicas) {
  return state_->run("UPDATE functions SET replicas = CAST(? AS INTEGER) WHERE name = ?",
                     {std::to_string(replicas), function.full()});
}

Result<std::vector<StoredFunction>> FunctionStore::all() {
  auto statement = state_->prepare(
      "SELECT deployment, created_at, replicas, image FROM functions ORDER BY name");
  if (!statement) return pass_on(std::move(statement));
  std::vector<StoredFunction> functions;
  for (;;) {
    const int step = sqlite3_step(statement->get());
    if (step == SQLITE_DONE) return functions;
    if (step != SQLITE_ROW) return state_->failed();
    auto deployment = deployment_from_json(column(*statement, 0));
    if (!deployment) return tl::unexpected(std::move(deployment).error().within(state_->file));
    StoredFunction function{.deployment = std::move(*deployment),
                            .created_at = column(*statement, 1),
                            .replicas = std::nullopt,
                            .image_digest = column(*statement, 3)};
    if (sqlite3_column_type(statement->get(), 2) == SQLITE_INTEGER) {
      function.replicas = sqlite3_column_int(statement->get(), 2);
    }
    functions.push_back(std::move(function));
  }
}

Result<void> FunctionStore::put_namespace(const Namespace& space) {
  return state_->run(
      "INSERT INTO namespaces (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = "
      "excluded.body",
      {space.name, namespace_json(space)});
}

Result<void> FunctionStore::remove_namespace(const std::string& name) {
  return state_->run("DELETE FROM namespaces WHERE name = ?", {name});
}

Result<std::vector<Namespace>> FunctionStore::namespaces() {
  auto statement = state_->prepare("SELECT body FROM namespaces ORDER BY name");
  if (!statement) return pass_on(std::move(statement));
  std::vector<Namespace> spaces;
  for (;;) {
    const int step = sqlite3_step(statement->get());
    if (step == SQLITE_DONE) return spaces;
    if (step != SQLITE_ROW) return state_->failed();
    auto space = namespace_from_json(column(*statement, 0));
    if (!space) return tl::unexpected(std::move(space).error().within(state_->file));
    spaces.push_back(std::move(*space));
  }
}

}  // namespace dfaas
