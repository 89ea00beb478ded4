// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/node_setup.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "apps/dfaas/gossip_setup.hpp"
#include "apps/dfaas/programs.hpp"
#include "apps/dfaas/settings_loader.hpp"
#include "core/base/text.hpp"
#include "core/haproxy/runtime_text.hpp"
#include "live/files/files.hpp"
#include "live/membership/gossip_keys.hpp"
#include "live/net/http.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/pki.hpp"
#include "live/pki/trust_bundle.hpp"
#include "live/runtime/descriptor.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

extern const std::string_view front_door_config;

namespace {

namespace fs = std::filesystem;

constexpr Millis ready_patience{20'000};

std::string reason(int error) { return std::error_code(error, std::generic_category()).message(); }

/// `text` as one word of a shell, whatever it holds.
std::string shell_word(std::string_view text) {
  std::string word = "'";
  for (const char letter : text) {
    if (letter == '\'') {
      word += "'\\''";
    } else {
      word += letter;
    }
  }
  return word + "'";
}

/// What `program -v` says, on either output.
std::string version_text(const std::string& program) {
  std::string output;
  const std::string command = shell_word(program) + " -v 2>&1 </dev/null";
  FILE* const pipe = ::popen(command.c_str(), "r");  // NOLINT: the one foreign word is quoted.
  if (pipe == nullptr) return output;
  std::array<char, 4096> piece{};
  while (std::fgets(piece.data(), piece.size(), pipe) != nullptr) output += piece.data();
  ::pclose(pipe);
  return output;
}

}  // namespace

Result<std::string> find_haproxy(const std::string& chosen) {
  if (!chosen.empty() && ::access(chosen.c_str(), X_OK) != 0) {
    return fail(ErrorCode::not_found,
                fmt::format("setting haproxy.program: {} is not an executable file (haproxy 2.6 or "
                            "newer is needed): {}",
                            in_quotes(chosen), reason(errno)));
  }
  std::string program = chosen.empty() ? find_program("haproxy") : chosen;
  if (program.empty()) {
    return fail(ErrorCode::not_found,
                "haproxy is not installed: apt-get install haproxy (2.6 or newer is needed)");
  }
  const std::string output = version_text(program);
  const std::size_t at = output.find("version ");
  int major = 0;
  int minor = 0;
  const bool is_read = at != std::string::npos &&
                       std::sscanf(output.c_str() + at, "version %d.%d", &major, &minor) == 2;
  if (!is_read || major < 2 || (major == 2 && minor < 6)) {
    return fail(ErrorCode::unavailable,
                fmt::format("{} is {}, but 2.6 or newer is needed", program,
                            in_quotes(output.substr(0, output.find('\n')))));
  }
  return program;
}

std::string find_program(std::string_view name) {
  for (const char* directory :
       {"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin"}) {
    const fs::path path = fs::path(directory) / name;
    if (::access(path.c_str(), X_OK) == 0) return path.string();
  }
  return {};
}

Result<void> check_port(const Settings& settings, std::string_view name, int socket_type) {
  const std::string& text = settings.text(name);
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  if (host == "*") host = "0.0.0.0";
  addrinfo hints{};
  hints.ai_socktype = socket_type;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), text.substr(colon + 1).c_str(), &hints, &found) != 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("setting {}: {} is no address of this machine", name, in_quotes(text)));
  }
  const int descriptor = ::socket(found->ai_family, socket_type | SOCK_CLOEXEC, 0);
  const int yes = 1;
  const bool is_stream = socket_type == SOCK_STREAM;
  if (is_stream) ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const int bound = ::bind(descriptor, found->ai_addr, found->ai_addrlen);
  const int error = errno;
  const bool is_free = bound == 0 && (!is_stream || ::listen(descriptor, 1) == 0);
  ::close(descriptor);
  ::freeaddrinfo(found);
  if (is_free) return {};
  return fail(ErrorCode::conflict, fmt::format("setting {}: {} cannot be used: {}", name, text,
                                               reason(bound == 0 ? EADDRINUSE : error)));
}

