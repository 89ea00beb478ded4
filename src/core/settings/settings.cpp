// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/settings/settings.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

#include "core/base/assert.hpp"
#include "core/base/text.hpp"
#include "core/policy/policy.hpp"

namespace dfaas {
namespace {

using enum SettingKind;

constexpr std::array<Setting, 75> table{{
    {"admin.bind", address, "", 0, 0, "", "127.0.0.1:8405",
     "where operators read /metrics, /healthz and status; keep it local", "AGENT_HTTPSERVER_PORT"},
    {"dispatcher.attempts_max", integer, "", 1, 8, "", "4",
     "most neighbours that one request is offered to", ""},
    {"dispatcher.guest_wait_ratio", number, "mean service times", 0, 10, "", "1",
     "a neighbour's request may wait here while the expected wait is below this", ""},
    {"dispatcher.home_reserve_ratio", number, "", 0, 1, "", "0",
     "of the slots that own users need on average, the part kept free of neighbours' requests; 1 "
     "costs a few percent of what the federation could serve",
     ""},
    {"dispatcher.peer_down_ms", integer, "ms", 10, 600000, "", "1000",
     "pause for a neighbour after two silent attempts in a row", ""},
    {"dispatcher.retry_ratio", number, "", 0, 10, "", "0.15",
     "attempts at neighbours per user's request, beyond one, in the long run", ""},
    {"dispatcher.spill_wait_ratio", number, "mean service times", 0, 10, "", "0.1",
     "a user's request waits here at once, and tries no neighbour, below this expected wait", ""},
    {"dispatcher.tries_burst", number, "", 1, 100000, "", "10",
     "attempts at neighbours that may be saved up for a rush", ""},
    {"dispatcher.user_wait_ratio", number, "mean service times", 0, 100, "", "2",
     "a user's request that no neighbour took may wait here below this expected wait", ""},
    {"exchange.heartbeat_ms", integer, "ms", 50, 60000, "", "500",
     "how often neighbours hear from us; three misses and one is out", ""},
    {"external_model.explore", word, "", 0, 0, "false|true", "false",
     "tell the model of strategy external_model that it may explore", "AGENT_RLMODEL_EXPLORE"},
    {"external_model.keep_ms", integer, "ms", 0, 3600000, "", "10000",
     "how long the model's last good answer holds without a newer one; then everything stays here",
     ""},
    {"external_model.timeout_ms", integer, "ms", 10, 60000, "", "900",
     "longest wait for the model's answers, once a period; later ones are not used", ""},
    {"external_model.url", local_url, "", 0, 0, "", "",
     "where strategy external_model asks its model, a server of this machine: POST to URL/action",
     "AGENT_RLMODEL_HOST"},
    {"gateway.async_body_bytes_max", integer, "bytes", 1, 67108864, "", "4194304",
     "largest request body of an asynchronous call", ""},
    {"gateway.async_calls_max", integer, "", 1, 10000000, "", "100000",
     "asynchronous calls that may wait", ""},
    {"gateway.body_bytes_per_second_min", integer, "bytes/s", 1, 1000000000, "", "1000",
     "a request body that waits for its sender more than 5 s beyond this pace is given up with "
     "408: it "
     "holds a slot",
     ""},
    {"gateway.buffered_body_bytes", integer, "bytes", 0, 1048576, "", "16384",
     "bodies up to this are kept beside the head, so that they can be offered twice", ""},
    {"gateway.exec_timeout_ms", integer, "ms", 1, 86400000, "", "60000",
     "longest run of a function without the label dfaas.timeout_ms", ""},
    {"gateway.head_timeout_ms", integer, "ms", 100, 600000, "", "65000",
     "longest silence on a connection of the front door", ""},
    {"gateway.log_follow_ms", integer, "ms", 100, 600000, "", "30000",
     "time after which GET /system/logs with follow=true ends", ""},
    {"gateway.replicas_max", integer, "", 1, 10000, "", "100",
     "most replicas that any function of this node may have", ""},
    {"gateway.request_bytes_max", integer, "bytes", 1, 1099511627776.0, "", "1073741824",
     "largest request body of a function call", ""},
    {"gateway.system_body_bytes_max", integer, "bytes", 1024, 67108864, "", "1048576",
     "largest request body under /system", ""},
    {"gossip.advertise", optional_address, "", 0, 0, "", "",
     "where other members reach gossip.bind, over TCP and UDP; empty for the address itself", ""},
    {"gossip.bind", address, "", 0, 0, "", "0.0.0.0:7946",
     "where members gossip, over TCP and UDP, if membership.kind is serf; the host is a number",
     ""},
    {"gossip.discover", word, "", 0, 0, "no|yes", "no",
     "look for members by multicast DNS in the local network?", ""},
    {"gossip.join", text, "", 0, 0, "", "",
     "members to begin with, as HOST:PORT of their gossip.bind, separated by ','; tried again and "
     "again while nobody is there",
     ""},
    {"gossip.join_file", text, "", 0, 0, "", "gossip.txt",
     "more of them, one per line, read again when it changes", ""},
    {"gossip.profile", word, "", 0, 0, "lan|wan", "lan",
     "how patient gossip is: with nodes of one site, or all over the world", ""},
    {"haproxy.program", text, "", 0, 0, "", "",
     "path of haproxy, 2.6 or newer; empty for the one in /usr/local/sbin, /usr/sbin or /usr/bin",
     ""},
    {"images.keep_ms", integer, "ms", 0, 604800000, "", "600000",
     "how long an unpacked image stays that no function uses any more", ""},
    {"images.registries", text, "", 0, 0, "", "*",
     "registries that images may be fetched from, as HOST, HOST:PORT or HOST/PATH, separated by "
     "blanks; * for all, empty for none",
     ""},
    {"images.time_limit_ms", integer, "ms", 1000, 86400000, "", "600000",
     "longest time to fetch and unpack one image; a deployment waits 55 s of it", ""},
    {"images.unpacked_mb", integer, "MB", 1, 1048576, "", "2048", "largest image, unpacked", ""},
    {"join.address", optional_address, "", 0, 0, "", "",
     "where other machines reach join.bind, as written into invitations; empty for join.bind "
     "itself",
     ""},
    {"join.bind", optional_address, "", 0, 0, "", "",
     "where new nodes join, and members renew their certificates, if the authority is in this "
     "node's "
     "directory; empty for nowhere",
     ""},
    {"log.format", word, "", 0, 0, "text|json", "text", "form of the log lines", ""},
    {"log.level", word, "", 0, 0, "debug|info|warn|error", "info", "least important lines to log",
     "AGENT_DEBUG"},
    {"membership.federation", text, "", 0, 0, "", "dfaas",
     "name of the federation, 1 to 63 of a-z, 0-9, '-': gossip of others is ignored", ""},
    {"membership.kind", word, "", 0, 0, "list|serf", "list",
     "who says which nodes might be there: the list of membership.peers_file alone, or gossip by "
     "serf, too",
     ""},
    {"membership.neighbours_by_lot", integer, "", 0, 60, "", "6",
     "of the neighbours, those chosen by lot where there are more members than neighbours; the "
     "rest are the nearest",
     ""},
    {"membership.neighbours_max", integer, "", 1, 60, "", "60",
     "most neighbours that this node has", ""},
    {"membership.peers_file", text, "", 0, 0, "", "peers.txt",
     "list of neighbours, one HOST:PORT per line, read again when it changes",
     "AGENT_BOOTSTRAP_NODES_FILE"},
    {"membership.topology", text, "", 0, 0, "", "",
     "ids or names of the only nodes that may be neighbours, separated by ','; empty for all. "
     "Names "
     "are what nodes say of themselves, ids are proved",
     ""},
    {"node.name", text, "", 0, 0, "", "node",
     "what people call this node: 1 to 63 of a-z, 0-9, '-'", ""},
    {"peer.address", optional_address, "", 0, 0, "", "",
     "where other machines reach peer.bind, as told in gossip; empty for the address of the gossip "
     "and the port of peer.bind",
     ""},
    {"peer.bind", address, "", 0, 0, "", "0.0.0.0:8443",
     "where neighbours connect, with mutual TLS", "AGENT_HAPROXY_PORT"},
    {"pki.validity_minutes", integer, "min", 1, 5256000, "", "10080",
     "validity of the certificates that this node gives to those who join or renew; renewed when a "
     "third of it is left",
     ""},
    {"platform.authority", text, "", 0, 0, "", "",
     "PEM file with the certificates of the authorities that sign the certificate of a platform "
     "that speaks https; relative to the node's directory; empty for those that this machine "
     "trusts",
     ""},
    {"platform.kind", word, "", 0, 0, "embedded|openfaas", "embedded",
     "who runs the functions: the node itself, or an OpenFaaS gateway or faasd that runs already",
     ""},
    {"platform.password_file", text, "", 0, 0, "", "secrets/platform-password",
     "file with the password for platform.user on its first line, readable by its owner alone; "
     "relative to the node's directory",
     ""},
    {"platform.period_ms", integer, "ms", 100, 600000, "", "2000",
     "how often the functions of the platform are read", ""},
    {"platform.timeout_ms", integer, "ms", 100, 60000, "", "2000",
     "longest wait for a connection to the platform, and for its list of functions", ""},
    {"platform.url", server_url, "", 0, 0, "", "http://127.0.0.1:8080",
     "where the platform of platform.kind = openfaas listens", ""},
    {"platform.user", text, "", 0, 0, "", "admin",
     "user of the platform's API; empty for a platform without credentials", ""},
    {"policy.allow", partners, "", 0, 0, "", "",
     "the only organisations and nodes that may be neighbours; empty for all that are trusted", ""},
    {"policy.credits", word, "", 0, 0, "no|yes", "no",
     "where not all can have what they ask for, give more to organisations that served more of our "
     "calls than we of theirs?",
     ""},
    {"policy.deny", partners, "", 0, 0, "", "",
     "organisations and nodes that are never neighbours, whatever policy.allow says", ""},
    {"policy.limits", guest_slots, "", 0, 0, "", "",
     "most calls of an organisation's nodes that may be here at once, running or in line; * is "
     "each "
     "other organisation but our own; 0 takes none",
     ""},
    {"sandbox.first_user", integer, "", 1000, 4200000000.0, "", "1900000000",
     "functions run under user and group numbers from here on, when the node runs as root; none of "
     "the next 60000 may belong to anybody",
     ""},
    {"sandbox.host_network", word, "", 0, 0, "no|yes", "no",
     "may a function with the annotation dfaas.network=host use the network of the node?", ""},
    {"sandbox.memory_mb", integer, "MB", 0, 16777216, "", "0",
     "memory of a function without limits.memory; 0 for half of the machine's", ""},
    {"sandbox.processes_per_slot", integer, "", 2, 32768, "", "64",
     "processes and threads that a function may have, times its slots", ""},
    {"sandbox.read_paths", text, "", 0, 0, "", "",
     "files and directories of this host that functions see read-only, beside its programs and "
     "libraries; absolute, separated by ':'",
     ""},
    {"sandbox.tier", word, "", 0, 0, "auto|namespaces|landlock|none", "auto",
     "how functions are kept apart from the node; auto is the best that works here and never none",
     ""},
    {"sandbox.tmp_mb", integer, "MB", 1, 1048576, "", "64",
     "room for temporary files of a function, in memory", ""},
    {"sandbox.write_paths", text, "", 0, 0, "", "",
     "files and directories of this host that every function may write to; absolute, separated by "
     "':'",
     ""},
    {"serf.program", text, "", 0, 0, "", "",
     "path of serf, 0.8 or newer; empty for the one in /usr/local/sbin, /usr/sbin, /sbin, "
     "/usr/local/bin or /usr/bin",
     ""},
    {"strategy.name", text, "", 0, 0, "", "grant_and_spill",
     "load-balancing strategy, see dfaas strategy list", "AGENT_STRATEGY"},
    {"strategy.period_ms", integer, "ms", 500, 600000, "", "2000", "time between two plans",
     "AGENT_RECALC_PERIOD"},
    {"user.bind", address, "", 0, 0, "", "0.0.0.0:8080", "where users call functions", ""},
    {"user.certificate", text, "", 0, 0, "", "",
     "PEM file of a certificate, those above it and its key: users then speak https at user.bind; "
     "empty for http",
     ""},
    {"user.connections_per_source", integer, "", 1, 8000, "", "2000",
     "connections that one address may have at user.bind; more are closed at once", ""},
    {"user.wrong_credentials_per_minute", integer, "", 1, 1000000, "", "20",
     "wrong credentials for /system that one address may send; then it gets 429 for a minute", ""},
}};

std::string_view kind_text(SettingKind kind) {
  switch (kind) {
    case text:
      return "text";
    case word:
      return "word";
    case integer:
      return "integer";
    case number:
      return "number";
    case address:
    case optional_address:
      return "HOST:PORT";
    case local_url:
    case server_url:
      return "URL";
    case partners:
      return "list of organisations and ids";
    case guest_slots:
      return "list of limits";
  }
  return "text";
}

std::string allowed(const Setting& setting) {
  switch (setting.kind) {
    case integer:
    case number:
      return fmt::format("{} from {:.15g} to {:.15g}",
                         setting.kind == integer ? "an integer" : "a number", setting.low,
                         setting.high);
    case word:
      return "one of " + std::string(setting.words);
    case address:
      return "HOST:PORT with a port from 1 to 65535";
    case optional_address:
      return "HOST:PORT with a port from 1 to 65535, or empty";
    case local_url:
      return "http://HOST:PORT or http://HOST:PORT/PATH where HOST is localhost, 127.x.x.x or "
             "[::1]";
    case server_url:
      return "http://HOST, http://HOST:PORT or http://HOST:PORT/PATH, or the same with https";
    case partners:
      return "names of organisations and ids of nodes, separated by ',', or empty";
    case guest_slots:
      return "ORGANISATION=SLOTS or *=SLOTS with 0 to 100000 slots, separated by ',', each once, "
             "or "
             "empty";
    case text:
      return "a text of at most 4096 printable characters";
  }
  return "";
}

bool is_valid(const Setting& setting, std::string_view value) {
  switch (setting.kind) {
    case integer: {
      const auto parsed = parse_unsigned(value);
      return parsed && static_cast<double>(*parsed) >= setting.low &&
             static_cast<double>(*parsed) <= setting.high;
    }
    case number: {
      const auto parsed = parse_number(value);
      return parsed && *parsed >= setting.low && *parsed <= setting.high;
    }
    case word: {
      const auto words = split(setting.words, '|');
      return std::ranges::find(words, value) != words.end();
    }
    case optional_address:
      if (value.empty()) return true;
      [[fallthrough]];
    case address: {
      const std::size_t colon = value.rfind(':');
      if (colon == std::string_view::npos || colon == 0) return false;
      const auto port = parse_unsigned(value.substr(colon + 1));
      const std::string_view host = value.substr(0, colon);
      return port && *port >= 1 && *port <= 65535 &&
             host.find_first_of(" \t\r\n\"'/@,") == std::string_view::npos;
    }
    case local_url:
      return value.empty() || parse_local_url(value);
    case server_url:
      return parse_server_url(value).has_value();
    case partners:
      return parse_partners(value).has_value();
    case guest_slots:
      return parse_guest_slots(value).has_value();
    case text:
      return value.size() <= 4096 && std::ranges::all_of(value, [](char letter) {
               return static_cast<unsigned char>(letter) >= 0x20 && letter != 0x7f;
             });
  }
  return false;
}

std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t at = 0; at < row.size(); ++at) row[at] = at;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t above = row[j];
      row[j] =
          std::min({above + 1, row[j - 1] + 1, diagonal + (left[i - 1] == right[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

std::string_view nearest_name(std::string_view name) {
  return std::ranges::min_element(table, {},
                                  [name](const Setting& setting) {
                                    return edit_distance(setting.name, name.substr(0, 100));
                                  })
      ->name;
}

/// A name, an IPv4 address, or an IPv6 one in brackets.
bool is_host(std::string_view host) {
  constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 3) {
    return host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") ==
           std::string_view::npos;
  }
  return !host.empty() && host.find_first_not_of(letters) == std::string_view::npos;
}

bool is_own_host(std::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  const auto parts = split(host, '.');
  return parts.size() == 4 && parts[0] == "127" &&
         std::ranges::all_of(parts, [](std::string_view part) {
           const auto number = parse_unsigned(part);
           return number && *number <= 255 && part.size() <= 3;
         });
}

}  // namespace

std::optional<ServerUrl> parse_server_url(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  constexpr std::string_view secure_scheme = "https://";
  constexpr std::uint16_t secure_port = 443;
  constexpr std::size_t length_max = 1000;
  ServerUrl parsed;
  parsed.is_secure = url.starts_with(secure_scheme);
  if (parsed.is_secure) parsed.port = secure_port;
  if ((!parsed.is_secure && !url.starts_with(scheme)) || url.size() > length_max) {
    return std::nullopt;
  }
  url.remove_prefix(parsed.is_secure ? secure_scheme.size() : scheme.size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  std::string_view host = url.substr(0, slash);
  std::string_view path = url.substr(slash);
  if (const std::size_t colon = host.rfind(':');
      colon != std::string_view::npos && !host.ends_with(']')) {
    const auto port = parse_unsigned(host.substr(colon + 1));
    if (!port || *port < 1 || *port > 65535) return std::nullopt;
    parsed.port = static_cast<std::uint16_t>(*port);
    host = host.substr(0, colon);
  }
  const bool is_plain_path = std::ranges::all_of(path, [](char letter) {
    return letter > ' ' && letter < 0x7f && letter != '?' && letter != '#';
  });
  if (!is_host(host) || !is_plain_path) return std::nullopt;
  while (path.ends_with('/')) path.remove_suffix(1);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  parsed.host = host;
  parsed.path = path;
  return parsed;
}

std::optional<LocalUrl> parse_local_url(std::string_view url) {
  auto parsed = parse_server_url(url);
  if (!parsed || parsed->is_secure || !is_own_host(parsed->host)) return std::nullopt;
  return parsed;
}

std::span<const Setting> settings_table() noexcept { return table; }

const Setting* find_setting(std::string_view name) noexcept {
  const auto found = std::ranges::lower_bound(table, name, {}, &Setting::name);
  return found != table.end() && found->name == name ? &*found : nullptr;
}

std::string environment_name(std::string_view setting) {
  std::string name = "DFAAS_";
  for (const char letter : setting) {
    const bool is_lower = letter >= 'a' && letter <= 'z';
    name += is_lower ? static_cast<char>(letter - 'a' + 'A') : (letter == '.' ? '_' : letter);
  }
  return name;
}

std::string explain(const Setting& setting) {
  std::string text = fmt::format("{}: {}\n  kind     {}\n", setting.name, setting.sentence,
                                 kind_text(setting.kind));
  if (!setting.unit.empty())
    fmt::format_to(std::back_inserter(text), "  unit     {}\n", setting.unit);
  fmt::format_to(std::back_inserter(text), "  allowed  {}\n  default  {}\n  variable {}\n",
                 allowed(setting), in_quotes(setting.otherwise), environment_name(setting.name));
  if (!setting.alias.empty()) {
    fmt::format_to(std::back_inserter(text), "  was      {} in the original prototype\n",
                   setting.alias);
  }
  return text;
}

std::string settings_reference() {
  std::string page =
      "# Settings\n\nWritten by `dfaas config reference`; order: default, then node.toml, then the "
      "environment, then `--set NAME=VALUE`.\n\n"
      "| setting | what it is | allowed | default | variable |\n|---|---|---|---|---|\n";
  for (const Setting& setting : table) {
    std::string words = allowed(setting);
    for (std::size_t at = 0; (at = words.find('|', at)) != std::string::npos; at += 2) {
      words.replace(at, 1, ", ");
    }
    if (!setting.unit.empty()) words += fmt::format(" ({})", setting.unit);
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | `{}` | `{}` |\n", setting.name,
                   setting.sentence, words, setting.otherwise, environment_name(setting.name));
  }
  return page;
}

Result<Settings> Settings::parse(std::span<const SettingText> texts) {
  Settings settings;
  for (const Setting& setting : table) {
    settings.values_.emplace(setting.name, Value{std::string(setting.otherwise), "default"});
  }
  for (const SettingText& given : texts) {
    const Setting* setting = find_setting(given.name);
    if (setting == nullptr) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("setting {} ({}) is not known; the nearest is {}",
                              in_quotes(given.name), given.origin, nearest_name(given.name)));
    }
    if (!is_valid(*setting, given.value)) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("setting {}: {} ({}) is not {}", given.name, in_quotes(given.value),
                              given.origin, allowed(*setting)));
    }
    settings.values_.insert_or_assign(given.name, Value{given.value, given.origin});
  }
  return settings;
}

const Settings::Value& Settings::value(std::string_view name) const {
  const auto found = values_.find(name);
  DFAAS_ASSERT(found != values_.end(), "only settings of the table are asked for");
  return found->second;
}

const std::string& Settings::text(std::string_view name) const { return value(name).text; }
const std::string& Settings::origin(std::string_view name) const { return value(name).origin; }

std::int64_t Settings::integer(std::string_view name) const {
  return static_cast<std::int64_t>(parse_unsigned(value(name).text).value());
}

double Settings::number(std::string_view name) const {
  return parse_number(value(name).text).value();
}

}  // namespace dfaas
