// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// From a deployment to a command line that this host can run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/openfaas/deployment.hpp"

namespace dfaas {

/// Splits like a shell without a shell: blanks separate, '...' and "..." group, '\' takes the next
/// character as it is. Errors: invalid_input for an open quote.
Result<std::vector<std::string>> split_command(std::string_view text);

/// The program (found on /usr/local/bin:/usr/bin:/bin) with its arguments. Images are "host:" with the
/// command in `process`, or "host:PROGRAM".
/// Errors: invalid_input for other images; not_found naming a program that is missing.
Result<std::vector<std::string>> resolve_command(const FunctionDeployment& deployment,
                                                 const std::string& process);

/// SHA-256 of digest_input(), lower-case hexadecimal.
std::string deployment_digest(const FunctionDeployment& deployment);

}  // namespace dfaas
