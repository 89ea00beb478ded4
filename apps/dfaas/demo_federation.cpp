// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/demo_federation.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
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
#include "live/files/files.hpp"
#include "live/node/supervisor.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/pki.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr Millis ready_patience{20'000};
constexpr Millis poll_pause{50};
constexpr Millis local_patience{3'000};
constexpr Millis call_patience{30'000};
constexpr std::size_t answer_bytes_max = 4U << 20U;
constexpr int authority_days = 30;
constexpr int certificate_days = 7;

struct NodeShape {
  const char* name;
  int slots;
};
/// As in the published measurements: a light, a middling and a heavy machine.
constexpr std::array<NodeShape, 3> shapes{{{"light", 2}, {"mid", 4}, {"heavy", 6}}};

asio::awaitable<void> pause(Millis time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  std::ignore = co_await timer.async_wait(as_result);
}

/// Ports that are free now, for a demo beside others. They are taken again a moment later.
Result<std::vector<int>> free_ports(std::size_t count) {
  std::vector<int> ports;
  std::vector<int> descriptors;
  for (std::size_t at = 0; at < count; ++at) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    // NOLINTBEGIN: how sockets are addressed.
    const bool is_bound =
        ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
        ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    // NOLINTEND
    descriptors.push_back(descriptor);
    if (is_bound) ports.push_back(ntohs(address.sin_port));
  }
  for (const int descriptor : descriptors) ::close(descriptor);
  if (ports.size() < count) return fail(ErrorCode::unavailable, "no free ports on this machine");
  return ports;
}

/// User, peer and admin port of each node.
Result<std::vector<int>> choose_ports(int user_port) {
  if (user_port == 0) return free_ports(3 * shapes.size());
  std::vector<int> ports;
  for (int node = 0; node < static_cast<int>(shapes.size()); ++node) {
    ports.insert(ports.end(), {user_port + node, user_port + 100 + node, user_port + 200 + node});
  }
  return ports;
}

std::string slots_label(const DemoFunction& function, const DemoNode& node) {
  return function.is_loaded ? std::to_string(node.slots) : std::string();
}

FunctionDeployment deployment_of(const DemoFunction& function, const DemoNode& node) {
  FunctionDeployment deployment{.function = FunctionName::parse(function.name).value(),
                                .image = "host:",
                                .process = function.process};
  // One thread a run: four runs of tesseract on four threads each would only fight.
  if (function.name == "ocr") deployment.env["OMP_THREAD_LIMIT"] = "1";
  if (const std::string slots = slots_label(function, node); !slots.empty()) {
    deployment.labels["dfaas.slots"] = slots;
  }
  return deployment;
}

}  // namespace

const std::vector<DemoFunction>& demo_functions() {
  static const std::vector<DemoFunction> functions{
      {.name = "figlet", .process = "figlet"},
      {.name = "shasum", .process = "sha512sum"},
      {.name = "ocr", .process = "tesseract stdin stdout"},
      {.name = std::string(demo_loaded_function),
       .process = fmt::format("sleep {}", to_seconds(demo_run_time)),
       .is_loaded = true}};
  return functions;
}

struct DemoFederation::State {
  asio::any_io_executor executor;
  std::vector<DemoNode> nodes;
  std::unique_ptr<Supervisor> supervisor;
};

DemoFederation::DemoFederation(std::unique_ptr<State> state) : state_(std::move(state)) {}
DemoFederation::~DemoFederation() = default;

const std::vector<DemoNode>& DemoFederation::nodes() const { return state_->nodes; }

