// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/programs.hpp"

#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/signal_set.hpp>

#include "apps/dfaas/settings_loader.hpp"
#include "core/base/assert.hpp"
#include "core/base/text.hpp"
#include "core/strategy/external_model.hpp"
#include "live/agent/model_client.hpp"
#include "live/files/files.hpp"
#include "live/net/tls_client.hpp"
#include "live/node/death_pipe.hpp"
#include "live/pki/pki.hpp"
#include "live/pki/trust_bundle.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {

Result<NodeIdentity> load_identity(const NodeOptions& options, const std::string& program) {
  const NodeDirectory directory(std::filesystem::absolute(options.directory));
  auto settings = load_settings(directory, options.overrides);
  if (!settings) return pass_on(std::move(settings));
  auto name = NodeName::parse(settings->text("node.name"));
  if (!name) return tl::unexpected(std::move(name).error().within("setting node.name"));
  const auto pem = read_file(directory.certificate());
  if (!pem) return fail(pem.error().code, "certificate " + pem.error().message);
  auto certificate = inspect_certificate(*pem);
  if (!certificate) {
    return tl::unexpected(std::move(certificate).error().within(directory.certificate().string()));
  }
  if (auto checked = check_node_certificate(*certificate); !checked) {
    if (certificate->expired) {
      return fail(
          ErrorCode::denied,
          fmt::format("{}: {}; if the clock is right, renew it: dfaas join TOKEN --dir {}, or "
                      "dfaas pki node renew --dir {} --ca DIRECTORY",
                      directory.certificate().string(), checked.error().message,
                      directory.root().string(), directory.root().string()));
    }
    return tl::unexpected(std::move(checked).error().within(directory.certificate().string()));
  }
  const auto key = read_file(directory.key());
  if (!key) return fail(key.error().code, "private key " + key.error().message);
  if (auto matches = check_key_matches(*pem, *key); !matches) {
    return tl::unexpected(std::move(matches).error().within(directory.key().string()));
  }
  // HAProxy would tell it, too, but only after everything else was started.
  const auto authorities = read_file(directory.authorities());
  if (!authorities)
    return fail(authorities.error().code, "authorities " + authorities.error().message);
  if (auto trusted = TrustBundle::parse(*authorities); !trusted) {
    return tl::unexpected(std::move(trusted).error().within(directory.authorities().string()));
  }
  log_setup(program, name->text(), parse_log_level(settings->text("log.level")).value(),
            parse_log_format(settings->text("log.format")).value());
  return NodeIdentity{.directory = directory,
                      .settings = std::move(*settings),
                      .id = certificate->id,
                      .name = std::move(*name),
                      .organisation = certificate->organisation};
}

Result<Strategy> strategy_of(const Settings& settings) {
  auto strategy = find_strategy(settings.text("strategy.name"));
  if (!strategy) return tl::unexpected(std::move(strategy).error().within("setting strategy.name"));
  if (strategy->name == external_model_name && settings.text("external_model.url").empty()) {
    return fail(ErrorCode::invalid_input, std::string(model_url_missing));
  }
  return strategy;
}

void run_until_stopped(boost::asio::io_context& context, std::function<void()> stop) {
  // A function may end before it read its input: that write fails, and nobody needs to die of it.
  std::signal(SIGPIPE, SIG_IGN);
  auto signals = std::make_shared<boost::asio::signal_set>(context, SIGTERM, SIGINT);
  auto once = std::make_shared<std::function<void()>>(std::move(stop));
  const auto stop_once = [once, signals] {
    if (auto callback = std::exchange(*once, nullptr)) callback();
  };
  signals->async_wait([stop_once](const boost::system::error_code& error, int) {
    if (!error) stop_once();
  });
  watch_supervisor(context.get_executor(), stop_once);
  context.run();
}

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  DFAAS_ASSERT(::getrandom(&seed, sizeof seed, 0) == sizeof seed,
               "the kernel gives 8 random bytes");
  return seed;
}

std::string random_boot() {
  std::array<std::uint8_t, 20> bytes{};
  DFAAS_ASSERT(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
               "the kernel gives 20 random bytes");
  return base32_lower(bytes);
}

Result<std::optional<PlatformSettings>> platform_settings(const Settings& settings,
                                                          const NodeDirectory& directory) {
  if (settings.text("platform.kind") != "openfaas") return std::optional<PlatformSettings>();
  const auto url = parse_server_url(settings.text("platform.url"));
  DFAAS_ASSERT(url.has_value(), "the settings were checked");
  const bool is_v6 = url->host.find(':') != std::string::npos;
  PlatformSettings platform{.url = settings.text("platform.url"),
                            .endpoint = {.unix_path = {}, .host = url->host, .port = url->port},
                            .host = is_v6 ? "[" + url->host + "]" : url->host,
                            .path = url->path,
                            .user = settings.text("platform.user"),
                            .password = {},
                            .period = settings.millis("platform.period_ms"),
                            .timeout = settings.millis("platform.timeout_ms")};
  const std::uint16_t default_port = url->is_secure ? 443 : 80;
  if (url->port != default_port) platform.host += fmt::format(":{}", url->port);
  const std::string& authority = settings.text("platform.authority");
  if (url->is_secure) {
    auto tls = tls_client_for(
        url->host, authority.empty() ? std::filesystem::path() : directory.root() / authority);
    if (!tls) return tl::unexpected(std::move(tls).error().within("setting platform.authority"));
    platform.tls = std::move(*tls);
  } else if (!authority.empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("setting platform.authority: {} signs nothing, as platform.url = {} is "
                            "not https",
                            in_quotes(authority), in_quotes(platform.url)));
  }
  if (platform.user.empty()) return platform;
  constexpr std::string_view name = "setting platform.password_file";
  const std::filesystem::path file = directory.root() / settings.text("platform.password_file");
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) {
    return fail(
        ErrorCode::not_found,
        fmt::format("{}: {}: {} (a file with the password of {} on its first line; with "
                    "platform.user = \"\" none is needed)",
                    name, file.string(), std::error_code(errno, std::generic_category()).message(),
                    in_quotes(platform.user)));
  }
  constexpr mode_t of_others = 077;
  if ((status.st_mode & of_others) != 0) {
    return fail(ErrorCode::denied,
                fmt::format("{}: {} has mode {:04o}, but only its owner may read it: chmod 600 {}",
                            name, file.string(), status.st_mode & 07777U, file.string()));
  }
  constexpr std::size_t password_bytes_max = 4096;
  auto text = read_file(file, password_bytes_max);
  if (!text) return fail(text.error().code, fmt::format("{}: {}", name, text.error().message));
  platform.password = std::string(trim(split(*text, '\n').front()));
  if (platform.password.empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: the first line of {} is empty", name, file.string()));
  }
  return platform;
}

}  // namespace dfaas
