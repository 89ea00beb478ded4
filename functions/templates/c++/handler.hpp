// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

/// The function: answers the body of a request. An exception is an answer with status 500. The head of the
/// request is in the environment: std::getenv("Http_Method"), "Http_Path", ...
std::string handle(std::string_view body);
