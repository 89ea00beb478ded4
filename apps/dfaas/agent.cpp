// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/agent/agent.hpp"

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/signal_set.hpp>

#include "apps/dfaas/gossip_setup.hpp"
#include "apps/dfaas/programs.hpp"
#include "core/base/text.hpp"
#include "core/control/credits.hpp"
#include "live/files/files.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

std::optional<ModelSettings> model_settings(const Settings& settings) {
  const auto url = parse_local_url(settings.text("external_model.url"));
  if (!url) return std::nullopt;
  return ModelSettings{.url = *url,
                       .timeout = settings.millis("external_model.timeout_ms"),
                       .keep = settings.millis("external_model.keep_ms"),
                       .explore = settings.text("external_model.explore") == "true"};
}

/// The address itself, unless it says "every address of this machine".
std::string reachable(const std::string& bind) {
  const bool is_wildcard = bind.starts_with("0.0.0.0:") || bind.starts_with("*:") ||
                           bind.starts_with("[::]:") || bind.starts_with(":::");
  return is_wildcard ? std::string() : bind;
}

int port_of(const std::string& bind) {
  const auto port = parse_unsigned(bind.substr(bind.rfind(':') + 1));
  return port ? static_cast<int>(*port) : 0;
}

Policy policy_of(const Settings& settings) {
  // Checked with all settings.
  return {.allow = parse_partners(settings.text("policy.allow")).value(),
          .deny = parse_partners(settings.text("policy.deny")).value(),
          .limits = parse_guest_slots(settings.text("policy.limits")).value(),
          .has_credits = settings.text("policy.credits") == "yes"};
}

NeighbourRules neighbour_rules(const NodeIdentity& identity) {
  const Settings& settings = identity.settings;
  NeighbourRules rules{
      .self = identity.id,
      .neighbours_max = static_cast<std::size_t>(settings.integer("membership.neighbours_max")),
      .by_lot = static_cast<std::size_t>(settings.integer("membership.neighbours_by_lot"))};
  for (const std::string_view word : split(settings.text("membership.topology"), ',')) {
    if (!trim(word).empty()) rules.only.emplace(trim(word));
  }
  return rules;
}

/// From before this start; what is old counts less. One that cannot be read is told of and begun anew.
std::map<std::string, CreditAccount> saved_credits(const NodeDirectory& directory) {
  const auto text = read_file(directory.credits());
  if (!text && text.error().code == ErrorCode::not_found) return {};
  const auto saved = text ? credits_from_json(*text)
                          : Result<SavedCredits>(fail(text.error().code, text.error().message));
  if (!saved) {
    log_event(LogLevel::warn, "credits_not_read", {{"why", saved.error().message}});
    return {};
  }
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto passed = since - std::chrono::seconds{saved->unix_seconds};
  CreditLedger ledger(saved->accounts);
  ledger.forget(std::chrono::duration_cast<Micros>(passed));
  return ledger.accounts();
}

Result<void> run(const NodeOptions& options) {
  auto identity = load_identity(options, "agent");
  if (!identity) return pass_on(std::move(identity));
  const Settings& settings = identity->settings;
  const auto strategy = strategy_of(settings);
  if (!strategy) return tl::unexpected(strategy.error());
  boost::asio::io_context context(1);
  auto agent = Agent::start(
      context.get_executor(),
      {.directory = identity->directory,
       .peers_file = identity->directory.root() / settings.text("membership.peers_file"),
       .serf = serf_settings(*identity),
       .neighbours = neighbour_rules(*identity),
       .controller = {.self = identity->id,
                      .name = identity->name,
                      .organisation = identity->organisation,
                      .boot = random_boot(),
                      .period = settings.millis("strategy.period_ms"),
                      .heartbeat = settings.millis("exchange.heartbeat_ms"),
                      .policy = policy_of(settings),
                      .credits = saved_credits(identity->directory)},
       .strategy = *strategy,
       .model = model_settings(settings),
       .trust = {.directory = identity->directory,
                 .self = identity->id,
                 .organisation = identity->organisation,
                 .validity = std::chrono::minutes{settings.integer("pki.validity_minutes")},
                 .join_address = settings.text("join.address").empty()
                                     ? reachable(settings.text("join.bind"))
                                     : settings.text("join.address"),
                 .peer_port = port_of(settings.text("peer.bind")),
                 .peers_file = identity->directory.root() / settings.text("membership.peers_file"),
                 .gossip = gossip_settings_for_others(settings)},
       .seed = random_seed()});
  if (!agent) return pass_on(std::move(agent));
  log_event(LogLevel::info, "agent_runs",
            {{"id", identity->id.text()}, {"strategy", strategy->name}});
  boost::asio::signal_set replaced(context, SIGUSR1);
  replaced.async_wait([&agent, &context](const boost::system::error_code& error, int) {
    if (error) return;
    log_event(LogLevel::info, "agent_gives_way", {});
    (*agent)->keep_credits();
    context.stop();
  });
  run_until_stopped(context, [&agent, &context] {
    log_event(LogLevel::info, "agent_stops", {});
    (*agent)->stop([&context] { context.stop(); });
  });
  return {};
}

}  // namespace

void add_agent_command(CLI::App& root, ExitStatus& status) {
  CLI::App* command = root.add_subcommand("agent", "Run the agent of a node (see node run)");
  auto options = std::make_shared<NodeOptions>();
  add_node_options(*command, *options);
  command->footer("Example: dfaas agent --dir /var/lib/dfaas");
  command->callback([options, &status] {
    if (auto done = run(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
