// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/settings/settings.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

TEST(SettingsTable, IsSortedAndItsDefaultsAreValid) {
  EXPECT_TRUE(std::ranges::is_sorted(settings_table(), {}, &Setting::name));
  for (const Setting& setting : settings_table()) {
    const SettingText text{std::string(setting.name), std::string(setting.otherwise), "test"};
    EXPECT_TRUE(Settings::parse({&text, 1})) << setting.name;
    EXPECT_NE(explain(setting).find(setting.sentence), std::string::npos);
  }
}

TEST(Settings, LaterSourcesWin) {
  const std::vector<SettingText> texts{{"strategy.period_ms", "1000", "node.toml"},
                                       {"strategy.period_ms", "3000", "--set"}};
  const auto settings = Settings::parse(texts);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->millis("strategy.period_ms").count(), 3000);
  EXPECT_EQ(settings->origin("strategy.period_ms"), "--set");
  EXPECT_EQ(settings->origin("user.bind"), "default");
  EXPECT_EQ(settings->number("dispatcher.retry_ratio"), 0.15);
}

struct Bad {
  const char* name;
  const char* value;
  const char* expected;
};

class BadSetting : public testing::TestWithParam<Bad> {};

TEST_P(BadSetting, IsNamedWithItsValueAndWhatIsAllowed) {
  const SettingText text{GetParam().name, GetParam().value, "node.toml"};
  const auto settings = Settings::parse({&text, 1});
  ASSERT_FALSE(settings);
  const std::string& message = settings.error().message;
  EXPECT_NE(message.find(GetParam().name), std::string::npos) << message;
  EXPECT_NE(message.find("node.toml"), std::string::npos) << message;
  EXPECT_NE(message.find(GetParam().expected), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Values, BadSetting,
                         testing::Values(Bad{"strategy.perod_ms", "1", "strategy.period_ms"},
                                         Bad{"strategy.period_ms", "1", "500 to 600000"},
                                         Bad{"strategy.period_ms", "two", "two"},
                                         Bad{"log.format", "xml", "text|json"},
                                         Bad{"user.bind", "8080", "HOST:PORT"},
                                         Bad{"user.bind", "a:0", "65535"},
                                         Bad{"dispatcher.retry_ratio", "nan", "0 to 10"},
                                         Bad{"external_model.url", "https://127.0.0.1:1", "http"},
                                         Bad{"external_model.url", "http://10.0.0.1:1", "127.x"},
                                         Bad{"external_model.url", "http://127.0.0.1.b.c", "127.x"},
                                         Bad{"external_model.url", "http://a@localhost", "[::1]"},
                                         Bad{"external_model.url", "http://[::1]:0", "[::1]"},
                                         Bad{"external_model.url", "http://[::1]/a?b", "PATH"},
                                         Bad{"external_model.url", "localhost:80", "http"},
                                         Bad{"node.name", "a\nb", "printable"}));

TEST(ServerUrl, IsTakenApart) {
  const auto plain = parse_server_url("http://faasd.example.org");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->is_secure);
  EXPECT_EQ(plain->port, 80);
  const auto secure = parse_server_url("https://faas.example.org/prefix/");
  ASSERT_TRUE(secure);
  EXPECT_TRUE(secure->is_secure);
  EXPECT_EQ(secure->host, "faas.example.org");
  EXPECT_EQ(secure->port, 443);
  EXPECT_EQ(secure->path, "/prefix");
  EXPECT_EQ(parse_server_url("https://[::1]:8443")->port, 8443);
  for (const char* wrong : {"", "faasd", "HTTPS://a", "ftp://a", "https:/a", "https://",
                            "https://a:0", "https://a?b", "https://user:word@a", "httpss://a"}) {
    EXPECT_FALSE(parse_server_url(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_local_url("https://127.0.0.1:1"));
}

TEST(LocalUrl, IsTakenApart) {
  const auto whole = parse_local_url("http://127.0.0.1:8000/model/");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->host, "127.0.0.1");
  EXPECT_EQ(whole->port, 8000);
  EXPECT_EQ(whole->path, "/model");
  const auto bare = parse_local_url("http://localhost");
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->host, "localhost");
  EXPECT_EQ(bare->port, 80);
  EXPECT_EQ(bare->path, "");
  const auto six = parse_local_url("http://[::1]:9000");
  ASSERT_TRUE(six);
  EXPECT_EQ(six->host, "::1");
  EXPECT_EQ(six->port, 9000);
}

TEST(SettingsReference, IsTheCommittedPage) {
  std::ifstream file(DFAAS_SETTINGS_PAGE);
  std::stringstream page;
  page << file.rdbuf();
  EXPECT_EQ(page.str(), settings_reference())
      << "run: dfaas config reference > " DFAAS_SETTINGS_PAGE;
}

}  // namespace
}  // namespace dfaas
