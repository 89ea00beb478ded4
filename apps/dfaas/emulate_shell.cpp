// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/emulate_shell.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <map>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "live/netem/echo.hpp"
#include "sim/report/run_tally.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
using Words = std::vector<std::string>;

constexpr Millis ping_patience{2'000};
constexpr std::size_t line_bytes_max = 64U << 10U;

constexpr const char* help_text =
    "nodes                      the nodes: address, slots, processes\n"
    "links                      the links: round trip, loss, what is cut\n"
    "ping A B                   an echo from A to B, by address\n"
    "pingall                    the same between all nodes that are linked\n"
    "cut A B, heal A B          nothing passes between the two; heal mends\n"
    "cut A B one-way            nothing passes from A to B\n"
    "partition NODE...          nothing passes between these and the others\n"
    "healall                    mends every link\n"
    "down NODE, up NODE         its network device, taken down and up again\n"
    "link A B rtt=20ms jitter=5ms loss=0.1 mbps=10\n"
    "                           change a link; what is not named stays\n"
    "kill NODE                  pull the plug: all its processes end at once\n"
    "kill NODE PROGRAM          kill -9 of supervisor, agent, gateway, haproxy, launcher, keeper, "
    "or another\n"
    "                           that nodes lists; the node starts it again, but for the "
    "supervisor\n"
    "freeze NODE [PROGRAM]      stop it where it is, as a machine that hangs; thaw lets it go on\n"
    "stop NODE                  as an operator stops it\n"
    "start NODE... [NAME=VALUE...]\n"
    "                           start nodes that were killed, in this order, with these variables\n"
    "exec NODE COMMAND...       run a command on a node, in its network\n"
    "load on, load off          the users of the scenario\n"
    "status                     the nodes, and what became of the users' calls\n"
    "echo TEXT                  print it: where a script is\n"
    "quit                       end everything\n";

Words words_of(std::string_view line) {
  Words words;
  for (const std::string_view word : split(line, ' ')) {
    if (!trim(word).empty()) words.emplace_back(trim(word));
  }
  return words;
}

tl::unexpected<Error> wrong(std::string message) {
  return fail(ErrorCode::invalid_input, std::move(message));
}

/// Lines of standard input, each read by a thread when it is asked for: a file, a pipe and a terminal alike,
/// and not a byte more than the line, so that commands that read get the rest.
class LineReader {
 public:
  explicit LineReader(asio::any_io_executor executor)
      : executor_(std::move(executor)), arrived_(executor_), stop_(::eventfd(0, EFD_CLOEXEC)) {}
  ~LineReader() {
    const std::uint64_t one = 1;
    std::ignore = ::write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  LineReader(LineReader&&) = delete;
  LineReader& operator=(LineReader&&) = delete;

  /// Nothing at the end of the input.
  asio::awaitable<std::optional<std::string>> next() {
    arrived_.expires_at(asio::steady_timer::time_point::max());
    line_.reset();
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([this] {
      std::optional<std::string> line = read_line();
      asio::post(executor_, [this, line = std::move(line)] {
        line_ = line;
        arrived_.cancel();
      });
    });
    std::ignore = co_await arrived_.async_wait(as_result);
    co_return line_;
  }

 private:
  [[nodiscard]] std::optional<std::string> read_line() const {
    std::string line;
    for (char letter = 0; line.size() < line_bytes_max; line += letter) {
      std::array<pollfd, 2> both{{{STDIN_FILENO, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
      if (::poll(both.data(), both.size(), -1) < 0 && errno != EINTR) return std::nullopt;
      if (both[1].revents != 0) return std::nullopt;
      if (both[0].revents == 0) continue;
      if (::read(STDIN_FILENO, &letter, 1) != 1) {
        return line.empty() ? std::nullopt : std::optional(line);
      }
      if (letter == '\n') return line;
    }
    return line;
  }

  asio::any_io_executor executor_;
  asio::steady_timer arrived_;
  Descriptor stop_;
  std::optional<std::string> line_;
  std::thread thread_;
};

/// A command that runs while the loop goes on.
class Execution {
 public:
  explicit Execution(asio::any_io_executor executor)
      : executor_(std::move(executor)), ended_(executor_) {}
  ~Execution() {
    const int child = child_;
    if (child > 0) ::kill(child, SIGKILL);
    if (thread_.joinable()) thread_.join();
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;
  Execution(Execution&&) = delete;
  Execution& operator=(Execution&&) = delete;

  asio::awaitable<Result<int>> run(const EmulatedNode* node, std::string command_line) {
    ended_.expires_at(asio::steady_timer::time_point::max());
    if (thread_.joinable()) thread_.join();
    const int machine = node->is_on ? node->machine->pid() : -1;
    thread_ =
        std::thread([this, network = &node->network, machine, line = std::move(command_line)] {
          auto status = run_command(*network, machine, line, &child_);
          asio::post(executor_, [this, status = std::move(status)] {
            status_ = status;
            ended_.cancel();
          });
        });
    std::ignore = co_await ended_.async_wait(as_result);
    co_return status_;
  }

 private:
  asio::any_io_executor executor_;
  asio::steady_timer ended_;
  std::atomic<int> child_{-1};
  Result<int> status_ = 0;
  std::thread thread_;
};

std::string millis_text(Micros time) { return fmt::format("{:.1f} ms", to_millis(time)); }

/// "20ms" of "rtt=20ms": into the shape.
Result<void> change_shape(LinkShape& shape, const std::string& word) {
  const std::size_t sign = word.find('=');
  const std::string key = word.substr(0, sign);
  const std::string value = sign == std::string::npos ? "" : word.substr(sign + 1);
  if (key == "rtt" || key == "jitter") {
    auto time = parse_duration(value);
    if (!time) return tl::unexpected(std::move(time).error().within(key));
    if (*time > scenario_limits::rtt_max) {
      return wrong(fmt::format("{}={} is not 0s to 1m", key, value));
    }
    if (key == "rtt") {
      shape.delay = *time / 2;
    } else {
      shape.jitter = *time;
    }
    return {};
  }
  const auto number = parse_number(value);
  const bool is_loss = key == "loss";
  if (!is_loss && key != "mbps") {
    return wrong(fmt::format("{} is none of rtt=, jitter=, loss=, mbps=", in_quotes(word)));
  }
  const double most = is_loss ? 1 : scenario_limits::bandwidth_mbps_max;
  if (!number || !(*number >= 0 && *number <= most)) {
    return wrong(fmt::format("{} is not a number from 0 to {}", in_quotes(word), most));
  }
  if (is_loss) {
    shape.loss_ratio = *number;
  } else {
    shape.bits_per_second = *number * 1e6;
  }
  return {};
}

std::string shape_text(const LinkModel& model) {
  const LinkShape& shape = model.shape();
  std::string text = fmt::format("rtt {}", duration_text(2 * shape.delay));
  if (shape.jitter.count() > 0) text += fmt::format(", jitter {}", duration_text(shape.jitter));
  if (shape.loss_ratio > 0) text += fmt::format(", loss {}", shape.loss_ratio);
  if (shape.bits_per_second > 0) text += fmt::format(", {} Mbit/s", shape.bits_per_second / 1e6);
  return text;
}

int slots_of(const ScenarioNode& node) {
  int slots = 0;
  for (const ScenarioPool& pool : node.pools) slots += pool.slots;
  return slots;
}

}  // namespace

struct EmulationShell::State {
  State(asio::any_io_executor loop, EmulatedFederation& emulated, const Scenario& known,
        std::uint64_t number)
      : executor(loop),
        federation(&emulated),
        scenario(&known),
        seed(number),
        lines(loop),
        execution(loop) {}

  asio::any_io_executor executor;
  EmulatedFederation* federation;
  const Scenario* scenario;
  std::uint64_t seed;
  CallCounts counts;
  LineReader lines;
  Execution execution;
  std::unique_ptr<EmulatedLoad> load;

  [[nodiscard]] Result<NodeIndex> node(const std::string& name) const {
    if (const auto found = federation->find(name)) return *found;
    std::string names;
    for (const EmulatedNode& known : federation->nodes()) {
      names += (names.empty() ? "" : ", ") + known.name;
    }
    return wrong(fmt::format("node {} does not exist: {} do", in_quotes(name), names));
  }

  /// The two nodes that words 1 and 2 name, which a link joins.
  [[nodiscard]] Result<std::pair<NodeIndex, NodeIndex>> pair(const Words& words) const {
    if (words.size() < 3) return wrong(fmt::format("{0} needs two nodes: {0} A B", words[0]));
    auto a = node(words[1]);
    if (!a) return pass_on(std::move(a));
    auto b = node(words[2]);
    if (!b) return pass_on(std::move(b));
    if (federation->wires().direction(*a, *b) == nullptr) {
      return wrong(fmt::format("{} and {} are not linked", words[1], words[2]));
    }
    return std::pair{*a, *b};
  }

  void show_nodes() const {
    for (NodeIndex at = 0; at < federation->nodes().size(); ++at) {
      const EmulatedNode& known = federation->nodes()[at];
      std::string programs;
      if (known.is_on) {
        programs = fmt::format(" supervisor {}", known.machine->program_pid());
        for (const auto& [name, pid] : known.machine->programs()) {
          programs += fmt::format(" {} {}", name, pid);
        }
      }
      fmt::print("{:16} {:12} {:>4} slots  {}{}\n", known.name, known.address,
                 slots_of(scenario->nodes[at]),
                 known.is_on ? fmt::format("up, pid {},", known.machine->pid()) : "down", programs);
    }
  }

  void show_links() const {
    FrameSwitch& wires = federation->wires();
    for (const ScenarioLink& link : scenario->links) {
      const LinkModel& forth = *wires.direction(link.a, link.b);
      const LinkModel& back = *wires.direction(link.b, link.a);
      const bool is_cut = forth.is_cut() && back.is_cut();
      const bool is_half_cut = forth.is_cut() || back.is_cut();
      fmt::print("{:16} {:16} {}{}, {} frames\n", scenario->nodes[link.a].name.text(),
                 scenario->nodes[link.b].name.text(), shape_text(forth),
                 is_cut ? ", cut" : (is_half_cut ? ", cut one way" : ""),
                 forth.counts().carried + back.counts().carried);
    }
  }

  asio::awaitable<bool> ping(NodeIndex from, NodeIndex to) {
    const EmulatedNode& sender = federation->nodes()[from];
    const EmulatedNode& receiver = federation->nodes()[to];
    const std::string address = receiver.address;
    auto took = co_await echo(&sender.network, address, ping_patience);
    if (!took) {
      fmt::print("{} -> {}: {}\n", sender.name, receiver.name, took.error().message);
      co_return false;
    }
    fmt::print("{} -> {}: {}\n", sender.name, receiver.name,
               *took ? millis_text(**took) : std::string("no answer"));
    co_return took->has_value();
  }

  asio::awaitable<void> ping_all() {
    int answered = 0;
    int asked = 0;
    for (const ScenarioLink link : scenario->links) {
      ++asked;
      const bool is_answered = co_await ping(link.a, link.b);
      if (is_answered) ++answered;
    }
    fmt::print("{} of {} links answer\n", answered, asked);
  }

  Result<void> cut(const Words& words) {
    auto ends = pair(words);
    if (!ends) return pass_on(std::move(ends));
    const bool is_one_way = words.size() == 4 && words[3] == "one-way";
    if (words.size() > 3 && !is_one_way) {
      return wrong(fmt::format("{} is not \"one-way\": cut A B [one-way]", in_quotes(words[3])));
    }
    const ScenarioFault fault{.kind = is_one_way ? FaultKind::one_way_cut : FaultKind::link_cut,
                              .until = {},
                              .nodes = {ends->first, ends->second}};
    federation->begin(fault);
    return {};
  }

  Result<void> partition(const Words& words) {
    ScenarioFault fault{.kind = FaultKind::partition, .until = {}, .nodes = {}};
    for (std::size_t at = 1; at < words.size(); ++at) {
      auto found = node(words[at]);
      if (!found) return pass_on(std::move(found));
      fault.nodes.push_back(*found);
    }
    if (fault.nodes.empty())
      return wrong("partition needs the nodes of one side: partition NODE...");
    federation->begin(fault);
    return {};
  }

  void heal_all() {
    for (const ScenarioLink& link : scenario->links) federation->heal(link.a, link.b);
  }

  Result<void> switch_device(const Words& words) {
    if (words.size() != 2) return wrong(fmt::format("{0} needs a node: {0} NODE", words[0]));
    auto found = node(words[1]);
    if (!found) return pass_on(std::move(found));
    return federation->nodes()[*found].network.switch_device(words[0] == "up");
  }

  /// The node that word 1 names, which runs.
  [[nodiscard]] Result<NodeIndex> running_node(const Words& words, std::string_view usage) const {
    if (words.size() < 2) return wrong(fmt::format("{} needs a node: {}", words[0], usage));
    auto found = node(words[1]);
    if (found && !federation->nodes()[*found].is_on) {
      return wrong(fmt::format("node {} is not running", words[1]));
    }
    return found;
  }

  /// Processes of the program that word 2 names; all of the node's without one.
  [[nodiscard]] Result<std::vector<int>> processes(NodeIndex index, const Words& words) const {
    const EmulatedNode& known = federation->nodes()[index];
    const std::string wanted = words.size() > 2 ? words[2] : "";
    std::vector<int> found;
    if (wanted.empty() || wanted == "supervisor") found.push_back(known.machine->program_pid());
    std::string names = "supervisor";
    for (const auto& [name, pid] : known.machine->programs()) {
      if (wanted.empty() || wanted == name) found.push_back(pid);
      if (!names.ends_with(name)) names += ", " + name;
    }
    if (found.empty() || found.front() < 0) {
      return wrong(fmt::format("program {} does not run on {}: {} do", in_quotes(wanted),
                               known.name, names));
    }
    return found;
  }

  Result<void> heal(const Words& words) {
    auto ends = pair(words);
    if (!ends) return pass_on(std::move(ends));
    federation->heal(ends->first, ends->second);
    return {};
  }

  Result<void> reshape(const Words& words) {
    auto ends = pair(words);
    if (!ends) return pass_on(std::move(ends));
    LinkModel* forth = federation->wires().direction(ends->first, ends->second);
    LinkShape shape = forth->shape();
    for (std::size_t at = 3; at < words.size(); ++at) {
      if (auto changed = change_shape(shape, words[at]); !changed) return changed;
    }
    forth->reshape(shape);
    federation->wires().direction(ends->second, ends->first)->reshape(shape);
    fmt::print("{} {} {}\n", words[1], words[2], shape_text(*forth));
    return {};
  }

  Result<void> kill(const Words& words) {
    auto found = running_node(words, "kill NODE [PROGRAM]");
    if (!found) return pass_on(std::move(found));
    if (words.size() == 2) {
      federation->power_off(*found);
      return {};
    }
    auto killed = processes(*found, words);
    if (!killed) return pass_on(std::move(killed));
    ::kill(killed->front(), SIGKILL);  // Of several keepers, one.
    return {};
  }

  Result<void> signal(const Words& words, int number) {
    auto found = running_node(words, words[0] + " NODE [PROGRAM]");
    if (!found) return pass_on(std::move(found));
    // Twice: one that was not stopped yet may have started another.
    for (int round = 0; round < 2; ++round) {
      auto signalled = processes(*found, words);
      if (!signalled) return pass_on(std::move(signalled));
      for (const int pid : *signalled) ::kill(pid, number);
    }
    return {};
  }

  asio::awaitable<Result<void>> stop(Words words) {
    auto found = running_node(words, "stop NODE");
    if (!found) co_return pass_on(std::move(found));
    co_return co_await federation->stop(*found);
  }

  asio::awaitable<Result<void>> start(Words words) {
    std::vector<NodeIndex> started;
    std::map<std::string, std::string> environment;
    for (std::size_t at = 1; at < words.size(); ++at) {
      const std::size_t sign = words[at].find('=');
      if (sign != std::string::npos) {
        environment[words[at].substr(0, sign)] = words[at].substr(sign + 1);
        continue;
      }
      auto found = node(words[at]);
      if (!found) co_return pass_on(std::move(found));
      if (federation->nodes()[*found].is_on) {
        co_return wrong(fmt::format("node {} is running", words[at]));
      }
      started.push_back(*found);
    }
    if (started.empty()) co_return wrong("start needs a node: start NODE... [NAME=VALUE...]");
    for (const NodeIndex index : started) {
      if (auto done = federation->power_on(index, environment); !done) co_return done;
    }
    for (const NodeIndex index : started) {
      auto ready = co_await federation->await_node(index);
      if (!ready) co_return ready;
    }
    co_return Result<void>{};
  }

  asio::awaitable<Result<void>> execute(std::string line) {
    const Words words = words_of(line);
    if (words.size() < 3) co_return wrong("exec needs a node and a command: exec NODE COMMAND...");
    auto found = node(words[1]);
    if (!found) co_return pass_on(std::move(found));
    const std::size_t behind_node = line.find(words[1], line.find(words[0]) + words[0].size());
    std::string command = line.substr(behind_node + words[1].size());
    const EmulatedNode* known = &federation->nodes()[*found];
    std::fflush(stdout);
    auto status = co_await execution.run(known, command);
    if (!status) co_return pass_on(std::move(status));
    if (*status != 0) {
      co_return fail(ErrorCode::unavailable, fmt::format("it ended with status {}", *status));
    }
    co_return Result<void>{};
  }

  Result<void> switch_load(const Words& words) {
    const std::string wanted = words.size() == 2 ? words[1] : "";
    if (wanted == "off") {
      if (load) load->cancel();
      load.reset();
      return {};
    }
    if (wanted != "on") return wrong("load is \"load on\" or \"load off\"");
    if (load && !load->has_ended()) return wrong("the load is on");
    load.reset();
    load = std::make_unique<EmulatedLoad>(
        executor, *federation, *scenario, seed,
        [this](const CallRecord& call) { counts.count(call); }, [] {});
    return {};
  }

  void show_status() const {
    show_nodes();
    fmt::print(
        "load {}: {} calls ended: {} served here, {} by neighbours, {} refused, {} late, {} lost\n",
        load && !load->has_ended() ? "on" : "off", counts.offered, counts.served_here,
        counts.served_by_peers, counts.refused, counts.late, counts.lost);
  }

  asio::awaitable<Result<void>> obey(std::string line) {
    const Words words = words_of(line);
    const std::string& verb = words[0];
    if (verb == "help") {
      fmt::print("{}", help_text);
    } else if (verb == "nodes") {
      show_nodes();
    } else if (verb == "links") {
      show_links();
    } else if (verb == "ping") {
      auto ends = pair(words);
      if (!ends) co_return pass_on(std::move(ends));
      co_await ping(ends->first, ends->second);
    } else if (verb == "pingall") {
      co_await ping_all();
    } else if (verb == "cut") {
      co_return cut(words);
    } else if (verb == "heal") {
      co_return heal(words);
    } else if (verb == "partition") {
      co_return partition(words);
    } else if (verb == "healall") {
      heal_all();
    } else if (verb == "down" || verb == "up") {
      co_return switch_device(words);
    } else if (verb == "freeze") {
      co_return signal(words, SIGSTOP);
    } else if (verb == "thaw") {
      co_return signal(words, SIGCONT);
    } else if (verb == "stop") {
      co_return co_await stop(words);
    } else if (verb == "echo") {
      fmt::print("{}\n", trim(std::string_view(line).substr(line.find("echo") + 4)));
    } else if (verb == "link") {
      co_return reshape(words);
    } else if (verb == "kill") {
      co_return kill(words);
    } else if (verb == "start") {
      co_return co_await start(words);
    } else if (verb == "exec") {
      co_return co_await execute(line);
    } else if (verb == "load") {
      co_return switch_load(words);
    } else if (verb == "status") {
      show_status();
    } else {
      co_return wrong(fmt::format("{} is no command: help lists them", in_quotes(verb)));
    }
    co_return Result<void>{};
  }
};

EmulationShell::EmulationShell(asio::any_io_executor executor, EmulatedFederation& federation,
                               const Scenario& scenario, std::uint64_t seed)
    : state_(std::make_unique<State>(std::move(executor), federation, scenario, seed)) {}
EmulationShell::~EmulationShell() = default;

asio::awaitable<int> EmulationShell::run() {
  const bool is_interactive = ::isatty(STDIN_FILENO) != 0;
  int failed = 0;
  for (;;) {
    if (is_interactive) fmt::print("dfaas> ");
    std::fflush(stdout);
    const auto line = co_await state_->lines.next();
    if (!line) break;
    const Words words = words_of(*line);
    if (words.empty() || words[0].starts_with('#')) continue;
    if (words[0] == "quit" || words[0] == "exit") break;
    auto obeyed = co_await state_->obey(*line);
    if (obeyed) continue;
    ++failed;
    fmt::print("{}: {}\n", words[0], obeyed.error().message);
  }
  co_return failed;
}

}  // namespace dfaas
