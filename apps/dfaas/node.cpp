// SPDX-License-Identifier: AGPL-3.0-or-later
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/signal_set.hpp>

#include "apps/dfaas/node_setup.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

/// Tells systemd, if it started us and waits to hear it, that the node serves: sd_notify(3) without its library.
void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");  // NOLINT: one thread.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
  const std::string_view name(path);
  name.copy(address.sun_path, sizeof address.sun_path - 1);
  if (name.starts_with('@')) address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  // NOLINTNEXTLINE: how sockets are addressed.
  ::sendto(descriptor, state.data(), state.size(), 0, reinterpret_cast<const sockaddr*>(&address),
           size);  // One that cannot be told gives up on us by itself.
  ::close(descriptor);
}

void wait_for_reload(boost::asio::signal_set& signals, RunningNode& node) {
  signals.async_wait([&signals, &node](const boost::system::error_code& error, int) {
    if (error) return;
    log_event(LogLevel::info, "node_reloads", {});
    node.reload([](Result<void> done) {
      if (done) return log_event(LogLevel::info, "node_reloaded", {});
      log_event(LogLevel::error, "node_not_reloaded", {{"why", done.error().message}});
    });
    wait_for_reload(signals, node);
  });
}

Result<void> run(const NodeOptions& options) {
  boost::asio::io_context context(1);
  auto node = RunningNode::prepare(context.get_executor(), options);
  if (!node) return pass_on(std::move(node));
  Result<void> result;
  bool is_stopping = false;
  const auto stop = [&] {
    if (std::exchange(is_stopping, true)) return;
    notify_service_manager("STOPPING=1");
    (*node)->stop([&context] { context.stop(); });
  };
  (*node)->start([&](Result<void> started) {
    if (!started) {
      result = std::move(started);
      stop();
      return;
    }
    const NodeIdentity& identity = (*node)->identity();
    fmt::print("node {} ({}) serves users at {}\n", identity.name.text(), identity.id.text(),
               identity.settings.text("user.bind"));
    std::fflush(stdout);
    notify_service_manager("READY=1");
  });
  boost::asio::signal_set reloads(context, SIGHUP);
  wait_for_reload(reloads, **node);
  run_until_stopped(context, stop);
  return result;
}

}  // namespace

void add_node_command(CLI::App& root, ExitStatus& status) {
  CLI::App* node = root.add_subcommand("node", "Make a node, run it, and record what it sees");
  node->require_subcommand(1);

  CLI::App* init =
      node->add_subcommand("init", "Make the directory of a node: settings, key, secrets");
  auto made = std::make_shared<NodeInit>();
  init->add_option("--dir", made->directory, "Directory to make")->required();
  init->add_option("--name", made->name, "Name of the node: a-z, 0-9, '-'")->required();
  init->add_option("--ca", made->authority, "Directory of the authority (default: a new one)");
  init->add_option("--days", made->certificate_days, "Validity of the certificate")
      ->capture_default_str();
  init->add_option("--gossip-keys", made->gossip_keys,
                   "Keys of the federation's gossip: a copy of a member's secrets/gossip-keys");
  init->add_option("--set", made->overrides, "A setting, as NAME=VALUE; may be repeated")
      ->allow_extra_args(false);
  init->footer(
      "Example: dfaas node init --dir light --name light --ca acme-ca "
      "--set user.bind=0.0.0.0:8081");
  init->callback([made, &status] {
    const auto id = init_node(*made);
    if (!id) return report_failure(status, id.error());
    fmt::print("{}\n", id->text());
    fmt::print(stderr, "{}: made; start it with: dfaas node run --dir {}\n",
               made->directory.string(), made->directory.string());
  });

  CLI::App* run_command =
      node->add_subcommand("run", "Run gateway, front door and agent, until SIGTERM");
  auto options = std::make_shared<NodeOptions>();
  add_node_options(*run_command, *options);
  run_command->footer("Example: dfaas node run --dir light");
  run_command->callback([options, &status] {
    if (auto done = run(*options); !done) report_failure(status, done.error());
  });

  add_node_record_command(*node, status);
}

}  // namespace dfaas
