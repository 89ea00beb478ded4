// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The environment of a classic function: the request's head as Http_* variables.
///
/// Limits  200 headers and 64 KiB of them; what is beyond is left out.
/// Source  OpenFaaS classic-watchdog, "cgi_headers": Http_Method, Http_Path, Http_Query, Http_Host,
///         Http_ContentLength, Http_Content_Length and Http_ with each header, '-' as '_'.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/http/message.hpp"
#include "core/openfaas/deployment.hpp"

namespace dfaas {

/// What every process of the function gets, whatever the request: its own variables, PATH and its name.
std::vector<std::string> standing_environment(const FunctionDeployment& deployment);

/// The same, and the request as Http_* variables.
std::vector<std::string> with_request(std::vector<std::string> environment, const RequestHead& head,
                                      std::string_view path, std::string_view query);

/// "NAME=value" for each variable; the function's own come first and win over nothing of ours.
std::vector<std::string> classic_environment(const FunctionDeployment& deployment,
                                             const RequestHead& head, std::string_view path,
                                             std::string_view query);

}  // namespace dfaas
