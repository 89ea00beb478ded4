// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/emulate_federation.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/node_setup.hpp"
#include "core/base/text.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/workload/plan.hpp"
#include "live/files/files.hpp"
#include "live/net/http.hpp"
#include "live/netem/groups.hpp"
#include "live/netem/virtual_switch.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/pki.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr Millis ready_patience{60'000};
constexpr Millis poll_pause{50};
/// More than a node takes, whose front door ends what it carries for at most 12 s.
constexpr Millis stop_patience{30'000};
constexpr Millis local_patience{3'000};
constexpr std::size_t answer_bytes_max = 4U << 20U;
constexpr Millis period_min{500};  ///< Of setting strategy.period_ms.
constexpr int authority_days = 30;
constexpr int certificate_days = 7;
constexpr std::uint16_t peer_port = 8444;
constexpr std::uint16_t admin_port = 8405;

asio::awaitable<void> pause(Millis time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  std::ignore = co_await timer.async_wait(as_result);
}

asio::awaitable<Result<HttpReply>> ask(std::string socket, std::string method, std::string target,
                                       std::string body, std::string login) {
  RequestHead head{.method = std::move(method), .target = std::move(target)};
  head.headers.add("Host", "localhost");
  if (!login.empty()) head.headers.add("Authorization", "Basic " + login);
  const Endpoint endpoint = Endpoint::unix_socket(std::move(socket));
  co_return co_await fetch(endpoint, std::move(head), std::move(body), local_patience,
                           answer_bytes_max);
}

std::string login_of(const NodeDirectory& directory) {
  const auto password = read_file(directory.password_file(), 1024);
  const std::string text = password ? std::string(trim(split(*password, '\n')[0])) : "";
  return base64_encode("admin:" + text);
}

/// The neighbour as the agent tells of it, and with how many functions.
using Neighbours = std::map<std::string, std::size_t>;

/// Those that are up. Nothing while the agent does not answer.
asio::awaitable<Neighbours> neighbours_of(std::string socket) {
  Neighbours neighbours;
  const auto reply = co_await ask(std::move(socket), "GET", "/v1/peers", "", "");
  if (!reply || reply->head.status != 200) co_return neighbours;
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  if (answer.is_discarded()) co_return neighbours;
  for (const auto& peer : answer["peers"]) {
    if (peer["state"] == "up") neighbours[peer["id"]] = peer["functions"].size();
  }
  co_return neighbours;
}

/// Where the function's slots are counted with others'.
bool is_shared(const ScenarioNode& node, std::size_t pool) {
  return std::ranges::count(node.functions, pool, &ScenarioDeployment::pool) > 1;
}

FunctionDeployment deployment_of(const Scenario& scenario, const ScenarioNode& node,
                                 const ScenarioDeployment& deployed, const fs::path& shared) {
  const ScenarioFunction& function = scenario.functions[deployed.function];
  FunctionDeployment deployment{
      .function = function.name, .image = "host:", .process = (shared / "dfaas-pause").string()};
  deployment.env["FACTOR_FILE"] = (shared / (node.name.text() + ".factor")).string();
  auto& labels = deployment.labels;
  const auto timeout = std::chrono::ceil<Millis>(function.effective_deadline());
  labels["dfaas.slots"] = std::to_string(node.pools[deployed.pool].slots);
  labels["dfaas.timeout_ms"] = std::to_string(timeout.count());
  labels["dfaas.share"] = to_text(function.share);
  if (function.retry_safe) labels["dfaas.retry"] = "safe";
  if (is_shared(node, deployed.pool)) labels["dfaas.pool"] = fmt::format("pool-{}", deployed.pool);
  if (deployed.max_rate > Rate{0}) {
    labels["dfaas.maxrate"] = fmt::format("{}", deployed.max_rate.per_second);
  }
  return deployment;
}

/// Functions of `other` that this node may hear of.
std::size_t shared_functions(const Scenario& scenario, const ScenarioNode& node,
                             const ScenarioNode& other) {
  return static_cast<std::size_t>(
      std::ranges::count_if(other.functions, [&](const ScenarioDeployment& deployed) {
        const Sharing share = scenario.functions[deployed.function].share;
        return admits(share, node.organisation, other.organisation);
      }));
}

tl::unexpected<Error> not_emulated(std::string_view node, std::string_view what) {
  return fail(ErrorCode::invalid_input,
              fmt::format("node {}: {} cannot be emulated; dfaas sim run simulates it",
                          in_quotes(node), what));
}

Result<void> write_factor(const fs::path& shared, const EmulatedNode& node) {
  double factor = 1;
  for (const double slowdown : node.slowdowns) factor *= slowdown;
  return write_file(shared / (node.name + ".factor"), fmt::format("{}\n", factor), 0644);
}

}  // namespace

Result<void> check_emulation(const Scenario& scenario) {
  if (scenario.nodes.size() > emulated_nodes_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} nodes are more than the {} that are emulated on one machine; dfaas "
                            "sim run simulates as many as you like",
                            scenario.nodes.size(), emulated_nodes_max));
  }
  for (const ScenarioNode& node : scenario.nodes) {
    if (node.lie) return not_emulated(node.name.text(), "a lie");
    if (!node.runs_agent) return not_emulated(node.name.text(), "agent = false");
  }
  std::map<NodeIndex, std::size_t> loads;
  for (const ScenarioLoad& load : scenario.loads) {
    if (++loads[load.node] > load_limits::phases_max) {
      return not_emulated(scenario.nodes[load.node].name.text(),
                          fmt::format("more than {} loads", load_limits::phases_max));
    }
  }
  return {};
}

