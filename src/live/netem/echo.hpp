// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// `ping`, from within an emulated network.
#pragma once

#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "live/netem/network_namespace.hpp"

namespace dfaas {

/// One echo request to `address` and its answer: the time between them; nothing where none came within
/// `patience`. Source: RFC 792. Errors: unavailable, where no request could be sent.
boost::asio::awaitable<Result<std::optional<Micros>>> echo(const NetworkNamespace* network,
                                                           std::string address, Millis patience);

}  // namespace dfaas
