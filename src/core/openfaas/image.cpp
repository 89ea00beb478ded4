// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/openfaas/image.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/text.hpp"
#include "core/json/fields.hpp"

namespace dfaas {
namespace {

using nlohmann::json;

constexpr std::size_t layers_max = 127;  ///< As Docker has it.
constexpr std::size_t platforms_max = 1000;
constexpr std::size_t words_max = 1000;
constexpr std::size_t word_bytes_max = 64 * 1024;
constexpr std::size_t complaint_bytes_max = 300;
constexpr std::size_t tag_length_max = 128;
constexpr std::string_view default_registry = "docker.io";
constexpr std::string_view watchdog_annotation = "dfaas.watchdog";
constexpr std::string_view watchdog_program = "fwatchdog";
constexpr std::string_view lower_letters = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view name_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

bool has_only(std::string_view text, std::string_view letters) {
  return text.find_first_not_of(letters) == std::string_view::npos;
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= tag_length_max && has_only(text, name_letters) &&
         text.front() != '.' && text.front() != '-';
}

/// Below a directory, and not out of it again.
bool is_plain_path(std::string_view path) {
  return std::ranges::all_of(split(path, '/'), [](std::string_view part) {
    return !part.empty() && part.front() != '.' && part.front() != '-' &&
           has_only(part, name_letters);
  });
}

/// "name/name:tag", as archives name what is in them.
bool is_archive_reference(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::size_t slash = text.rfind('/');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    if (!is_tag(text.substr(colon + 1))) return false;
    text = text.substr(0, colon);
  }
  const auto parts = split(text, '/');
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part.front() != '.' && part.front() != '-' &&
           has_only(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:");
  };
  return std::ranges::all_of(parts, is_part);
}

tl::unexpected<Error> wrong_name(std::string_view text, std::string_view why) {
  return fail(ErrorCode::invalid_input, fmt::format("image {}: {}", in_quotes(text), why));
}

tl::unexpected<Error> unknown_form(std::string_view text) {
  return wrong_name(text,
                    "is not host:, host:PROGRAM, dir:NAME, oci:PATH[:TAG], "
                    "docker-archive:FILE[:REF] or a registry's name such as "
                    "ghcr.io/openfaas/figlet:latest");
}

/// "PATH[:REFERENCE]" behind the scheme.
Result<ImageName> parse_local(ImageKind kind, std::string_view text, std::string_view rest) {
  const std::size_t colon = rest.find(':');
  const std::string_view place = rest.substr(0, colon);
  if (!is_plain_path(place)) {
    return wrong_name(text,
                      "a path is relative, of letters, digits, '.', '_' and '-', and no part of it "
                      "starts with '.' or '-'");
  }
  ImageName name{.kind = kind, .text = std::string(text), .place = std::string(place)};
  if (colon == std::string_view::npos) return name;
  name.reference = rest.substr(colon + 1);
  const bool is_good =
      kind == ImageKind::oci_layout ? is_tag(name.reference) : is_archive_reference(name.reference);
  if (!is_good) {
    return wrong_name(text, fmt::format("{} is not a {}", in_quotes(name.reference),
                                        kind == ImageKind::oci_layout ? "tag" : "name:tag"));
  }
  return name;
}

bool is_host(std::string_view first) {
  return first == "localhost" || first.find('.') != std::string_view::npos ||
         first.find(':') != std::string_view::npos;
}

bool is_host_and_port(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const auto port = parse_unsigned(text.substr(colon + 1));
    if (!port || *port < 1 || *port > 65535) return false;
  }
  const std::string_view host = text.substr(0, colon);
  return !host.empty() && host.size() <= 253 && has_only(host, name_letters) &&
         host.front() != '-' && host.front() != '.';
}

