// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas doctor: looks at everything that a node needs, and says what to do about what is wrong.
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/gossip_setup.hpp"
#include "apps/dfaas/node_setup.hpp"
#include "apps/dfaas/settings_loader.hpp"
#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "live/files/files.hpp"
#include "live/membership/membership.hpp"
#include "live/node/node_directory.hpp"
#include "live/pki/pki.hpp"
#include "live/pki/trust_bundle.hpp"
#include "live/tls/secure_fetch.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;
constexpr Millis peer_patience{3'000};
constexpr std::size_t file_bytes_max = 1U << 20U;
constexpr std::size_t answer_bytes_max = 64U << 10U;

enum class State : unsigned char { good, doubtful, wrong };

struct Finding {
  std::string what;
  State state = State::good;
  std::string text;
  std::string remedy;  ///< What to do; empty where all is well.
};

std::string_view word_of(State state) {
  switch (state) {
    case State::good:
      return "ok";
    case State::doubtful:
      return "warning";
    case State::wrong:
      return "problem";
  }
  return "";
}

/// All that is known of the node while it is looked at.
struct Examination {
  NodeDirectory directory{"."};
  std::optional<Settings> settings;
  bool is_running = false;
  std::vector<Finding> findings;

  void add(std::string what, State state, std::string text, std::string remedy = {}) {
    findings.push_back({.what = std::move(what),
                        .state = state,
                        .text = std::move(text),
                        .remedy = std::move(remedy)});
  }
};

// --- the machine

void examine_programs(Examination& node) {
  const auto haproxy = find_haproxy(node.settings->text("haproxy.program"));
  if (haproxy) {
    node.add("haproxy", State::good, *haproxy);
  } else {
    node.add("haproxy", State::wrong, haproxy.error().message, "apt-get install haproxy");
  }
  const fs::path launcher = launcher_binary();
  std::error_code ignored;
  if (fs::exists(launcher, ignored)) {
    node.add("launcher", State::good, launcher.string());
  } else {
    node.add("launcher", State::wrong, launcher.string() + " is missing",
             "install it beside dfaas");
  }
  for (const char* program : {"skopeo", "umoci"}) {
    const std::string place = find_on_path(program);
    node.add(program, State::good,
             place.empty() ? fmt::format("not in the PATH here: this node runs no container images "
                                         "(apt-get install {})",
                                         program)
                           : place);
  }
}

void examine_machine(Examination& node) {
  rlimit files{};
  constexpr rlim_t files_min = 16'384;
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < files_min) {
    node.add("open files", State::doubtful, fmt::format("at most {}", files.rlim_max),
             fmt::format("raise the limit to {}: LimitNOFILE= in the unit", files_min));
  } else {
    node.add("open files", State::good, fmt::format("at most {}", files.rlim_max));
  }
  struct statvfs disk{};
  if (::statvfs(node.directory.root().c_str(), &disk) != 0) return;
  constexpr double full_ratio = 0.05;
  const double free_ratio =
      disk.f_blocks == 0 ? 1
                         : static_cast<double>(disk.f_bavail) / static_cast<double>(disk.f_blocks);
  const std::string text = fmt::format("{:.0f} % free", 100 * free_ratio);
  if (free_ratio < full_ratio) {
    node.add("disk", State::doubtful, text, "make room: state and secrets are written there");
  } else {
    node.add("disk", State::good, text);
  }
}

void examine_ports(Examination& node) {
  for (const char* port : {"user.bind", "peer.bind", "join.bind", "admin.bind"}) {
    const std::string& address = node.settings->text(port);
    if (address.empty()) continue;
    if (node.is_running) {
      node.add(port, State::good, address + ", in use by this node");
    } else if (auto free = check_port(*node.settings, port); free) {
      node.add(port, State::good, address + ", free");
    } else {
      node.add(port, State::wrong, free.error().message,
               fmt::format("stop who uses it (ss -ltnp), or choose another: {}=HOST:PORT in {}",
                           port, node.directory.settings().string()));
    }
  }
}

// --- who it is

void examine_secrets(Examination& node) {
  for (const fs::path& file :
       {node.directory.key(), node.directory.certificate_and_key(), node.directory.password_file(),
        node.directory.authority() / "ca.key"}) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) continue;
    constexpr mode_t others = 0077;
    if ((status.st_mode & others) == 0) continue;
    node.add("secrets", State::wrong,
             fmt::format("{} is open to others (mode {:o})", file.string(), status.st_mode & 0777U),
             "chmod 600 " + file.string());
  }
}

