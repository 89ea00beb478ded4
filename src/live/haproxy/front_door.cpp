// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/haproxy/front_door.hpp"

#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "core/base/text.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr Millis command_patience{2'000};
constexpr std::size_t answer_bytes_max = 4U << 20U;

asio::awaitable<Result<std::string>> talk(asio::any_io_executor executor, std::string path,
                                          std::string line) {
  asio::local::stream_protocol::socket socket(executor);
  const auto [connect_error] =
      co_await socket.async_connect(asio::local::stream_protocol::endpoint(path), as_result);
  if (connect_error) {
    co_return fail(ErrorCode::unavailable,
                   fmt::format("HAProxy at {}: {}", path, connect_error.message()));
  }
  line += '\n';
  const auto [write_error, written] =
      co_await asio::async_write(socket, asio::buffer(line), as_result);
  if (write_error) {
    co_return fail(ErrorCode::unavailable,
                   fmt::format("HAProxy at {}: {}", path, write_error.message()));
  }
  std::string answer;
  std::array<char, 4096> piece{};
  for (;;) {
    const auto [error, bytes] = co_await socket.async_read_some(asio::buffer(piece), as_result);
    if (error) co_return answer;  // HAProxy closes after one answer.
    answer.append(piece.data(), bytes);
    if (answer.size() > answer_bytes_max) {
      co_return fail(ErrorCode::overloaded, "HAProxy answers without end");
    }
  }
}

/// The value of "Name: value" in the answer of "show info".
std::string_view value_of(std::string_view text, std::string_view name) {
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      return trim(line.substr(name.size() + 1));
    }
  }
  return {};
}

/// HAProxy answers changes with silence, or with what it did, or with a complaint.
bool is_complaint(std::string_view answer) {
  for (const std::string_view line : split(answer, '\n')) {
    const std::string_view text = trim(line);
    if (text.empty() || text.find("changed from") != std::string_view::npos ||
        text.find("no need to change") != std::string_view::npos) {
      continue;
    }
    return true;
  }
  return false;
}

}  // namespace

FrontDoor::FrontDoor(asio::any_io_executor executor, std::filesystem::path socket,
                     std::filesystem::path maps)
    : executor_(std::move(executor)), socket_(std::move(socket)), maps_(std::move(maps)) {}

asio::awaitable<Result<std::string>> FrontDoor::command(std::string line) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the only way to reach them.
  asio::steady_timer timer(executor_, command_patience);
  auto first = co_await (talk(executor_, socket_.string(), line) || timer.async_wait(as_result));
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  co_return fail(ErrorCode::timed_out, fmt::format("HAProxy did not answer {}", in_quotes(line)));
}

Result<void> FrontDoor::write_maps() const {
  std::string members;
  std::string names;
  for (const auto& [slot, admission] : admissions_) {
    members += fmt::format("{} {}\n", admission.fingerprint, admission.id.text());
    names += fmt::format("p{} {}\n", slot, admission.id.text());
  }
  if (auto written = write_file(maps_ / "members.map", members, 0600); !written) return written;
  return write_file(maps_ / "cn.map", names, 0600);
}

asio::awaitable<Result<void>> FrontDoor::set_up(int slot, Admission admission) {
  const std::string members = (maps_ / "members.map").string();
  const std::string names = (maps_ / "cn.map").string();
  const std::string id = admission.id.text();
  // The maps of a running HAProxy may or may not have the line: delete, then add, in one command each.
  const std::vector<std::string> lines{
      fmt::format("set server peers/p{} state maint", slot),
      fmt::format("del map {} {}; add map {} {} {}", members, admission.fingerprint, members,
                  admission.fingerprint, id),
      fmt::format("del map {} p{}; add map {} p{} {}", names, slot, names, slot, id),
      fmt::format("set server peers/p{} addr {} port {}", slot, admission.address, admission.port),
      fmt::format("set server peers/p{} state ready", slot)};
  for (const std::string& line : lines) {
    auto answer = co_await command(line);
    if (!answer) co_return pass_on(std::move(answer));
    const bool may_complain = line.starts_with("del map");  // Of a key that was not there.
    if (!may_complain && is_complaint(*answer)) {
      co_return fail(ErrorCode::unavailable, fmt::format("HAProxy refused {}: {}", in_quotes(line),
                                                         in_quotes(trim(*answer), 200)));
    }
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> FrontDoor::admit(int slot, Admission admission) {
  admissions_[slot] = admission;
  if (auto written = write_maps(); !written) co_return written;
  co_return co_await set_up(slot, std::move(admission));
}

asio::awaitable<Result<void>> FrontDoor::dismiss(int slot) {
  const auto found = admissions_.find(slot);
  if (found == admissions_.end()) co_return Result<void>{};
  const Admission gone = found->second;
  admissions_.erase(found);
  if (auto written = write_maps(); !written) co_return written;
  for (const std::string& line :
       {fmt::format("set server peers/p{} state maint", slot),
        fmt::format("shutdown sessions server peers/p{}", slot),
        fmt::format("del map {} {}", (maps_ / "members.map").string(), gone.fingerprint),
        fmt::format("del map {} p{}", (maps_ / "cn.map").string(), slot)}) {
    if (auto answer = co_await command(line); !answer) co_return pass_on(std::move(answer));
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> FrontDoor::refresh() {
  auto info = co_await command("show info");
  if (!info) co_return pass_on(std::move(info));
  const std::string pid(value_of(*info, "Pid"));
  if (pid == pid_) co_return Result<void>{};
  const std::map<int, Admission> wanted = admissions_;  // It may change while we wait.
  for (const auto& [slot, admission] : wanted) {
    if (auto done = co_await set_up(slot, admission); !done) co_return done;
  }
  pid_ = pid;
  co_return Result<void>{};
}

}  // namespace dfaas