namespace {

Result<HttpReply> checked(Result<HttpReply> reply, std::string_view scope) {
  if (!reply) return tl::unexpected(std::move(reply).error().within(scope));
  if (reply->head.status >= 300) {
    return fail(ErrorCode::unavailable, fmt::format("{}: {} {}", scope, reply->head.status,
                                                    in_quotes(trim(reply->body), 300)));
  }
  return reply;
}

asio::awaitable<Result<HttpReply>> ask(Endpoint endpoint, std::string method, std::string target,
                                       std::string body) {
  RequestHead head{.method = std::move(method), .target = std::move(target)};
  head.headers.add("Host", "localhost");
  co_return co_await fetch(std::move(endpoint), std::move(head), std::move(body), local_patience,
                           answer_bytes_max);
}

/// Does this node list `count` neighbours as up, each with `functions` functions?
asio::awaitable<bool> knows_neighbours(DemoNode node, std::size_t count, std::size_t functions) {
  const Endpoint agent = Endpoint::unix_socket(node.directory.agent_socket().string());
  const auto reply = co_await ask(agent, "GET", "/v1/peers", "");
  if (!reply || reply->head.status != 200) co_return false;
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  if (answer.is_discarded()) co_return false;
  std::size_t ready = 0;
  for (const auto& peer : answer["peers"]) {
    if (peer["state"] == "up" && peer["functions"].size() >= functions) ++ready;
  }
  co_return ready == count;
}

/// The version of the plan that the gateway works by, if it is of this strategy; else 0.
asio::awaitable<std::uint64_t> plan_of(DemoNode node, std::string strategy) {
  const Endpoint gateway = Endpoint::unix_socket(node.directory.gateway_admin_socket().string());
  const auto reply = co_await ask(gateway, "GET", "/dfaas/v1/status", "");
  if (!reply || reply->head.status != 200) co_return 0;
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  if (answer.is_discarded() || answer["strategy"] != strategy) co_return 0;
  co_return answer["plan_version"].get<std::uint64_t>();
}

asio::awaitable<Result<void>> await_neighbours(std::vector<DemoNode> nodes, std::size_t functions) {
  const auto until = SteadyClock::now() + ready_patience;
  for (const DemoNode& node : nodes) {
    while (!co_await knows_neighbours(node, nodes.size() - 1, functions)) {
      if (SteadyClock::now() > until) {
        co_return fail(ErrorCode::timed_out,
                       fmt::format("{} did not get to know its neighbours in {} s", node.name,
                                   to_seconds(ready_patience)));
      }
      co_await pause(poll_pause);
    }
  }
  co_return Result<void>{};
}

}  // namespace