void examine_certificate(Examination& node) {
  const auto text = read_file(node.directory.certificate(), file_bytes_max);
  const auto certificate =
      text ? inspect_certificate(*text) : Result<Certificate>(tl::unexpected(text.error()));
  const std::string renew =
      fmt::format("dfaas join TOKEN --dir {0}, or dfaas pki node renew --dir {0} --ca DIRECTORY",
                  node.directory.root().string());
  if (!certificate) {
    node.add("certificate", State::wrong, certificate.error().message, renew);
    return;
  }
  const auto now = std::chrono::system_clock::now();
  const auto whole = certificate->valid_until - certificate->valid_from;
  const std::string until =
      fmt::format("of {}, until {}", certificate->organisation, certificate->not_after);
  if (now < certificate->valid_from) {
    node.add("certificate", State::wrong,
             "begins at " + certificate->not_before + ", in the future",
             "set the clock of this machine");
  } else if (certificate->expired) {
    node.add("certificate", State::wrong, until + ": it ran out", renew);
  } else if (certificate->valid_until - now < whole / 4) {
    node.add("certificate", State::doubtful, until + ": it should have been renewed",
             "look for certificate_not_renewed in the log; by hand: " + renew);
  } else {
    node.add("certificate", State::good, until);
  }
  const auto bundle = TrustBundle::read(node.directory.authorities());
  if (!bundle) {
    node.add("authorities", State::wrong, bundle.error().message,
             "dfaas federation trust FILE, or restore the file");
    return;
  }
  std::string names;
  for (const TrustedAuthority& authority : bundle->authorities()) {
    names += (names.empty() ? "" : ", ") + authority.organisation;
  }
  if (auto verified = bundle->verify(*text); verified || certificate->expired) {
    node.add("authorities", State::good, names);
  } else {
    node.add("authorities", State::wrong, verified.error().message,
             "our own authority must be in " + node.directory.authorities().string());
  }
}

// --- who is around

template <class T>
Result<T> run_blocking(boost::asio::awaitable<Result<T>> task) {
  boost::asio::io_context context(1);
  std::optional<Result<T>> result;
  boost::asio::co_spawn(context, std::move(task),
                        [&result](const std::exception_ptr& problem, Result<T> done) {
                          if (problem) std::rethrow_exception(problem);
                          result = std::move(done);
                        });
  context.run();
  return std::move(*result);
}

/// Seconds that the other clock is ahead; nothing where it did not tell.
std::optional<std::chrono::seconds> clock_ahead(std::string_view date) {
  std::tm parts{};
  std::istringstream text{std::string(date)};
  text >> std::get_time(&parts, "%a, %d %b %Y %H:%M:%S GMT");
  if (text.fail()) return std::nullopt;
  const auto theirs = std::chrono::system_clock::from_time_t(::timegm(&parts));
  return std::chrono::duration_cast<std::chrono::seconds>(theirs -
                                                          std::chrono::system_clock::now());
}

void examine_peer(Examination& node, const Endpoint& address) {
  const std::string what = "neighbour " + address.text();
  const OwnCertificate own{node.directory.certificate_and_key(), node.directory.authorities()};
  const auto begun = std::chrono::steady_clock::now();
  const auto proved = run_blocking(prove(address, own, peer_patience));
  const auto took = std::chrono::steady_clock::now() - begun;
  if (!proved) {
    const bool is_silent = proved.error().code != ErrorCode::denied;
    node.add(what, is_silent ? State::doubtful : State::wrong, proved.error().message,
             is_silent
                 ? "does it run, and does the way there let its peer port through?"
                 : "its authority must be trusted here, and ours there: dfaas federation trust");
    return;
  }
  RequestHead head{.method = "GET", .target = "/healthz"};
  head.headers.add("Host", proved->id.text());
  const auto text = read_file(node.directory.certificate(), file_bytes_max);
  const auto self = text ? inspect_certificate(*text) : Result<Certificate>(Certificate{});
  if (self && self->id == proved->id) {
    node.add(what, State::good, "this node");
    return;
  }
  if (self) head.headers.add("DFaaS-Node-ID", self->id.text());
  const auto reply = secure_fetch_blocking(
      {.address = address, .id = proved->id, .own = node.directory.certificate_and_key()}, head, "",
      peer_patience, answer_bytes_max);
  if (!reply || reply->head.status == 403) {
    node.add(what, State::doubtful,
             reply ? "it does not take us for a neighbour" : reply.error().message,
             "this node must be in its list of members, and run");
    return;
  }
  const auto ahead = clock_ahead(reply->head.headers.get("Date"));
  const std::string_view version = reply->head.headers.get("DFaaS-Version");
  const std::string facts = fmt::format("{} of {}, version {}, handshake {:.1f} ms",
                                        proved->id.text(), proved->organisation, version,
                                        std::chrono::duration<double, std::milli>(took).count());
  constexpr std::chrono::seconds skew_max{60};
  if (ahead && (*ahead > skew_max || *ahead < -skew_max)) {
    node.add(what, State::wrong,
             fmt::format("{}: its clock is {} s ahead of ours", facts, ahead->count()),
             "set both clocks: timedatectl set-ntp true");
  } else if (version != DFAAS_VERSION) {
    node.add(what, State::doubtful, facts,
             fmt::format("this node has {}: upgrade the older", DFAAS_VERSION));
  } else {
    node.add(what, State::good, facts);
  }
}

