// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/stack/stack_file.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

constexpr std::size_t bytes_max = 1U << 20U;

/// Ends the reading of a file; never leaves it.
struct BadStack {
  std::string message;
};

[[noreturn]] void refuse(const std::string& message) { throw BadStack{message}; }

std::string text_of(const YAML::Node& node, const std::string& place) {
  if (!node.IsDefined() || node.IsNull()) return {};
  if (!node.IsScalar()) {
    refuse(fmt::format("line {}: {} is not a text", node.Mark().line + 1, place));
  }
  return node.Scalar();
}

std::map<std::string, std::string> map_of(const YAML::Node& node, const std::string& place) {
  std::map<std::string, std::string> map;
  if (!node.IsDefined() || node.IsNull()) return map;
  if (!node.IsMap()) {
    refuse(fmt::format("line {}: {} is not a map of texts", node.Mark().line + 1, place));
  }
  for (const auto& entry : node) {
    const std::string key = text_of(entry.first, place);
    map[key] = text_of(entry.second, fmt::format("{}.{}", place, key));
  }
  return map;
}

std::vector<std::string> list_of(const YAML::Node& node, const std::string& place) {
  std::vector<std::string> list;
  if (!node.IsDefined() || node.IsNull()) return list;
  if (!node.IsSequence()) {
    refuse(fmt::format("line {}: {} is not a list of texts", node.Mark().line + 1, place));
  }
  for (const YAML::Node& entry : node) list.push_back(text_of(entry, place));
  return list;
}

bool flag_of(const YAML::Node& node, const std::string& place) {
  const std::string text = text_of(node, place);
  if (text.empty() || text == "false") return false;
  if (text == "true") return true;
  refuse(fmt::format("line {}: {} is not true or false", node.Mark().line + 1, place));
}

std::string limits_json(const std::map<std::string, std::string>& limits) {
  return limits.empty() ? std::string() : json_text(nlohmann::json(limits));
}

StackFunction read_function(const std::string& name, const YAML::Node& node) {
  const auto place = [&name](const char* field) { return "functions." + name + "." + field; };
  if (!node.IsMap()) {
    refuse(fmt::format("line {}: functions.{} is not a map", node.Mark().line + 1, name));
  }
  StackFunction function{
      .lang = text_of(node["lang"], place("lang")),
      .handler = text_of(node["handler"], place("handler")),
      .environment_files = list_of(node["environment_file"], place("environment_file")),
      .skip_build = flag_of(node["skip_build"], place("skip_build"))};
  FunctionDeployment& deployment = function.deployment;
  const std::string space = text_of(node["namespace"], place("namespace"));
  auto checked = FunctionName::parse(name, space);
  if (!checked) refuse(checked.error().message);
  deployment.function = std::move(*checked);
  deployment.image = text_of(node["image"], place("image"));
  deployment.process = text_of(node["fprocess"], place("fprocess"));
  deployment.env = map_of(node["environment"], place("environment"));
  deployment.labels = map_of(node["labels"], place("labels"));
  deployment.annotations = map_of(node["annotations"], place("annotations"));
  deployment.secrets = list_of(node["secrets"], place("secrets"));
  deployment.constraints = list_of(node["constraints"], place("constraints"));
  deployment.limits = limits_json(map_of(node["limits"], place("limits")));
  deployment.requests = limits_json(map_of(node["requests"], place("requests")));
  deployment.read_only_root =
      flag_of(node["readonly_root_filesystem"], place("readonly_root_filesystem"));
  return function;
}

/// Runs `read`, and turns what it or the parser throws into a sentence.
template <class Value, class Read>
Result<Value> guarded(std::string_view text, Read read) {
  if (text.size() > bytes_max) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} bytes are more than {}", text.size(), bytes_max));
  }
  try {
    return read(YAML::Load(std::string(text)));
  } catch (const BadStack& bad) {
    return fail(ErrorCode::invalid_input, bad.message);
  } catch (const YAML::Exception& error) {
    return fail(ErrorCode::invalid_input,
                fmt::format("line {}: {}", error.mark.line + 1, error.msg));
  }
}

Stack read_stack(const YAML::Node& root) {
  Stack stack;
  if (!root.IsMap()) refuse("it is not a map with provider and functions");
  if (root["provider"].IsDefined() && root["provider"].IsMap()) {
    stack.gateway = text_of(root["provider"]["gateway"], "provider.gateway");
  }
  const YAML::Node functions = root["functions"];
  if (!functions.IsDefined() || !functions.IsMap() || functions.size() == 0) {
    refuse("functions: there is none");
  }
  for (const auto& entry : functions) {
    stack.functions.push_back(read_function(text_of(entry.first, "functions"), entry.second));
  }
  std::ranges::sort(stack.functions, {},
                    [](const StackFunction& function) { return function.deployment.function; });
  return stack;
}

}  // namespace

Result<std::string> substitute(std::string_view text, const Lookup& lookup) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    if (!text.substr(at).starts_with("${")) {
      result += text[at++];
      continue;
    }
    const std::size_t end = text.find('}', at);
    if (end == std::string_view::npos) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} has no closing brace", in_quotes(text.substr(at, 40))));
    }
    const std::string_view inside = text.substr(at + 2, end - at - 2);
    const std::size_t otherwise = inside.find(":-");
    const std::string_view name = inside.substr(0, otherwise);
    const auto value = lookup(name);
    if (value && !value->empty()) {
      result += *value;
    } else if (otherwise != std::string_view::npos) {
      result += inside.substr(otherwise + 2);
    } else if (!value) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("variable {} is not set, and ${{{}:-...}} gives no default",
                              in_quotes(name), name));
    }
    at = end + 1;
  }
  return result;
}

Result<Stack> parse_stack(std::string_view text, const Lookup& lookup) {
  auto replaced = substitute(text, lookup);
  if (!replaced) return pass_on(std::move(replaced));
  return guarded<Stack>(*replaced, read_stack);
}

Result<std::map<std::string, std::string>> parse_environment_file(std::string_view text) {
  using Map = std::map<std::string, std::string>;
  return guarded<Map>(text, [](const YAML::Node& root) {
    if (!root.IsMap()) refuse("it is not a map with environment");
    return map_of(root["environment"], "environment");
  });
}

Result<std::string> add_function(std::string_view text, const FunctionName& function,
                                 std::string_view lang, std::string_view handler) {
  std::string result(text);
  if (trim(text).empty()) {
    result =
        "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n";
  } else {
    auto checked = guarded<bool>(text, [&function](const YAML::Node& root) {
      if (!root.IsMap() || !root["functions"].IsDefined()) refuse("functions: is missing");
      return root["functions"].IsMap() && root["functions"][function.name()].IsDefined();
    });
    if (!checked) return pass_on(std::move(checked));
    if (*checked) {
      return fail(ErrorCode::conflict, fmt::format("it has a function {}", function.name()));
    }
    if (!result.ends_with('\n')) result += '\n';
  }
  result += fmt::format("  {}:\n    lang: {}\n    handler: {}\n    image: \"host:\"\n",
                        function.name(), lang, handler);
  // Functions need not come last in a file that a person wrote: then it is not ours to mend.
  auto checked = guarded<bool>(result, [&function](const YAML::Node& root) {
    return root["functions"].IsMap() && root["functions"][function.name()].IsDefined();
  });
  if (!checked || !*checked) {
    return fail(ErrorCode::invalid_input,
                "functions: is not the last part of the file; add the function by hand");
  }
  return result;
}

}  // namespace dfaas