std::vector<std::string> emulation_notes(const Scenario& scenario) {
  std::vector<std::string> notes;
  const bool has_cold_start = std::ranges::any_of(scenario.nodes, [](const ScenarioNode& node) {
    return std::ranges::any_of(node.functions, [](const ScenarioDeployment& deployed) {
      return deployed.cold_start.count() > 0;
    });
  });
  if (has_cold_start) {
    notes.emplace_back("cold_start is not emulated: every call starts a process, which is warm");
  }
  if (std::ranges::any_of(scenario.links,
                          [](const ScenarioLink& link) { return link.duplicate_ratio > 0; })) {
    notes.emplace_back("duplicates are not emulated: they are of messages, not of frames");
  }
  return notes;
}

struct EmulatedFederation::State : std::enable_shared_from_this<EmulatedFederation::State> {
  asio::any_io_executor executor;
  const Scenario* scenario = nullptr;
  fs::path shared;
  std::vector<EmulatedNode> nodes;
  std::unique_ptr<VirtualSwitch> wires;
  EmulatedFederation* owner = nullptr;

  Result<void> make_authorities(const fs::path& directory) {
    std::string bundle;
    for (const ScenarioNode& node : scenario->nodes) {
      const fs::path authority = directory / "authorities" / node.organisation;
      std::error_code ignored;
      if (fs::exists(authority, ignored)) continue;
      auto made = create_authority(authority, node.organisation, authority_days);
      if (!made) return made;
      auto certificate = read_file(authority / "ca.crt");
      if (!certificate) return pass_on(std::move(certificate));
      bundle += *certificate;
    }
    return write_file(directory / "authorities/all.pem", bundle, 0644);
  }

  Result<void> make_node(NodeIndex index, const EmulationPlace& place,
                         const MachineGroups& groups) {
    const ScenarioNode& node = scenario->nodes[index];
    const std::string& name = node.name.text();
    const std::string address = address_of(index);
    const NodeDirectory directory(place.directory / name);
    auto id = init_node(
        {.directory = directory.root(),
         .name = name,
         .authority = place.directory / "authorities" / node.organisation,
         .overrides = {fmt::format("user.bind=0.0.0.0:{}", emulated_user_port),
                       fmt::format("peer.bind={}:{}", address, peer_port),
                       fmt::format("admin.bind=127.0.0.1:{}", admin_port),
                       "strategy.name=" + place.strategy,
                       fmt::format("strategy.period_ms={}",
                                   std::max(place.period, period_min).count()),
                       "policy.allow=" + to_text(node.policy.allow),
                       "policy.deny=" + to_text(node.policy.deny),
                       "policy.limits=" + to_text(node.policy.limits),
                       fmt::format("policy.credits={}", node.policy.has_credits ? "yes" : "no"),
                       "sandbox.read_paths=" + shared.string()},
         .certificate_days = certificate_days});
    if (!id) return tl::unexpected(std::move(id).error().within("node " + name));
    auto bundle = read_file(place.directory / "authorities/all.pem");
    if (!bundle) return pass_on(std::move(bundle));
    if (auto done = write_file(directory.authorities(), *bundle, 0600); !done) return done;
    auto group = groups.make(name, node.processors);
    if (!group) return pass_on(std::move(group));
    auto network = NetworkNamespace::make();
    if (!network) return pass_on(std::move(network));
    nodes.push_back({.name = name,
                     .address = address,
                     .directory = directory,
                     .id = *id,
                     .network = std::move(*network),
                     .groups = std::move(*group),
                     .machine = {},
                     .slowdowns = {}});
    return write_factor(shared, nodes.back());
  }

