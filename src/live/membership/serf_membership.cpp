// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/membership/serf_membership.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "live/files/files.hpp"
#include "live/membership/serf_link.hpp"
#include "live/net/task_group.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr Millis link_patience{2'000};
constexpr Millis answer_patience{5'000};
constexpr Millis list_period{30'000};  ///< Should an event have been lost.
constexpr Millis pause_min{100};
constexpr Millis pause_max{5'000};
constexpr Millis join_tick{500};
constexpr Millis join_patience{15'000};  ///< serf itself gives up after 10 s.
constexpr Millis join_pause_min{2'000};
constexpr Millis join_pause_max{60'000};
constexpr std::size_t joins_at_once_max = 16;
constexpr std::size_t join_file_bytes_max = 1U << 20U;
constexpr std::uintmax_t log_bytes_max = 1U << 20U;
constexpr std::uint64_t stream_sequence = 3;
constexpr std::uint64_t list_sequence = 4;

asio::awaitable<void> pause(Millis time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  std::ignore = co_await timer.async_wait(as_result);
}

/// An address to join.
struct Meeting {
  SteadyClock::time_point next{};
  Millis pause = join_pause_min;
  bool is_under_way = false;
  bool is_joined = false;
  std::string complaint;
};

}  // namespace

struct SerfMembership::State : std::enable_shared_from_this<SerfMembership::State> {
  State(asio::any_io_executor executor, SerfSettings settings_)
      : settings(std::move(settings_)),
        view({.self = settings.self, .federation = settings.federation}),
        tasks(std::move(executor)) {}

  SerfSettings settings;
  GossipView view;
  bool is_connected = false;
  bool stopping = false;
  std::string link_complaint;
  std::map<std::string, Meeting> meetings;
  TaskGroup tasks;

  static asio::awaitable<void> link_loop(std::shared_ptr<State> self) {
    Millis wait = pause_min;
    while (!self->stopping) {
      const Result<void> ended = co_await follow(self);
      if (self->stopping) co_return;
      if (std::exchange(self->is_connected, false)) {
        wait = pause_min;
        self->link_complaint = ended.error().message;
        log_event(LogLevel::warn, "gossip_lost", {{"why", ended.error().message}});
      } else if (self->link_complaint != ended.error().message) {
        self->link_complaint = ended.error().message;
        log_event(LogLevel::debug, "gossip_not_ready", {{"why", ended.error().message}});
      }
      co_await pause(wait);
      wait = std::min(2 * wait, pause_max);
    }
  }

  /// Until the link breaks: always an Error.
  static asio::awaitable<Result<void>> follow(std::shared_ptr<State> self) {
    const auto door = read_serf_door(self->settings.agent_file);
    if (!door) co_return tl::unexpected(door.error());
    const SerfDoor& place = *door;
    auto opened = co_await SerfLink::open(place, link_patience);
    if (!opened) co_return pass_on(std::move(opened));
    const std::unique_ptr<SerfLink> link = std::move(*opened);
    // Events first, so that nothing is missed between the list and them.
    const std::string questions = serf_stream(stream_sequence) + serf_members(list_sequence);
    if (auto sent = co_await link->send(questions, link_patience); !sent) co_return sent;
    bool is_list_awaited = true;
    std::uint64_t answered = 0;
    for (;;) {
      const Millis patience = is_list_awaited ? answer_patience : list_period;
      const auto frame = co_await link->read(patience);
      if (!frame && (frame.error().code != ErrorCode::timed_out || is_list_awaited)) {
        co_return tl::unexpected(frame.error());
      }
      if (!frame) {
        const std::string again = serf_members(list_sequence);
        if (auto sent = co_await link->send(again, link_patience); !sent) co_return sent;
        is_list_awaited = true;
      } else if (frame->is_header) {
        answered = frame->sequence;
        if (!frame->error.empty()) co_return fail(ErrorCode::unavailable, "serf: " + frame->error);
      } else {
        const auto members = serf_members_from(frame->body);
        if (!members) co_return tl::unexpected(members.error());
        if (answered == list_sequence) is_list_awaited = false;
        self->take(*members);
      }
    }
  }

  void take(const SerfMembers& members) {
    if (members.event.empty()) {
      view.replace(members.members);
      if (!std::exchange(is_connected, true)) {
        log_event(LogLevel::info, "gossip_connected",
                  {{"members", std::to_string(members.members.size())}});
      }
    } else {
      view.apply(members);
    }
    for (const std::string& sentence : view.take_complaints()) {
      log_event(LogLevel::warn, "member_ignored", {{"why", sentence}});
    }
  }

  // --- joining

  static asio::awaitable<void> join_loop(std::shared_ptr<State> self) {
    while (!self->stopping) {
      self->bound_log();
      self->read_addresses();
      if (self->is_connected) self->join_due();
      co_await pause(join_tick);
    }
  }

  void bound_log() const {
    std::error_code error;
    const auto size = fs::file_size(settings.log_file, error);
    if (!error && size > log_bytes_max) fs::resize_file(settings.log_file, 0, error);
  }

  void read_addresses() {
    const auto text = read_file(settings.join_file, join_file_bytes_max);
    std::map<std::string, Meeting> wanted;
    for (const std::string& all : {settings.join, text ? *text : std::string()}) {
      for (const std::string& address : gossip_addresses(all)) {
        const auto known = meetings.find(address);
        wanted[address] = known == meetings.end() ? Meeting{} : known->second;
      }
    }
    meetings = std::move(wanted);
  }

  void join_due() {
    const auto now = SteadyClock::now();
    auto busy = static_cast<std::size_t>(std::ranges::count_if(
        meetings, [](const auto& entry) { return entry.second.is_under_way; }));
    for (auto& [address, meeting] : meetings) {
      if (busy == joins_at_once_max) return;
      if (meeting.is_under_way || now < meeting.next || view.knows_gossip_at(address)) continue;
      meeting.is_under_way = true;
      ++busy;
      tasks.spawn(join(shared_from_this(), address));
    }
  }

  static asio::awaitable<void> join(std::shared_ptr<State> self, std::string address) {
    const auto door = read_serf_door(self->settings.agent_file);
    std::string complaint;
    bool is_joined = false;
    bool is_serf_away = !door;
    if (door) {
      const SerfDoor& place = *door;
      const std::string command = serf_join(serf_call_sequence, address);
      const auto answer = co_await serf_call(place, command, SerfBody::follows, join_patience);
      is_serf_away = !answer;
      is_joined = answer && answer->error.empty();
      if (answer && !is_joined) complaint = join_complaint(address, answer->error);
    }
    const auto found = self->meetings.find(address);
    if (found == self->meetings.end()) co_return;  // Crossed out meanwhile.
    Meeting& meeting = found->second;
    meeting.is_under_way = false;
    if (is_serf_away) {
      meeting.next = SteadyClock::now() + join_pause_min;
      co_return;
    }
    meeting.pause = is_joined ? join_pause_max : meeting.pause;
    meeting.next = SteadyClock::now() + meeting.pause;
    meeting.pause = is_joined ? join_pause_min : std::min(2 * meeting.pause, join_pause_max);
    if (is_joined && !std::exchange(meeting.is_joined, true)) {
      log_event(LogLevel::info, "gossip_joined", {{"address", address}});
    }
    if (!is_joined) meeting.is_joined = false;
    if (!complaint.empty() && complaint != meeting.complaint) {
      log_event(LogLevel::warn, "gossip_not_joined", {{"why", complaint}});
    }
    meeting.complaint = complaint;
  }
};

SerfMembership::SerfMembership(asio::any_io_executor executor, SerfSettings settings)
    : state_(std::make_shared<State>(std::move(executor), std::move(settings))) {
  state_->tasks.spawn(State::link_loop(state_));
  state_->tasks.spawn(State::join_loop(state_));
}

SerfMembership::~SerfMembership() {
  state_->stopping = true;
  state_->tasks.cancel();
}

std::vector<HintChange> SerfMembership::poll() { return state_->view.take_changes(); }

SerfStatus SerfMembership::status() const {
  SerfStatus status{.is_connected = state_->is_connected,
                    .members = state_->view.size(),
                    .counters = state_->view.counters()};
  for (const auto& [address, meeting] : state_->meetings) {
    if (!meeting.complaint.empty()) status.not_joined[address] = meeting.complaint;
  }
  return status;
}

asio::awaitable<void> SerfMembership::leave() {
  const std::shared_ptr<State> state = state_;
  state->stopping = true;
  const auto door = read_serf_door(state->settings.agent_file);
  if (!door) co_return;
  const SerfDoor& place = *door;
  constexpr Millis patience{500};
  auto link = co_await SerfLink::open(place, patience);
  if (!link) co_return;  // It has ended already.
  const std::string command = serf_command(serf_call_sequence, "leave");
  std::ignore = co_await (*link)->send(command, patience);
}

}  // namespace dfaas
