// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Who is believed: bundles of authorities, requests for certificates, and signed lists of revoked nodes.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "live/files/files.hpp"
#include "live/pki/authority.hpp"
#include "live/pki/revocation.hpp"
#include "live/pki/trust_bundle.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;
using std::chrono_literals::operator""h;

class Trust : public testing::Test {
 protected:
  Trust() {
    std::string pattern = (fs::temp_directory_path() / "dfaas-trust-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    EXPECT_TRUE(create_authority(root_ / "acme", "acme", 365));
    EXPECT_TRUE(create_authority(root_ / "globex", "globex", 365));
  }
  ~Trust() override { fs::remove_all(root_); }

  [[nodiscard]] Authority authority(const std::string& name) const {
    auto opened = Authority::open(root_ / name);
    EXPECT_TRUE(opened);
    return std::move(*opened);
  }
  [[nodiscard]] TrustBundle bundle(const std::string& name) const {
    return *TrustBundle::parse(authority(name).certificate());
  }

  fs::path root_;
};

TEST_F(Trust, BundleHoldsEachAuthorityOnceWhateverTheOrder) {
  const std::string acme = authority("acme").certificate();
  const std::string globex = authority("globex").certificate();
  const auto both = TrustBundle::parse(globex + "a comment\n" + acme + globex);
  ASSERT_TRUE(both) << both.error().message;
  ASSERT_EQ(both->authorities().size(), 2U);
  EXPECT_EQ(both->authorities()[0].organisation, "acme");
  EXPECT_EQ(both->authorities()[1].organisation, "globex");
  EXPECT_EQ(TrustBundle::parse(both->pem())->authorities(), both->authorities());
}

TEST_F(Trust, BundleSaysWhatIsWrongWithIt) {
  const std::string acme = authority("acme").certificate();
  ASSERT_TRUE(create_authority(root_ / "twin", "acme", 365));
  ASSERT_TRUE(create_node_certificate(root_ / "n", root_ / "acme", 7));
  const struct {
    std::string text;
    const char* words;
  } cases[] = {
      {"", "no certificate"},
      {acme.substr(0, acme.size() / 2), "no end"},
      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no readable certificate"},
      {acme + *read_file(root_ / "acme/ca.key"), "private key"},
      {acme + authority("twin").certificate(), "organisation acme has another authority"},
      {*read_file(root_ / "n/pki/node.crt"), "is not an authority's"}};
  for (const auto& [text, words] : cases) {
    const auto parsed = TrustBundle::parse(text);
    ASSERT_FALSE(parsed) << words;
    EXPECT_NE(parsed.error().message.find(words), std::string::npos) << parsed.error().message;
  }
}

TEST_F(Trust, RemovedAuthorityIsNoLongerBelieved) {
  auto both = bundle("acme");
  ASSERT_TRUE(both.add(bundle("globex").authorities().front()));
  ASSERT_TRUE(create_node_certificate(root_ / "n", root_ / "globex", 7));
  const std::string certificate = *read_file(root_ / "n/pki/node.crt");
  EXPECT_TRUE(both.verify(certificate));
  ASSERT_TRUE(both.remove("globex"));
  EXPECT_FALSE(both.verify(certificate));
  const auto again = both.remove("globex");
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("acme"), std::string::npos) << again.error().message;
}

TEST_F(Trust, CertificateIsForTheKeyThatSignedTheRequest) {
  const std::string key = make_key();
  const auto request = make_request(key);
  ASSERT_TRUE(request);
  const auto certificate = authority("acme").certify(*request, 24h);
  ASSERT_TRUE(certificate) << certificate.error().message;
  const auto verified = bundle("acme").verify(*certificate);
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_EQ(verified->id, *id_in_request(*request));
  EXPECT_TRUE(check_key_matches(*certificate, key));
  EXPECT_FALSE(bundle("globex").verify(*certificate));
}

TEST_F(Trust, CertificateIsValidToClocksThatAreAnHourSlow) {
  const auto request = make_request(make_key());
  ASSERT_TRUE(request);
  const auto slack = [&](std::chrono::minutes validity) {
    const auto certificate = authority("acme").certify(*request, validity);
    const auto begin = inspect_certificate(certificate.value()).value().valid_from;
    return std::chrono::round<std::chrono::minutes>(std::chrono::system_clock::now() - begin);
  };
  EXPECT_EQ(slack(24h * 7), 2h);
  EXPECT_EQ(slack(4h), 2h);
  EXPECT_EQ(slack(std::chrono::minutes{60}), std::chrono::minutes{30})
      << "of the whole a third is left when it is renewed: not at once";
  EXPECT_EQ(slack(std::chrono::minutes{2}), std::chrono::minutes{5});
}

TEST_F(Trust, RequestThatItsKeyDidNotSignIsRefused) {
  std::string request = *make_request(make_key());
  // A letter of the signature, near the end of the base64 text.
  char& letter = request[request.rfind("-----END") - 10];
  letter = letter == 'A' ? 'B' : 'A';
  EXPECT_FALSE(id_in_request(request));
  EXPECT_FALSE(authority("acme").certify(request, 24h));
  EXPECT_FALSE(authority("acme").certify("no request", 24h));
}

TEST_F(Trust, RenewalKeepsKeyAndId) {
  const auto id = create_node_certificate(root_ / "n", root_ / "acme", 7);
  const auto renewed = renew_node_certificate(root_ / "n", root_ / "acme", 30);
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_EQ(*renewed, *id);
  const auto next = bundle("acme").verify(*read_file(root_ / "n/pki/next.pem"));
  ASSERT_TRUE(next);
  EXPECT_GT(next->not_after, inspect_certificate(*read_file(root_ / "n/pki/node.crt"))->not_after);
}

TEST_F(Trust, RevocationsAreReadByWhoTrustsTheSigner) {
  const RevocationList list{.organisation = "acme",
                            .number = 7,
                            .nodes = {*id_in_request(*make_request(make_key())),
                                      *id_in_request(*make_request(make_key()))}};
  const auto text = sign_revocations(list, authority("acme"));
  ASSERT_TRUE(text);
  const auto read = parse_revocations(*text, bundle("acme"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, list);
  EXPECT_FALSE(parse_revocations(*text, bundle("globex")));
}

TEST_F(Trust, RevocationsOfAnotherOrganisationOrChangedAreDenied) {
  const NodeId node = *id_in_request(*make_request(make_key()));
  const auto forged =
      sign_revocations({.organisation = "acme", .number = 1, .nodes = {node}}, authority("globex"));
  auto both = bundle("acme");
  ASSERT_TRUE(both.add(bundle("globex").authorities().front()));
  ASSERT_FALSE(parse_revocations(*forged, both));
  EXPECT_EQ(parse_revocations(*forged, both).error().code, ErrorCode::denied);

  std::string changed =
      *sign_revocations({.organisation = "acme", .number = 1, .nodes = {node}}, authority("acme"));
  changed.replace(changed.find(node.view()), 1, node.view().front() == 'a' ? "b" : "a");
  EXPECT_FALSE(parse_revocations(changed, both));
  EXPECT_FALSE(parse_revocations("{}", both));
  EXPECT_FALSE(parse_revocations("garbage", both));
}

}  // namespace
}  // namespace dfaas
