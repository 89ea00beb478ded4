// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/issuer.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "live/files/files.hpp"
#include "live/pki/trust_bundle.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;
using std::chrono_literals::operator""min;

const std::chrono::sys_seconds noon{std::chrono::seconds{1'800'000'000}};
const NodeId self = *NodeId::parse("abcdefghijklmnopqrstuvwxyz234567");

class IssuerTest : public testing::Test {
 protected:
  IssuerTest() {
    std::string pattern = (fs::temp_directory_path() / "dfaas-issuer-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    EXPECT_TRUE(create_authority(root_, "acme", 365));
  }
  ~IssuerTest() override { fs::remove_all(root_); }

  [[nodiscard]] Issuer issuer() const {
    auto opened = Issuer::open(root_, 60min);
    EXPECT_TRUE(opened);
    return std::move(*opened);
  }
  static JoinRequest request_for(const JoinToken& token) {
    return {.invitation = token.invitation,
            .secret = token.secret,
            .name = *NodeName::parse("west"),
            .request = *make_request(make_key()),
            .peer_address = {}};
  }
  static bool nobody(const NodeId& /*id*/) { return false; }

  fs::path root_;
};

TEST_F(IssuerTest, InvitedNodeGetsACertificateOfTheOrganisation) {
  Issuer one = issuer();
  const auto token = one.invite("a:1", self, 1, 10min, noon);
  ASSERT_TRUE(token) << token.error().message;
  EXPECT_EQ(token->organisation, "acme");
  EXPECT_EQ(token->issuer, self);
  EXPECT_EQ(token->expires, 1'800'000'600);
  const JoinRequest request = request_for(*token);
  const auto certificate = one.admit(request, nobody, noon);
  ASSERT_TRUE(certificate) << certificate.error().message;
  const auto bundle = TrustBundle::parse(one.authority().certificate());
  EXPECT_EQ(bundle->verify(*certificate)->id, *id_in_request(request.request));
  ASSERT_EQ(one.issued().size(), 1U);
  EXPECT_EQ(one.issued()[0].name.text(), "west");
}

TEST_F(IssuerTest, InvitationsAreCountedOnDiskAndExpire) {
  auto token = issuer().invite("a:1", self, 2, 10min, noon);
  EXPECT_TRUE(issuer().admit(request_for(*token), nobody, noon));
  EXPECT_TRUE(issuer().admit(request_for(*token), nobody, noon));
  const auto third = issuer().admit(request_for(*token), nobody, noon);
  ASSERT_FALSE(third);
  EXPECT_NE(third.error().message.find("has been used"), std::string::npos);
  EXPECT_EQ(issuer().issued().size(), 2U);

  token = issuer().invite("a:1", self, 1, 10min, noon);
  const auto late = issuer().admit(request_for(*token), nobody, noon + 10min);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("expired at"), std::string::npos) << late.error().message;
}

TEST_F(IssuerTest, SecretsAreNotOnDisk) {
  const auto token = issuer().invite("a:1", self, 1, 10min, noon);
  const auto text = read_file(root_ / "invitations.json");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->find(token->secret), std::string::npos);
  struct stat status{};
  ASSERT_EQ(::stat((root_ / "invitations.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(IssuerTest, GuessesAreDeniedAlike) {
  Issuer one = issuer();
  const auto token = one.invite("a:1", self, 1, 10min, noon);
  JoinRequest wrong_secret = request_for(*token);
  wrong_secret.secret.back() = wrong_secret.secret.back() == 'a' ? 'b' : 'a';
  JoinRequest wrong_invitation = request_for(*token);
  wrong_invitation.invitation = "unknown";
  const auto first = one.admit(wrong_secret, nobody, noon);
  const auto second = one.admit(wrong_invitation, nobody, noon);
  ASSERT_FALSE(first);
  ASSERT_FALSE(second);
  EXPECT_EQ(first.error().message, second.error().message);
  EXPECT_TRUE(one.admit(request_for(*token), nobody, noon)) << "a guess uses nothing up";
}

TEST_F(IssuerTest, RevokedNodeGetsNothing) {
  Issuer one = issuer();
  const auto token = one.invite("a:1", self, 1, 10min, noon);
  const JoinRequest request = request_for(*token);
  const NodeId id = *id_in_request(request.request);
  const auto is_revoked = [&id](const NodeId& node) { return node == id; };
  EXPECT_EQ(one.admit(request, is_revoked, noon).error().code, ErrorCode::denied);
  const auto certificate = one.authority().certify(request.request, 60min);
  EXPECT_EQ(one.renew(*certificate, request.request, is_revoked).error().code, ErrorCode::denied);
}

TEST_F(IssuerTest, RenewsOnlyForTheKeyThatIsProved) {
  const Issuer one = issuer();
  const std::string request = *make_request(make_key());
  const auto certificate = one.authority().certify(request, 60min);
  EXPECT_TRUE(one.renew(*certificate, request, nobody));
  const auto stolen = one.renew(*certificate, *make_request(make_key()), nobody);
  ASSERT_FALSE(stolen);
  EXPECT_EQ(stolen.error().code, ErrorCode::denied);

  ASSERT_TRUE(create_authority(root_ / "globex", "globex", 365));
  const auto foreign = Authority::open(root_ / "globex")->certify(request, 60min);
  EXPECT_FALSE(one.renew(*foreign, request, nobody)) << "of another organisation";
}

TEST_F(IssuerTest, SaysWhatIsWrong) {
  Issuer one = issuer();
  EXPECT_NE(one.invite("a:1", self, 0, 10min, noon).error().message.find("0 is not from 1"),
            std::string::npos);
  EXPECT_FALSE(one.invite("a:1", self, 1, 0min, noon));
  EXPECT_EQ(Issuer::open(root_ / "none", 60min).error().code, ErrorCode::not_found);
  ASSERT_TRUE(write_file(root_ / "invitations.json", "{\"invitations\":[{}]}", 0600));
  const auto broken = Issuer::open(root_, 60min);
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("invitations.json"), std::string::npos);
}

}  // namespace
}  // namespace dfaas
