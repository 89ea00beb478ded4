// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/policy/policy.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t guest_slots_max = 100'000;

/// What stands between the commas; nothing for a text of blanks alone.
Result<std::vector<std::string_view>> entries_of(std::string_view text) {
  std::vector<std::string_view> entries;
  if (trim(text).empty()) return entries;
  for (const std::string_view entry : split(text, ',')) entries.push_back(trim(entry));
  if (entries.size() > policy_entries_max) {
    return fail(ErrorCode::invalid_input, fmt::format("{} entries are more than the {} allowed",
                                                      entries.size(), policy_entries_max));
  }
  return entries;
}

bool is_organisation(std::string_view text) { return NodeName::parse(text).has_value(); }

}  // namespace

bool PartnerList::names(const NodeId& node, std::string_view organisation) const {
  return nodes.contains(node) || organisations.contains(std::string(organisation));
}

Result<PartnerList> parse_partners(std::string_view text) {
  const auto entries = entries_of(text);
  if (!entries) return tl::unexpected(entries.error());
  PartnerList list;
  for (const std::string_view entry : *entries) {
    if (const auto id = NodeId::parse(entry)) {
      list.nodes.insert(*id);
    } else if (is_organisation(entry)) {
      list.organisations.emplace(entry);
    } else {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("{} is neither an organisation (1 to 63 of a-z, 0-9, '-') nor a node's "
                      "id",
                      in_quotes(entry)));
    }
  }
  return list;
}

Result<GuestSlots> parse_guest_slots(std::string_view text) {
  const auto entries = entries_of(text);
  if (!entries) return tl::unexpected(entries.error());
  GuestSlots result;
  for (const std::string_view entry : *entries) {
    const std::size_t equals = std::min(entry.find('='), entry.size());
    const std::string_view name = trim(entry.substr(0, equals));
    const auto slots = parse_unsigned(trim(entry.substr(std::min(equals + 1, entry.size()))));
    if ((name != "*" && !is_organisation(name)) || !slots || *slots > guest_slots_max) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} is not ORGANISATION=SLOTS or *=SLOTS with 0 to {} slots",
                              in_quotes(entry), guest_slots_max));
    }
    const int count = static_cast<int>(*slots);
    const bool is_new = name == "*" ? !result.of_others : !result.of.contains(std::string(name));
    if (!is_new) {
      return fail(ErrorCode::invalid_input, fmt::format("{} comes twice", in_quotes(name)));
    }
    if (name == "*") {
      result.of_others = count;
    } else {
      result.of.emplace(name, count);
    }
  }
  return result;
}

std::string to_text(const PartnerList& list) {
  std::vector<std::string> entries(list.organisations.begin(), list.organisations.end());
  for (const NodeId& id : list.nodes) entries.push_back(id.text());
  return fmt::format("{}", fmt::join(entries, ","));
}

std::string to_text(const GuestSlots& slots) {
  std::vector<std::string> entries;
  entries.reserve(slots.of.size() + 1);
  for (const auto& [organisation, count] : slots.of) {
    entries.push_back(fmt::format("{}={}", organisation, count));
  }
  if (slots.of_others) entries.push_back(fmt::format("*={}", *slots.of_others));
  return fmt::format("{}", fmt::join(entries, ","));
}

std::string Policy::complaint_of(const NodeId& node, std::string_view organisation) const {
  if (deny.names(node, organisation)) {
    return fmt::format("node {} of {} is on the list of policy.deny", node.text(),
                       in_quotes(organisation));
  }
  if (!allow.empty() && !allow.names(node, organisation)) {
    return fmt::format("node {} of {} is not on the list of policy.allow", node.text(),
                       in_quotes(organisation));
  }
  return {};
}

std::optional<int> Policy::slots_for(std::string_view organisation, std::string_view own) const {
  if (const auto named = limits.of.find(std::string(organisation)); named != limits.of.end()) {
    return named->second;
  }
  if (organisation == own) return std::nullopt;
  return limits.of_others;
}

}  // namespace dfaas
