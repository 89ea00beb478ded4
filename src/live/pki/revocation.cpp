// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/revocation.hpp"

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::size_t signature_length_max = 1024;
constexpr std::size_t organisation_length_max = 63;
constexpr std::int64_t number_max = 9'007'199'254'740'992;  ///< 2^53: exact in every JSON reader.

}  // namespace

Result<std::string> sign_revocations(const RevocationList& list, const Authority& authority) {
  nlohmann::json nodes = nlohmann::json::array();
  for (const NodeId& node : list.nodes) nodes.push_back(node.text());
  const std::string text = json_text({{"version", 1},
                                      {"organisation", list.organisation},
                                      {"number", list.number},
                                      {"revoked", std::move(nodes)}});
  auto signature = authority.sign(text);
  if (!signature) return signature;
  return json_text({{"list", text}, {"signature", *signature}}) + "\n";
}

Result<RevocationList> parse_revocations(std::string_view text, const TrustBundle& trusted) {
  std::string list_text;
  std::string signature;
  auto outer = parse_json_object(text, revocations_bytes_max, [&](const Fields& fields) {
    list_text = fields.text("list", revocations_bytes_max);
    signature = fields.text("signature", signature_length_max);
  });
  if (!outer) return tl::unexpected(std::move(outer).error().within("revocations"));
  RevocationList list;
  auto inner = parse_json_object(list_text, revocations_bytes_max, [&list](const Fields& fields) {
    std::ignore = fields.integer("version", 1, 1);
    list.organisation = fields.text("organisation", organisation_length_max);
    list.number = static_cast<std::uint64_t>(fields.integer("number", 0, number_max));
    for (const std::string& id : fields.texts("revoked", revocations_max, NodeId::length)) {
      list.nodes.insert(fields.accept("revoked", NodeId::parse(id)));
    }
  });
  if (!inner) return tl::unexpected(std::move(inner).error().within("revocations"));
  if (auto is_signed = trusted.check_signature(list.organisation, list_text, signature);
      !is_signed) {
    return tl::unexpected(std::move(is_signed).error().within("revocations"));
  }
  return list;
}

}  // namespace dfaas
