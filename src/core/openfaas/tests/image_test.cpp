// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/image.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/openfaas/watchdog.hpp"

namespace dfaas {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string digest = "sha256:" + std::string(64, 'a');

FunctionDeployment deployment(std::string process = "") {
  return {.function = *FunctionName::parse("f"), .image = "oci:f", .process = std::move(process)};
}

TEST(ParseImage, ReadsEveryForm) {
  struct Row {
    std::string text;
    ImageKind kind;
    std::string place;
    std::string reference;
  };
  const Row rows[] = {
      {"host:", ImageKind::host, "", ""},
      {"host:/bin/cat", ImageKind::host, "/bin/cat", ""},
      {"dir:small", ImageKind::directory, "small", ""},
      {"oci:figlet", ImageKind::oci_layout, "figlet", ""},
      {"oci:team/figlet:1.0", ImageKind::oci_layout, "team/figlet", "1.0"},
      {"docker-archive:figlet.tar", ImageKind::docker_archive, "figlet.tar", ""},
      {"docker-archive:a/f.tar.gz:localhost:5000/x/figlet:1", ImageKind::docker_archive,
       "a/f.tar.gz", "localhost:5000/x/figlet:1"},
      {"figlet", ImageKind::registry, "docker.io/library/figlet", ":latest"},
      {"figlet:1.0", ImageKind::registry, "docker.io/library/figlet", ":1.0"},
      {"functions/figlet", ImageKind::registry, "docker.io/functions/figlet", ":latest"},
      {"ghcr.io/openfaas/figlet:latest", ImageKind::registry, "ghcr.io/openfaas/figlet", ":latest"},
      {"127.0.0.1:5000/f", ImageKind::registry, "127.0.0.1:5000/f", ":latest"},
      {"ghcr.io/f:1@" + digest, ImageKind::registry, "ghcr.io/f", "@" + digest}};
  for (const Row& row : rows) {
    const auto name = parse_image(row.text);
    ASSERT_TRUE(name) << row.text << ": " << name.error().message;
    EXPECT_EQ(*name, (ImageName{row.kind, row.text, row.place, row.reference})) << row.text;
    EXPECT_EQ(is_container(*name), row.kind > ImageKind::directory) << row.text;
  }
}

TEST(ParseImage, RefusesWhatLeadsOutOrIsNoName) {
  for (const char* text : {"dir:",
                           "dir:..",
                           "dir:/etc",
                           "dir:a/b",
                           "dir:.x",
                           "oci:",
                           "oci:/etc",
                           "oci:../pki",
                           "oci:a/../b",
                           "oci:a//b",
                           "oci:.hidden",
                           "oci:a:",
                           "oci:a:b:c",
                           "oci:a:-x",
                           "oci:-a",
                           "oci:a b",
                           "docker-archive:",
                           "docker-archive:/etc/shadow",
                           "docker-archive:a.tar:",
                           "docker-archive:a.tar:--x",
                           "docker-archive:a.tar:x/:1",
                           "Figlet",
                           "a//b",
                           "a/../b",
                           "ghcr.io/f@sha256:12",
                           "ghcr.io:99999/f",
                           "-x",
                           "x y",
                           "ghcr.io/",
                           "http://ghcr.io/f",
                           ""}) {
    const auto name = parse_image(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, ErrorCode::invalid_input);
    EXPECT_THAT(name.error().message, HasSubstr(std::string("\"") + text + "\""));
  }
}

TEST(Registry, IsAllowedByHostOrRepository) {
  const auto allowed = [](std::string_view image, std::string_view list) {
    return is_registry_allowed(*parse_image(image), list);
  };
  EXPECT_TRUE(allowed("figlet", "*"));
  EXPECT_TRUE(allowed("figlet", "ghcr.io docker.io"));
  EXPECT_TRUE(allowed("ghcr.io/openfaas/figlet", "ghcr.io/openfaas/"));
  EXPECT_TRUE(allowed("ghcr.io/openfaas/figlet", "a,ghcr.io/openfaas/figlet"));
  EXPECT_FALSE(allowed("ghcr.io/openfaas/figlet", ""));
  EXPECT_FALSE(allowed("ghcr.io/openfaas2/figlet", "ghcr.io/openfaas"));
  EXPECT_FALSE(allowed("ghcr.io.evil.org/f", "ghcr.io"));
  EXPECT_FALSE(allowed("ghcr.io:444/f", "ghcr.io"));
  EXPECT_TRUE(is_own_registry(*parse_image("127.0.0.1:5000/f")));
  EXPECT_TRUE(is_own_registry(*parse_image("localhost/f")));
  EXPECT_FALSE(is_own_registry(*parse_image("127.0.0.1.evil.org/f")));
  EXPECT_FALSE(is_own_registry(*parse_image("figlet")));
}

TEST(Manifest, IsOneImageOrAnIndex) {
  const auto one = manifest_from_json(R"({"config": {"digest": ")" + digest +
                                      R"("}, "layers": [{"size": 5}, {"size": 7}]})");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_FALSE(one->is_index());
  EXPECT_EQ(one->layer_bytes, 12U);
  const auto index =
      manifest_from_json(R"({"manifests": [{"digest": ")" + digest +
                         R"(", "platform": {"os": "linux", "architecture": "arm64"}}]})");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_TRUE(index->is_index());
  EXPECT_EQ(index->platforms.front().architecture, "arm64");
  for (const std::string& text :
       {std::string("[]"), std::string("{}"), std::string(R"({"config": {"digest": "../../x"}})"),
        R"({"config": {"digest": ")" + digest + R"("}, "layers": [{"size": -1}]})"}) {
    EXPECT_FALSE(manifest_from_json(text)) << text;
  }
}