  Result<void> link(std::uint64_t seed) {
    FrameSwitch model(*scenario, seed);
    std::vector<Descriptor> taps;
    for (NodeIndex index = 0; index < nodes.size(); ++index) {
      EmulatedNode& node = nodes[index];
      std::string peers = "# HOST:PORT of the peer port of each node that a link leads to.\n";
      for (const NodeIndex other : model.neighbours_of(index)) {
        peers += fmt::format("{}:{}  # {}\n", nodes[other].address, peer_port, nodes[other].name);
      }
      auto written = write_file(node.directory.root() / "peers.txt", peers, 0600);
      if (!written) return written;
      auto tap = node.network.make_tap(hardware_address_of(index), node.address);
      if (!tap) return pass_on(std::move(tap));
      taps.push_back(std::move(*tap));
    }
    wires = std::make_unique<VirtualSwitch>(executor, std::move(model), std::move(taps));
    wires->start();
    return {};
  }

  Result<void> start_machine(NodeIndex index,
                             const std::map<std::string, std::string>& environment = {}) {
    EmulatedNode& node = nodes[index];
    const std::string root = node.directory.root().string();
    auto machine = Machine::start(executor,
                                  {.name = node.name,
                                   .command = {own_binary(), "node", "run", "--dir", root},
                                   .log_file = root + "/node.log",
                                   .network = node.network.descriptor(),
                                   .groups = node.groups,
                                   .environment = environment},
                                  [weak = weak_from_this(), index] {
                                    const auto self = weak.lock();
                                    if (self) self->hear_of_end(index);
                                  });
    if (!machine) return pass_on(std::move(machine));
    node.machine = std::move(*machine);
    node.is_on = true;
    return {};
  }

  void hear_of_end(NodeIndex index) {
    EmulatedNode& node = nodes[index];
    if (std::exchange(node.is_on, false) && owner != nullptr && owner->on_lost) {
      owner->on_lost(index);
    }
  }

  void isolate(NodeIndex index, bool is_begin) {
    const ScenarioFault alone{.kind = FaultKind::partition, .until = {}, .nodes = {index}};
    if (is_begin) {
      wires->model().begin(alone);
    } else {
      wires->model().end(alone);
    }
  }

  void signal_agent(const EmulatedNode& node, int signal) const {
    if (!node.machine || !node.machine->is_running()) return;
    const auto programs = node.machine->programs();
    const auto agent = programs.find("agent");
    if (agent != programs.end()) ::kill(agent->second, signal);
  }

  /// Of what has ended: which sentence says it best?
  Error error_of(const EmulatedNode& node, std::string_view doing) const {
    const auto log = read_file(node.directory.root() / "node.log");
    const std::string last =
        log ? std::string(trim(split(trim(*log), '\n').back())) : std::string();
    return {.code = ErrorCode::unavailable,
            .message = fmt::format("node {} ended while it was {}: {}", node.name, doing, last)};
  }

  /// Waits until every node lists all its neighbours as up, with at least as many functions as it may know.
  asio::awaitable<Result<void>> await_neighbours(bool with_functions) {
    const auto until = SteadyClock::now() + ready_patience;
    for (NodeIndex index = 0; index < nodes.size(); ++index) {
      for (;;) {
        if (!nodes[index].is_on) co_return tl::unexpected(error_of(nodes[index], "starting"));
        const std::string socket = nodes[index].directory.agent_socket().string();
        const Neighbours known = co_await neighbours_of(socket);
        if (knows_all(index, known, with_functions)) break;
        if (SteadyClock::now() > until) {
          co_return fail(ErrorCode::timed_out,
                         fmt::format("node {} did not get to know its neighbours in {} s",
                                     nodes[index].name, to_seconds(ready_patience)));
        }
        co_await pause(poll_pause);
      }
    }
    co_return Result<void>{};
  }

  [[nodiscard]] bool knows_all(NodeIndex index, const Neighbours& known, bool with_functions) {
    const std::vector<NodeIndex> linked = wires->model().neighbours_of(index);
    return std::ranges::all_of(linked, [&](NodeIndex other) {
      const auto found = known.find(nodes[other].id.text());
      if (found == known.end()) return false;
      const std::size_t functions =
          shared_functions(*scenario, scenario->nodes[index], scenario->nodes[other]);
      return !with_functions || found->second >= functions;
    });
  }

