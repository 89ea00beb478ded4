// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The parts of the gateway that need no gateway around them.
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>

#include "live/files/files.hpp"
#include "live/gateway/function_logs.hpp"
#include "live/gateway/secret_store.hpp"
#include "live/runtime/function_store.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;

// --- logs

TEST(LineSplitter, GivesWholeLinesHoweverTheyCome) {
  LineSplitter splitter;
  EXPECT_TRUE(splitter.add("fir").empty());
  EXPECT_EQ(splitter.add("st\r\nsecond\n\nth"), (std::vector<std::string>{"first", "second", ""}));
  EXPECT_EQ(splitter.finish(), (std::vector<std::string>{"th"}));
  EXPECT_TRUE(splitter.finish().empty());
}

TEST(LineSplitter, CutsALineThatNeverEnds) {
  LineSplitter splitter;
  std::size_t bytes = 0;
  for (int at = 0; at < 100; ++at) {
    for (const std::string& line : splitter.add(std::string(1000, 'x'))) {
      EXPECT_LE(line.size(), LineSplitter::line_bytes_max);
      bytes += line.size();
    }
  }
  for (const std::string& line : splitter.finish()) bytes += line.size();
  EXPECT_EQ(bytes, 100'000U);
}

class FunctionLogsTest : public testing::Test {
 protected:
  FunctionName function = *FunctionName::parse("f");
  boost::asio::io_context context;
  boost::asio::steady_timer wake{context};
  FunctionLogs logs;

  void write(std::string text) {
    logs.write(function, {.time = {}, .instance = "n", .text = std::move(text)});
  }
};

TEST_F(FunctionLogsTest, KeepsTheNewestWithinItsBounds) {
  for (std::size_t at = 0; at < 2 * FunctionLogs::lines_max; ++at) write(std::to_string(at));
  auto lines = logs.read(function, &wake)->take();
  ASSERT_EQ(lines.size(), FunctionLogs::lines_max);
  EXPECT_EQ(lines.back().text, std::to_string(2 * FunctionLogs::lines_max - 1));

  for (int at = 0; at < 100; ++at) write(std::string(5'000, 'x'));
  lines = logs.read(function, &wake)->take();
  std::size_t bytes = 0;
  for (const LogLine& line : lines) bytes += line.text.size();
  EXPECT_LE(bytes, FunctionLogs::bytes_max);
  EXPECT_GT(bytes, FunctionLogs::bytes_max / 2);
}

TEST_F(FunctionLogsTest, AReaderGetsEachLineOnceAndIsWoken) {
  write("before");
  const auto reader = logs.read(function, &wake);
  EXPECT_EQ(reader->take().size(), 1U);
  EXPECT_TRUE(reader->take().empty());
  bool is_woken = false;
  wake.expires_at(boost::asio::steady_timer::time_point::max());
  wake.async_wait([&is_woken](const boost::system::error_code&) { is_woken = true; });
  write("after");
  context.run();
  EXPECT_TRUE(is_woken);
  const auto lines = reader->take();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines.front().text, "after");
}

TEST_F(FunctionLogsTest, ASlowReaderMissesWhatFellOut) {
  const auto reader = logs.read(function, &wake);
  for (std::size_t at = 0; at < 3 * FunctionLogs::lines_max; ++at) write("x");
  EXPECT_EQ(reader->take().size(), FunctionLogs::lines_max);
}

TEST_F(FunctionLogsTest, ARemovedFunctionEndsItsReadersAndForgets) {
  write("old");
  const auto reader = logs.read(function, &wake);
  logs.forget(function);
  EXPECT_TRUE(reader->closed());
  EXPECT_TRUE(logs.read(function, &wake)->take().empty());
}

// --- secrets

class SecretStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "dfaas-secrets-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root = fs::path(pattern) / "secrets";
    store = std::make_unique<SecretStore>(SecretStore::open(root).value());
  }
  void TearDown() override { fs::remove_all(root.parent_path()); }

  static SecretName named(std::string_view name, std::string_view space = "") {
    return SecretName::parse(name, space).value();
  }
  static mode_t mode_of(const fs::path& path) {
    struct stat facts{};
    EXPECT_EQ(::stat(path.c_str(), &facts), 0) << path;
    return facts.st_mode & 0777U;
  }

  fs::path root;
  std::unique_ptr<SecretStore> store;
  FunctionName function = *FunctionName::parse("f");
};

TEST_F(SecretStoreTest, CreatesUpdatesListsAndRemoves) {
  ASSERT_TRUE(store->create(named("b"), "1"));
  ASSERT_TRUE(store->create(named("a"), "2"));
  ASSERT_TRUE(store->create(named("a", "other"), "3"));
  EXPECT_EQ(store->create(named("a"), "4").error().code, ErrorCode::conflict);
  EXPECT_EQ(store->list("").size(), 3U);
  EXPECT_EQ(store->list("openfaas-fn"), (std::vector{named("a"), named("b")}));
  EXPECT_EQ(store->update(named("c"), "5").error().code, ErrorCode::not_found);
  EXPECT_TRUE(store->remove(named("b")));
  EXPECT_EQ(store->remove(named("b")).error().code, ErrorCode::not_found);
  EXPECT_TRUE(SecretStore::open(root).value().has(named("a"))) << "kept over a restart";
}

