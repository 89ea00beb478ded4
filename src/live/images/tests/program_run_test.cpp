// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/images/program_run.hpp"

#include <csignal>
#include <optional>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>

#include "live/net/task_group.hpp"

namespace dfaas {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
namespace asio = boost::asio;

using Ended = std::optional<Result<ProgramEnd>>;

asio::awaitable<void> run_into(asio::any_io_executor executor, ProgramCall call, Ended* ended) {
  *ended = co_await run_program(executor, std::move(call));
}

Result<ProgramEnd> run(ProgramCall call) {
  asio::io_context context;
  TaskGroup tasks(context.get_executor());
  Ended ended;
  tasks.spawn(run_into(context.get_executor(), std::move(call), &ended));
  context.run();
  return std::move(*ended);
}

ProgramCall shell(const std::string& script) {
  return {.arguments = {"/bin/sh", "-c", script}, .environment = {"WORD=kept"}};
}

asio::awaitable<Result<void>> refuse() {
  co_return fail(ErrorCode::overloaded, "the watcher says no");
}

TEST(RunProgram, TellsOutputErrorsAndStatus) {
  auto call = shell("echo $WORD; pwd; echo wrong >&2; exit 3");
  call.directory = "/usr";
  const auto ended = run(std::move(call));
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->status, 3);
  EXPECT_EQ(ended->output, "kept\n/usr\n");
  EXPECT_EQ(ended->errors, "wrong\n");
}

TEST(RunProgram, KeepsTheEndOfLongErrors) {
  const auto ended = run(shell("yes complaint | head -n 20000 >&2; echo last >&2"));
  ASSERT_TRUE(ended);
  EXPECT_LT(ended->errors.size(), 10'000U);
  EXPECT_THAT(ended->errors, EndsWith("complaint\nlast\n"));
}

TEST(RunProgram, MissingProgramIsAnError) {
  const auto ended = run({.arguments = {"/nowhere/program"}});
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message, HasSubstr("/nowhere/program"));
}

TEST(RunProgram, DeadlineOutputAndWatcherEndIt) {
  auto slow = shell("sleep 1000");
  slow.patience = Millis{50};
  EXPECT_EQ(run(std::move(slow)).error().code, ErrorCode::timed_out);
  auto loud = shell("yes");
  loud.output_bytes_max = 1000;
  EXPECT_EQ(run(std::move(loud)).error().code, ErrorCode::overloaded);
  auto watched = shell("sleep 1000");
  watched.watch = refuse;
  EXPECT_EQ(run(std::move(watched)).error().message, "the watcher says no");
}

TEST(RunProgram, FilesAreBounded) {
  auto call = shell(
      "f=$(mktemp); while [ $(ulimit -f) = unlimited ]; do :; done; dd if=/dev/zero of=$f bs=4096 "
      "count=100; s=$?; stat -c %s $f; rm $f; "
      "exit $s");
  call.file_bytes_max = 8192;
  call.environment = {"PATH=/usr/bin:/bin"};
  const auto ended = run(std::move(call));
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_NE(ended->status, 0);
  EXPECT_EQ(ended->output, "8192\n");
}

TEST(RunProgram, WhatItLeavesBehindDoesNotHoldTheAnswer) {
  const auto ended = run(shell("sleep 1000 & echo $!"));
  ASSERT_TRUE(ended) << ended.error().message;
  const int pid = std::stoi(ended->output);
  // Gone, or a zombie that whoever adopted it has not collected yet.
  for (int tries = 0; tries < 1000 && ::kill(pid, 0) == 0; ++tries) {
    if (run(shell("grep -q 'State:.Z' /proc/" + std::to_string(pid) + "/status"))->status == 0)
      return;
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

}  // namespace
}  // namespace dfaas
