#include "net/certificate.h"

#include <sys/stat.h>

#include "base/file.h"
#include "net/transport_fixture.h"

namespace skarv::net {
namespace {

mode_t mode_of(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

TEST(CertificateTest, KeysAndTokenAreForTheirOwnerOnly) {
  const TemporaryFolder folder;
  ASSERT_TRUE(make_authority(folder.path(), "run-7").ok());
  const auto files = make_certificate(folder.path(), "north/a");
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_TRUE(make_token(folder.path()).ok());
  EXPECT_EQ(mode_of(folder.path() / "ca.key"), 0600u);
  EXPECT_EQ(mode_of(files->key), 0600u);
  EXPECT_EQ(mode_of(folder.path() / "token"), 0600u);
  EXPECT_EQ(certificate_name(files->certificate).value(), "north/a");
  const auto token = read_token(folder.path() / "token");
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->size(), 64u);
}

TEST(CertificateTest, NothingIsOverwritten) {
  const TemporaryFolder folder;
  ASSERT_TRUE(make_authority(folder.path(), "run").ok());
  ASSERT_TRUE(make_certificate(folder.path(), "a").ok());
  ASSERT_TRUE(make_token(folder.path()).ok());
  const std::string before = read_file(folder.path() / "ca.pem").value();
  EXPECT_EQ(make_authority(folder.path(), "run").code(), Code::kAlreadyExists);
  EXPECT_EQ(make_certificate(folder.path(), "a").status().code(), Code::kAlreadyExists);
  EXPECT_EQ(make_token(folder.path()).code(), Code::kAlreadyExists);
  EXPECT_EQ(read_file(folder.path() / "ca.pem").value(), before);
}

TEST(CertificateTest, BadInputIsRefusedInWords) {
  const TemporaryFolder folder;
  EXPECT_EQ(make_certificate(folder.path(), "a").status().code(), Code::kNotFound)
      << "no authority";
  ASSERT_TRUE(make_authority(folder.path(), "run").ok());
  for (const std::string name : {"", "a b", "a\nb", "ä"}) {
    EXPECT_EQ(make_certificate(folder.path(), name).status().code(), Code::kInvalidArgument)
        << name;
  }
  EXPECT_EQ(make_certificate(folder.path(), std::string(65, 'a')).status().code(),
            Code::kInvalidArgument);
  ASSERT_TRUE(make_token(folder.path()).ok());
  ASSERT_EQ(chmod((folder.path() / "token").c_str(), 0644), 0);
  EXPECT_EQ(read_token(folder.path() / "token").status().code(), Code::kPermissionDenied);
}

}  // namespace
}  // namespace skarv::net