Result<ImageName> parse_remote(std::string_view text) {
  ImageName name{.kind = ImageKind::registry, .text = std::string(text)};
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    name.reference = rest.substr(at);
    rest = rest.substr(0, at);
    if (!is_digest(name.reference.substr(1))) {
      return wrong_name(text, "a digest is sha256: and 64 of 0-9 and a-f");
    }
  }
  const std::size_t slash = rest.rfind('/');
  const std::size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    const std::string_view tag = rest.substr(colon + 1);
    if (!is_tag(tag)) return unknown_form(text);
    // Beside a digest, a tag is a note for people.
    if (name.reference.empty()) name.reference = ":" + std::string(tag);
    rest = rest.substr(0, colon);
  }
  if (name.reference.empty()) name.reference = ":latest";
  auto parts = split(rest, '/');
  std::string registry(default_registry);
  if (parts.size() > 1 && is_host(parts.front())) {
    registry = parts.front();
    if (!is_host_and_port(registry)) return unknown_form(text);
    parts.erase(parts.begin());
  } else if (parts.size() == 1) {
    registry += "/library";
  }
  name.place = std::move(registry);
  for (const std::string_view part : parts) {
    const bool is_good = !part.empty() &&
                         has_only(part, "abcdefghijklmnopqrstuvwxyz0123456789._-") &&
                         lower_letters.find(part.front()) != std::string_view::npos &&
                         lower_letters.find(part.back()) != std::string_view::npos;
    if (!is_good) return unknown_form(text);
    name.place.append("/").append(part);
  }
  return name;
}

std::string digest_at(const Fields& fields, std::string_view name) {
  std::string digest = fields.text(name, 200);
  if (!is_digest(digest)) {
    fields.fail_at(name, in_quotes(digest) + " is not sha256: and 64 of 0-9 and a-f");
  }
  return digest;
}

void refuse_zero_bytes(const Fields& fields, std::string_view name, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) fields.fail_at(name, "holds a zero byte");
}

std::vector<std::string> words_at(const Fields& fields, std::string_view name) {
  auto words = fields.texts(name, words_max, word_bytes_max);
  for (const std::string& word : words) refuse_zero_bytes(fields, name, word);
  return words;
}

void read_process(const Fields& fields, ImageConfig& config) {
  for (const std::string& entry : fields.texts("Env", words_max, word_bytes_max)) {
    refuse_zero_bytes(fields, "Env", entry);
    const std::size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) continue;  // Nothing that a process could find.
    config.env.insert_or_assign(entry.substr(0, equals), entry.substr(equals + 1));
  }
  config.entrypoint = words_at(fields, "Entrypoint");
  config.command = words_at(fields, "Cmd");
  config.directory = fields.text_or("WorkingDir", 4096, "");
  refuse_zero_bytes(fields, "WorkingDir", config.directory);
  if (!config.directory.starts_with('/')) config.directory.insert(0, "/");
}

std::string base_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

bool has_watchdog(const std::vector<std::string>& command) {
  return std::ranges::any_of(
      command, [](const std::string& word) { return base_name(word) == watchdog_program; });
}

/// Must the image's watchdog stay out?
Result<bool> wants_own_watchdog(const FunctionDeployment& deployment) {
  const auto found = deployment.annotations.find(std::string(watchdog_annotation));
  if (found == deployment.annotations.end() || found->second == "image") return false;
  if (found->second == "node") return true;
  return fail(ErrorCode::invalid_input, fmt::format("annotation {}: {} is not image or node",
                                                    watchdog_annotation, in_quotes(found->second)));
}

/// The value of msg="..." in a line of logrus, without its escapes.
std::string message_of(std::string_view line) {
  constexpr std::string_view start = "msg=\"";
  const std::size_t at = line.find(start);
  if (at == std::string_view::npos) return std::string(line);
  std::string message;
  for (std::size_t from = at + start.size(); from < line.size(); ++from) {
    if (line[from] == '"') break;
    if (line[from] == '\\' && from + 1 < line.size()) ++from;
    message += line[from];
  }
  return message;
}

}  // namespace

bool is_container(const ImageName& name) {
  return name.kind != ImageKind::host && name.kind != ImageKind::directory;
}

