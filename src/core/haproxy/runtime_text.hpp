// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What HAProxy answers to commands on its statistics socket, read.
///
/// Source  HAProxy 2.6 management guide, section 9.3. Lines that do not fit are skipped: a newer
///         HAProxy may say more.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dfaas {

/// The value of "Name: value" in the answer of "show info"; empty where there is none.
std::string_view info_value(std::string_view answer, std::string_view name);

/// HAProxy answers a change with silence, or with what it did, or with a complaint.
bool is_complaint(std::string_view answer);

/// Key and value of each entry in the answer of "show map FILE".
std::vector<std::pair<std::string, std::string>> map_entries(std::string_view answer);

struct ServerState {
  std::string name;
  std::string address;  ///< Numeric.
  int port = 0;
  bool in_maintenance = false;

  friend bool operator==(const ServerState&, const ServerState&) = default;
};

/// The answer of "show servers state BACKEND".
std::vector<ServerState> server_states(std::string_view answer);

}  // namespace dfaas
