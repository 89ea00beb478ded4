// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/http/origin.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

struct Case {
  const char* name;
  std::vector<std::pair<std::string, std::string>> headers;
  bool is_other;
};

class Origin : public testing::TestWithParam<Case> {};

TEST_P(Origin, IsOfThisSiteOrNot) {
  Headers headers;
  for (const auto& [name, value] : GetParam().headers) headers.add(name, value);
  EXPECT_EQ(is_from_other_site(headers), GetParam().is_other);
}

INSTANTIATE_TEST_SUITE_P(
    Examples, Origin,
    testing::Values(
        Case{"no_browser", {{"Host", "node:8080"}}, false},
        Case{"own_page", {{"Host", "node:8080"}, {"Origin", "http://Node:8080"}}, false},
        Case{"other_page", {{"Host", "node:8080"}, {"Origin", "http://evil.example"}}, true},
        Case{"other_port", {{"Host", "node:8080"}, {"Origin", "http://node:8081"}}, true},
        Case{"name_in_front", {{"Host", "node"}, {"Origin", "http://node.evil.example"}}, true},
        Case{"hidden", {{"Host", "node:8080"}, {"Origin", "null"}}, true},
        Case{"empty", {{"Host", ""}, {"Origin", ""}}, true},
        Case{"without_host", {{"Origin", "http://evil.example"}}, true},
        Case{"behind_a_proxy",
             {{"Host", "10.0.0.1"},
              {"X-Forwarded-Host", "faas.example"},
              {"Origin", "https://faas.example"}},
             false},
        Case{"told_by_the_browser",
             {{"Host", "node"}, {"Origin", "http://node"}, {"Sec-Fetch-Site", "cross-site"}},
             true},
        Case{"of_a_sibling", {{"Host", "node"}, {"Sec-Fetch-Site", "same-site"}}, true},
        Case{"typed_in", {{"Host", "node"}, {"Sec-Fetch-Site", "none"}}, false},
        Case{"told_own_page", {{"Host", "node"}, {"Sec-Fetch-Site", "same-origin"}}, false}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace dfaas