bool is_digest(std::string_view text) {
  constexpr std::string_view algorithm = "sha256:";
  return text.starts_with(algorithm) && text.size() == algorithm.size() + 64 &&
         has_only(text.substr(algorithm.size()), "0123456789abcdef");
}

Result<ImageName> parse_image(std::string_view text) {
  const std::pair<std::string_view, ImageKind> schemes[] = {
      {"host:", ImageKind::host},
      {"dir:", ImageKind::directory},
      {"oci:", ImageKind::oci_layout},
      {"docker-archive:", ImageKind::docker_archive}};
  for (const auto& [scheme, kind] : schemes) {
    if (!text.starts_with(scheme)) continue;
    const std::string_view rest = text.substr(scheme.size());
    if (kind == ImageKind::oci_layout || kind == ImageKind::docker_archive) {
      return parse_local(kind, text, rest);
    }
    if (kind == ImageKind::directory &&
        (!is_plain_path(rest) || rest.find('/') != std::string_view::npos)) {
      return wrong_name(text,
                        "a name has letters, digits, '.', '_' and '-' and does not start with '.' "
                        "or '-'");
    }
    return ImageName{.kind = kind, .text = std::string(text), .place = std::string(rest)};
  }
  return parse_remote(text);
}

std::string registry_of(const ImageName& name) {
  return name.place.substr(0, name.place.find('/'));
}

bool is_registry_allowed(const ImageName& name, std::string_view allowed) {
  std::string list(allowed);
  std::ranges::replace(list, ',', ' ');
  return std::ranges::any_of(split(list, ' '), [&name](std::string_view entry) {
    while (entry.ends_with('/')) entry.remove_suffix(1);
    if (entry.empty()) return false;
    if (entry == "*" || entry == name.place) return true;
    return name.place.starts_with(entry) && name.place[entry.size()] == '/';
  });
}

bool is_own_registry(const ImageName& name) {
  const std::string registry = registry_of(name);
  const std::string_view host = std::string_view(registry).substr(0, registry.find(':'));
  const auto parts = split(host, '.');
  const bool is_loopback = parts.size() == 4 && parts.front() == "127" &&
                           std::ranges::all_of(parts, [](std::string_view part) {
                             const auto number = parse_unsigned(part);
                             return number && *number <= 255;
                           });
  return host == "localhost" || is_loopback;
}

Result<ImageManifest> manifest_from_json(std::string_view text) {
  ImageManifest manifest;
  const auto read = parse_json_object(text, manifest_bytes_max, [&manifest](const Fields& fields) {
    if (fields.has("manifests")) {
      for (const Fields& entry : fields.objects("manifests", platforms_max)) {
        ImageManifest::Platform platform{.digest = digest_at(entry, "digest")};
        if (entry.has("platform")) {
          platform.system = entry.object("platform").text_or("os", 100, "");
          platform.architecture = entry.object("platform").text_or("architecture", 100, "");
        }
        manifest.platforms.push_back(std::move(platform));
      }
      return;
    }
    if (!fields.has("config")) fields.fail_at("config", "is missing, as in manifests before 2016");
    manifest.config = digest_at(fields.object("config"), "digest");
    for (const Fields& layer : fields.objects("layers", layers_max)) {
      manifest.layer_bytes += static_cast<std::uint64_t>(layer.integer("size", 0, 1LL << 50U));
    }
  });
  if (!read) return tl::unexpected(Error(read.error()).within("manifest"));
  return manifest;
}

Result<ImageConfig> image_config_from_json(std::string_view text) {
  ImageConfig config;
  const auto read = parse_json_object(text, manifest_bytes_max, [&config](const Fields& fields) {
    config.system = fields.text_or("os", 100, "");
    config.architecture = fields.text_or("architecture", 100, "");
    if (fields.has("config")) read_process(fields.object("config"), config);
  });
  if (!read) return tl::unexpected(Error(read.error()).within("configuration"));
  return config;
}