TEST(Config, IsReadAndWritten) {
  const auto config = image_config_from_json(
      R"({"os": "linux", "architecture": "amd64", "config": {"Env": ["A=1", "B=x=y", "odd", "=z"],
          "Entrypoint": ["/run"], "Cmd": null, "WorkingDir": "srv", "User": "app"}})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->env, (std::map<std::string, std::string>{{"A", "1"}, {"B", "x=y"}}));
  EXPECT_THAT(config->entrypoint, ElementsAre("/run"));
  EXPECT_EQ(config->directory, "/srv");
  EXPECT_EQ(*image_config_from_json(image_config_to_json(*config)), *config);
  EXPECT_FALSE(image_config_from_json("{\"config\": {\"Cmd\": [\"a\\u0000b\"]}}"));
  EXPECT_FALSE(image_config_from_json("{\"config\": {\"Cmd\": \"a\"}}"));
  EXPECT_TRUE(check_platform(*config, "amd64"));
  EXPECT_THAT(check_platform(*config, "arm64").error().message, HasSubstr("\"amd64\""));
  EXPECT_EQ(image_architecture("x86_64"), "amd64");
  EXPECT_EQ(image_architecture("riscv64"), "riscv64");
}

TEST(ImageRun, WithoutAWatchdogTheDeploymentThenTheVariableThenTheImageSaysWhatToStart) {
  ImageConfig config{
      .env = {{"A", "image"}, {"B", "image"}}, .entrypoint = {"/run"}, .command = {"-v"}};
  auto given = deployment("cat -n");
  given.env["A"] = "deployment";
  auto run = plan_image_run(given, config);
  ASSERT_TRUE(run);
  EXPECT_TRUE(run->command.empty());
  EXPECT_EQ(watchdog_settings(run->settings)->process, "cat -n");
  EXPECT_EQ(run->deployment.env,
            (std::map<std::string, std::string>{{"A", "deployment"}, {"B", "image"}}));
  EXPECT_THAT(plan_image_run(deployment(), config)->command, ElementsAre("/run", "-v"));
  config.env["fprocess"] = "wc";
  run = plan_image_run(deployment(), config);
  EXPECT_TRUE(run->command.empty());
  EXPECT_EQ(watchdog_settings(run->settings)->process, "wc");
  const auto nothing = plan_image_run(deployment(), {});
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().message, HasSubstr("names no command"));
}

TEST(ImageRun, WatchdogOfTheImageIsLeftAsItIsUnlessAskedOtherwise) {
  const ImageConfig config{.env = {{"fprocess", "figlet"},
                                   {"mode", "streaming"},
                                   {"upstream_url", "http://127.0.0.1:3000"}},
                           .entrypoint = {},
                           .command = {"/usr/bin/fwatchdog"}};
  auto given = deployment("figlet -w 100");
  auto run = plan_image_run(given, config);
  ASSERT_TRUE(run);
  EXPECT_THAT(run->command, ElementsAre("/usr/bin/fwatchdog"));
  EXPECT_EQ(run->deployment.env.at("fprocess"), "figlet -w 100");
  EXPECT_EQ(run->deployment.env.at("mode"), "streaming");
  EXPECT_EQ(run->deployment.env.at("upstream_url"), "http://127.0.0.1:3000");
  const auto settings = watchdog_settings(run->settings);
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->mode, FunctionMode::http);
  EXPECT_EQ(settings->port, 8080);
  EXPECT_EQ(settings->ready_path, "/_/health");

  given.annotations["dfaas.watchdog"] = "node";
  run = plan_image_run(given, config);
  EXPECT_TRUE(run->command.empty());
  EXPECT_EQ(watchdog_settings(run->settings)->mode, FunctionMode::classic);
  EXPECT_EQ(watchdog_settings(run->settings)->process, "figlet -w 100");
  given.annotations["dfaas.watchdog"] = "none";
  EXPECT_THAT(plan_image_run(given, config).error().message, HasSubstr("dfaas.watchdog"));
}

TEST(LastComplaint, IsTheReasonOfTheLastLine) {
  EXPECT_EQ(last_complaint("time=\"x\" level=info msg=\"begin\"\n"
                           "time=\"x\" level=fatal msg=\"reading \\\"a\\\": no such file\"\n\n"),
            "reading \"a\": no such file");
  EXPECT_EQ(last_complaint("msg=\"Error parsing image name \\\"oci:source:2\\\": no 2\""), "no 2");
  EXPECT_EQ(last_complaint("   \xe2\x80\xa2 unpack\n   \xe2\xa8\xaf unpack: bad\n"), "unpack: bad");
  EXPECT_EQ(last_complaint(""), "");
  EXPECT_LE(last_complaint(std::string(10'000, 'x')).size(), 300U);
  const std::string odd = last_complaint("a\x01\x7f\tb");
  EXPECT_TRUE(std::ranges::none_of(odd, [](char letter) { return letter < 0x20; }));
}

}  // namespace
}  // namespace dfaas
