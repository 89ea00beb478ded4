// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas federation and dfaas join: who is a member, and who is no longer.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/node_setup.hpp"
#include "core/base/text.hpp"
#include "core/federation/joining.hpp"
#include "core/json/fields.hpp"
#include "core/membership/serf_rpc.hpp"
#include "live/files/files.hpp"
#include "live/membership/membership.hpp"
#include "live/node/node_directory.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/revocation.hpp"
#include "live/pki/trust_bundle.hpp"
#include "live/tls/secure_fetch.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;
constexpr Millis join_patience{15'000};
constexpr std::size_t file_bytes_max = 1U << 20U;
constexpr const char* join_bind_default = "0.0.0.0:8444";

struct FederationOptions {
  std::string directory = ".";
  std::string name;
  std::string organisation;
  std::string authority;
  std::string address;
  std::string token;
  std::string node;
  std::string file;
  std::string output = "table";
  std::vector<std::string> overrides;
  int uses = 1;
  int hours = 24;
};

NodeDirectory directory_of(const FederationOptions& options) {
  return NodeDirectory(fs::absolute(options.directory).lexically_normal());
}

Result<nlohmann::json> ask_agent(const FederationOptions& options, const std::string& method,
                                 const std::string& target, const std::string& body) {
  const auto text = call_local(options.directory, directory_of(options).agent_socket().string(),
                               method, target, body);
  if (!text) return tl::unexpected(text.error());
  return nlohmann::json::parse(*text);  // Of our own agent.
}

// --- create, join

Result<void> create(const FederationOptions& options) {
  NodeInit init{.directory = options.directory,
                .name = options.name,
                .authority = {},
                .organisation = options.organisation,
                .overrides = options.overrides};
  const auto names_join = [](const std::string& text) { return text.starts_with("join.bind="); };
  if (std::ranges::none_of(init.overrides, names_join)) {
    init.overrides.push_back(std::string("join.bind=") + join_bind_default);
  }
  const auto id = init_node(init);
  if (!id) return tl::unexpected(id.error());
  fmt::print("{}\n", id->text());
  fmt::print(stderr,
             "{0}: made, with the authority of {1} in {0}/ca: keep a copy of it in a safe place\n"
             "start it with: dfaas node run --dir {0}\n"
             "then invite others: dfaas federation invite --dir {0} --address HOST:PORT\n",
             options.directory, options.organisation);
  return {};
}

/// What a member answers to a node that joins. Errors: one sentence.
Result<JoinAnswer> ask_to_join(const JoinToken& token, const JoinRequest& request) {
  auto address = Endpoint::parse(token.address);
  if (!address || !address->unix_path.empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("token: address: {} is not HOST:PORT", in_quotes(token.address)));
  }
  RequestHead head{.method = "POST", .target = "/dfaas/v1/join"};
  head.headers.add("Host", token.issuer.text());
  head.headers.add("Content-Type", "application/json");
  const SecurePlace place{.address = *address, .id = token.issuer, .own = {}};
  const auto reply =
      secure_fetch_blocking(place, head, to_json(request), join_patience, join_bytes_max);
  if (!reply) return tl::unexpected(reply.error());
  if (reply->head.status != 200) {
    std::string why = std::string(trim(reply->body));
    std::ignore = parse_json_object(reply->body, join_bytes_max, [&why](const Fields& fields) {
      why = fields.text_or("error", file_bytes_max, why);
    });
    return fail(ErrorCode::denied,
                fmt::format("{} answered {}: {}", token.address, reply->head.status, why));
  }
  return join_answer_from_json(reply->body);
}

/// Checks what was answered before anything of it is used.
Result<void> check_answer(const JoinAnswer& answer, const JoinToken& token,
                          const std::string& key) {
  const auto bundle = TrustBundle::parse(answer.authorities);
  if (!bundle) return tl::unexpected(Error(bundle.error()).within("answer: authorities"));
  const auto certificate = bundle->verify(answer.certificate);
  if (!certificate) return tl::unexpected(Error(certificate.error()).within("answer"));
  if (certificate->organisation != token.organisation) {
    return fail(ErrorCode::denied, fmt::format("answer: the certificate is of {}, the token of {}",
                                               certificate->organisation, token.organisation));
  }
  return check_key_matches(answer.certificate, key);
}