std::string image_config_to_json(const ImageConfig& config) {
  json process{{"WorkingDir", config.directory}};
  process["Env"] = json::array();
  for (const auto& [name, value] : config.env) {
    std::string entry = name;
    entry.append("=").append(value);
    process["Env"].push_back(std::move(entry));
  }
  process["Entrypoint"] = config.entrypoint;
  process["Cmd"] = config.command;
  return json_text(
      {{"os", config.system}, {"architecture", config.architecture}, {"config", process}});
}

std::string_view image_architecture(std::string_view machine) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> names{
      {{"x86_64", "amd64"},
       {"aarch64", "arm64"},
       {"i686", "386"},
       {"i586", "386"},
       {"armv7l", "arm"},
       {"armv6l", "arm"},
       {"armv8l", "arm"},
       {"loongarch64", "loong64"}}};
  const auto* const found =
      std::ranges::find(names, machine, &std::pair<std::string_view, std::string_view>::first);
  return found == names.end() ? machine : found->second;
}

Result<void> check_platform(const ImageConfig& config, std::string_view architecture) {
  if (!config.system.empty() && config.system != "linux") {
    return fail(ErrorCode::invalid_input,
                fmt::format("it is for {}, not for linux", in_quotes(config.system)));
  }
  if (!config.architecture.empty() && config.architecture != architecture) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("it is for {}; this node is {}", in_quotes(config.architecture), architecture));
  }
  return {};
}

Result<ImageRun> plan_image_run(const FunctionDeployment& deployment, const ImageConfig& config) {
  auto is_ours = wants_own_watchdog(deployment);
  if (!is_ours) return pass_on(std::move(is_ours));
  ImageRun run{.settings = deployment, .deployment = deployment};
  // What is there stays: the deployment wins.
  run.deployment.env.insert(config.env.begin(), config.env.end());
  std::vector<std::string> own = config.entrypoint;
  own.insert(own.end(), config.command.begin(), config.command.end());
  if (!own.empty() && own.front().empty()) own.clear();
  if (has_watchdog(own) && !*is_ours) {
    if (!deployment.process.empty()) run.deployment.env["fprocess"] = deployment.process;
    run.settings.env = run.deployment.env;
    // Where the watchdog finds its function is its own business.
    for (const char* name : {"upstream_url", "http_upstream_url"}) run.settings.env.erase(name);
    run.settings.env["mode"] = "http";
    run.settings.annotations.emplace("com.openfaas.ready.http.path", "/_/health");
    run.command = std::move(own);
    return run;
  }
  run.settings.env = run.deployment.env;
  const auto names_process = [&run](const char* name) {
    const auto found = run.settings.env.find(name);
    return found != run.settings.env.end() && !found->second.empty();
  };
  if (!deployment.process.empty() || names_process("fprocess") ||
      names_process("function_process")) {
    return run;
  }
  if (own.empty()) {
    return fail(ErrorCode::invalid_input,
                "its image names no command: give envProcess, or set Cmd or Entrypoint in it");
  }
  run.command = std::move(own);
  return run;
}

std::string last_complaint(std::string_view text) {
  std::string last;
  for (const std::string_view raw : split(text, '\n')) {
    const std::string_view line = trim(raw);
    if (!line.empty()) last = message_of(line);
  }
  // What people see is the reason; the name it is about is told by whoever asked.
  constexpr std::string_view parsing = "Error parsing image name \"";
  if (last.starts_with(parsing)) {
    if (const std::size_t end = last.find("\": ", parsing.size()); end != std::string::npos) {
      last.erase(0, end + 3);
    }
  }
  std::string clean;
  for (const char letter : last) {
    if (clean.size() >= complaint_bytes_max) break;
    const auto byte = static_cast<unsigned char>(letter);
    if (byte >= 0x80 && clean.empty()) continue;  // umoci draws a cross in front.
    clean += byte < 0x20 || byte == 0x7f ? ' ' : letter;
  }
  return std::string(trim(clean));
}

}  // namespace dfaas
