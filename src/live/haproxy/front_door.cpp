// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/haproxy/front_door.hpp"

#include <algorithm>
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
#include "core/haproxy/runtime_text.hpp"
#include "core/membership/neighbours.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr Millis command_patience{2'000};
constexpr std::size_t answer_bytes_max = 4U << 20U;
/// Of one neighbour. A busy connection lives on with the certificate that it began with: at a renewal every few
/// days, for a month.
constexpr std::size_t certificates_max = 8;

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

/// A command, and what is said instead where HAProxy refuses it.
struct Step {
  std::string line;
  std::string otherwise{};
};

/// The map of a running HAProxy may or may not have a key. Deleting it first would shut out, for a moment, a
/// member that is there: so it is set, and where that is refused, added.
Step put(const std::string& map, const std::string& key, const std::string& value) {
  return {.line = fmt::format("set map {} {} {}", map, key, value),
          .otherwise = fmt::format("add map {} {} {}", map, key, value)};
}

/// The map of a running HAProxy has the fingerprints in its own order.
bool is_same(const Admission& one, const Admission& other) {
  return one.id == other.id && one.address == other.address && one.port == other.port &&
         std::ranges::is_permutation(one.fingerprints, other.fingerprints);
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
    for (const std::string& fingerprint : admission.fingerprints) {
      members += fmt::format("{} {}\n", fingerprint, admission.id.text());
    }
    names += fmt::format("p{} {}\n", slot, admission.id.text());
  }
  if (auto written = write_file(maps_ / "members.map", members, 0600); !written) return written;
  return write_file(maps_ / "cn.map", names, 0600);
}

