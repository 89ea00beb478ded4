// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/settings_loader.hpp"

#include <cstdlib>
#include <iterator>
#include <sstream>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "core/base/text.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

std::string value_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return "(neither text nor number)";
}

void gather(const toml::table& table, const std::string& prefix, const std::string& origin,
            std::vector<SettingText>& texts) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const auto* inner = node.as_table()) {
      gather(*inner, name + ".", origin, texts);
    } else {
      texts.push_back({name, value_text(node), origin});
    }
  }
}

Result<void> gather_file(const NodeDirectory& directory, std::vector<SettingText>& texts) {
  const auto text = read_file(directory.settings(), 1U << 20U);
  if (!text) return fail(text.error().code, text.error().message);
  try {
    const toml::table table = toml::parse(*text);
    gather(table, "", directory.settings().string(), texts);
    return {};
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} line {}: {}", directory.settings().string(),
                            error.source().begin.line, error.description()));
  }
}

}  // namespace

std::string toml_escape(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') escaped += '\\';
    escaped += letter;
  }
  return escaped;
}

Result<SettingText> parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--set {} is not NAME=VALUE", in_quotes(text)));
  }
  return SettingText{text.substr(0, equals), text.substr(equals + 1), "--set"};
}

Result<Settings> load_settings(const NodeDirectory& directory,
                               const std::vector<std::string>& overrides) {
  std::vector<SettingText> texts;
  if (auto read = gather_file(directory, texts); !read) return pass_on(std::move(read));
  for (const Setting& setting : settings_table()) {
    const std::string variable = environment_name(setting.name);
    // NOLINTNEXTLINE: read at the start, before any thread.
    if (const char* value = std::getenv(variable.c_str())) {
      texts.push_back({std::string(setting.name), value, "environment " + variable});
    }
  }
  for (const std::string& text : overrides) {
    auto parsed = parse_override(text);
    if (!parsed) return pass_on(std::move(parsed));
    texts.push_back(std::move(*parsed));
  }
  return Settings::parse(texts);
}

std::string settings_file_text(const std::vector<SettingText>& texts) {
  std::string file =
      "# Settings of this node. `dfaas config explain NAME` tells what each means.\n";
  for (const SettingText& text : texts) {
    const Setting* setting = find_setting(text.name);
    if (setting != nullptr) fmt::format_to(std::back_inserter(file), "\n# {}\n", setting->sentence);
    const bool is_bare = setting != nullptr && (setting->kind == SettingKind::integer ||
                                                setting->kind == SettingKind::number);
    const std::string value = is_bare ? text.value : '"' + toml_escape(text.value) + '"';
    fmt::format_to(std::back_inserter(file), "{} = {}\n", text.name, value);
  }
  return file;
}

}  // namespace dfaas
