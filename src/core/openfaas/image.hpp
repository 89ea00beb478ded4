// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Images of functions as data: their names, what they say of themselves, and what that means for a function.
///
/// Source  OCI image specification 1.0 (manifest, index, configuration), Docker registry manifest v2 schema 2,
///         whose fields are the same; names as in distribution/reference.
/// Limits  Manifests and configurations of 4 MiB, 127 layers, 1000 variables.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"

namespace dfaas {

enum class ImageKind : std::uint8_t {
  host,            ///< "host:", "host:PROGRAM": programs of the node.
  directory,       ///< "dir:NAME"
  oci_layout,      ///< "oci:PATH[:TAG]"
  docker_archive,  ///< "docker-archive:FILE[:REF]"
  registry,        ///< "ghcr.io/openfaas/figlet:latest", "figlet:1.0", with a digest
};

struct ImageName {
  ImageKind kind = ImageKind::host;
  std::string text;       ///< As given.
  std::string place;      ///< PROGRAM, NAME, PATH or FILE, or the repository with its registry.
  std::string reference;  ///< TAG or REF, or empty; of a registry ":TAG" or "@DIGEST", never empty.

  friend bool operator==(const ImageName&, const ImageName&) = default;
};

/// Is it a container image, which has to be unpacked?
[[nodiscard]] bool is_container(const ImageName& name);

/// Paths are relative, without "..", hidden parts or odd letters. Errors: invalid_input with what is allowed.
Result<ImageName> parse_image(std::string_view text);

/// The registry of a name that parse_image() took, with its port: "docker.io" where it names none.
std::string registry_of(const ImageName& name);

/// `allowed` are registries, or repositories below one, by blanks or commas; "*" is all of them.
bool is_registry_allowed(const ImageName& name, std::string_view allowed);

/// Is it a registry of this machine: "localhost", "127.0.0.1", each with a port or without?
bool is_own_registry(const ImageName& name);

/// A manifest, or an index of manifests for several platforms.
struct ImageManifest {
  struct Platform {
    std::string digest;
    std::string system;
    std::string architecture;
  };
  std::string config;             ///< Digest of the configuration; empty for an index.
  std::uint64_t layer_bytes = 0;  ///< Of all layers together, as they are stored.
  std::vector<Platform> platforms;

  [[nodiscard]] bool is_index() const { return config.empty(); }
};

inline constexpr std::size_t manifest_bytes_max = 4U << 20U;

/// Errors: invalid_input naming the field.
Result<ImageManifest> manifest_from_json(std::string_view text);

/// "sha256:" and 64 digits?
bool is_digest(std::string_view text);

/// What an image says of the process that it is made for.
struct ImageConfig {
  std::string system;        ///< "linux"
  std::string architecture;  ///< "amd64", or empty.
  std::map<std::string, std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::string directory = "/";

  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

/// Errors: invalid_input naming the field.
Result<ImageConfig> image_config_from_json(std::string_view text);
/// In the same form.
std::string image_config_to_json(const ImageConfig& config);

/// As images name what uname calls `machine`: "amd64" for "x86_64".
std::string_view image_architecture(std::string_view machine);

/// Can this node run it? Errors: invalid_input naming both architectures.
Result<void> check_platform(const ImageConfig& config, std::string_view architecture);

/// How a function of an image is started.
struct ImageRun {
  FunctionDeployment settings;  ///< As watchdog_settings() shall read it.
  FunctionDeployment
      deployment;  ///< The variables of its processes: the image's, and the deployment's over them.
  std::vector<std::string>
      command;  ///< The image's own; empty where the settings' `process` counts.
};

/// Rule    An image that starts the watchdog of OpenFaaS is left as it is: its own command, mode http, ready once
///         /_/health answers; envProcess becomes the watchdog's `fprocess`. With the annotation
///         dfaas.watchdog=node, and for all other images: envProcess, else the variable fprocess, else the
///         image's own command.
/// Errors  invalid_input: wrong annotation, or nothing to start.
Result<ImageRun> plan_image_run(const FunctionDeployment& deployment, const ImageConfig& config);

/// What went wrong, from what a program wrote to standard error: the last line, without time and level.
std::string last_complaint(std::string_view text);

}  // namespace dfaas