  asio::awaitable<Result<void>> await_agent(NodeIndex index) {
    const auto until = SteadyClock::now() + ready_patience;
    for (;;) {
      if (!nodes[index].is_on) co_return tl::unexpected(error_of(nodes[index], "starting"));
      // The last program that a node starts: gateway and front door are there.
      const std::string socket = nodes[index].directory.agent_socket().string();
      const auto reply = co_await ask(socket, "GET", "/v1/peers", "", "");
      if (reply && reply->head.status == 200) co_return Result<void>{};
      if (SteadyClock::now() > until) {
        co_return fail(ErrorCode::timed_out,
                       fmt::format("node {} does not answer after {} s", nodes[index].name,
                                   to_seconds(ready_patience)));
      }
      co_await pause(poll_pause);
    }
  }

  asio::awaitable<Result<void>> deploy_to(NodeIndex index) {
    const ScenarioNode& node = scenario->nodes[index];
    const NodeDirectory directory = nodes[index].directory;
    for (const ScenarioDeployment& deployed : node.functions) {
      const FunctionDeployment deployment = deployment_of(*scenario, node, deployed, shared);
      const std::string socket = directory.gateway_user_socket().string();
      const std::string body = deployment_to_json(deployment);
      const std::string login = login_of(directory);
      auto reply = co_await ask(socket, "POST", "/system/functions", body, login);
      const std::string scope =
          fmt::format("deploying {} on {}", deployment.function.name(), node.name.text());
      if (!reply) co_return tl::unexpected(std::move(reply).error().within(scope));
      if (reply->head.status >= 300) {
        co_return fail(ErrorCode::unavailable, fmt::format("{}: {} {}", scope, reply->head.status,
                                                           in_quotes(trim(reply->body), 300)));
      }
    }
    co_return Result<void>{};
  }
};

EmulatedFederation::EmulatedFederation(std::shared_ptr<State> state) : state_(std::move(state)) {
  state_->owner = this;
}
EmulatedFederation::~EmulatedFederation() {
  state_->owner = nullptr;
  for (EmulatedNode& node : state_->nodes) {
    if (node.machine) node.machine->kill();  // All first, then each is waited for.
  }
  for (EmulatedNode& node : state_->nodes) node.machine.reset();
  if (state_->wires) state_->wires->stop();
}

Result<std::unique_ptr<EmulatedFederation>> EmulatedFederation::make(asio::any_io_executor executor,
                                                                     const Scenario& scenario,
                                                                     const EmulationPlace& place,
                                                                     Janitor& janitor) {
  if (auto possible = check_networks(); !possible) return pass_on(std::move(possible));
  auto state = std::make_shared<State>();
  state->executor = std::move(executor);
  state->scenario = &scenario;
  state->shared = place.directory / "shared";
  std::error_code error;
  // Functions run as nobody: they must be let in, here and nowhere else.
  fs::permissions(place.directory, fs::perms{0711}, error);
  if (auto made = make_directory(state->shared, 0755); !made) return pass_on(std::move(made));
  const fs::path program = pause_binary();
  fs::copy_file(program, state->shared / "dfaas-pause", error);
  if (error) {
    return fail(ErrorCode::not_found,
                fmt::format("{}: {}: it belongs beside dfaas, or in lib/dfaas", program.string(),
                            error.message()));
  }
  const MachineGroups groups(fmt::format("dfaas-emulate-{}", ::getpid()), janitor);
  if (auto made = state->make_authorities(place.directory); !made) return pass_on(std::move(made));
  for (NodeIndex index = 0; index < scenario.nodes.size(); ++index) {
    if (auto made = state->make_node(index, place, groups); !made) return pass_on(std::move(made));
  }
  if (auto linked = state->link(place.seed); !linked) return pass_on(std::move(linked));
  return std::unique_ptr<EmulatedFederation>(new EmulatedFederation(std::move(state)));
}

const std::vector<EmulatedNode>& EmulatedFederation::nodes() const { return state_->nodes; }
FrameSwitch& EmulatedFederation::wires() { return state_->wires->model(); }

std::optional<NodeIndex> EmulatedFederation::find(std::string_view name) const {
  const auto found = std::ranges::find(state_->nodes, name, &EmulatedNode::name);
  if (found == state_->nodes.end()) return std::nullopt;
  return static_cast<NodeIndex>(found - state_->nodes.begin());
}

