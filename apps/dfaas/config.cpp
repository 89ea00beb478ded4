// SPDX-License-Identifier: AGPL-3.0-or-later
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/settings_loader.hpp"
#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

struct ConfigOptions {
  std::string name;
  NodeOptions node;
  std::string output = "table";
};

Result<void> explain_settings(const std::string& name) {
  if (name.empty()) {
    for (const Setting& setting : settings_table()) {
      fmt::print("{:32} {}\n", setting.name, setting.sentence);
    }
    return {};
  }
  const Setting* setting = find_setting(name);
  if (setting == nullptr) {
    const SettingText unknown{name, "", "command line"};
    return fail(ErrorCode::not_found, Settings::parse({&unknown, 1}).error().message);
  }
  fmt::print("{}", explain(*setting));
  return {};
}

Result<void> show_settings(const ConfigOptions& options) {
  const auto settings =
      load_settings(NodeDirectory(options.node.directory), options.node.overrides);
  if (!settings) return fail(settings.error().code, settings.error().message);
  nlohmann::json all = nlohmann::json::object();
  for (const Setting& setting : settings_table()) {
    const std::string& value = settings->text(setting.name);
    const std::string& origin = settings->origin(setting.name);
    if (options.output == "json") {
      all[std::string(setting.name)] = {{"value", value}, {"origin", origin}};
    } else {
      fmt::print("{:32} {:24} {}\n", setting.name, value, origin);
    }
  }
  if (options.output == "json") fmt::print("{}\n", json_text(all));
  return {};
}

}  // namespace

void add_config_command(CLI::App& root, ExitStatus& status) {
  CLI::App* config = root.add_subcommand("config", "Explain and show settings");
  config->require_subcommand(1);
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* explain_command =
      config->add_subcommand("explain", "What a setting means (or all, briefly)");
  explain_command->add_option("name", options->name, "Name of the setting");
  explain_command->footer("Example: dfaas config explain strategy.period_ms");
  explain_command->callback([options, &status] {
    if (auto done = explain_settings(options->name); !done) report_failure(status, done.error());
  });
  CLI::App* show =
      config->add_subcommand("show", "The settings of a node, and where each comes from");
  add_node_options(*show, options->node);
  add_output_option(*show, options->output);
  show->footer("Example: dfaas config show --dir light");
  show->callback([options, &status] {
    if (auto done = show_settings(*options); !done) report_failure(status, done.error());
  });
  CLI::App* reference = config->add_subcommand("reference", "Print docs/reference/settings.md");
  reference->footer("Example: dfaas config reference > docs/reference/settings.md");
  reference->callback([] { fmt::print("{}", settings_reference()); });
}

}  // namespace dfaas
