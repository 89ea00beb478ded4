// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Reads the settings of a node: default < node.toml < environment < --set. The only place that looks at
/// the environment.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/settings/settings.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {

/// `overrides` are "name=value" texts of the command line.
/// Errors: invalid_input naming the setting or the line of the file.
Result<Settings> load_settings(const NodeDirectory& directory,
                               const std::vector<std::string>& overrides);

/// "name=value" as a setting with its origin.
Result<SettingText> parse_override(const std::string& text);

/// The text of a node.toml with these settings and a comment for each.
std::string settings_file_text(const std::vector<SettingText>& texts);

/// `text` inside the quotes of a TOML basic string.
std::string toml_escape(const std::string& text);

}  // namespace dfaas
