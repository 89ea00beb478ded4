// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the table of families points to; everybody else asks families.hpp.
#pragma once

#include <cstdint>

#include "core/scenario/scenario.hpp"

namespace dfaas {

// families_original.cpp
Scenario make_seedsim_n5(std::uint64_t seed);
Scenario make_seedsim_n20(std::uint64_t seed);
Scenario make_seedsim_n50(std::uint64_t seed);
Scenario make_seedfw_n10(std::uint64_t seed);
Scenario make_seedfw_n30(std::uint64_t seed);

// families_published.cpp
Scenario make_test1(std::uint64_t seed);
Scenario make_test2(std::uint64_t seed);
Scenario make_test3(std::uint64_t seed);

// families_synthetic.cpp
Scenario make_flash(std::uint64_t seed);
Scenario make_diurnal(std::uint64_t seed);
Scenario make_failure(std::uint64_t seed);
Scenario make_hetero(std::uint64_t seed);
Scenario make_mmpp(std::uint64_t seed);
Scenario make_liar1(std::uint64_t seed);
Scenario make_liar2(std::uint64_t seed);
Scenario make_liar3(std::uint64_t seed);
Scenario make_uniform(std::uint64_t seed);

// families_sparse.cpp
Scenario make_sparse100(std::uint64_t seed);
Scenario make_sparse300(std::uint64_t seed);
Scenario make_sparse1000(std::uint64_t seed);
Scenario make_speed100(std::uint64_t seed);
Scenario make_speed1000(std::uint64_t seed);

}  // namespace dfaas