Result<std::unique_ptr<DemoFederation>> DemoFederation::make(asio::any_io_executor executor,
                                                             const DemoPlace& place) {
  const auto ports = choose_ports(place.user_port);
  if (!ports) return fail(ports.error().code, ports.error().message);
  const std::filesystem::path authority = place.directory / "authority";
  if (auto made = create_authority(authority, "demo", authority_days); !made) {
    return pass_on(std::move(made));
  }
  auto state = std::make_unique<State>();
  state->executor = std::move(executor);
  std::string peers;
  std::vector<SupervisedProgram> programs;
  for (std::size_t at = 0; at < shapes.size(); ++at) {
    const int user_port = (*ports)[3 * at];
    const int peer_port = (*ports)[3 * at + 1];
    const int admin_port = (*ports)[3 * at + 2];
    const std::filesystem::path directory = place.directory / shapes.at(at).name;
    auto id = init_node({.directory = directory,
                         .name = shapes.at(at).name,
                         .authority = authority,
                         .overrides = {fmt::format("user.bind=127.0.0.1:{}", user_port),
                                       fmt::format("peer.bind=127.0.0.1:{}", peer_port),
                                       fmt::format("admin.bind=127.0.0.1:{}", admin_port)},
                         .certificate_days = certificate_days});
    if (!id) return pass_on(std::move(id));
    peers += fmt::format("127.0.0.1:{}  # {}\n", peer_port, shapes.at(at).name);
    state->nodes.push_back({.name = shapes.at(at).name,
                            .slots = shapes.at(at).slots,
                            .directory = NodeDirectory(directory),
                            .user = {.unix_path = {},
                                     .host = "127.0.0.1",
                                     .port = static_cast<std::uint16_t>(user_port)},
                            .id = *id});
  }
  for (const DemoNode& node : state->nodes) {
    const std::filesystem::path& root = node.directory.root();
    if (auto done = write_file(root / "peers.txt", peers, 0600); !done) {
      return pass_on(std::move(done));
    }
    programs.push_back({.name = node.name,
                        .command = {own_binary(), "node", "run", "--dir", root.string()},
                        .log_file = (root / "node.log").string(),
                        .stop_patience = Millis{20'000},
                        .is_ready = [endpoint = node.user](int /*pid*/) {
                          RequestHead head{.method = "GET", .target = "/healthz"};
                          head.headers.add("Host", "localhost");
                          const auto reply =
                              fetch_blocking(endpoint, head, "", Millis{500}, answer_bytes_max);
                          return reply && reply->head.status == 200;
                        }});
  }
  state->supervisor = std::make_unique<Supervisor>(state->executor, std::move(programs));
  return std::unique_ptr<DemoFederation>(new DemoFederation(std::move(state)));
}

asio::awaitable<Result<void>> DemoFederation::start(std::function<void(const DemoNode&)> is_up) {
  asio::steady_timer started(state_->executor, asio::steady_timer::time_point::max());
  Result<void> result;
  state_->supervisor->start(ready_patience, [&started, &result](Result<void> done) {
    result = std::move(done);
    started.cancel();
  });
  std::ignore = co_await started.async_wait(as_result);
  if (!result) co_return result;
  for (const DemoNode& node : state_->nodes) is_up(node);
  co_return co_await await_neighbours(state_->nodes, 0);
}

asio::awaitable<Result<void>> DemoFederation::deploy() {
  for (const DemoNode& node : state_->nodes) {
    auto password = read_file(node.directory.password_file());
    if (!password) co_return pass_on(std::move(password));
    const std::string login =
        base64_encode("admin:" + std::string(trim(split(*password, '\n')[0])));
    for (const DemoFunction& function : demo_functions()) {
      RequestHead head{.method = "POST", .target = "/system/functions"};
      head.headers.add("Host", "localhost");
      head.headers.add("Authorization", "Basic " + login);
      const std::string text = deployment_to_json(deployment_of(function, node));
      auto reply = co_await fetch(node.user, head, text, local_patience, answer_bytes_max);
      auto done = checked(std::move(reply), "deploying " + function.name + " on " + node.name);
      if (!done) co_return pass_on(std::move(done));
    }
  }
  co_return co_await await_neighbours(state_->nodes, demo_functions().size());
}

asio::awaitable<Result<DemoAnswer>> DemoFederation::call(std::size_t node, std::string function,
                                                         std::string body) {
  RequestHead head{.method = "POST", .target = "/function/" + function};
  head.headers.add("Host", "localhost");
  const auto since = SteadyClock::now();
  auto reply = co_await fetch(state_->nodes.at(node).user, head, std::move(body), call_patience,
                              answer_bytes_max);
  auto answer = checked(std::move(reply), "calling " + function);
  if (!answer) co_return pass_on(std::move(answer));
  const auto took = std::chrono::duration_cast<Micros>(SteadyClock::now() - since);
  DemoAnswer result;
  result.served_by = answer->head.headers.get("X-Server");
  result.text = std::move(answer->body);
  result.took = took;
  co_return result;
}

asio::awaitable<Result<void>> DemoFederation::use_strategy(std::string name) {
  for (const DemoNode& node : state_->nodes) {
    const Endpoint agent = Endpoint::unix_socket(node.directory.agent_socket().string());
    auto reply = co_await ask(agent, "PUT", "/v1/strategy", name);
    auto done = checked(std::move(reply), "strategy " + name + " on " + node.name);
    if (!done) co_return pass_on(std::move(done));
  }
  // The first plan may be of before the neighbours had heard of it; the next one knows their answers.
  const auto until = SteadyClock::now() + ready_patience;
  for (const DemoNode& node : state_->nodes) {
    std::uint64_t first = 0;
    for (std::uint64_t version = 0; first == 0 || version <= first;) {
      if (SteadyClock::now() > until) {
        co_return fail(ErrorCode::timed_out,
                       fmt::format("{} did not switch to {} in {} s", node.name, name,
                                   to_seconds(ready_patience)));
      }
      version = co_await plan_of(node, name);
      if (first == 0) first = version;
      if (version <= first) co_await pause(poll_pause);
    }
  }
  co_return Result<void>{};
}

void DemoFederation::stop(std::function<void()> done) { state_->supervisor->stop(std::move(done)); }

std::string DemoFederation::last_log_lines() const {
  constexpr std::size_t bytes_shown = 1500;
  std::string text;
  for (const DemoNode& node : state_->nodes) {
    const std::filesystem::path file = node.directory.root() / "node.log";
    auto log = read_file(file);
    if (!log || log->empty()) continue;
    const std::size_t from = log->size() > bytes_shown ? log->size() - bytes_shown : 0;
    text += fmt::format("--- {}\n{}", file.string(), log->substr(from));
  }
  return text;
}

}  // namespace dfaas