asio::awaitable<Result<void>> EmulatedFederation::start() {
  for (NodeIndex index = 0; index < state_->nodes.size(); ++index) {
    if (auto started = state_->start_machine(index); !started) co_return started;
  }
  for (NodeIndex index = 0; index < state_->nodes.size(); ++index) {
    auto ready = co_await state_->await_agent(index);
    if (!ready) co_return ready;
  }
  co_return co_await state_->await_neighbours(false);
}

asio::awaitable<Result<void>> EmulatedFederation::deploy() {
  for (NodeIndex index = 0; index < state_->nodes.size(); ++index) {
    auto deployed = co_await state_->deploy_to(index);
    if (!deployed) co_return deployed;
  }
  co_return co_await state_->await_neighbours(true);
}

void EmulatedFederation::power_off(NodeIndex index) {
  EmulatedNode& node = state_->nodes[index];
  if (++node.crashes > 1) return;
  node.is_on = false;
  if (node.machine) node.machine->kill();
  state_->isolate(index, true);  // A machine without power refuses nothing: it is silent.
}

Result<void> EmulatedFederation::power_on(NodeIndex index,
                                          const std::map<std::string, std::string>& environment) {
  EmulatedNode& node = state_->nodes[index];
  if (node.is_on) return {};
  if (node.crashes > 1) {
    --node.crashes;
    return {};
  }
  if (std::exchange(node.crashes, 0) == 1) state_->isolate(index, false);
  node.machine.reset();
  return state_->start_machine(index, environment);
}

asio::awaitable<Result<void>> EmulatedFederation::stop(NodeIndex index) {
  EmulatedNode* node = &state_->nodes[index];
  node->is_on = false;
  node->machine->ask_to_stop();
  const auto until = SteadyClock::now() + stop_patience;
  while (node->machine->is_running()) {
    if (SteadyClock::now() > until) {
      node->is_on = true;
      co_return fail(ErrorCode::timed_out, fmt::format("node {} did not stop in {} s", node->name,
                                                       to_seconds(stop_patience)));
    }
    co_await pause(poll_pause);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> EmulatedFederation::await_node(NodeIndex node) {
  co_return co_await state_->await_agent(node);
}

void EmulatedFederation::heal(NodeIndex a, NodeIndex b) {
  for (const auto& [from, to] : {std::pair{a, b}, std::pair{b, a}}) {
    LinkModel* direction = wires().direction(from, to);
    direction->heal_all();
    if (state_->nodes[from].crashes > 0) direction->cut();
    if (state_->nodes[to].crashes > 0) direction->cut();
  }
}

void EmulatedFederation::begin(const ScenarioFault& fault) {
  state_->wires->model().begin(fault);
  for (const NodeIndex index : fault.nodes) {
    EmulatedNode& node = state_->nodes[index];
    if (fault.kind == FaultKind::node_crash) power_off(index);
    // Killed, it would be started again at once; stopped, it is silent, and its gateway is alone.
    if (fault.kind == FaultKind::agent_crash && ++node.frozen_agents == 1) {
      state_->signal_agent(node, SIGSTOP);
    }
    if (fault.kind == FaultKind::slowdown) {
      node.slowdowns.push_back(fault.factor);
      std::ignore = write_factor(state_->shared, node);
    }
  }
}

Result<void> EmulatedFederation::end(const ScenarioFault& fault) {
  state_->wires->model().end(fault);
  for (const NodeIndex index : fault.nodes) {
    EmulatedNode& node = state_->nodes[index];
    if (fault.kind == FaultKind::node_crash) {
      if (auto started = power_on(index); !started) return started;
    }
    if (fault.kind == FaultKind::agent_crash && --node.frozen_agents == 0) {
      state_->signal_agent(node, SIGKILL);
    }
    if (fault.kind == FaultKind::slowdown) {
      const auto found = std::ranges::find(node.slowdowns, fault.factor);
      if (found != node.slowdowns.end()) node.slowdowns.erase(found);
      if (auto written = write_factor(state_->shared, node); !written) return written;
    }
  }
  return {};
}

std::string EmulatedFederation::last_log_lines() const {
  constexpr std::size_t bytes_shown = 1500;
  std::string text;
  for (const EmulatedNode& node : state_->nodes) {
    const fs::path file = node.directory.root() / "node.log";
    auto log = read_file(file);
    if (!log || log->empty()) continue;
    const std::size_t from = log->size() > bytes_shown ? log->size() - bytes_shown : 0;
    text += fmt::format("--- {}\n{}", file.string(), log->substr(from));
  }
  return text;
}

}  // namespace dfaas
