// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// From a deployment to a command line that this host can run.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/image.hpp"
#include "live/images/image_store.hpp"

namespace dfaas {

/// Splits like a shell without a shell: blanks separate, '...' and "..." group, '\' takes the next
/// character as it is. Errors: invalid_input for an open quote.
Result<std::vector<std::string>> split_command(std::string_view text);

/// Where the files of a function that is no container are: empty for the host itself, else the directory NAME in
/// `images`. Errors: not_found.
Result<std::string> image_root(const FunctionDeployment& deployment, const ImageName& image,
                               const std::filesystem::path& images);

/// The program with its arguments, as seen from inside `root`: `process`, else the PROGRAM of the image. It is
/// looked for in /usr/local/bin, /usr/bin and /bin.
/// Errors: invalid_input without a program; not_found naming a program that is missing.
Result<std::vector<std::string>> resolve_command(const FunctionDeployment& deployment,
                                                 const std::string& process,
                                                 const std::string& root);

/// The same for a container: `process`, else `command`; looked for where the variable PATH of `deployment` says, and
/// with a '/' in its name, from the image's directory on. Errors: invalid_input.
Result<std::vector<std::string>> resolve_in_container(const FunctionDeployment& deployment,
                                                      const std::string& process,
                                                      std::vector<std::string> command,
                                                      const UnpackedImage& image);

/// SHA-256 of digest_input(), lower-case hexadecimal.
std::string deployment_digest(const FunctionDeployment& deployment, std::string_view image_digest);

}  // namespace dfaas
