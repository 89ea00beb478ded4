// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The seeds of every fuzz target and some thousand seeded mutations of them, without a fuzzer: what
/// was once found stays found, in every build.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "targets.hpp"

namespace dfaas {
namespace {

std::vector<std::string> seeds_of(std::string_view target) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(DFAAS_CORPUS) / target)) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<std::string> seeds;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

/// One to four small changes: a bit, a byte, a piece lost, doubled or taken from another seed.
std::string mutate(std::string text, const std::vector<std::string>& seeds, Random& random) {
  const std::string_view telling = "{}[]\",:.-0129eE/%\\\x00\xff\n";
  for (std::size_t change = 1 + below(random, 4); change > 0; --change) {
    const std::size_t at = below(random, text.size() + 1);
    const std::size_t length = below(random, std::min<std::size_t>(16, text.size() - at + 1));
    switch (below(random, 5)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
        break;
      case 1:
        text.insert(at, 1, telling[below(random, telling.size())]);
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(at, length));
        break;
      default: {
        const std::string& other = seeds[below(random, seeds.size())];
        const std::size_t from = below(random, other.size() + 1);
        text.replace(at, length, other.substr(from, below(random, 64)));
      }
    }
  }
  return text;
}

class Corpus : public testing::TestWithParam<FuzzTarget> {};

TEST_P(Corpus, HoldsNothingThatBreaksItsReader) {
  const std::vector<std::string> seeds = seeds_of(GetParam().name);
  ASSERT_FALSE(seeds.empty()) << "corpus/" << GetParam().name;
  for (const std::string& seed : seeds) GetParam().run(seed);
  Random random{42};
  for (int round = 0; round < 4000; ++round) {
    GetParam().run(mutate(seeds[below(random, seeds.size())], seeds, random));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, testing::ValuesIn(fuzz_targets()),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(CorpusFolders, HaveATarget) {
  for (const auto& entry : std::filesystem::directory_iterator(DFAAS_CORPUS)) {
    EXPECT_NE(
        std::ranges::find(fuzz_targets(), entry.path().filename().string(), &FuzzTarget::name),
        fuzz_targets().end())
        << entry.path();
  }
}

}  // namespace
}  // namespace dfaas