/// The first neighbours: those that were answered, and who answered.
std::string first_neighbours(const JoinAnswer& answer, const JoinToken& token) {
  std::string text = "# One neighbour a line: HOST:PORT of its peer port.\n";
  std::vector<std::string> members = answer.members;
  if (answer.peer_port > 0) {
    const std::string host = token.address.substr(0, token.address.rfind(':'));
    members.push_back(fmt::format("{}:{}", host, answer.peer_port));
  }
  for (const std::string& member : members) {
    const auto endpoint = Endpoint::parse(member);
    if (endpoint && endpoint->unix_path.empty()) text += endpoint->text() + "\n";
  }
  return text;
}

/// ":8443" of "0.0.0.0:8443": the host is what the other side sees.
std::string peer_address_of(const FederationOptions& options) {
  if (!options.address.empty()) return options.address;
  std::string bind = "0.0.0.0:8443";
  constexpr std::string_view setting = "peer.bind=";
  for (const std::string& text : options.overrides) {
    if (text.starts_with(setting)) bind = text.substr(setting.size());
  }
  return bind.substr(std::min(bind.rfind(':'), bind.size()));
}

/// A certificate for this key, and what comes with it, checked.
Result<JoinAnswer> join_with(const std::string& key, const FederationOptions& options,
                             const JoinToken& token) {
  const auto request = make_request(key);
  if (!request) return tl::unexpected(request.error());
  const auto name = NodeName::parse(options.name);
  if (!name) return tl::unexpected(name.error());
  auto answer = ask_to_join(token, {.invitation = token.invitation,
                                    .secret = token.secret,
                                    .name = *name,
                                    .request = *request,
                                    .peer_address = peer_address_of(options)});
  if (!answer) return answer;
  if (auto checked = check_answer(*answer, token, key); !checked) {
    return tl::unexpected(checked.error());
  }
  return answer;
}

std::string issuer_line(const JoinToken& token) {
  return fmt::format("{} {}\n", token.address, token.issuer.text());
}

/// How members gossip, of what was answered; nothing else of this node is for others to set.
Result<MadeIdentity> with_gossip(const JoinAnswer& answer, const JoinToken& token,
                                 const NodeId& id) {
  MadeIdentity made{.id = id};
  for (const char* name :
       {"membership.kind", "membership.federation", "gossip.profile", "gossip.join"}) {
    if (const auto found = answer.settings.find(name); found != answer.settings.end()) {
      made.settings.insert(*found);
    }
  }
  if (const auto join = made.settings.find("gossip.join"); join != made.settings.end()) {
    const std::string host = token.address.substr(0, token.address.rfind(':'));
    if (join->second.starts_with(':')) join->second.insert(0, host);
  }
  const auto secret = answer.secrets.find(std::string(gossip_keys_secret));
  if (secret == answer.secrets.end()) return made;
  auto keys = parse_keyring(secret->second);
  if (!keys) return tl::unexpected(std::move(keys).error().within("answer: keys of the gossip"));
  made.gossip_keys = std::move(*keys);
  return made;
}

Result<MadeIdentity> take_identity(const NodeDirectory& draft, const FederationOptions& options,
                                   const JoinToken& token) {
  const std::string key = make_key();
  const auto answer = join_with(key, options, token);
  if (!answer) return tl::unexpected(answer.error());
  if (auto made = make_directory(draft.root() / "pki", 0700); !made) {
    return tl::unexpected(made.error());
  }
  const std::tuple<fs::path, std::string, mode_t> files[] = {
      {draft.key(), key, 0600},
      {draft.certificate(), answer->certificate, 0644},
      {draft.certificate_and_key(), answer->certificate + key, 0600},
      {draft.authorities(), answer->authorities, 0644},
      {draft.issuer(), issuer_line(token), 0600},
      {draft.root() / "peers.txt", first_neighbours(*answer, token), 0600}};
  for (const auto& [file, text, mode] : files) {
    if (auto done = write_file(file, text, mode); !done) return tl::unexpected(done.error());
  }
  const auto certificate = inspect_certificate(answer->certificate);
  if (!certificate) return tl::unexpected(certificate.error());
  return with_gossip(*answer, token, certificate->id);
}

