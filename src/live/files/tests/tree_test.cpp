// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/files/tree.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

namespace fs = std::filesystem;

class TreeTest : public testing::Test {
 protected:
  TreeTest() {
    std::string pattern = testing::TempDir() + "/dfaas-tree-XXXXXX";
    root = ::mkdtemp(pattern.data());
  }
  ~TreeTest() override { std::ignore = remove_tree(root); }

  void write(const fs::path& path, const std::string& text = "x") const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  [[nodiscard]] mode_t mode_of(const fs::path& path) const {
    struct stat kind{};
    EXPECT_EQ(::lstat((root / path).c_str(), &kind), 0) << path;
    return kind.st_mode & 07777U;
  }

  fs::path root;
};

TEST_F(TreeTest, LinksLeadInsideOnly) {
  write("usr/bin/sh");
  fs::create_symlink("/usr/bin", root / "bin");
  fs::create_symlink("../../usr/bin/sh", root / "usr" / "bin" / "ash");
  fs::create_symlink("../../../../../../etc", root / "out");
  fs::create_symlink("loop", root / "loop");
  EXPECT_EQ(resolve_inside(root, "/bin/sh"), "/usr/bin/sh");
  EXPECT_EQ(resolve_inside(root, "/bin/ash"), "/usr/bin/sh");
  EXPECT_EQ(resolve_inside(root, "/../../bin/./sh"), "/usr/bin/sh");
  EXPECT_EQ(resolve_inside(root, "/"), "/");
  EXPECT_EQ(resolve_inside(root, "/out/passwd"), std::nullopt);
  EXPECT_EQ(resolve_inside(root, "/loop"), std::nullopt);
  EXPECT_EQ(resolve_inside(root, "/usr/bin/sh/x"), std::nullopt);
}

TEST_F(TreeTest, EverybodyMayReadWhatItsOwnerMayAndNoBitGivesPower) {
  write("private/key");
  write("program");
  fs::create_directory(root / "closed");
  ::chmod((root / "private/key").c_str(), 0600);
  ::chmod((root / "private").c_str(), 0700);
  ::chmod((root / "program").c_str(), 06711);
  ::chmod((root / "closed").c_str(), 01000);
  fs::create_symlink("/etc/shadow", root / "link");
  ASSERT_TRUE(open_up_tree(root));
  EXPECT_EQ(mode_of("private/key"), 0644U);
  EXPECT_EQ(mode_of("private"), 0755U);
  EXPECT_EQ(mode_of("program"), 0755U);
  EXPECT_EQ(mode_of("closed"), 0755U);
  EXPECT_TRUE(fs::is_symlink(root / "link"));
}

TEST_F(TreeTest, SizeCountsHardLinksOnceAndEachFileAtLeastOneBlock) {
  write("big", std::string(1U << 20U, 'x'));
  const std::uint64_t before = measure_tree(root);
  EXPECT_GE(before, 1U << 20U);
  fs::create_hard_link(root / "big", root / "again");
  EXPECT_EQ(measure_tree(root), before);
  for (int at = 0; at < 10; ++at) write("small" + std::to_string(at), "");
  EXPECT_EQ(measure_tree(root), before + 10U * 4096U);
  EXPECT_EQ(*open_up_tree(root), measure_tree(root));
}

TEST_F(TreeTest, ClosedDirectoriesAreRemovedAndLinksAreNotFollowed) {
  write("outside/kept");
  write("tree/closed/x");
  fs::create_directory_symlink(root / "outside", root / "tree" / "link");
  ::chmod((root / "tree/closed").c_str(), 0);
  ASSERT_TRUE(remove_tree(root / "tree"));
  EXPECT_FALSE(fs::exists(root / "tree"));
  EXPECT_TRUE(fs::exists(root / "outside/kept"));
  EXPECT_TRUE(remove_tree(root / "not there"));
}

}  // namespace
}  // namespace dfaas
