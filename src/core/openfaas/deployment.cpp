// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/deployment.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/model/function.hpp"

namespace dfaas {
namespace {

using nlohmann::json;

constexpr std::size_t bytes_max = 1U << 20U;
constexpr std::size_t entries_max = 1000;
constexpr std::size_t value_bytes_max = 64 * 1024;

std::map<std::string, std::string> read_map(const Fields& fields, std::string_view name) {
  std::map<std::string, std::string> map;
  for (auto& [key, value] : fields.text_map(name, entries_max, value_bytes_max)) {
    if (key.empty() || key.find('\0') != std::string::npos ||
        value.find('\0') != std::string::npos) {
      fields.fail_at(name, fmt::format("{} is empty or holds a zero byte", in_quotes(key)));
    }
    map.emplace(std::move(key), std::move(value));
  }
  return map;
}

void check_environment(const Fields& fields, const FunctionDeployment& deployment) {
  for (const auto& [key, value] : deployment.env) {
    if (key.find('=') != std::string::npos) {
      fields.fail_at("envVars", in_quotes(key) + " is not a name for an environment variable");
    }
  }
}

}  // namespace

Result<FunctionDeployment> deployment_from_json(std::string_view text) {
  FunctionDeployment deployment;
  const auto read = parse_json_object(text, bytes_max, [&deployment](const Fields& fields) {
    const std::string name = fields.text("service", 200);
    const std::string space = fields.text_or("namespace", 200, "");
    deployment.function = fields.accept("service", FunctionName::parse(name, space));
    deployment.image = fields.text("image", 1024);
    if (deployment.image.empty()) fields.fail_at("image", "\"\" names no image");
    deployment.process = fields.text_or("envProcess", value_bytes_max, "");
    deployment.env = read_map(fields, "envVars");
    deployment.labels = read_map(fields, "labels");
    deployment.annotations = read_map(fields, "annotations");
    deployment.secrets = fields.texts("secrets", entries_max, 253);
    deployment.constraints = fields.texts("constraints", entries_max, 1024);
    deployment.limits = fields.raw("limits");
    deployment.requests = fields.raw("requests");
    deployment.read_only_root = fields.flag_or("readOnlyRootFilesystem", false);
    check_environment(fields, deployment);
    if (auto traits = parse_traits(deployment.labels); !traits) {
      fields.fail_at("labels", traits.error().message);
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("deployment"));
  return deployment;
}

std::string deployment_to_json(const FunctionDeployment& deployment) {
  json out{{"service", deployment.function.name()},
           {"namespace", deployment.function.space()},
           {"image", deployment.image}};
  if (!deployment.process.empty()) out["envProcess"] = deployment.process;
  if (!deployment.env.empty()) out["envVars"] = deployment.env;
  if (!deployment.labels.empty()) out["labels"] = deployment.labels;
  if (!deployment.annotations.empty()) out["annotations"] = deployment.annotations;
  if (!deployment.secrets.empty()) out["secrets"] = deployment.secrets;
  if (!deployment.constraints.empty()) out["constraints"] = deployment.constraints;
  if (!deployment.limits.empty()) out["limits"] = json::parse(deployment.limits);
  if (!deployment.requests.empty()) out["requests"] = json::parse(deployment.requests);
  if (deployment.read_only_root) out["readOnlyRootFilesystem"] = true;
  return json_text(out);
}

Result<FunctionName> deletion_from_json(std::string_view text) {
  FunctionName function;
  const auto read = parse_json_object(text, bytes_max, [&function](const Fields& fields) {
    const std::string name = fields.text("functionName", 200);
    const std::string space = fields.text_or("namespace", 200, "");
    function = fields.accept("functionName", space.empty() ? FunctionName::parse(name)
                                                           : FunctionName::parse(name, space));
  });
  if (!read) return tl::unexpected(Error(read.error()).within("deletion"));
  return function;
}

std::string deletion_to_json(const FunctionName& function) {
  return json_text({{"functionName", function.name()}, {"namespace", function.space()}});
}

std::string digest_input(const FunctionDeployment& deployment, std::string_view image_digest) {
  std::string text = "image ";
  text += image_digest.empty() ? deployment.image : image_digest;
  text += "\nprocess " + deployment.process + "\n";
  for (const auto& [key, value] : deployment.env) text += "env " + key + "\n";
  return text;
}

}  // namespace dfaas
