// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/families.hpp"

#include <array>
#include <string>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/scenario/families_makers.hpp"

namespace dfaas {
namespace {

constexpr std::array table{
    Family{"seedsim_n5_p0.5", "replicas and workloads of DFaaS 2021: 5 nodes, half of the links",
           make_seedsim_n5},
    Family{"seedsim_n20_p0.3", "replicas and workloads of DFaaS 2021: 20 nodes, 0.3 of the links",
           make_seedsim_n20},
    Family{"seedsim_n50_p0.8", "replicas and workloads of DFaaS 2021: 50 nodes, 0.8 of the links",
           make_seedsim_n50},
    Family{"seedfw_n10_p0.3",
           "groups and triangular load of DFaaS 2023: 10 nodes, 0.3 of the links", make_seedfw_n10},
    Family{"seedfw_n30_p0.5",
           "groups and triangular load of DFaaS 2023: 30 nodes, half of the links",
           make_seedfw_n30},
    Family{"test1", "published test 1: figlet at 250 requests/s on the light of three nodes",
           make_test1},
    Family{"test2", "published test 2: figlet 100, then 300, and shasum 50 on the middle node",
           make_test2},
    Family{"test3", "published test 3: figlet on all three nodes, at last 600 on the middle one",
           make_test3},
    Family{"flash", "a flash crowd: 2 of 12 nodes at three times their capacity for 40 s",
           make_flash},
    Family{"diurnal", "the peak of the day goes round a ring of 24 nodes", make_diurnal},
    Family{"failure", "the node with most room to spare crashes half way", make_failure},
    Family{"hetero", "functions of 10 to 500 ms share one pool a node; not every node has them all",
           make_hetero},
    Family{"mmpp", "bursts of about 6 s at 2.5 times the capacity, on 10 nodes, at random",
           make_mmpp},
    Family{"liar1", "2 of 10 nodes promise 50 times what they have", make_liar1},
    Family{"liar2", "2 of 10 nodes promise 50 times what they have, and refuse all guests",
           make_liar2},
    Family{"liar3", "2 of 10 nodes promise 50 times what they have, and are 5 times slower",
           make_liar3},
    Family{"sparse100", "hot spots move over 100 nodes with about 8 neighbours each",
           make_sparse100},
    Family{"sparse300", "hot spots move over 300 nodes with about 8 neighbours each",
           make_sparse300},
    Family{"sparse1000", "hot spots move over 1000 nodes with about 8 neighbours each",
           make_sparse1000, false},
    Family{"speed100", "100 nodes at 20 requests/s each, 0.8 of their capacity, for a minute",
           make_speed100, false},
    Family{"speed1000", "1000 nodes at 20 requests/s each, 0.8 of their capacity, for a minute",
           make_speed1000, false},
    Family{"uniform", "10 nodes, all at 0.8 of their capacity: nothing to gain but from pooling",
           make_uniform, false},
};

}  // namespace

std::span<const Family> families() noexcept { return table; }

Result<Family> find_family(std::string_view name) {
  std::string known;
  for (const Family& family : table) {
    if (family.name == name) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.name);
  }
  return fail(ErrorCode::invalid_input,
              fmt::format("family {} is not known: {} are", in_quotes(name), known));
}

}  // namespace dfaas
