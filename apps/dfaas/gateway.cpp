// SPDX-License-Identifier: AGPL-3.0-or-later
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "apps/dfaas/programs.hpp"
#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/gateway/gateway.hpp"
#include "live/telemetry/log.hpp"

#include <sys/utsname.h>
#include <unistd.h>

namespace dfaas {

extern const std::string_view store_catalogue;

namespace {

constexpr Millis stop_patience{10'000};
constexpr int first_passed_descriptor = 3;

DispatcherSettings dispatcher_settings(const Settings& settings) {
  DispatcherSettings result;
  result.attempts_max = static_cast<int>(settings.integer("dispatcher.attempts_max"));
  result.guest_wait_ratio = settings.number("dispatcher.guest_wait_ratio");
  result.home_reserve_ratio = settings.number("dispatcher.home_reserve_ratio");
  result.spill_wait_ratio = settings.number("dispatcher.spill_wait_ratio");
  result.user_wait_ratio = settings.number("dispatcher.user_wait_ratio");
  result.retry_ratio = settings.number("dispatcher.retry_ratio");
  result.tries_burst = settings.number("dispatcher.tries_burst");
  result.peer_down_time = settings.millis("dispatcher.peer_down_ms");
  return result;
}

/// "/a:/b" as a list. Errors: invalid_input naming the setting.
Result<std::vector<std::string>> paths_of(const Settings& settings, std::string_view name) {
  std::vector<std::string> paths;
  for (const std::string_view path : split(settings.text(name), ':')) {
    if (path.empty()) continue;
    if (!path.starts_with('/') || path == "/") {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("setting {}: {} is not an absolute path below /", name, in_quotes(path)));
    }
    paths.push_back(std::filesystem::path(path).lexically_normal().string());
  }
  return paths;
}

Result<SandboxSettings> sandbox_settings(const Settings& settings, const NodeDirectory& directory) {
  auto readable = paths_of(settings, "sandbox.read_paths");
  if (!readable) return pass_on(std::move(readable));
  auto writable = paths_of(settings, "sandbox.write_paths");
  if (!writable) return pass_on(std::move(writable));
  return SandboxSettings{
      .tier = parse_tier(settings.text("sandbox.tier")),
      .hidden = {directory.root().lexically_normal().string()},
      .readable = std::move(*readable),
      .writable = std::move(*writable),
      .scratch = std::filesystem::temp_directory_path().string(),
      .first_user = static_cast<std::uint32_t>(settings.integer("sandbox.first_user"))};
}

ReplicaDefaults replica_defaults(const Settings& settings) {
  constexpr std::uint64_t megabyte = 1ULL << 20U;
  const auto memory = static_cast<std::uint64_t>(settings.integer("sandbox.memory_mb")) * megabyte;
  return {.memory_bytes = memory == 0 ? half_of_memory() : memory,
          .processes_per_slot =
              static_cast<std::uint32_t>(settings.integer("sandbox.processes_per_slot")),
          .tmp_bytes = static_cast<std::uint64_t>(settings.integer("sandbox.tmp_mb")) * megabyte,
          .host_network_allowed = settings.text("sandbox.host_network") == "yes"};
}

/// What programs that fetch images need of our environment: where to look for what, proxies, certificates.
std::vector<std::string> fetching_environment() {
  std::vector<std::string> environment;
  for (const char* name :
       {"PATH", "HOME", "XDG_CONFIG_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
        "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}) {
    const char* value = std::getenv(name);  // NOLINT: before any thread of ours.
    if (value != nullptr) environment.push_back(std::string(name) + "=" + value);
  }
  return environment;
}

/// Has this machine a policy for the signatures of images? Without one, skopeo would refuse them all.
bool has_signature_policy() {
  const char* home = std::getenv("HOME");  // NOLINT: before any thread of ours.
  const std::string own = std::string(home == nullptr ? "" : home) + "/.config/containers";
  std::error_code ignored;  // What cannot be looked at is not there.
  return std::filesystem::exists(own + "/policy.json", ignored) ||
         std::filesystem::exists("/etc/containers/policy.json", ignored);
}

ImageSettings image_settings(const Settings& settings, const NodeDirectory& directory) {
  constexpr std::uint64_t megabyte = 1ULL << 20U;
  utsname names{};
  ::uname(&names);
  return {.sources = directory.images(),
          .directory = directory.unpacked_images(),
          .credentials = directory.registry_credentials(),
          .skopeo = find_on_path("skopeo"),
          .umoci = find_on_path("umoci"),
          .setpriv = find_on_path("setpriv"),
          .environment = fetching_environment(),
          .has_policy = has_signature_policy(),
          .registries = settings.text("images.registries"),
          .architecture = std::string(image_architecture(static_cast<const char*>(names.machine))),
          .unpacked_bytes_max =
              static_cast<std::uint64_t>(settings.integer("images.unpacked_mb")) * megabyte,
          .time_limit = settings.millis("images.time_limit_ms"),
          .keep = settings.millis("images.keep_ms")};
}

/// The listening socket that a supervisor holds for us (LISTEN_FDS of systemd), else our own.
Result<UnixAcceptor> user_acceptor(boost::asio::any_io_executor executor,
                                   const NodeDirectory& directory) {
  const char* count = std::getenv("LISTEN_FDS");  // NOLINT: before any thread of ours.
  if (count != nullptr && std::string_view(count) == "1") {
    return adopt_unix(std::move(executor), first_passed_descriptor);
  }
  return listen_unix(std::move(executor), directory.gateway_user_socket().string());
}

Result<void> run(const NodeOptions& options) {
  auto identity = load_identity(options, "gateway");
  if (!identity) return pass_on(std::move(identity));
  const Settings& settings = identity->settings;
  const NodeDirectory& directory = identity->directory;
  auto user = read_file(directory.user_file(), 1024);
  if (!user) return fail(user.error().code, "credentials " + user.error().message);
  auto password = read_file(directory.password_file(), 1024);
  if (!password) return fail(password.error().code, "credentials " + password.error().message);
  auto sandbox = sandbox_settings(settings, directory);
  if (!sandbox) return pass_on(std::move(sandbox));

  auto platform = platform_settings(settings, directory);
  if (!platform) return pass_on(std::move(platform));
  boost::asio::io_context context(1);
  auto gateway = Gateway::start(
      context.get_executor(),
      {.self = identity->id,
       .name = identity->name,
       .version = DFAAS_VERSION,
       .store_catalogue = std::string(store_catalogue),
       .system_user = std::string(trim(split(*user, '\n').front())),
       .system_password = std::string(trim(split(*password, '\n').front())),
       .launcher = launcher_binary(),
       .images = image_settings(settings, directory),
       .sandbox = std::move(*sandbox),
       .replica = replica_defaults(settings),
       .platform = std::move(*platform),
       .last_plan = directory.last_plan(),
       .database = directory.function_database(),
       .function_secrets = directory.function_secrets(),
       .async_database = directory.async_database(),
       .certificate = directory.certificate(),
       .authorities = directory.authorities(),
       .egress = Endpoint::unix_socket(directory.egress_socket().string()),
       .async = Endpoint::unix_socket(directory.gateway_async_socket().string()),
       .exec_timeout = settings.millis("gateway.exec_timeout_ms"),
       .head_timeout = settings.millis("gateway.head_timeout_ms"),
       .request_bytes_max =
           static_cast<std::uint64_t>(settings.integer("gateway.request_bytes_max")),
       .system_body_bytes_max =
           static_cast<std::uint64_t>(settings.integer("gateway.system_body_bytes_max")),
       .async_calls_max = static_cast<std::size_t>(settings.integer("gateway.async_calls_max")),
       .async_body_bytes_max =
           static_cast<std::uint64_t>(settings.integer("gateway.async_body_bytes_max")),
       .buffered_body_bytes =
           static_cast<std::size_t>(settings.integer("gateway.buffered_body_bytes")),
       .body_bytes_per_second_min =
           static_cast<int>(settings.integer("gateway.body_bytes_per_second_min")),
       .log_follow_time = settings.millis("gateway.log_follow_ms"),
       .replicas_max = static_cast<int>(settings.integer("gateway.replicas_max")),
       .cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency())),
       .dispatcher = dispatcher_settings(settings),
       .seed = random_seed()});
  if (!gateway) return pass_on(std::move(gateway));
  auto users = user_acceptor(context.get_executor(), directory);
  if (!users) return pass_on(std::move(users));
  (*gateway)->serve(Gateway::Port::user, std::move(*users));
  const std::pair<Gateway::Port, std::filesystem::path> ports[] = {
      {Gateway::Port::peer, directory.gateway_peer_socket()},
      {Gateway::Port::control, directory.gateway_control_socket()},
      {Gateway::Port::async, directory.gateway_async_socket()},
      {Gateway::Port::admin, directory.gateway_admin_socket()}};
  for (const auto& [port, path] : ports) {
    auto acceptor = listen_unix(context.get_executor(), path.string());
    if (!acceptor) return pass_on(std::move(acceptor));
    (*gateway)->serve(port, std::move(*acceptor));
  }
  log_event(LogLevel::info, "gateway_serves", {{"id", identity->id.text()}});
  run_until_stopped(context, [&gateway, &context] {
    log_event(LogLevel::info, "gateway_stops", {});
    (*gateway)->stop(stop_patience, [&context] { context.stop(); });
  });
  return {};
}

}  // namespace

void add_gateway_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand("gateway", "Run the gateway of a node (see node run)");
  auto options = std::make_shared<NodeOptions>();
  add_node_options(*command, *options);
  command->footer("Example: dfaas gateway --dir /var/lib/dfaas");
  command->callback([options, &status] {
    if (auto done = run(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