asio::awaitable<Result<void>> FrontDoor::apply(std::string line) {
  const auto answer = co_await command(line);
  if (!answer) co_return fail(answer.error().code, answer.error().message);
  if (is_complaint(*answer)) {
    co_return fail(ErrorCode::unavailable, fmt::format("HAProxy refused {}: {}", in_quotes(line),
                                                       in_quotes(trim(*answer), 200)));
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> FrontDoor::set_up(int slot, Admission admission) {
  const std::string id = admission.id.text();
  const std::string members = (maps_ / "members.map").string();
  const std::string names = (maps_ / "cn.map").string();
  const std::string place = fmt::format("p{}", slot);
  const std::string server = "set server peers/" + place;
  std::vector<Step> steps{{.line = server + " state maint"}};
  for (const std::string& fingerprint : admission.fingerprints) {
    steps.push_back(put(members, fingerprint, id));
  }
  steps.push_back(put(names, place, id));
  steps.push_back(
      {.line = fmt::format("{} addr {} port {}", server, admission.address, admission.port)});
  steps.push_back({.line = server + " state ready"});
  // Whoever was dismissed while HAProxy answered must not come in again by what is left to do.
  const auto is_wanted = [this, slot, &admission] {
    const auto found = admissions_.find(slot);
    return found != admissions_.end() && found->second.id == admission.id &&
           found->second.address == admission.address && found->second.port == admission.port;
  };
  for (const Step& step : steps) {
    if (!is_wanted()) co_return Result<void>{};
    auto done = co_await apply(step.line);
    if (!done && !step.otherwise.empty() && is_wanted()) done = co_await apply(step.otherwise);
    if (done) continue;
    is_behind_ = true;
    co_return done;
  }
  co_return Result<void>{};
}

asio::awaitable<Result<FrontDoor::Running>> FrontDoor::look() {
  auto info = co_await command("show info");
  if (!info) co_return pass_on(std::move(info));
  auto members = co_await command("show map " + (maps_ / "members.map").string());
  if (!members) co_return pass_on(std::move(members));
  auto names = co_await command("show map " + (maps_ / "cn.map").string());
  if (!names) co_return pass_on(std::move(names));
  auto servers = co_await command("show servers state peers");
  if (!servers) co_return pass_on(std::move(servers));
  std::map<std::string, std::vector<std::string>> fingerprints;  // By id.
  for (auto& [fingerprint, id] : map_entries(*members)) fingerprints[id].push_back(fingerprint);
  std::map<std::string, ServerState> states;
  for (ServerState& state : server_states(*servers)) states[state.name] = std::move(state);
  Running running{.pid = std::string(info_value(*info, "Pid"))};
  for (const auto& [name, text] : map_entries(*names)) {
    const auto slot = parse_unsigned(name.starts_with('p') ? std::string_view(name).substr(1) : "");
    const auto id = NodeId::parse(text);
    const auto state = states.find(name);
    const auto fingerprint = fingerprints.find(text);
    const bool is_whole =
        slot && *slot >= 1 && *slot <= static_cast<std::uint64_t>(front_door_slots) && id &&
        state != states.end() && !state->second.in_maintenance && fingerprint != fingerprints.end();
    if (!is_whole) continue;
    running.admissions[static_cast<int>(*slot)] = {
        .id = *id,
        .fingerprints = fingerprint->second,
        .address = state->second.address,
        .port = static_cast<std::uint16_t>(state->second.port)};
  }
  co_return running;
}

asio::awaitable<Result<void>> FrontDoor::recall() {
  auto running = co_await look();
  if (!running) co_return pass_on(std::move(running));
  for (auto& [slot, admission] : running->admissions) admissions_[slot] = std::move(admission);
  pid_ = std::move(running->pid);
  co_return Result<void>{};
}

int FrontDoor::slot_of(const NodeId& id) const {
  for (const auto& [slot, admission] : admissions_) {
    if (admission.id == id) return slot;
  }
  return 0;
}

asio::awaitable<Result<void>> FrontDoor::admit(int slot, Admission admission) {
  const auto known = admissions_.find(slot);
  if (known != admissions_.end() && known->second == admission) co_return Result<void>{};
  admissions_[slot] = admission;
  if (auto written = write_maps(); !written) co_return written;
  co_return co_await set_up(slot, std::move(admission));
}

asio::awaitable<Result<void>> FrontDoor::admit_certificate(int slot, std::string fingerprint) {
  const auto found = admissions_.find(slot);
  if (found == admissions_.end()) {
    co_return fail(ErrorCode::not_found, fmt::format("slot {} has no neighbour", slot));
  }
  const std::string id = found->second.id.text();
  std::vector<std::string>& known = found->second.fingerprints;
  std::vector<std::string> gone;
  if (const auto place = std::ranges::find(known, fingerprint); place != known.end()) {
    std::rotate(known.begin(), place, place + 1);
  } else {
    known.insert(known.begin(), fingerprint);
    if (known.size() > certificates_max) {
      gone.assign(known.begin() + certificates_max, known.end());
      known.resize(certificates_max);
    }
  }
  if (auto written = write_maps(); !written) co_return written;
  const std::string members = (maps_ / "members.map").string();
  const Step addition = put(members, fingerprint, id);
  auto done = co_await apply(addition.line);
  if (!done) done = co_await apply(addition.otherwise);
  for (const std::string& old : gone) {
    if (!done) break;
    const std::string line = fmt::format("del map {} {}", members, old);
    auto answer = co_await command(line);
    if (!answer) done = pass_on(std::move(answer));
  }
  if (!done) is_behind_ = true;
  co_return done;
}

asio::awaitable<Result<void>> FrontDoor::replace(std::string kind, std::string file,
                                                 std::string pem) {
  // The text ends at an empty line, so it must not hold one.
  std::string lines;
  for (const std::string_view line : split(pem, '\n')) {
    if (!trim(line).empty()) lines += std::string(line) + "\n";
  }
  const std::string change = fmt::format("set ssl {} {} <<\n{}", kind, file, lines);
  const auto told = co_await command(change);
  if (!told) co_return fail(told.error().code, told.error().message);
  const std::string commit = fmt::format("commit ssl {} {}", kind, file);
  const auto done = co_await command(commit);
  if (!done) co_return fail(done.error().code, done.error().message);
  if (done->find("Success") != std::string::npos) co_return Result<void>{};
  co_return fail(ErrorCode::unavailable,
                 fmt::format("HAProxy did not take {}: {} {}", file, in_quotes(trim(*told), 200),
                             in_quotes(trim(*done), 200)));
}

asio::awaitable<Result<void>> FrontDoor::replace_certificate(std::filesystem::path file,
                                                             std::string pem) {
  const std::string name = file.string();
  co_return co_await replace("cert", name, std::move(pem));
}

asio::awaitable<Result<void>> FrontDoor::replace_authorities(std::filesystem::path file,
                                                             std::string pem) {
  const std::string name = file.string();
  co_return co_await replace("ca-file", name, std::move(pem));
}

asio::awaitable<Result<void>> FrontDoor::dismiss(int slot) {
  const auto found = admissions_.find(slot);
  if (found == admissions_.end()) co_return Result<void>{};
  Admission gone = std::move(found->second);
  admissions_.erase(found);
  auto written = write_maps();
  auto done = co_await shut(slot, std::move(gone));
  co_return written ? done : written;
}

asio::awaitable<Result<void>> FrontDoor::shut(int slot, Admission gone) {
  std::vector<std::string> lines;
  if (!admissions_.contains(slot)) {
    lines = {fmt::format("set server peers/p{} state maint", slot),
             fmt::format("del map {} p{}", (maps_ / "cn.map").string(), slot)};
  }
  for (const std::string& fingerprint : gone.fingerprints) {
    const bool is_in_use = std::ranges::any_of(admissions_, [&fingerprint](const auto& entry) {
      return std::ranges::count(entry.second.fingerprints, fingerprint) > 0;
    });
    if (is_in_use) continue;
    lines.push_back(fmt::format("del map {} {}", (maps_ / "members.map").string(), fingerprint));
  }
  for (const std::string& line : lines) {
    auto answer = co_await command(line);
    if (answer) continue;
    half_shut_.emplace_back(slot, std::move(gone));
    is_behind_ = true;
    co_return pass_on(std::move(answer));
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> FrontDoor::refresh() {
  auto info = co_await command("show info");
  if (!info) co_return pass_on(std::move(info));
  const std::string pid(info_value(*info, "Pid"));
  if (pid == pid_ && !is_behind_) co_return Result<void>{};
  is_behind_ = false;  // What fails from here on says so again.
  const auto rest = std::exchange(half_shut_, {});
  Result<void> result;
  for (const auto& [slot, gone] : rest) {
    if (auto done = co_await shut(slot, gone); !done) result = done;
  }
  const auto running = co_await look();
  if (!running) {
    is_behind_ = true;
    co_return fail(running.error().code, running.error().message);
  }
  const std::map<int, Admission> wanted = admissions_;  // It may change while we wait.
  for (const auto& [slot, admission] : wanted) {
    // One that took over from a front door knows them: setting up again would interrupt.
    const auto known = running->admissions.find(slot);
    if (known != running->admissions.end() && is_same(known->second, admission)) continue;
    if (auto done = co_await set_up(slot, admission); !done) result = done;
  }
  if (result) pid_ = pid;
  co_return result;
}

}  // namespace dfaas
