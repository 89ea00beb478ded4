// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/agent/trust.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/federation/joining.hpp"
#include "core/json/fields.hpp"
#include "live/files/files.hpp"
#include "live/membership/membership.hpp"
#include "live/net/task_group.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/issuer.hpp"
#include "live/pki/revocation.hpp"
#include "live/pki/trust_bundle.hpp"
#include "live/telemetry/log.hpp"
#include "live/tls/secure_fetch.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Clock = std::chrono::system_clock;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr Millis look_period{500};      ///< At files that an operator may change.
constexpr Millis renew_period{20'000};  ///< Between two tries.
constexpr Millis renew_patience{10'000};
constexpr Millis announce_patience{30'000};  ///< For neighbours that do not answer.
constexpr std::size_t file_bytes_max = 1U << 20U;
constexpr std::int64_t uses_max = 1'000'000;
constexpr std::int64_t minutes_max = 100'000'000;
constexpr std::size_t address_length_max = 300;

std::chrono::sys_seconds now() { return std::chrono::floor<std::chrono::seconds>(Clock::now()); }

asio::awaitable<void> pause(Millis time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  std::ignore = co_await timer.async_wait(as_result);
}

Trust::Answer refusal(const Error& error) {
  int status = 400;
  if (error.code == ErrorCode::denied) status = 403;
  if (error.code == ErrorCode::not_found) status = 404;
  if (error.code == ErrorCode::overloaded) status = 429;
  if (error.code == ErrorCode::unavailable) status = 500;
  return {.status = status, .json = json_text({{"error", error.message}})};
}

/// Where to renew: the lines "HOST:PORT ID" of a file.
std::vector<SecurePlace> issuers_in(const fs::path& file, const fs::path& own) {
  std::vector<SecurePlace> places;
  const auto text = read_file(file, file_bytes_max);
  if (!text) return places;
  for (const std::string_view line : split(*text, '\n')) {
    const auto words = split(trim(line), ' ');
    if (words.size() != 2) continue;
    auto address = Endpoint::parse(words[0]);
    auto id = NodeId::parse(words[1]);
    if (address && id) places.push_back({.address = *address, .id = *id, .own = own});
  }
  return places;
}

}  // namespace

struct Trust::State : std::enable_shared_from_this<Trust::State> {
  State(asio::any_io_executor executor, TrustSettings settings_, FrontDoor* front_door_,
        TrustHooks hooks_)
      : settings(std::move(settings_)),
        front_door(front_door_),
        hooks(std::move(hooks_)),
        tasks(std::move(executor)) {}

  struct SignedList {
    RevocationList list;
    std::string text;
  };

  TrustSettings settings;
  FrontDoor* front_door;
  TrustHooks hooks;
  TrustBundle bundle;
  std::string bundle_text;                    ///< As last read, good or not.
  std::map<std::string, SignedList> revoked;  ///< By organisation.
  std::optional<Issuer> issuer;
  std::optional<Certificate> own;
  std::string refused_next;  ///< The file next.pem that was complained of.
  bool is_renewing = false;
  bool stopping = false;
  TaskGroup tasks;

  // --- reading

  Result<void> load() {
    auto text = read_file(settings.directory.authorities(), file_bytes_max);
    if (!text) return tl::unexpected(text.error());
    auto trusted = TrustBundle::parse(*text);
    if (!trusted) {
      return tl::unexpected(
          std::move(trusted).error().within(settings.directory.authorities().string()));
    }
    bundle = std::move(*trusted);
    bundle_text = std::move(*text);
    if (auto read = read_own(); !read) return read;
    auto opened = Issuer::open(settings.directory.authority(), settings.validity);
    if (opened && opened->authority().organisation() == settings.organisation) {
      issuer = std::move(*opened);
    } else if (!opened && opened.error().code != ErrorCode::not_found) {
      return tl::unexpected(opened.error());
    }
    load_revocations();
    return {};
  }

  Result<void> read_own() {
    const auto text = read_file(settings.directory.certificate(), file_bytes_max);
    if (!text) return tl::unexpected(text.error());
    auto certificate = inspect_certificate(*text);
    if (!certificate) return tl::unexpected(certificate.error());
    own = std::move(*certificate);
    return {};
  }

  void load_revocations() {
    std::error_code error;  // No directory: no list was ever received.
    for (const auto& entry : fs::directory_iterator(settings.directory.revocations(), error)) {
      const auto text = read_file(entry.path(), revocations_bytes_max);
      auto list = text ? parse_revocations(*text, bundle)
                       : Result<RevocationList>(tl::unexpected(text.error()));
      if (list) {
        const std::string organisation = list->organisation;
        revoked[organisation] = {.list = std::move(*list), .text = *text};
      } else {
        log_event(LogLevel::warn, "revocations_unreadable",
                  {{"file", entry.path().string()}, {"why", list.error().message}});
      }
    }
  }

  [[nodiscard]] bool is_revoked(const NodeId& id, const std::string& organisation) const {
    const auto found = revoked.find(organisation);
    return found != revoked.end() && found->second.list.nodes.contains(id);
  }

  // --- revocations

  /// True when it is newer than what was known. The file first: after a crash it counts again.
  Result<bool> take_revocations(const std::string& text) {
    auto list = parse_revocations(text, bundle);
    if (!list) return tl::unexpected(list.error());
    const auto known = revoked.find(list->organisation);
    if (known != revoked.end() && known->second.list.number >= list->number) return false;
    const fs::path directory = settings.directory.revocations();
    if (auto made = make_directory(directory, 0700); !made) return tl::unexpected(made.error());
    const fs::path file = directory / (list->organisation + ".json");
    if (auto written = write_file(file, text, 0600); !written) {
      return tl::unexpected(written.error());
    }
    log_event(LogLevel::info, "revocations_taken",
              {{"organisation", list->organisation},
               {"number", std::to_string(list->number)},
               {"nodes", std::to_string(list->nodes.size())}});
    const std::string organisation = list->organisation;
    revoked[organisation] = {.list = std::move(*list), .text = text};
    hooks.on_change();
    for (const NodeId& neighbour : hooks.neighbours_up()) {
      tasks.spawn(tell(shared_from_this(), neighbour, text));
    }
    return true;
  }

  static asio::awaitable<void> tell(std::shared_ptr<State> self, NodeId to, std::string text) {
    const auto reply = co_await self->hooks.post(to, "/dfaas/v1/revocations", std::move(text));
    if (!reply || reply->head.status != 200) {
      // It hears it again when it is greeted the next time.
      log_event(LogLevel::debug, "revocations_not_told", {{"peer", to.text()}});
    }
  }

  // --- authorities

  static asio::awaitable<void> look_at_authorities(std::shared_ptr<State> self) {
    const fs::path file = self->settings.directory.authorities();
    const auto text = read_file(file, file_bytes_max);
    if (!text || *text == self->bundle_text) co_return;
    self->bundle_text = *text;
    auto trusted = TrustBundle::parse(*text);
    const bool has_own = trusted && trusted->find(self->settings.organisation) != nullptr;
    if (!has_own) {
      const std::string why = trusted
                                  ? fmt::format("the authority of {}, which is ours, is not in it",
                                                self->settings.organisation)
                                  : trusted.error().message;
      log_event(LogLevel::error, "authorities_not_taken", {{"file", file.string()}, {"why", why}});
      co_return;
    }
    self->bundle = std::move(*trusted);
    const std::string pem = self->bundle.pem();
    if (auto done = co_await self->front_door->replace_authorities(file, pem); !done) {
      log_event(LogLevel::warn, "front_door_not_changed", {{"why", done.error().message}});
    }
    log_event(LogLevel::info, "authorities_taken",
              {{"count", std::to_string(self->bundle.authorities().size())}});
    self->load_revocations();
    self->hooks.on_change();
  }

  // --- our own certificate

  /// The next certificate, if there is a good one.
  std::optional<std::string> next_certificate() {
    const auto text = read_file(settings.directory.next_certificate(), file_bytes_max);
    if (!text || *text == refused_next) return std::nullopt;
    const auto key = read_file(settings.directory.key(), file_bytes_max);
    const auto certificate = bundle.verify(*text);
    Result<void> checked;
    if (!certificate) {
      checked = tl::unexpected(certificate.error());
    } else if (certificate->id != settings.self) {
      checked = fail(ErrorCode::denied, "it is of " + certificate->id.text());
    } else if (key) {
      checked = check_key_matches(*text, *key);
    }
    if (checked && key) return certificate_in(*text);
    refused_next = *text;
    log_event(LogLevel::error, "next_certificate_not_taken",
              {{"file", settings.directory.next_certificate().string()},
               {"why", checked ? key.error().message : checked.error().message}});
    return std::nullopt;
  }

  /// Without the key that follows it.
  static std::string certificate_in(const std::string& pem) {
    constexpr std::string_view end = "-----END CERTIFICATE-----\n";
    const std::size_t at = pem.find(end);
    return at == std::string::npos ? pem : pem.substr(0, at + end.size());
  }

  /// Neighbours first: they must know it before they see it.
  static asio::awaitable<void> change_over(std::shared_ptr<State> self, std::string certificate) {
    std::set<NodeId> told;
    const auto deadline = std::chrono::steady_clock::now() + announce_patience;
    for (;;) {
      bool is_missing = false;
      const std::vector<NodeId> neighbours = self->hooks.neighbours_up();
      for (const NodeId& neighbour : neighbours) {
        if (told.contains(neighbour)) continue;
        const auto reply =
            co_await self->hooks.post(neighbour, "/dfaas/v1/certificate", certificate);
        if (reply && reply->head.status == 200) {
          told.insert(neighbour);
        } else {
          is_missing = true;
        }
      }
      if (!is_missing || std::chrono::steady_clock::now() > deadline || self->stopping) break;
      co_await pause(look_period);
    }
    const NodeDirectory& directory = self->settings.directory;
    if (auto written = use_next_certificate(directory.root()); !written) {
      log_event(LogLevel::error, "certificate_not_written", {{"why", written.error().message}});
      co_return;
    }
    std::ignore = self->read_own();
    const fs::path file = directory.certificate_and_key();
    const auto both = read_file(file, file_bytes_max);
    if (!both) co_return;
    if (auto done = co_await self->front_door->replace_certificate(file, *both); !done) {
      log_event(LogLevel::warn, "front_door_not_changed", {{"why", done.error().message}});
    }
    log_event(LogLevel::info, "certificate_changed",
              {{"valid_until", self->own ? self->own->not_after : "?"},
               {"neighbours_told", std::to_string(told.size())}});
  }

  [[nodiscard]] bool is_due() const {
    if (!own || is_renewing) return false;
    const auto whole = own->valid_until - own->valid_from;
    return own->valid_until - now() < whole / 3;
  }

  static asio::awaitable<void> renew(std::shared_ptr<State> self) {
    self->is_renewing = true;
    auto renewed = co_await ask_for_certificate(self);
    Result<void> written;
    if (renewed) {
      const auto key = read_file(self->settings.directory.key(), file_bytes_max);
      written = key ? write_file(self->settings.directory.next_certificate(), *renewed + *key, 0600)
                    : Result<void>(tl::unexpected(key.error()));
    }
    if (!renewed || !written) {
      log_event(LogLevel::error, "certificate_not_renewed",
                {{"valid_until", self->own->not_after},
                 {"why", renewed ? written.error().message : renewed.error().message}});
    }
    co_await pause(renew_period);
    self->is_renewing = false;
  }

  static asio::awaitable<Result<std::string>> ask_for_certificate(std::shared_ptr<State> self) {
    const auto key = read_file(self->settings.directory.key(), file_bytes_max);
    if (!key) co_return tl::unexpected(key.error());
    const auto request = make_request(*key);
    if (!request) co_return tl::unexpected(request.error());
    if (self->issuer) {
      co_return self->issuer->authority().certify(*request, self->settings.validity);
    }
    const auto places = issuers_in(self->settings.directory.issuer(),
                                   self->settings.directory.certificate_and_key());
    Error last{ErrorCode::not_found,
               fmt::format("nobody is known who renews it ({} is missing or empty): dfaas pki node "
                           "renew --dir {} --ca DIRECTORY",
                           self->settings.directory.issuer().string(),
                           self->settings.directory.root().string())};
    for (const SecurePlace& place : places) {
      RequestHead head{.method = "POST", .target = "/dfaas/v1/renew"};
      head.headers.add("Host", place.id.text());
      head.headers.add("Content-Type", "application/json");
      const std::string body = renew_request_to_json(*request);
      const auto reply =
          co_await secure_fetch(place, std::move(head), body, renew_patience, join_bytes_max);
      if (!reply) {
        last = reply.error();
        continue;
      }
      if (reply->head.status != 200) {
        last = Error{ErrorCode::denied,
                     fmt::format("{} answered {}: {}", place.address.text(), reply->head.status,
                                 in_quotes(trim(reply->body), 200))};
        continue;
      }
      auto answer = join_answer_from_json(reply->body);
      if (answer) co_return std::move(answer->certificate);
      last = answer.error();
    }
    co_return tl::unexpected(last);
  }

  static asio::awaitable<void> loop(std::shared_ptr<State> self) {
    while (!self->stopping) {
      co_await look_at_authorities(self);
      if (auto next = self->next_certificate()) {
        const std::string certificate = std::move(*next);
        co_await change_over(self, certificate);
      }
      if (self->is_due()) self->tasks.spawn(renew(self));
      co_await pause(look_period);
    }
  }

  // --- joining

  Answer answer_with(const Result<std::string>& certificate) {
    if (!certificate) {
      log_event(LogLevel::warn, "join_refused", {{"why", certificate.error().message}});
      return refusal(certificate.error());
    }
    const JoinAnswer answer{.certificate = *certificate,
                            .authorities = bundle.pem(),
                            .members = listed_members(),
                            .peer_port = settings.peer_port,
                            .settings = settings.gossip,
                            .secrets = gossip_secrets()};
    return {.status = 200, .json = to_json(answer)};
  }

  /// As they are now: they may have been changed since the start.
  [[nodiscard]] std::map<std::string, std::string> gossip_secrets() const {
    if (settings.gossip.empty()) return {};
    const auto text = read_file(settings.directory.gossip_keys(), file_bytes_max);
    if (!text) return {};
    return {{std::string(gossip_keys_secret), *text}};
  }

  [[nodiscard]] std::vector<std::string> listed_members() const {
    constexpr std::size_t members_max = 500;
    std::vector<std::string> members;
    const auto text = read_file(settings.peers_file, file_bytes_max);
    if (!text) return members;
    for (const Endpoint& address : parse_candidates(*text).addresses) {
      if (members.size() < members_max) members.push_back(address.text());
    }
    return members;
  }

  /// Who joined becomes a candidate here; who it is, is proved as of everybody.
  void list_member(const JoinRequest& request, const std::string& from) {
    std::string address = request.peer_address;
    if (address.starts_with(':')) {
      address = (from.find(':') == std::string::npos ? from : "[" + from + "]") + address;
    }
    const auto endpoint = Endpoint::parse(address);
    if (!endpoint || !endpoint->unix_path.empty()) return;
    const auto text = read_file(settings.peers_file, file_bytes_max);
    std::string list = text ? *text : std::string();
    const CandidateList known = parse_candidates(list);
    if (std::ranges::find(known.addresses, *endpoint) != known.addresses.end()) return;
    if (!list.empty() && list.back() != '\n') list += '\n';
    list += fmt::format("{}  # {} joined\n", endpoint->text(), request.name.text());
    if (auto written = write_file(settings.peers_file, list, 0600); !written) {
      log_event(LogLevel::warn, "member_not_listed", {{"why", written.error().message}});
    }
  }

  Answer admit(const JoinCall& call) {
    const auto request = join_request_from_json(call.body);
    if (!request) return refusal(request.error());
    const auto is_gone = [this](const NodeId& id) { return is_revoked(id, settings.organisation); };
    auto certificate = issuer->admit(*request, is_gone, now());
    if (certificate) {
      log_event(LogLevel::info, "node_joined",
                {{"name", request->name.text()},
                 {"id", issuer->issued().back().id.text()},
                 {"invitation", request->invitation}});
    }
    const Answer answer = answer_with(certificate);
    if (certificate) list_member(*request, call.from);
    return answer;
  }

  Answer renew_for(const JoinCall& call) {
    if (call.certificate.empty()) {
      return refusal({ErrorCode::denied, "a certificate must be shown to renew it"});
    }
    const auto request = renew_request_from_json(call.body);
    if (!request) return refusal(request.error());
    const auto is_gone = [this](const NodeId& id) { return is_revoked(id, settings.organisation); };
    return answer_with(issuer->renew(pem_from_base64_der(call.certificate), *request, is_gone));
  }

  Answer invite(const std::string& body) {
    if (!issuer) {
      return refusal(
          {ErrorCode::not_found,
           fmt::format("the authority of {} is not in the directory of this node: invite "
                       "on the node that has it",
                       settings.organisation)});
    }
    std::int64_t uses = 1;
    std::int64_t minutes = 0;
    std::string address;
    auto parsed = parse_json_object(body, file_bytes_max, [&](const Fields& fields) {
      uses = fields.integer_or("uses", 0, uses_max, 1);
      minutes = fields.integer("minutes", 0, minutes_max);
      address = fields.text_or("address", address_length_max, "");
    });
    if (!parsed) return refusal(parsed.error());
    if (address.empty()) address = settings.join_address;
    if (auto endpoint = Endpoint::parse(address); !endpoint || !endpoint->unix_path.empty()) {
      return refusal({ErrorCode::invalid_input,
                      fmt::format("nodes cannot join at {}: set join.bind to HOST:PORT, and "
                                  "join.address where other machines reach it",
                                  in_quotes(address))});
    }
    const auto token = issuer->invite(address, settings.self, static_cast<int>(uses),
                                      std::chrono::minutes{minutes}, now());
    if (!token) return refusal(token.error());
    log_event(LogLevel::info, "node_invited", {{"invitation", token->invitation}});
    return {.status = 200,
            .json = json_text({{"token", to_text(*token)}, {"expires", token->expires}})};
  }

  // --- for people

  [[nodiscard]] std::string described() const {
    nlohmann::json authorities = nlohmann::json::array();
    for (const TrustedAuthority& authority : bundle.authorities()) {
      authorities.push_back({{"organisation", authority.organisation},
                             {"fingerprint", authority.fingerprint},
                             {"not_after", authority.not_after}});
    }
    nlohmann::json lists = nlohmann::json::array();
    for (const auto& [organisation, signed_list] : revoked) {
      nlohmann::json nodes = nlohmann::json::array();
      for (const NodeId& node : signed_list.list.nodes) nodes.push_back(node.text());
      lists.push_back({{"organisation", organisation},
                       {"number", signed_list.list.number},
                       {"nodes", std::move(nodes)}});
    }
    nlohmann::json issued = nlohmann::json::array();
    if (issuer) {
      for (const IssuedNode& node : issuer->issued()) {
        issued.push_back(
            {{"id", node.id.text()}, {"name", node.name.text()}, {"joined", node.joined}});
      }
    }
    nlohmann::json certificate = nlohmann::json::object();
    if (own) {
      certificate = {{"not_after", own->not_after},
                     {"fingerprint", own->fingerprint},
                     {"seconds_left", (own->valid_until - now()).count()}};
    }
    return json_text({{"id", settings.self.text()},
                      {"organisation", settings.organisation},
                      {"certificate", std::move(certificate)},
                      {"authorities", std::move(authorities)},
                      {"revoked", std::move(lists)},
                      {"is_issuer", issuer.has_value()},
                      {"issued", std::move(issued)}});
  }
};

Trust::Trust(std::shared_ptr<State> state) : state_(std::move(state)) {}
Trust::~Trust() = default;

Result<std::unique_ptr<Trust>> Trust::start(asio::any_io_executor executor, TrustSettings settings,
                                            FrontDoor* front_door, TrustHooks hooks) {
  auto state = std::make_shared<State>(std::move(executor), std::move(settings), front_door,
                                       std::move(hooks));
  if (auto loaded = state->load(); !loaded) return pass_on(std::move(loaded));
  state->tasks.spawn(State::loop(state));
  return std::unique_ptr<Trust>(new Trust(std::move(state)));
}

std::string Trust::complaint_of(const NodeId& id, const std::string& organisation) const {
  if (state_->bundle.find(organisation) == nullptr) {
    return fmt::format("organisation {} is not trusted", in_quotes(organisation));
  }
  if (state_->is_revoked(id, organisation)) {
    return fmt::format("{} revoked {}", organisation, id.text());
  }
  return {};
}

void Trust::greet(const NodeId& neighbour) {
  for (const auto& [organisation, signed_list] : state_->revoked) {
    state_->tasks.spawn(State::tell(state_, neighbour, signed_list.text));
  }
}

bool Trust::is_for_peers(const std::string& target) {
  return target == "/dfaas/v1/certificate" || target == "/dfaas/v1/revocations";
}

asio::awaitable<Trust::Answer> Trust::answer_peer(NodeId from, std::string target,
                                                  std::string body) {
  const std::shared_ptr<State> state = state_;
  if (target == "/dfaas/v1/revocations") {
    const auto taken = state->take_revocations(body);
    if (taken) co_return Answer{};
    log_event(LogLevel::warn, "revocations_refused",
              {{"peer", from.text()}, {"why", taken.error().message}});
    co_return refusal(taken.error());
  }
  const auto certificate = state->bundle.verify(body);
  Result<void> admitted;
  if (!certificate) {
    admitted = tl::unexpected(certificate.error());
  } else if (certificate->id != from) {
    admitted = fail(ErrorCode::denied, fmt::format("{} shows a certificate of {}", from.text(),
                                                   certificate->id.text()));
  } else {
    const int slot = state->front_door->slot_of(from);
    const std::string fingerprint = certificate->fingerprint;
    admitted = co_await state->front_door->admit_certificate(slot, fingerprint);
  }
  if (admitted) {
    log_event(LogLevel::info, "neighbour_renews",
              {{"peer", from.text()}, {"valid_until", certificate->not_after}});
    co_return Answer{};
  }
  log_event(LogLevel::warn, "certificate_refused",
            {{"peer", from.text()}, {"why", admitted.error().message}});
  co_return refusal(admitted.error());
}

Trust::Answer Trust::answer_join(const JoinCall& call) {
  if (!state_->issuer) {
    return refusal({ErrorCode::denied, "this node does not let nodes join: it has no authority"});
  }
  return call.target == "/dfaas/v1/join" ? state_->admit(call) : state_->renew_for(call);
}

bool Trust::is_local(const std::string& target) {
  return target == "/v1/trust" || target == "/v1/invitations" || target == "/v1/revocations";
}

Trust::Answer Trust::answer_local(const std::string& method, const std::string& target,
                                  const std::string& body) {
  if (target == "/v1/trust" && method == "GET") return {.json = state_->described()};
  if (target == "/v1/invitations" && method == "POST") return state_->invite(body);
  if (target == "/v1/revocations" && method == "PUT") {
    const auto taken = state_->take_revocations(body);
    if (!taken) return refusal(taken.error());
    return {.json = json_text({{"is_new", *taken}})};
  }
  return {.status = 405,
          .json = json_text({{"error",
                              "here are GET /v1/trust, POST /v1/invitations, PUT "
                              "/v1/revocations"}})};
}

void Trust::stop() { state_->stopping = true; }

}  // namespace dfaas