/// A node that is there already, perhaps with a certificate that ran out: its key and id stay.
Result<void> join_again(const FederationOptions& options, const JoinToken& token) {
  const NodeDirectory directory = directory_of(options);
  const auto key = read_file(directory.key(), file_bytes_max);
  if (!key) return tl::unexpected(key.error());
  const auto answer = join_with(*key, options, token);
  if (!answer) return tl::unexpected(answer.error());
  const auto bundle = TrustBundle::read(directory.authorities());
  if (!bundle) return tl::unexpected(bundle.error());
  if (auto known = bundle->verify(answer->certificate); !known) {
    return fail(ErrorCode::denied,
                fmt::format("{} is a node of another federation: {}; choose another --dir",
                            directory.root().string(), known.error().message));
  }
  if (auto done = write_file(directory.issuer(), issuer_line(token), 0600); !done) return done;
  if (auto done = write_file(directory.next_certificate(), answer->certificate + *key, 0600);
      !done) {
    return done;
  }
  fmt::print(
      stderr,
      "{0}: has a new certificate and keeps its id; it is used at once if the node runs, else from "
      "its next start: dfaas node run --dir {0}\n",
      options.directory);
  return {};
}

Result<void> join(const FederationOptions& options) {
  const auto token = parse_join_token(options.token);
  if (!token) return tl::unexpected(token.error());
  const std::chrono::sys_seconds expires{std::chrono::seconds{token->expires}};
  if (expires <= std::chrono::system_clock::now()) {
    return fail(
        ErrorCode::denied,
        fmt::format("the token expired at {:%Y-%m-%d %H:%M:%S} UTC: ask for a new one, or set "
                    "the clock",
                    expires));
  }
  std::error_code ignored;  // Not there: a new node.
  if (fs::exists(directory_of(options).key(), ignored)) return join_again(options, *token);
  const NodeInit init{.directory = options.directory,
                      .name = options.name,
                      .authority = {},
                      .organisation = {},
                      .overrides = options.overrides};
  const auto id = init_node(
      init, [&](const NodeDirectory& draft) { return take_identity(draft, options, *token); });
  if (!id) return tl::unexpected(id.error());
  fmt::print("{}\n", id->text());
  fmt::print(stderr, "{0}: a member of {1}; start it with: dfaas node run --dir {0}\n",
             options.directory, token->organisation);
  return {};
}

// --- invite, revoke

Result<void> invite(const FederationOptions& options) {
  constexpr int minutes_an_hour = 60;
  const std::string body = json_text({{"uses", options.uses},
                                      {"minutes", options.hours * minutes_an_hour},
                                      {"address", options.address}});
  const auto answer = ask_agent(options, "POST", "/v1/invitations", body);
  if (!answer) return tl::unexpected(answer.error());
  if (options.output == "json") {
    fmt::print("{}\n", answer->dump());
    return {};
  }
  const std::chrono::sys_seconds expires{
      std::chrono::seconds{(*answer)["expires"].get<std::int64_t>()}};
  fmt::print("{}\n", (*answer)["token"].get<std::string>());
  fmt::print(
      stderr,
      "valid until {:%Y-%m-%d %H:%M:%S} UTC, for {} node{}; on the new node: dfaas join TOKEN "
      "--dir DIR --name NAME\n",
      expires, options.uses, options.uses == 1 ? "" : "s");
  return {};
}

/// An id, or the name of a neighbour or of a node that joined here. Errors: not_found, conflict.
Result<NodeId> find_node(const FederationOptions& options, const nlohmann::json& trust) {
  if (auto id = NodeId::parse(options.node)) return id;
  const auto peers = ask_agent(options, "GET", "/v1/peers", "");
  if (!peers) return tl::unexpected(peers.error());
  std::set<std::string> ids;
  for (const nlohmann::json* list : {&(*peers)["peers"], &trust["issued"]}) {
    for (const auto& node : *list) {
      if (node["name"] == options.node) ids.insert(node["id"].get<std::string>());
    }
  }
  if (ids.size() == 1) return NodeId::parse(*ids.begin());
  if (ids.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("no node {} is known here: give its id, see dfaas federation members",
                            in_quotes(options.node)));
  }
  return fail(ErrorCode::conflict,
              fmt::format("{} is the name of several nodes: give the id, one of {}",
                          in_quotes(options.node), fmt::join(ids, ", ")));
}