void examine_peers(Examination& node) {
  constexpr std::size_t peers_max = 64;
  const fs::path file = node.directory.root() / node.settings->text("membership.peers_file");
  const auto text = read_file(file, file_bytes_max);
  const CandidateList list = parse_candidates(text ? *text : std::string());
  for (const std::string& complaint : list.complaints) {
    node.add("peers.txt", State::wrong, complaint, "mend or remove the line in " + file.string());
  }
  for (std::size_t at = 0; at < std::min(peers_max, list.addresses.size()); ++at) {
    examine_peer(node, list.addresses[at]);
  }
}

/// Of a node that runs: what its agent hears from serf.
void examine_gossip_heard(Examination& node) {
  const auto text = get_local(node.directory.root().string(),
                              node.directory.agent_socket().string(), "/v1/members");
  if (!text) {
    node.add("gossip", State::wrong, text.error().message, "look for the agent's lines in the log");
    return;
  }
  const auto gossip = nlohmann::json::parse(*text)["gossip"];  // Of our own agent.
  if (gossip.is_null()) return;                                // Set since it was started.
  const int members = gossip["members"].get<int>();
  if (!gossip["connected"].get<bool>()) {
    node.add("gossip", State::wrong, "serf is away",
             "look into " + (node.directory.run() / "serf.log").string());
  } else if (members == 0) {
    node.add("gossip", State::doubtful,
             "no other member of " + gossip["federation"].get<std::string>(),
             "gossip.join must name a member, and its gossip.bind be reachable over TCP and UDP");
  } else {
    node.add(
        "gossip", State::good,
        fmt::format("{} other members of {}", members, gossip["federation"].get<std::string>()));
  }
  for (const auto& [address, why] : gossip["not_joined"].items()) {
    node.add("gossip.join", State::doubtful, why.get<std::string>(),
             "is it the gossip.bind of a member with our key, and open over TCP and UDP?");
  }
}

void examine_gossip(Examination& node) {
  if (!uses_serf(*node.settings)) return;
  if (const auto serf = find_serf(node.settings->text("serf.program")); serf) {
    node.add("serf", State::good, *serf);
  } else {
    node.add("serf", State::wrong, serf.error().message, "apt-get install serf");
  }
  if (node.is_running) return examine_gossip_heard(node);
  for (const int kind : {SOCK_STREAM, SOCK_DGRAM}) {
    const std::string protocol = kind == SOCK_STREAM ? "TCP" : "UDP";
    if (auto free = check_port(*node.settings, "gossip.bind", kind); !free) {
      node.add("gossip.bind", State::wrong, protocol + ": " + free.error().message,
               "stop who uses it (ss -ltunp), or choose another address");
      return;
    }
  }
  node.add("gossip.bind", State::good, node.settings->text("gossip.bind") + ", free");
}