namespace {

/// HAProxy would tell it, too, but only after everything else was started.
Result<void> check_user_certificate(const std::string& file) {
  const auto pem = read_file(file, 1U << 20U);
  auto checked = pem ? check_key_matches(*pem, *pem) : Result<void>(tl::unexpected(pem.error()));
  if (checked) return {};
  return tl::unexpected(
      std::move(checked).error().within(fmt::format("setting user.certificate: {}", file)));
}

Result<int> listen_for_users(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_input,
                fmt::format("socket path {} is longer than {} bytes: use a shorter --dir", path,
                            sizeof address.sun_path - 1));
  }
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlink(path.c_str());
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const mode_t before = ::umask(0177);
  // NOLINTNEXTLINE: how sockets are addressed.
  const int bound = ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  constexpr int backlog = 4096;
  if (bound != 0 || ::listen(descriptor, backlog) != 0) {
    const int error = errno;
    ::close(descriptor);
    return fail(ErrorCode::unavailable, fmt::format("{}: {}", path, reason(error)));
  }
  return descriptor;
}

bool answers_healthz(const std::string& socket) {
  RequestHead head{.method = "GET", .target = "/healthz"};
  head.headers.add("Host", "gateway");
  const auto reply = fetch_blocking(Endpoint::unix_socket(socket), head, "", Millis{500}, 4096);
  return reply && reply->head.status == 200;
}

/// A connection to the unix socket; -1 where nobody listens.
Descriptor connect_to(const std::string& socket) {
  Descriptor descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket.copy(address.sun_path, sizeof address.sun_path - 1);
  // NOLINTNEXTLINE: how sockets are addressed.
  const auto* place = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(descriptor.get(), place, sizeof address) != 0) descriptor.reset();
  return descriptor;
}

bool accepts(const std::string& socket) { return connect_to(socket).get() >= 0; }

/// What HAProxy answers to a runtime command; "" when it does not within a second or so.
std::string ask_haproxy(const std::string& socket, std::string_view command) {
  const Descriptor connection = connect_to(socket);
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string line = std::string(command) + "\n";
  std::string answer;
  if (::send(connection.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) return answer;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t size = ::recv(connection.get(), piece.data(), piece.size(), 0);
    if (size <= 0) return answer;
    answer.append(piece.data(), static_cast<std::size_t>(size));
  }
}

/// The one at this socket may be the predecessor.
bool is_haproxy(const std::string& socket, int pid) {
  const std::string info = ask_haproxy(socket, "show info");
  return info_value(info, "Pid") == std::to_string(pid);
}

/// The arguments with which a new HAProxy takes the listening sockets of a running one, and tells it to end.
Result<std::vector<std::string>> take_front_door(const NodeDirectory& directory, int pid) {
  const std::string socket = directory.haproxy_socket().string();
  const std::string servers = ask_haproxy(socket, "show servers state");
  if (servers.empty()) {
    return fail(ErrorCode::unavailable, "the running HAProxy does not say what it knows");
  }
  if (auto written = write_file(directory.haproxy_state(), servers, 0600); !written) {
    return pass_on(std::move(written));
  }
  return std::vector<std::string>{"-x", socket, "-sf", std::to_string(pid)};
}

/// A certificate that ran out while the node was stopped: the next one, if it is there or can be made here.
void renew_if_expired(const NodeDirectory& directory) {
  const auto text = read_file(directory.certificate());
  const auto certificate = text ? inspect_certificate(*text) : Result<Certificate>(Certificate{});
  if (!certificate || !certificate->expired) return;
  std::error_code ignored;
  if (!fs::exists(directory.next_certificate(), ignored) &&
      fs::exists(directory.authority() / "ca.key", ignored)) {
    constexpr int days = 7;
    std::ignore = renew_node_certificate(directory.root(), directory.authority(), days);
  }
  const auto bundle = TrustBundle::read(directory.authorities());
  const auto next = read_file(directory.next_certificate());
  const auto key = read_file(directory.key());
  const bool is_good =
      bundle && next && key && bundle->verify(*next) && check_key_matches(*next, *key);
  if (is_good) std::ignore = use_next_certificate(directory.root());
}