Result<void> revoke(const FederationOptions& options) {
  const NodeDirectory directory = directory_of(options);
  const fs::path place =
      options.authority.empty() ? directory.authority() : fs::path(options.authority);
  const auto authority = Authority::open(place);
  if (!authority) {
    return fail(authority.error().code,
                fmt::format("only the authority of an organisation revokes its nodes; give its "
                            "directory with --ca: {}",
                            authority.error().message));
  }
  const auto trust = ask_agent(options, "GET", "/v1/trust", "");
  if (!trust) return tl::unexpected(trust.error());
  const auto id = find_node(options, *trust);
  if (!id) return tl::unexpected(id.error());
  if (id->text() == (*trust)["id"].get<std::string>()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} is this very node: revoke it from another one", id->text()));
  }
  RevocationList list{.organisation = authority->organisation(), .number = 0, .nodes = {}};
  for (const auto& known : (*trust)["revoked"]) {
    if (known["organisation"] != list.organisation) continue;
    list.number = known["number"].get<std::uint64_t>();
    for (const auto& node : known["nodes"]) {
      if (auto parsed = NodeId::parse(node.get<std::string>())) list.nodes.insert(*parsed);
    }
  }
  if (!list.nodes.insert(*id).second) {
    return fail(ErrorCode::conflict,
                fmt::format("{} is revoked already, by list {}", id->text(), list.number));
  }
  ++list.number;
  const auto text = sign_revocations(list, *authority);
  if (!text) return tl::unexpected(text.error());
  const auto taken = ask_agent(options, "PUT", "/v1/revocations", *text);
  if (!taken) return tl::unexpected(taken.error());
  fmt::print("{}\n", id->text());
  fmt::print(stderr, "revoked, by list {} of {}; the neighbours are being told\n", list.number,
             list.organisation);
  return {};
}

// --- trust

Result<void> trust_authority(const FederationOptions& options) {
  const NodeDirectory directory = directory_of(options);
  auto bundle = TrustBundle::read(directory.authorities());
  if (!bundle) return tl::unexpected(bundle.error());
  const auto added = TrustBundle::read(options.file);
  if (!added) return tl::unexpected(added.error());
  for (const TrustedAuthority& authority : added->authorities()) {
    if (auto done = bundle->add(authority); !done) return done;
    fmt::print("{} {}\n", authority.organisation, authority.fingerprint);
  }
  if (auto done = write_file(directory.authorities(), bundle->pem(), 0644); !done) return done;
  fmt::print(stderr, "trusted from now on; compare the fingerprint over another channel\n");
  return {};
}

Result<void> distrust_organisation(const FederationOptions& options) {
  const NodeDirectory directory = directory_of(options);
  const auto certificate = read_file(directory.certificate(), file_bytes_max);
  if (!certificate) return tl::unexpected(certificate.error());
  const auto own = inspect_certificate(*certificate);
  if (!own) return tl::unexpected(own.error());
  if (own->organisation == options.organisation) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} is this node's own organisation", options.organisation));
  }
  auto bundle = TrustBundle::read(directory.authorities());
  if (!bundle) return tl::unexpected(bundle.error());
  if (auto done = bundle->remove(options.organisation); !done) return done;
  if (auto done = write_file(directory.authorities(), bundle->pem(), 0644); !done) return done;
  fmt::print(stderr, "{}: trusted no longer\n", options.organisation);
  return {};
}

// --- members

std::string time_left(std::int64_t seconds) {
  constexpr std::int64_t hour = 3600;
  constexpr std::int64_t day = 24 * hour;
  if (seconds < 0) return "expired";
  return seconds >= 2 * day ? fmt::format("{} days left", seconds / day)
                            : fmt::format("{} hours left", seconds / hour);
}

Result<void> members(const FederationOptions& options) {
  const auto trust = ask_agent(options, "GET", "/v1/trust", "");
  if (!trust) return tl::unexpected(trust.error());
  const auto peers = ask_agent(options, "GET", "/v1/peers", "");
  if (!peers) return tl::unexpected(peers.error());
  if (options.output == "json") {
    nlohmann::json all = *trust;
    all["members"] = (*peers)["peers"];
    fmt::print("{}\n", json_text(all));
    return {};
  }
  fmt::print("{:32} {:16} {:16} {}\n", "ID", "NAME", "ORGANISATION", "STATE");
  fmt::print("{:32} {:16} {:16} this node, certificate until {} ({})\n",
             (*trust)["id"].get<std::string>(), "", (*trust)["organisation"].get<std::string>(),
             (*trust)["certificate"]["not_after"].get<std::string>(),
             time_left((*trust)["certificate"]["seconds_left"].get<std::int64_t>()));
  for (const auto& peer : (*peers)["peers"]) {
    fmt::print("{:32} {:16} {:16} {}\n", peer["id"].get<std::string>(),
               peer["name"].get<std::string>(), peer["organisation"].get<std::string>(),
               peer["state"].get<std::string>());
  }
  for (const auto& list : (*trust)["revoked"]) {
    for (const auto& node : list["nodes"]) {
      fmt::print("{:32} {:16} {:16} revoked\n", node.get<std::string>(), "",
                 list["organisation"].get<std::string>());
    }
  }
  fmt::print("\n{:16} {:64} {}\n", "AUTHORITY OF", "FINGERPRINT", "VALID UNTIL");
  for (const auto& authority : (*trust)["authorities"]) {
    fmt::print("{:16} {:64} {}\n", authority["organisation"].get<std::string>(),
               authority["fingerprint"].get<std::string>(),
               authority["not_after"].get<std::string>());
  }
  return {};
}

