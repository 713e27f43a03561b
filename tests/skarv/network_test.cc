#include "network.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/file.h"
#include "net/certificate.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

// Without TLS an address of the whole world would be refused: nobody should have to say so.
TEST(Network, ListensEverywhereButWithoutTlsOnThisMachine) {
  EXPECT_EQ(listen_address({"certs", false}, "", 7700), "0.0.0.0:7700");
  EXPECT_EQ(listen_address({"", true}, "", 7700), "127.0.0.1:7700");
  EXPECT_EQ(listen_address({"", true}, "[::1]:9", 7700), "[::1]:9");
}

class GiveCertificates : public testing::Test {
 protected:
  fs::path home(const std::string& name) const { return folder_ / name / "certs"; }
  fs::path authority() const { return folder_ / "certs"; }
  Status give(const std::string& name) const {
    return give_certificates(authority(), "first", name, home(name));
  }
  static Names names_in(const fs::path& folder) {
    Names names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  std::string key_of(const std::string& name) const {
    return read_file(home(name) / (name + ".key")).value();
  }
  // That the party has what it needs, nobody else's key and not the authority's.
  void expect_secured(const std::string& name) const {
    EXPECT_EQ(names_in(home(name)), (Names{"ca.pem", "token", name + ".pem", name + ".key"}));
    skarv::Run run;
    run.name = "first";
    const auto network = open_network({home(name).string(), false}, run, name);
    EXPECT_TRUE(network.ok()) << network.status();
  }

  const TemporaryFolder folder_;
  const std::vector<std::string> parties_ = {"coordinator", "north", "south"};
};

TEST_F(GiveCertificates, EachPartyHasItsOwnPairAndNoOther) {
  for (const std::string& name : parties_) ASSERT_TRUE(give(name).ok()) << give(name);
  for (const std::string& name : parties_) expect_secured(name);
  EXPECT_EQ(names_in(authority()), (Names{"ca.pem", "ca.key", "token"}));

  const std::string key = key_of("north");
  ASSERT_TRUE(give("north").ok()) << give("north");
  EXPECT_EQ(key_of("north"), key) << "whoever is resumed keeps its pair";
}

// Runs of before had all pairs beside the authority's.
TEST_F(GiveCertificates, PairsThatLieWithTheAuthorityGoToTheirOwners) {
  ASSERT_TRUE(net::make_authority(authority(), "first").ok());
  ASSERT_TRUE(net::make_token(authority()).ok());
  for (const std::string& name : parties_) {
    ASSERT_TRUE(net::make_certificate(authority(), name).ok());
  }
  const std::string key = read_file(authority() / "north.key").value();
  // The power went when one of two files was moved.
  fs::create_directories(home("south"));
  fs::rename(authority() / "south.key", home("south") / "south.key");

  for (const std::string& name : parties_) ASSERT_TRUE(give(name).ok()) << give(name);
  for (const std::string& name : parties_) expect_secured(name);
  EXPECT_EQ(key_of("north"), key);
  EXPECT_EQ(names_in(authority()), (Names{"ca.pem", "ca.key", "token"}));
}

TEST_F(GiveCertificates, SaysWhatIsMissing) {
  ASSERT_TRUE(give("north").ok()) << give("north");
  fs::remove(authority() / "ca.key");
  const Status status = give("south");
  EXPECT_EQ(status.code(), Code::kNotFound) << status;
  EXPECT_NE(status.to_string().find("ca.key"), std::string::npos) << status;
}

}  // namespace
}  // namespace skarv