/// A directory that vanishes unless keep() is called.
class Draft {
 public:
  explicit Draft(fs::path path) : path_(std::move(path)) {}
  ~Draft() {
    std::error_code ignored;  // Nothing more can be done about it.
    if (!kept_) fs::remove_all(path_, ignored);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  bool kept_ = false;
};

}  // namespace

Result<NodeId> init_node(const NodeInit& init, const MakeIdentity& make_identity) {
  auto name = NodeName::parse(init.name);
  if (!name) return pass_on(std::move(name));
  std::error_code error;
  const fs::path target = fs::absolute(init.directory).lexically_normal();
  if (fs::exists(target, error) && !fs::is_empty(target, error)) {
    return fail(
        ErrorCode::conflict,
        fmt::format("{} is not empty: choose another --dir, or remove it", target.string()));
  }
  std::vector<SettingText> texts{{"node.name", init.name, "--name"}};
  for (const char* common : {"user.bind", "peer.bind", "admin.bind"}) {
    texts.push_back({common, std::string(find_setting(common)->otherwise), "default"});
  }
  for (const std::string& text : init.overrides) {
    auto parsed = parse_override(text);
    if (!parsed) return pass_on(std::move(parsed));
    std::erase_if(texts,
                  [&parsed](const SettingText& known) { return known.name == parsed->name; });
    texts.push_back(std::move(*parsed));
  }
  auto checked = Settings::parse(texts);
  if (!checked) return pass_on(std::move(checked));
  if (auto known = strategy_of(*checked); !known) return pass_on(std::move(known));

  Draft draft(target.string() + ".new");
  fs::remove_all(draft.path(), error);
  const NodeDirectory directory(draft.path());
  if (auto made = make_directory(draft.path(), 0700); !made) return pass_on(std::move(made));
  auto identity = make_identity(directory);
  if (!identity) return pass_on(std::move(identity));
  for (const auto& [setting, value] : identity->settings) {
    const auto is_it = [&setting](const SettingText& text) { return text.name == setting; };
    if (std::ranges::none_of(texts, is_it)) texts.push_back({setting, value, "federation"});
  }
  if (auto known = Settings::parse(texts); !known) return pass_on(std::move(known));
  for (const fs::path& made :
       {directory.maps(), directory.run(), directory.state(), directory.secrets()}) {
    if (auto done = make_directory(made, 0700); !done) return pass_on(std::move(done));
  }
  const std::pair<fs::path, std::string> files[] = {
      {directory.settings(), settings_file_text(texts)},
      {directory.maps() / "members.map", ""},
      {directory.maps() / "cn.map", ""},
      {directory.user_file(), "admin\n"},
      {directory.password_file(), random_boot() + "\n"}};
  for (const auto& [file, text] : files) {
    if (auto done = write_file(file, text, 0600); !done) return pass_on(std::move(done));
  }
  std::vector<std::string> keys = identity->gossip_keys;
  if (keys.empty() && !init.gossip_keys.empty()) {
    auto read = read_gossip_keys(init.gossip_keys);
    if (!read) return tl::unexpected(std::move(read).error().within("--gossip-keys"));
    keys = std::move(*read);
  }
  if (keys.empty()) keys.push_back(make_gossip_key());
  if (auto done = write_gossip_keys(directory.gossip_keys(), keys); !done) {
    return pass_on(std::move(done));
  }
  fs::remove(target, error);  // Empty, if it is there.
  fs::rename(draft.path(), target, error);
  if (error) {
    return fail(ErrorCode::unavailable, fmt::format("{}: {}", target.string(), error.message()));
  }
  draft.keep();
  return identity->id;
}

