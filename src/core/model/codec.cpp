// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The JSON forms of what travels between agent and gateway and between agents.
#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/model/exchange_message.hpp"
#include "core/model/membership_summary.hpp"
#include "core/model/model_counters.hpp"
#include "core/model/observation.hpp"
#include "core/model/routing_plan.hpp"

namespace dfaas {
namespace {

using nlohmann::json;

// A gateway knows its own functions and those of its plan.
constexpr std::size_t observed_functions_max = 10 * functions_max;
constexpr std::size_t observed_peers_max =
    1000;  // Those that left while they still ran requests, too.
constexpr std::size_t peers_max = 64;
constexpr std::size_t local_bytes_max = 16U << 20U;
constexpr std::int64_t counter_max = INT64_MAX;
constexpr std::int64_t micros_max = 86'400'000'000;
constexpr std::int64_t millis_max = 86'400'000;
constexpr double rate_max = 1e9;
constexpr std::int64_t slots_max = 100'000;

NodeId read_id(const Fields& fields, std::string_view name) {
  return fields.accept(name, NodeId::parse(fields.text(name, 64)));
}

NodeName read_name(const Fields& fields, std::string_view name) {
  const std::string text = fields.text_or(name, 64, "");
  return text.empty() ? NodeName{} : fields.accept(name, NodeName::parse(text));
}

FunctionName read_function(const Fields& fields, std::string_view name) {
  return fields.accept(name, FunctionName::parse(fields.text(name, 130)));
}

Micros read_micros(const Fields& fields, std::string_view name) {
  return Micros{fields.integer_or(name, 0, micros_max, 0)};
}

Millis read_millis(const Fields& fields, std::string_view name, std::int64_t otherwise) {
  return Millis{fields.integer_or(name, 0, millis_max, otherwise)};
}

Rate read_rate(const Fields& fields, std::string_view name) {
  return Rate{fields.number_or(name, 0, rate_max, 0)};
}

std::uint64_t read_count(const Fields& fields, std::string_view name) {
  return static_cast<std::uint64_t>(fields.integer_or(name, 0, counter_max, 0));
}

bool is_boot(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string_view::npos;
}

std::string read_boot(const Fields& fields) {
  std::string boot = fields.text("boot", 64);
  if (!is_boot(boot)) fields.fail_at("boot", in_quotes(boot) + " is not 1 to 64 of a-z and 0-9");
  return boot;
}

template <class List, class Key>
void insist_on_order(const Fields& fields, std::string_view name, const List& list, Key key) {
  for (std::size_t at = 1; at < list.size(); ++at) {
    if (!(key(list[at - 1]) < key(list[at]))) {
      fields.fail_at(name, "entries are not in order, or one comes twice");
    }
  }
}

/// Names of organisations. What older nodes do not know, they take for `organisation` alone.
std::vector<std::string> read_share_with(const Fields& fields) {
  constexpr std::size_t name_length_max = 63;
  std::vector<std::string> names = fields.texts("share_with", share_with_max, name_length_max);
  insist_on_order(fields, "share_with", names, [](const std::string& name) { return name; });
  return names;
}

json traits_json(const FunctionTraits& traits) {
  json out{{"share", to_text(traits.share)},
           {"match_by_name", traits.match_by_name},
           {"retry_safe", traits.retry_safe}};
  if (traits.slots) out["slots"] = *traits.slots;
  if (traits.max_rate) out["max_rate"] = traits.max_rate->per_second;
  if (traits.timeout) out["timeout_ms"] = traits.timeout->count();
  if (!traits.pool.empty()) out["pool"] = traits.pool;
  if (!traits.share_with.empty()) out["share_with"] = traits.share_with;
  return out;
}

FunctionTraits read_traits(const Fields& fields) {
  FunctionTraits traits;
  if (fields.has("slots")) traits.slots = static_cast<int>(fields.integer("slots", 1, slots_max));
  if (fields.has("max_rate")) traits.max_rate = Rate{fields.number("max_rate", 0, rate_max)};
  if (fields.has("timeout_ms"))
    traits.timeout = Millis{fields.integer("timeout_ms", 1, millis_max)};
  traits.share = fields.accept("share", parse_sharing(fields.text_or("share", 20, "organisation")));
  traits.share_with = read_share_with(fields);
  traits.match_by_name = fields.flag_or("match_by_name", false);
  traits.retry_safe = fields.flag_or("retry_safe", false);
  traits.pool = fields.text_or("pool", pool_name_length_max, "");
  return traits;
}

FunctionPeer read_function_peer(const Fields& fields) {
  return {.id = read_id(fields, "id"),
          .weight = fields.number("weight", 1e-9, rate_max),
          .window = static_cast<int>(fields.integer("window", 1, 1'000'000)),
          .floor_weight = fields.number_or("floor_weight", 1e-9, rate_max, 0.001),
          .service_time = read_micros(fields, "service_us")};
}

PeerPlan read_peer(const Fields& fields) {
  return {.id = read_id(fields, "id"),
          .name = read_name(fields, "name"),
          .organisation = fields.text_or("organisation", 64, ""),
          .slot = static_cast<int>(fields.integer("slot", 1, 64)),
          .up = fields.flag_or("up", false),
          .rtt = read_micros(fields, "rtt_us")};
}

/// The word of an enumeration, or an error that names those that exist.
template <class Enum, std::size_t count>
Enum read_word(const Fields& fields, std::string_view name,
               const std::array<std::pair<Enum, std::string_view>, count>& words) {
  const std::string text = fields.text_or(name, 20, std::string(words.front().second));
  std::string known;
  for (const auto& [value, word] : words) {
    if (word == text) return value;
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  fields.fail_at(name, in_quotes(text) + " is not one of " + known);
}

template <class Enum, std::size_t count>
std::string_view word_of(Enum value,
                         const std::array<std::pair<Enum, std::string_view>, count>& words) {
  return std::ranges::find(words, value, &std::pair<Enum, std::string_view>::first)->second;
}

constexpr std::array<std::pair<RoutingRule, std::string_view>, 3> routing_rules{{
    {RoutingRule::spill, "spill"},
    {RoutingRule::shares, "shares"},
    {RoutingRule::rate, "rate"},
}};
constexpr std::array<std::pair<Ejection, std::string_view>, 4> ejection_words{{
    {Ejection::none, "none"},
    {Ejection::errors, "errors"},
    {Ejection::slow, "slow"},
    {Ejection::stalled, "stalled"},
}};
constexpr std::array<std::pair<GuestRule, std::string_view>, 3> guest_rules{{
    {GuestRule::home_first, "home_first"},
    {GuestRule::as_users, "as_users"},
    {GuestRule::capped, "capped"},
}};

FunctionPlan read_function_plan(const Fields& fields) {
  FunctionPlan plan{.function = read_function(fields, "function"),
                    .rule = read_word(fields, "rule", routing_rules),
                    .guest_rule = read_word(fields, "guest_rule", guest_rules),
                    .draws = static_cast<int>(fields.integer_or("draws", 1, 2, 2)),
                    .local_share = fields.number_or("local_share", 0, 1, 1),
                    .refused_share = fields.number_or("refused_share", 0, 1, 0),
                    .local_rate = read_rate(fields, "local_rate"),
                    .displaced_ratio = fields.number_or("displaced_ratio", 0, 1, 0)};
  for (const Fields& peer : fields.objects("peers", peers_max)) {
    plan.peers.push_back(read_function_peer(peer));
  }
  for (const Fields& guest : fields.objects("guests", peers_max)) {
    plan.guests.push_back({.id = read_id(guest, "id"), .rate = read_rate(guest, "rate")});
  }
  const auto by_id = [](const auto& entry) { return entry.id; };
  insist_on_order(fields, "peers", plan.peers, by_id);
  insist_on_order(fields, "guests", plan.guests, by_id);
  return plan;
}

/// A sum of times: has no bound of its own.
Micros read_total(const Fields& fields, std::string_view name) {
  return Micros{fields.integer_or(name, 0, counter_max, 0)};
}

PeerCounters read_counters(const Fields& fields) {
  return {.id = read_id(fields, "id"),
          .accepted = read_count(fields, "accepted"),
          .refused = read_count(fields, "refused"),
          .unreachable = read_count(fields, "unreachable"),
          .served = read_count(fields, "served"),
          .good = read_count(fields, "good"),
          .answer_time = read_total(fields, "answer_us"),
          .work_for_us = read_total(fields, "work_for_us_us"),
          .work_for_it = read_total(fields, "work_for_it_us"),
          .ejections = read_count(fields, "ejections"),
          .ejected = read_word(fields, "ejected", ejection_words)};
}

/// Untrusted bytes (an organisation's name comes from a certificate) must not stop the writing.
std::string compact(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// The entry as text where it fits into what is left, else nothing.
std::string fit(const json& entry, std::size_t& left) {
  std::string text = compact(entry);
  if (text.size() + 1 > left) return {};
  left -= text.size() + 1;
  return text;
}

/// The inside of a JSON list that grows while there is room, and while receivers would take it.
class JsonList {
 public:
  explicit JsonList(std::size_t& left) : left_(&left) {}

  void add(const json& entry) {
    if (count_ < functions_max) append(fit(entry, *left_));
  }
  void append(const std::string& entry) {
    if (entry.empty() || count_ == functions_max) return;
    if (count_++ > 0) text_ += ',';
    text_ += entry;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::size_t* left_;
  std::size_t count_ = 0;
  std::string text_;
};

/// What a reader assumes anyway is not written: messages are bounded.
json offer_json(const FunctionOffer& offer) {
  json out{{"function", offer.function.full()}, {"digest", offer.digest}, {"slots", offer.slots}};
  if (offer.service_time.count() > 0) out["service_ms"] = offer.service_time.count();
  if (offer.share != Sharing::organisation) out["share"] = to_text(offer.share);
  if (!offer.share_with.empty()) out["share_with"] = offer.share_with;
  if (!offer.pool.empty()) out["pool"] = offer.pool;
  if (offer.arrivals.per_second > 0) out["arrivals"] = offer.arrivals.per_second;
  return out;
}

json grant_json(const FunctionGrant& grant) {
  json out{{"function", grant.function.full()}};
  if (grant.granted.per_second > 0) out["granted"] = grant.granted.per_second;
  if (grant.left.per_second > 0) out["left"] = grant.left.per_second;
  return out;
}

}  // namespace

std::string_view to_text(Ejection ejection) { return word_of(ejection, ejection_words); }

std::optional<Ejection> parse_ejection(std::string_view text) {
  const auto found =
      std::ranges::find(ejection_words, text, &std::pair<Ejection, std::string_view>::second);
  return found == ejection_words.end() ? std::nullopt : std::optional(found->first);
}

std::string plan_to_json(const RoutingPlan& plan) {
  json peers = json::array();
  for (const PeerPlan& peer : plan.peers) {
    peers.push_back({{"id", peer.id.text()},
                     {"name", peer.name.text()},
                     {"organisation", peer.organisation},
                     {"slot", peer.slot},
                     {"up", peer.up},
                     {"rtt_us", peer.rtt.count()}});
  }
  json functions = json::array();
  for (const FunctionPlan& function : plan.functions) {
    json to = json::array();
    for (const FunctionPeer& peer : function.peers) {
      to.push_back({{"id", peer.id.text()},
                    {"weight", peer.weight},
                    {"window", peer.window},
                    {"floor_weight", peer.floor_weight},
                    {"service_us", peer.service_time.count()}});
    }
    json guests = json::array();
    for (const GuestLimit& guest : function.guests) {
      guests.push_back({{"id", guest.id.text()}, {"rate", guest.rate.per_second}});
    }
    json entry{{"function", function.function.full()}, {"peers", to}, {"guests", guests}};
    if (function.rule != RoutingRule::spill) entry["rule"] = word_of(function.rule, routing_rules);
    if (function.guest_rule != GuestRule::home_first) {
      entry["guest_rule"] = word_of(function.guest_rule, guest_rules);
    }
    if (function.rule == RoutingRule::shares) {
      entry["local_share"] = function.local_share;
      entry["refused_share"] = function.refused_share;
    }
    if (function.rule == RoutingRule::rate) entry["local_rate"] = function.local_rate.per_second;
    if (function.draws != 2) entry["draws"] = function.draws;
    if (function.displaced_ratio > 0) entry["displaced_ratio"] = function.displaced_ratio;
    functions.push_back(std::move(entry));
  }
  json limits = json::array();
  for (const OrganisationLimit& limit : plan.limits) {
    limits.push_back({{"organisation", limit.organisation}, {"slots", limit.slots}});
  }
  return compact(json{{"version", plan.version},
                      {"strategy", plan.strategy},
                      {"lifetime_ms", plan.lifetime.count()},
                      {"peers", peers},
                      {"limits", limits},
                      {"functions", functions}});
}

Result<RoutingPlan> plan_from_json(std::string_view text) {
  RoutingPlan plan;
  const auto read = parse_json_object(text, local_bytes_max, [&plan](const Fields& fields) {
    plan.version = read_count(fields, "version");
    plan.strategy = fields.text_or("strategy", 64, "");
    plan.lifetime = read_millis(fields, "lifetime_ms", 6000);
    for (const Fields& peer : fields.objects("peers", peers_max)) {
      plan.peers.push_back(read_peer(peer));
    }
    for (const Fields& function : fields.objects("functions", functions_max)) {
      plan.functions.push_back(read_function_plan(function));
    }
    for (const Fields& limit : fields.objects("limits", peers_max)) {
      plan.limits.push_back({.organisation = limit.text("organisation", 64),
                             .slots = static_cast<int>(limit.integer("slots", 0, slots_max))});
    }
    insist_on_order(fields, "peers", plan.peers, [](const auto& entry) { return entry.id; });
    insist_on_order(fields, "limits", plan.limits,
                    [](const auto& entry) { return entry.organisation; });
    insist_on_order(fields, "functions", plan.functions,
                    [](const auto& entry) { return entry.function; });
  });
  if (!read) return tl::unexpected(Error(read.error()).within("plan"));
  return plan;
}

std::string observation_to_json(const GatewayObservation& observation) {
  json functions = json::array();
  for (const FunctionObservation& function : observation.functions) {
    json peers = json::array();
    for (const PeerCounters& peer : function.peers) {
      peers.push_back({{"id", peer.id.text()},
                       {"accepted", peer.accepted},
                       {"refused", peer.refused},
                       {"unreachable", peer.unreachable},
                       {"served", peer.served},
                       {"good", peer.good},
                       {"answer_us", peer.answer_time.count()},
                       {"work_for_us_us", peer.work_for_us.count()},
                       {"work_for_it_us", peer.work_for_it.count()},
                       {"ejections", peer.ejections},
                       {"ejected", to_text(peer.ejected)}});
    }
    functions.push_back({{"function", function.function.full()},
                         {"digest", function.digest},
                         {"deployed", function.deployed},
                         {"traits", traits_json(function.traits)},
                         {"slots", function.slots},
                         {"replicas_ready", function.replicas_ready},
                         {"in_flight", function.in_flight},
                         {"queued", function.queued},
                         {"service_us", function.service_time.count()},
                         {"user_arrivals", function.user_arrivals},
                         {"guest_arrivals", function.guest_arrivals},
                         {"kept", function.kept},
                         {"kept_good", function.kept_good},
                         {"served_here", function.served_here},
                         {"served_here_us", function.served_here_time.count()},
                         {"peers", peers}});
  }
  return compact(json{{"boot", observation.boot},
                      {"version", observation.version},
                      {"plan_version", observation.plan_version},
                      {"plan_strategy", observation.plan_strategy},
                      {"functions", functions}});
}

Result<GatewayObservation> observation_from_json(std::string_view text) {
  GatewayObservation observation;
  const auto read = parse_json_object(text, local_bytes_max, [&observation](const Fields& fields) {
    observation.boot = read_boot(fields);
    observation.version = read_count(fields, "version");
    observation.plan_version = read_count(fields, "plan_version");
    observation.plan_strategy = fields.text_or("plan_strategy", 64, "");
    for (const Fields& entry : fields.objects("functions", observed_functions_max)) {
      FunctionObservation function{.function = read_function(entry, "function"),
                                   .digest = entry.text_or("digest", 128, ""),
                                   .deployed = entry.flag_or("deployed", false)};
      function.traits = read_traits(entry.object("traits"));
      function.slots = static_cast<int>(entry.integer_or("slots", 0, slots_max, 0));
      function.replicas_ready =
          static_cast<int>(entry.integer_or("replicas_ready", 0, INT32_MAX, 0));
      function.in_flight = static_cast<int>(entry.integer_or("in_flight", 0, INT32_MAX, 0));
      function.queued = static_cast<int>(entry.integer_or("queued", 0, INT32_MAX, 0));
      function.service_time = read_micros(entry, "service_us");
      function.user_arrivals = read_count(entry, "user_arrivals");
      function.guest_arrivals = read_count(entry, "guest_arrivals");
      function.kept = read_count(entry, "kept");
      function.kept_good = read_count(entry, "kept_good");
      function.served_here = read_count(entry, "served_here");
      function.served_here_time = read_total(entry, "served_here_us");
      for (const Fields& peer : entry.objects("peers", observed_peers_max)) {
        function.peers.push_back(read_counters(peer));
      }
      insist_on_order(entry, "peers", function.peers, [](const auto& peer) { return peer.id; });
      observation.functions.push_back(std::move(function));
    }
    insist_on_order(fields, "functions", observation.functions,
                    [](const auto& entry) { return entry.function; });
  });
  if (!read) return tl::unexpected(Error(read.error()).within("observation"));
  return observation;
}

std::string model_counters_to_json(const ModelCounters& counters) {
  json object{{"functions_without_answer", counters.functions_without_answer}};
  for (const auto& [outcome, member] : model_outcomes) {
    object[std::string(outcome)] = counters.*member;
  }
  return compact(object);
}

Result<ModelCounters> model_counters_from_json(std::string_view text) {
  constexpr std::size_t counters_bytes_max = 4096;
  ModelCounters counters;
  const auto read = parse_json_object(text, counters_bytes_max, [&counters](const Fields& fields) {
    counters.functions_without_answer = read_count(fields, "functions_without_answer");
    for (const auto& [outcome, member] : model_outcomes) {
      counters.*member = read_count(fields, outcome);
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("counters of the model"));
  return counters;
}

std::string membership_summary_to_json(const MembershipSummary& summary) {
  json neighbours;
  for (const auto& [state, member] : neighbour_states) {
    neighbours[std::string(state)] = summary.*member;
  }
  json members;
  for (const auto& [state, member] : member_states) members[std::string(state)] = summary.*member;
  json object{{"neighbours", neighbours}, {"members", members}, {"gossip", nullptr}};
  if (const auto& gossip = summary.gossip) {
    json ignored;
    for (const auto& [reason, member] : gossip_ignored) {
      ignored[std::string(reason)] = (*gossip).*member;
    }
    object["gossip"] = {{"federation", gossip->federation},
                        {"connected", gossip->is_connected},
                        {"members", gossip->members},
                        {"not_joined", gossip->not_joined},
                        {"ignored", ignored}};
  }
  return compact(object);
}

Result<MembershipSummary> membership_summary_from_json(std::string_view text) {
  constexpr std::size_t summary_bytes_max = 4096;
  constexpr std::size_t name_length_max = 1024;
  MembershipSummary summary;
  const auto read = parse_json_object(text, summary_bytes_max, [&summary](const Fields& fields) {
    const Fields neighbours = fields.object("neighbours");
    for (const auto& [state, member] : neighbour_states) {
      summary.*member = read_count(neighbours, state);
    }
    const Fields members = fields.object("members");
    for (const auto& [state, member] : member_states) summary.*member = read_count(members, state);
    if (!fields.has("gossip")) return;
    const Fields told = fields.object("gossip");
    GossipSummary& gossip = summary.gossip.emplace();
    gossip.federation = told.text("federation", name_length_max);
    gossip.is_connected = told.flag_or("connected", false);
    gossip.members = read_count(told, "members");
    gossip.not_joined = read_count(told, "not_joined");
    const Fields ignored = told.object("ignored");
    for (const auto& [reason, member] : gossip_ignored) {
      gossip.*member = read_count(ignored, reason);
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("summary of the membership"));
  return summary;
}

std::string exchange_to_json(const ExchangeMessage& message) {
  const json head{{"version", exchange_version}, {"boot", message.boot},
                  {"seq", message.sequence},     {"lifetime_ms", message.lifetime.count()},
                  {"name", message.name.text()}, {"draining", message.draining}};
  std::string text = compact(head);
  text.pop_back();
  constexpr std::size_t frame_bytes = 64;  // Names of the lists, brackets, commas between.
  std::size_t left = exchange_bytes_max - std::min(exchange_bytes_max, text.size() + frame_bytes);
  JsonList functions(left);
  for (const FunctionOffer& offer : message.functions) functions.add(offer_json(offer));
  JsonList asks(left);
  for (const FunctionAsk& ask : message.asks) {
    asks.add({{"function", ask.function.full()}, {"rate", ask.rate.per_second}});
  }
  // A grant that answers an ask matters more than one ahead of any; the order stays.
  std::vector<std::string> entries(message.grants.size());
  for (const bool is_asked : {true, false}) {
    for (std::size_t at = 0; at < message.grants.size(); ++at) {
      const FunctionGrant& grant = message.grants[at];
      if ((grant.granted.per_second > 0) == is_asked) entries[at] = fit(grant_json(grant), left);
    }
  }
  JsonList grants(left);
  for (const std::string& entry : entries) grants.append(entry);
  return text + ",\"functions\":[" + functions.text() + "],\"asks\":[" + asks.text() +
         "],\"grants\":[" + grants.text() + "]}";
}

Result<ExchangeMessage> exchange_from_json(std::string_view text) {
  ExchangeMessage message;
  const auto read = parse_json_object(text, exchange_bytes_max, [&message](const Fields& fields) {
    const std::int64_t version = fields.integer("version", 0, INT32_MAX);
    if (version != exchange_version) {
      fields.fail_at("version",
                     fmt::format("{} is not {}, the one spoken here", version, exchange_version));
    }
    message.boot = read_boot(fields);
    message.sequence = static_cast<std::uint64_t>(fields.integer("seq", 0, counter_max));
    message.lifetime = read_millis(fields, "lifetime_ms", 6000);
    message.name = fields.accept("name", NodeName::parse(fields.text("name", 64)));
    message.draining = fields.flag_or("draining", false);
    std::vector<FunctionOffer> offers;
    for (const Fields& entry : fields.objects("functions", functions_max)) {
      offers.push_back({.function = read_function(entry, "function"),
                        .digest = entry.text_or("digest", 128, ""),
                        .slots = static_cast<int>(entry.integer("slots", 0, slots_max)),
                        .service_time = read_millis(entry, "service_ms", 0),
                        .share = entry.accept(
                            "share", parse_sharing(entry.text_or("share", 20, "organisation"))),
                        .share_with = read_share_with(entry),
                        .pool = entry.text_or("pool", pool_name_length_max, ""),
                        .arrivals = read_rate(entry, "arrivals")});
    }
    for (const Fields& entry : fields.objects("asks", functions_max)) {
      message.asks.push_back(
          {.function = read_function(entry, "function"), .rate = read_rate(entry, "rate")});
    }
    for (const Fields& entry : fields.objects("grants", functions_max)) {
      message.grants.push_back({.function = read_function(entry, "function"),
                                .granted = read_rate(entry, "granted"),
                                .left = read_rate(entry, "left")});
    }
    const auto by_function = [](const auto& entry) { return entry.function; };
    insist_on_order(fields, "functions", offers, by_function);
    message.functions = SharedList(std::move(offers));
    insist_on_order(fields, "asks", message.asks, by_function);
    insist_on_order(fields, "grants", message.grants, by_function);
  });
  if (!read) return tl::unexpected(Error(read.error()).within("exchange message"));
  return message;
}

}  // namespace dfaas
