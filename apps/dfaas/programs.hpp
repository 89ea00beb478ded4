// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the two long-running programs of a node share: who am I, when must I stop.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "apps/dfaas/commands.hpp"
#include "core/base/names.hpp"
#include "core/settings/settings.hpp"
#include "core/strategy/strategy.hpp"
#include "live/gateway/gateway.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {

struct NodeIdentity {
  NodeDirectory directory{"."};
  Settings settings;
  NodeId id;
  NodeName name;
  std::string organisation;
};

/// Reads settings and certificate and sets up the log. Errors: one sentence naming what is wrong.
Result<NodeIdentity> load_identity(const NodeOptions& options, const std::string& program);

/// Calls `stop` once, on SIGTERM, SIGINT or when the supervisor is gone; runs the loop until it is out of
/// work or stopped.
void run_until_stopped(boost::asio::io_context& context, std::function<void()> stop);

/// 64 random bits of the kernel.
std::uint64_t random_seed();

/// 32 random characters of a-z and 0-9.
std::string random_boot();

/// The strategy that the settings name. Errors: not_found, invalid_input where it lacks a setting.
Result<Strategy> strategy_of(const Settings& settings);

/// The platform that runs the functions; nothing where the node does. Errors: one sentence naming the setting.
Result<std::optional<PlatformSettings>> platform_settings(const Settings& settings,
                                                          const NodeDirectory& directory);

}  // namespace dfaas