Result<NodeId> init_node(const NodeInit& init) {
  return init_node(init, [&init](const NodeDirectory& draft) -> Result<MadeIdentity> {
    fs::path authority = init.authority;
    if (authority.empty()) {
      authority = draft.authority();
      const std::string& organisation = init.organisation.empty() ? init.name : init.organisation;
      constexpr int authority_days = 3650;
      if (auto made = create_authority(authority, organisation, authority_days); !made) {
        return pass_on(std::move(made));
      }
    }
    constexpr std::string_view no_neighbours =
        "# One neighbour a line: HOST:PORT of its peer port.\n";
    if (auto done = write_file(draft.root() / "peers.txt", no_neighbours, 0600); !done) {
      return pass_on(std::move(done));
    }
    const auto id = create_node_certificate(draft.root(), authority, init.certificate_days);
    if (!id) return tl::unexpected(id.error());
    return MadeIdentity{.id = *id};
  });
}

struct RunningNode::State {
  NodeOptions options;
  NodeIdentity identity;
  std::unique_ptr<Supervisor> supervisor;
  int user_descriptor = -1;
  int lock_descriptor = -1;

  ~State() {
    supervisor.reset();
    if (user_descriptor >= 0) ::close(user_descriptor);
    if (lock_descriptor >= 0) ::close(lock_descriptor);
  }
};

