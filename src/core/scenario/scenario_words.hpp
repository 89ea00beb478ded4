// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The words of scenario files, in the order of the enumerations that they name.
#pragma once

#include <array>
#include <string_view>

namespace dfaas::scenario_words {

inline constexpr std::array<std::string_view, 4> service_kinds{"exponential", "deterministic",
                                                               "log_normal", "samples"};
inline constexpr std::array<std::string_view, 2> arrival_kinds{"poisson", "constant"};
inline constexpr std::array<std::string_view, 6> fault_kinds{
    "node_crash", "agent_crash", "partition", "link_cut", "one_way_cut", "slowdown"};
inline constexpr std::array<std::string_view, 3> sharings{"node", "organisation", "federation"};
inline constexpr std::array<std::string_view, 4> topologies{"none", "full", "ring", "random"};

}  // namespace dfaas::scenario_words
