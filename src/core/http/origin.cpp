// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/http/origin.hpp"

#include <string_view>

#include "core/base/text.hpp"

namespace dfaas {

bool is_from_other_site(const Headers& headers) {
  if (const std::string* site = headers.find("Sec-Fetch-Site")) {
    return *site != "same-origin" && *site != "none";
  }
  const std::string* origin = headers.find("Origin");
  if (origin == nullptr) return false;
  constexpr std::string_view mark = "://";
  const std::size_t at = origin->find(mark);
  if (at == std::string::npos) return true;  // "null"
  const std::string_view authority = std::string_view(*origin).substr(at + mark.size());
  // A proxy in between may have changed the one and kept the other. No page of others can set either.
  return !equal_ignoring_case(authority, headers.get("Host")) &&
         !equal_ignoring_case(authority, headers.get("X-Forwarded-Host"));
}

}  // namespace dfaas