void examine_issuer(Examination& node) {
  const auto text = read_file(node.directory.issuer(), file_bytes_max);
  if (!text) return;
  for (const std::string_view line : split(*text, '\n')) {
    const auto words = split(trim(line), ' ');
    if (words.size() != 2) continue;
    const auto address = Endpoint::parse(words[0]);
    const auto id = NodeId::parse(words[1]);
    if (!address || !id) {
      node.add("renewal", State::wrong, fmt::format("{} is not HOST:PORT ID", in_quotes(line)),
               "mend " + node.directory.issuer().string());
      continue;
    }
    // It refuses an empty question; that it answers is what counts.
    RequestHead head{.method = "POST", .target = "/dfaas/v1/renew"};
    head.headers.add("Host", id->text());
    const auto reply = secure_fetch_blocking(
        {.address = *address, .id = *id, .own = node.directory.certificate_and_key()}, head, "{}",
        peer_patience, answer_bytes_max);
    if (reply) {
      node.add("renewal", State::good, address->text() + " answers");
    } else {
      node.add("renewal", State::doubtful, reply.error().message,
               "certificates cannot be renewed while it does not answer");
    }
  }
}

void examine_running(Examination& node) {
  const auto text =
      call_local(node.directory.root().string(), node.directory.gateway_admin_socket().string(),
                 "GET", "/dfaas/v1/status", "");
  node.is_running = text.has_value();
  if (!text) {
    node.add("node", State::good, "not running");
    return;
  }
  const auto status = nlohmann::json::parse(*text);  // Of our own gateway.
  const bool is_healthy = status["healthy"].get<bool>();
  node.add("node", is_healthy ? State::good : State::wrong,
           is_healthy ? "running" : "running, but cannot run functions or drains",
           is_healthy ? "" : "look into its log");
  const auto& platform = status["platform"];
  if (platform["kind"] != "embedded") {
    const bool answers = platform["answers"].get<bool>();
    node.add("platform", answers ? State::good : State::wrong,
             answers ? fmt::format("{} answers", platform["url"].get<std::string>())
                     : fmt::format("{}: {}", platform["url"].get<std::string>(),
                                   platform["why"].get<std::string>()),
             answers ? "" : "docs/guides/openfaas.md says what the node does meanwhile");
    return;
  }
  const auto& sandbox = status["sandbox"];
  const std::string tier = sandbox["tier"].get<std::string>();
  const std::string limits = sandbox["limits"].get<std::string>();
  const bool is_weak = tier == "none" || limits == "rlimits";
  node.add("sandbox", is_weak ? State::doubtful : State::good,
           fmt::format("{}, limits by {}", tier, limits),
           is_weak ? "docs/guides/sandbox.md says what the host must allow for more" : "");
}

void print(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    fmt::print("{:8} {:24} {}\n", word_of(finding.state), finding.what, finding.text);
    if (!finding.remedy.empty()) fmt::print("{:8} {:24} -> {}\n", "", "", finding.remedy);
  }
}

void print_json(const std::vector<Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"what", finding.what},
                    {"state", word_of(finding.state)},
                    {"text", finding.text},
                    {"remedy", finding.remedy}});
  }
  fmt::print("{}\n", json_text({{"findings", std::move(list)}}));
}

Result<void> examine(const std::string& directory, const std::string& output) {
  Examination node{.directory = NodeDirectory(fs::absolute(directory).lexically_normal()),
                   .settings = std::nullopt,
                   .findings = {}};
  auto settings = load_settings(node.directory, {});
  if (!settings) return tl::unexpected(settings.error());
  node.settings = std::move(*settings);
  node.add("settings", State::good, node.directory.settings().string());
  examine_running(node);
  examine_programs(node);
  examine_machine(node);
  examine_ports(node);
  examine_gossip(node);
  examine_secrets(node);
  examine_certificate(node);
  examine_issuer(node);
  examine_peers(node);
  output == "json" ? print_json(node.findings) : print(node.findings);
  const auto problems = std::ranges::count(node.findings, State::wrong, &Finding::state);
  if (problems == 0) return {};
  return fail(ErrorCode::unavailable,
              fmt::format("{} problem{} found", problems, problems == 1 ? "" : "s"));
}

}  // namespace

void add_doctor_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand(
      "doctor", "Check ports, certificates, clocks, versions and neighbours of a node");
  auto directory = std::make_shared<std::string>(".");
  auto output = std::make_shared<std::string>("table");
  command->add_option("--dir", *directory, "Directory of the node")->capture_default_str();
  add_output_option(*command, *output);
  command->footer("Example: dfaas doctor --dir light");
  command->callback([directory, output, &status] {
    if (auto done = examine(*directory, *output); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
