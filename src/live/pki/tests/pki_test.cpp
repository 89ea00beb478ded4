// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/pki.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "live/files/files.hpp"
#include "live/pki/authority.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;

class Pki : public testing::Test {
 protected:
  Pki() {
    std::string pattern = (fs::temp_directory_path() / "dfaas-pki-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    EXPECT_TRUE(create_authority(root_ / "ca", "acme", 365));
  }
  ~Pki() override { fs::remove_all(root_); }
  fs::path root_;
};

TEST_F(Pki, IssuesACertificateWhoseNameFollowsFromItsKey) {
  const auto id = create_node_certificate(root_ / "n", root_ / "ca", 7);
  ASSERT_TRUE(id) << id.error().message;
  const auto pem = read_file(root_ / "n/pki/node.crt");
  const auto certificate = inspect_certificate(*pem);
  ASSERT_TRUE(certificate);
  EXPECT_EQ(certificate->id, *id);
  EXPECT_EQ(certificate->common_name, id->text());
  EXPECT_EQ(certificate->organisation, "acme");
  EXPECT_EQ(certificate->fingerprint.size(), 64U);
  EXPECT_TRUE(check_node_certificate(*certificate));
  EXPECT_TRUE(check_key_matches(*pem, *read_file(root_ / "n/pki/node.key")));
}

TEST_F(Pki, KeepsKeysToThemselvesAndNeverOverwritesOne) {
  ASSERT_TRUE(create_node_certificate(root_ / "n", root_ / "ca", 7));
  for (const char* file : {"n/pki/node.key", "n/pki/node.pem", "ca/ca.key"}) {
    struct stat status{};
    ASSERT_EQ(::stat((root_ / file).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file;
  }
  const auto again = create_node_certificate(root_ / "n", root_ / "ca", 7);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
  EXPECT_FALSE(create_authority(root_ / "ca", "other", 1));
}

TEST_F(Pki, RefusesWhatCannotSpeakForANode) {
  const auto authority = inspect_certificate(*read_file(root_ / "ca/ca.crt"));
  ASSERT_TRUE(authority);
  EXPECT_FALSE(check_node_certificate(*authority));

  ASSERT_TRUE(create_node_certificate(root_ / "a", root_ / "ca", 7));
  auto certificate = *inspect_certificate(*read_file(root_ / "a/pki/node.crt"));
  certificate.common_name = std::string(32, 'a');
  const auto borrowed = check_node_certificate(certificate);
  ASSERT_FALSE(borrowed);
  EXPECT_NE(borrowed.error().message.find(std::string(32, 'a')), std::string::npos);
  certificate.common_name = certificate.id.text();
  certificate.expired = true;
  EXPECT_FALSE(check_node_certificate(certificate));

  ASSERT_TRUE(create_node_certificate(root_ / "b", root_ / "ca", 7));
  EXPECT_FALSE(check_key_matches(*read_file(root_ / "a/pki/node.crt"),
                                 *read_file(root_ / "b/pki/node.key")));
}

TEST_F(Pki, SaysWhatIsWrongWithItsInput) {
  EXPECT_NE(create_authority(root_ / "x", "Bad Name", 1).error().message.find("Bad Name"),
            std::string::npos);
  EXPECT_EQ(create_node_certificate(root_ / "n", root_ / "none", 7).error().code,
            ErrorCode::not_found);
  EXPECT_FALSE(inspect_certificate("not a certificate"));
  EXPECT_FALSE(inspect_certificate_der(nullptr, 0));
  EXPECT_FALSE(create_node_certificate(root_ / "n", root_ / "ca", 0));
}

}  // namespace
}  // namespace dfaas