using RunCommand = Result<void> (*)(const FederationOptions&);

void run_on_callback(CLI::App& command, std::shared_ptr<FederationOptions> options, RunCommand run,
                     ExitStatus& status) {
  command.callback([options = std::move(options), run, &status] {
    if (auto done = run(*options); !done) report_failure(status, done.error());
  });
}

void add_directory(CLI::App& command, FederationOptions& options) {
  command.add_option("--dir", options.directory, "Directory of the node")->capture_default_str();
}

void add_settings(CLI::App& command, FederationOptions& options) {
  command.add_option("--dir", options.directory, "Directory to make")->required();
  command.add_option("--name", options.name, "Name of the node: a-z, 0-9, '-'")->required();
  command.add_option("--set", options.overrides, "A setting, as NAME=VALUE; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace

void add_federation_commands(CLI::App& root, ExitStatus& status) {
  CLI::App* federation =
      root.add_subcommand("federation", "Begin a federation, invite nodes, throw nodes out");
  federation->require_subcommand(1);
  const auto options = std::make_shared<FederationOptions>();

  CLI::App* create_command = federation->add_subcommand(
      "create", "Make the first node, with the authority of its organisation");
  add_settings(*create_command, *options);
  create_command
      ->add_option("--organisation", options->organisation, "Whose nodes they are: a-z, 0-9, '-'")
      ->required();
  create_command->footer(
      "Example: dfaas federation create --dir east --name east --organisation acme");
  run_on_callback(*create_command, options, create, status);

  CLI::App* invite_command =
      federation->add_subcommand("invite", "Print a token with which a new node joins");
  add_directory(*invite_command, *options);
  invite_command->add_option("--uses", options->uses, "How many nodes may join with it")
      ->capture_default_str();
  invite_command->add_option("--hours", options->hours, "How long it is valid")
      ->capture_default_str();
  invite_command->add_option("--address", options->address,
                             "HOST:PORT where they reach join.bind (default: join.address)");
  add_output_option(*invite_command, options->output);
  invite_command->footer("Example: dfaas federation invite --dir east --address east.example:8444");
  run_on_callback(*invite_command, options, invite, status);

  CLI::App* members_command =
      federation->add_subcommand("members", "Show who is trusted, who is there, who is revoked");
  add_directory(*members_command, *options);
  add_output_option(*members_command, options->output);
  members_command->footer("Example: dfaas federation members --dir east");
  run_on_callback(*members_command, options, members, status);

  CLI::App* revoke_command =
      federation->add_subcommand("revoke", "Throw a node of this organisation out, everywhere");
  revoke_command->add_option("node", options->node, "Its id, or its name")->required();
  add_directory(*revoke_command, *options);
  revoke_command->add_option("--ca", options->authority,
                             "Directory of the authority (default: in the node's directory)");
  revoke_command->footer("Example: dfaas federation revoke west --dir east");
  run_on_callback(*revoke_command, options, revoke, status);

  CLI::App* trust_command =
      federation->add_subcommand("trust", "Trust the authority of another organisation");
  trust_command->add_option("file", options->file, "Its ca.crt")->required();
  add_directory(*trust_command, *options);
  trust_command->footer("Example: dfaas federation trust globex.crt --dir east");
  run_on_callback(*trust_command, options, trust_authority, status);

  CLI::App* distrust_command =
      federation->add_subcommand("distrust", "Trust an organisation no longer");
  distrust_command->add_option("organisation", options->organisation, "Its name")->required();
  add_directory(*distrust_command, *options);
  distrust_command->footer("Example: dfaas federation distrust globex --dir east");
  run_on_callback(*distrust_command, options, distrust_organisation, status);

  CLI::App* join_command = root.add_subcommand("join", "Make a node that is a member, by a token");
  join_command->add_option("token", options->token, "From dfaas federation invite")->required();
  add_settings(*join_command, *options);
  join_command->add_option("--address", options->address,
                           "HOST:PORT where other nodes reach its peer port (default: as seen)");
  join_command->footer("Example: dfaas join dfaas1.eyJhZGRyZXNzIjoi... --dir west --name west");
  run_on_callback(*join_command, options, join, status);
}

}  // namespace dfaas
