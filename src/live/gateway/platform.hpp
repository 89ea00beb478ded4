// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// An OpenFaaS gateway or faasd that runs the functions of this node: what it has, and whether it answers.
///
/// Internal to live/gateway.
/// Guarantees Functions are read every period, again at once after a change through our own API, and after a failure
///            at growing distances. While the platform is silent the last list stands, without slots: calls go to
///            neighbours at once. One that only refuses our credentials goes on serving by the last list.
///            Its password appears in no log, error or answer.
/// Limits     1000 functions, in its default namespace and in those that its list names; plain HTTP.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/openfaas/platform.hpp"
#include "live/gateway/gateway_core.hpp"

namespace dfaas {

enum class PlatformHealth : std::uint8_t {
  unknown,  ///< Not read yet.
  ready,
  denied,  ///< It refuses our credentials.
  silent,  ///< It does not answer, or not with a list of functions.
};

std::string_view to_text(PlatformHealth health);

class Platform {
 public:
  Platform(const boost::asio::any_io_executor& executor, PlatformSettings settings_)
      : settings(std::move(settings_)),
        connections(settings.endpoint, settings.tls),
        wake(executor) {}

  PlatformSettings settings;
  ConnectionPool connections;
  PlatformHealth health = PlatformHealth::unknown;
  std::string
      why;  ///< The last failure, a sentence; empty when there was none since the last list.
  std::string name;                  ///< As it calls itself: "faasd 0.18.5".
  std::optional<PlatformList> list;  ///< As it was read last.
  std::vector<std::string> left_out;
  std::uint64_t readings = 0;
  std::uint64_t failures = 0;
  std::uint64_t refused_connections = 0;
  boost::asio::steady_timer wake;  ///< Cancelled when the next reading is due at once.

  [[nodiscard]] bool can_run() const {
    return health == PlatformHealth::ready || (health == PlatformHealth::denied && list);
  }

  std::uint64_t reading_begun = 0;    ///< The number of the newest reading,
  std::uint64_t reading_applied = 0;  ///< and of the newest whose result counts.
};

/// Reads its functions for as long as the gateway runs.
boost::asio::awaitable<void> follow_platform(GatewayCore* core);

/// Reads them once, and puts what changed in force.
boost::asio::awaitable<void> read_platform(GatewayCore* core);

/// A call found that it takes no connections: nothing runs here until it is read again, which is at once.
void platform_refused(GatewayCore* core, const Error& error);

/// A request for `target` ("/function/f") of the platform, with its Host; the rest is `head`, somebody's request.
RequestHead platform_request(const GatewayCore& core, RequestHead head, const std::string& target);

/// Why it could not be asked, for people, with the setting that decides it.
std::string why_of(const Error& error);

/// Did we send this request to the platform ourselves? Then platform.url leads back to this node.
bool is_loop(const GatewayCore& core, const Headers& headers);
inline constexpr std::string_view loop_text = "setting platform.url leads back to this node\n";
inline constexpr int loop_status = 508;

/// Adds its credentials, in place of any others.
void add_platform_credentials(const Platform& platform, RequestHead& head);

/// For status and /system/info, as a JSON object.
std::string platform_json(const GatewayCore& core);

/// A request under /system that the platform answers; the caller has checked our credentials.
boost::asio::awaitable<void> pass_to_platform(GatewayCore* core, ServerConnection* connection,
                                              RequestHead head);

/// Runs the call at the platform; the slot is taken.
boost::asio::awaitable<CallEnd> run_external(GatewayCore* core, CallPtr call);

}  // namespace dfaas
