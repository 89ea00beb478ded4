// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/federation/joining.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::string_view token_prefix = "dfaas1.";
constexpr std::size_t token_length_max = 4096;
constexpr std::size_t address_length_max = 300;
constexpr std::size_t name_length_max = 63;
constexpr std::size_t secret_length_max = 64;
constexpr std::size_t pem_length_max = 16U << 10U;
constexpr std::size_t bundle_length_max = 128U << 10U;
constexpr std::size_t members_max = 1000;
constexpr std::size_t settings_max = 50;
constexpr std::size_t setting_length_max = 1000;
constexpr std::int64_t port_max = 65'535;
constexpr std::int64_t time_max = 253'402'300'799;  ///< The last second of the year 9999.

/// Base64 in letters that survive shells, URLs and double clicks.
std::string to_url_letters(std::string text) {
  std::erase(text, '=');
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

std::string from_url_letters(std::string text) {
  std::ranges::replace(text, '-', '+');
  std::ranges::replace(text, '_', '/');
  constexpr std::size_t quantum = 4;
  while (text.size() % quantum != 0) text += '=';
  return text;
}

/// 1 to `length_max` of a-z and 0-9.
std::string letters(const Fields& fields, std::string_view name, std::size_t length_max) {
  std::string text = fields.text(name, length_max);
  const bool is_good = !text.empty() && std::ranges::all_of(text, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
  });
  if (!is_good) fields.fail_at(name, fmt::format("{} is not of a-z and 0-9", in_quotes(text)));
  return text;
}

std::string organisation_in(const Fields& fields) {
  const std::string text = fields.text("organisation", name_length_max);
  return fields.accept("organisation", NodeName::parse(text)).text();
}

std::map<std::string, std::string> texts_by_name(const Fields& fields, std::string_view name) {
  const auto pairs = fields.text_map(name, settings_max, setting_length_max);
  return {pairs.begin(), pairs.end()};
}

template <class T>
Result<T> read_message(std::string_view text, std::string_view what,
                       const std::function<void(const Fields&, T&)>& read) {
  T message;
  auto parsed = parse_json_object(text, join_bytes_max, [&](const Fields& fields) {
    std::ignore = fields.integer("version", 1, 1);
    read(fields, message);
  });
  if (!parsed) return tl::unexpected(std::move(parsed).error().within(what));
  return message;
}

}  // namespace

std::string to_text(const JoinToken& token) {
  const std::string json = json_text({{"address", token.address},
                                      {"issuer", token.issuer.text()},
                                      {"organisation", token.organisation},
                                      {"invitation", token.invitation},
                                      {"secret", token.secret},
                                      {"expires", token.expires}});
  return std::string(token_prefix) + to_url_letters(base64_encode(json));
}

Result<JoinToken> parse_join_token(std::string_view text) {
  text = trim(text);
  if (!text.starts_with(token_prefix) || text.size() > token_length_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} is not a token: it is one word that begins with {}, from: dfaas "
                            "federation invite",
                            in_quotes(text, 20), token_prefix));
  }
  const auto json = base64_decode(from_url_letters(std::string(text.substr(token_prefix.size()))));
  if (!json) {
    return fail(ErrorCode::invalid_input,
                "the token is damaged: was it copied whole, from \"dfaas1.\" to its end?");
  }
  JoinToken token;
  auto parsed = parse_json_object(*json, token_length_max, [&token](const Fields& fields) {
    token.address = fields.text("address", address_length_max);
    token.issuer = fields.accept("issuer", NodeId::parse(fields.text("issuer", NodeId::length)));
    token.organisation = organisation_in(fields);
    token.invitation = letters(fields, "invitation", secret_length_max);
    token.secret = letters(fields, "secret", secret_length_max);
    token.expires = fields.integer("expires", 0, time_max);
  });
  if (!parsed) return tl::unexpected(std::move(parsed).error().within("token"));
  return token;
}

std::string to_json(const JoinRequest& request) {
  return json_text({{"version", 1},
                    {"invitation", request.invitation},
                    {"secret", request.secret},
                    {"name", request.name.text()},
                    {"request", request.request},
                    {"peer_address", request.peer_address}});
}

Result<JoinRequest> join_request_from_json(std::string_view text) {
  return read_message<JoinRequest>(text, "join", [](const Fields& fields, JoinRequest& request) {
    request.invitation = letters(fields, "invitation", secret_length_max);
    request.secret = letters(fields, "secret", secret_length_max);
    request.name = fields.accept("name", NodeName::parse(fields.text("name", name_length_max)));
    request.request = fields.text("request", pem_length_max);
    request.peer_address = fields.text_or("peer_address", address_length_max, "");
  });
}

std::string to_json(const JoinAnswer& answer) {
  return json_text({{"version", 1},
                    {"certificate", answer.certificate},
                    {"authorities", answer.authorities},
                    {"members", answer.members},
                    {"peer_port", answer.peer_port},
                    {"settings", answer.settings},
                    {"secrets", answer.secrets}});
}

Result<JoinAnswer> join_answer_from_json(std::string_view text) {
  return read_message<JoinAnswer>(text, "answer", [](const Fields& fields, JoinAnswer& answer) {
    answer.certificate = fields.text("certificate", pem_length_max);
    answer.authorities = fields.text("authorities", bundle_length_max);
    answer.members = fields.texts("members", members_max, address_length_max);
    answer.peer_port = static_cast<int>(fields.integer_or("peer_port", 0, port_max, 0));
    answer.settings = texts_by_name(fields, "settings");
    answer.secrets = texts_by_name(fields, "secrets");
  });
}

std::string renew_request_to_json(std::string_view request) {
  return json_text({{"version", 1}, {"request", request}});
}

Result<std::string> renew_request_from_json(std::string_view text) {
  return read_message<std::string>(text, "renew", [](const Fields& fields, std::string& request) {
    request = fields.text("request", pem_length_max);
  });
}

}  // namespace dfaas