TEST_F(SecretStoreTest, AFunctionSeesWhatItNamedAndNothingElse) {
  ASSERT_TRUE(store->create(named("a"), "1"));
  ASSERT_TRUE(store->create(named("b"), "2"));
  const auto both = store->grant(function, {"a", "b"});
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(read_file(*both / "b").value(), "2");
  const auto one = store->grant(function, {"a"});
  ASSERT_TRUE(one);
  EXPECT_EQ(*one, *both);
  EXPECT_FALSE(fs::exists(*one / "b"));
  EXPECT_EQ(mode_of(*one), 0700U);
  EXPECT_EQ(mode_of(*one / "a"), 0600U);
  EXPECT_EQ(mode_of(root / "values" / "openfaas-fn" / "a"), 0600U);
  store->revoke(function);
  EXPECT_FALSE(fs::exists(*one));
}

TEST_F(SecretStoreTest, AnUnknownSecretIsNotGrantedAndChangesNothing) {
  ASSERT_TRUE(store->create(named("a"), "1"));
  const auto before = store->grant(function, {"a"});
  const auto refused = store->grant(function, {"nobody"});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("nobody"), std::string::npos);
  EXPECT_TRUE(fs::exists(*before / "a"));
}

TEST_F(SecretStoreTest, AnUpdateReachesTheFunctionsOfItsNamespaceOnly) {
  ASSERT_TRUE(store->create(named("a"), "old"));
  ASSERT_TRUE(store->create(named("a", "other"), "theirs"));
  const auto ours = store->grant(function, {"a"});
  const auto theirs = store->grant(FunctionName::parse("f", "other").value(), {"a"});
  ASSERT_TRUE(store->update(named("a"), "new"));
  EXPECT_EQ(read_file(*ours / "a").value(), "new");
  EXPECT_EQ(read_file(*theirs / "a").value(), "theirs");
}

TEST_F(SecretStoreTest, TakesAnyBytesAndANameLikeADraft) {
  const std::string bytes("\0\n\xff", 3);
  ASSERT_TRUE(store->create(named("a.new"), "kept"));
  ASSERT_TRUE(store->create(named("a"), bytes));
  ASSERT_TRUE(store->update(named("a"), bytes));
  EXPECT_EQ(read_file(root / "values" / "openfaas-fn" / "a.new").value(), "kept");
  EXPECT_EQ(read_file(root / "values" / "openfaas-fn" / "a").value(), bytes);
}

// --- desired state

TEST(FunctionStoreTest, KeepsReplicasAndNamespacesAndReadsTheFirstForm) {
  std::string pattern = testing::TempDir() + "dfaas-store-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const fs::path file = fs::path(pattern) / "functions.db";
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database,
                         "CREATE TABLE functions (name TEXT PRIMARY KEY, deployment TEXT NOT NULL, "
                         "created_at TEXT NOT NULL) STRICT; INSERT INTO functions VALUES "
                         "('f.openfaas-fn', '{\"service\":\"f\",\"image\":\"host:cat\"}', 'then'); "
                         "PRAGMA user_version=1",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  {
    auto store = FunctionStore::open(file);
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_FALSE(store->all()->at(0).replicas);
    EXPECT_EQ(store->all()->at(0).image_digest, "");
    ASSERT_TRUE(store->set_replicas(FunctionName::parse("f").value(), 5));
    ASSERT_TRUE(store->put_namespace({.name = "team", .labels = {{"a", "b"}}}));
    ASSERT_TRUE(store->put_namespace({.name = "gone"}));
    ASSERT_TRUE(store->remove_namespace("gone"));
  }
  auto store = FunctionStore::open(file);
  ASSERT_TRUE(store) << store.error().message;
  const auto functions = store->all();
  ASSERT_EQ(functions->size(), 1U);
  EXPECT_EQ(functions->front().replicas, 5);
  EXPECT_EQ(functions->front().created_at, "then");
  ASSERT_EQ(store->namespaces()->size(), 1U);
  EXPECT_EQ(store->namespaces()->front().labels.at("a"), "b");
  ASSERT_TRUE(store->put(functions->front().deployment, "now"));
  EXPECT_EQ(store->all()->front().replicas, 5) << "an update keeps them";
  ASSERT_TRUE(store->put(functions->front().deployment, "now", "sha256:1"));
  EXPECT_EQ(store->all()->front().image_digest, "sha256:1");
  fs::remove_all(file.parent_path());
}

}  // namespace
}  // namespace dfaas
