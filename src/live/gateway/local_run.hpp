// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the ways of running a call here share. Internal to live/gateway.
#pragma once

#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "live/gateway/gateway_core.hpp"

namespace dfaas {

/// A process for this call alone.
boost::asio::awaitable<CallEnd> run_classic(GatewayCore* core, CallPtr call,
                                            FunctionHost::Lease lease, std::string first_piece,
                                            Instant taken);

/// A request to a process that stays.
boost::asio::awaitable<CallEnd> run_http(GatewayCore* core, CallPtr call, FunctionHost::Lease lease,
                                         std::string first_piece, Instant taken);

/// Tells a neighbour that its call has a slot: as the "100 Continue" it waits for, whose body then proves that it
/// heard; or, where the body came with the head, as an interim answer. The first piece of the body.
boost::asio::awaitable<Result<std::string>> confirm_admission(CallPtr call);

/// Who answers, which call it was and, for a neighbour or a curious user, more.
void add_local_headers(const GatewayCore& core, const Call& call, Instant since,
                       ResponseHead& head);

/// 500 with one sentence: the function could not even be started.
boost::asio::awaitable<CallEnd> answer_not_started(GatewayCore* core, CallPtr call, Error error);

/// What became of a call whose answer had this status.
CallEnd end_of(int status, bool delivered, Micros took);

/// /_/health and /_/ready of a function, which its watchdog would answer.
bool is_watchdog_path(std::string_view path);
boost::asio::awaitable<void> respond_watchdog(GatewayCore* core, ServerConnection* connection,
                                              FunctionName function, std::string path);

}  // namespace dfaas