RunningNode::RunningNode(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunningNode::~RunningNode() = default;

Result<std::unique_ptr<RunningNode>> RunningNode::prepare(boost::asio::any_io_executor executor,
                                                          const NodeOptions& options) {
  renew_if_expired(NodeDirectory(fs::absolute(options.directory).lexically_normal()));
  auto identity = load_identity(options, "node");
  if (!identity) return pass_on(std::move(identity));
  auto state = std::make_unique<State>();
  state->options = options;
  state->identity = std::move(*identity);
  const NodeDirectory& directory = state->identity.directory;
  const Settings& settings = state->identity.settings;
  if (auto known = strategy_of(settings); !known) return pass_on(std::move(known));
  if (auto platform = platform_settings(settings, directory); !platform) {
    return pass_on(std::move(platform));
  }
  auto haproxy = find_haproxy(settings.text("haproxy.program"));
  if (!haproxy) return pass_on(std::move(haproxy));
  const bool with_serf = uses_serf(settings);

  if (auto made = make_directory(directory.run(), 0700); !made) return pass_on(std::move(made));
  state->lock_descriptor = ::open(directory.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (state->lock_descriptor < 0 || ::flock(state->lock_descriptor, LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::conflict,
                fmt::format("a node is already running in {}", directory.root().string()));
  }
  for (const char* port : {"user.bind", "peer.bind", "join.bind", "admin.bind"}) {
    if (settings.text(port).empty()) continue;
    if (auto free = check_port(settings, port); !free) return pass_on(std::move(free));
  }
  auto serf = with_serf ? serf_program(state->identity) : SupervisedProgram{};
  if (!serf) return pass_on(std::move(serf));
  if (auto written = write_file(directory.front_door_config(), front_door_config, 0600); !written) {
    return pass_on(std::move(written));
  }
  auto users = listen_for_users(directory.gateway_user_socket().string());
  if (!users) return pass_on(std::move(users));
  state->user_descriptor = *users;

  const std::string& join_bind = settings.text("join.bind");
  std::map<std::string, std::string> front_door_environment{
      {"DFAAS_NODE_ID", state->identity.id.text()},
      {"DFAAS_USER_BIND", settings.text("user.bind")},
      {"DFAAS_PEER_BIND", settings.text("peer.bind")},
      {"DFAAS_JOIN_BIND",
       join_bind.empty() ? "unix@" + directory.join_socket().string() : join_bind},
      {"DFAAS_ADMIN_BIND", settings.text("admin.bind")},
      {"DFAAS_RUN", directory.run().string()},
      {"DFAAS_MAPS", directory.maps().string()},
      {"DFAAS_CERT", directory.certificate_and_key().string()},
      {"DFAAS_CA", directory.authorities().string()},
      {"DFAAS_USER_CONNECTIONS", settings.text("user.connections_per_source")},
      {"DFAAS_USER_WRONG", settings.text("user.wrong_credentials_per_minute")},
      {"DFAAS_VERSION", DFAAS_VERSION}};
  if (const std::string& certificate = settings.text("user.certificate"); !certificate.empty()) {
    if (auto checked = check_user_certificate(certificate); !checked) {
      return pass_on(std::move(checked));
    }
    front_door_environment["DFAAS_USER_CERT"] = certificate;
  }
  std::vector<std::string> own{own_binary(), "", "--dir", directory.root().string()};
  for (const std::string& text : options.overrides) {
    own.emplace_back("--set");
    own.push_back(text);
  }
  const auto own_program = [&own](const char* verb) {
    std::vector<std::string> command = own;
    command[1] = verb;
    return command;
  };
  // HAProxy does not know our death pipe: the kernel ends it when its parent does.
  std::vector<std::string> haproxy_command{*haproxy, "-db", "-f",
                                           directory.front_door_config().string()};
  if (const std::string setpriv = find_program("setpriv"); !setpriv.empty()) {
    haproxy_command.insert(haproxy_command.begin(), {setpriv, "--pdeathsig", "KILL"});
  }
  const std::string admin = directory.gateway_admin_socket().string();
  const std::string stats = directory.haproxy_socket().string();
  const std::string local = directory.agent_socket().string();
  std::error_code ignored;  // A socket of an earlier run would look like readiness.
  for (const std::string& socket : {admin, stats, local}) fs::remove(socket, ignored);
  std::vector<SupervisedProgram> programs;
  // First, so that it is waited for last: it needs some seconds to say goodbye, which the agent asks it to.
  if (with_serf) programs.push_back(std::move(*serf));
  programs.push_back({.name = "gateway",
                      .command = own_program("gateway"),
                      .environment = {{"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "user"}},
                      .descriptors = {{3, state->user_descriptor}},
                      .stop_patience = Millis{12'000},
                      .is_ready = [admin](int /*pid*/) { return answers_healthz(admin); }});
  programs.push_back({.name = "haproxy",
                      .command = std::move(haproxy_command),
                      .environment = front_door_environment,
                      .before_start =
                          [state_file = directory.haproxy_state()] {
                            // After a death, what was known is old. HAProxy wants a file, with a version.
                            return write_file(state_file, "1\n", 0600);
                          },
                      .hand_over = [directory](int pid) { return take_front_door(directory, pid); },
                      .stop_signal = SIGUSR1,  // Serves what it has, then ends.
                      .stop_patience = Millis{12'000},
                      .is_ready = [stats](int pid) { return is_haproxy(stats, pid); }});
  programs.push_back({.name = "agent",
                      .command = own_program("agent"),
                      .replace_signal = SIGUSR1,  // Without a word to the neighbours.
                      .stop_patience = Millis{3'000},
                      .is_ready = [local](int /*pid*/) { return accepts(local); }});
  state->supervisor = std::make_unique<Supervisor>(std::move(executor), std::move(programs));
  return std::unique_ptr<RunningNode>(new RunningNode(std::move(state)));
}

void RunningNode::start(std::function<void(Result<void>)> done) {
  state_->supervisor->start(ready_patience, std::move(done));
}

void RunningNode::reload(std::function<void(Result<void>)> done) {
  // What would not start must not end what runs.
  if (auto identity = load_identity(state_->options, "node"); !identity) {
    return done(pass_on(std::move(identity)));
  }
  state_->supervisor->replace({"haproxy", "agent", "gateway"}, ready_patience, std::move(done));
}

void RunningNode::stop(std::function<void()> done) { state_->supervisor->stop(std::move(done)); }
const NodeIdentity& RunningNode::identity() const { return state_->identity; }
const Supervisor& RunningNode::supervisor() const { return *state_->supervisor; }

}  // namespace dfaas
