// The same questions for every transport: a listener and ways to dial it, with credentials of their
// own where the transport wants them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/text.h"
#include "net/certificate.h"
#include "net/transport.h"

namespace skarv::net {

using namespace std::chrono_literals;  // NOLINT: tests only

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "skarv_net_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Certificates of one authority for all tests of a process.
inline Credentials credentials_of(const std::string& name) {
  static const TemporaryFolder folder;
  static const Status made = make_authority(folder.path(), "run");
  EXPECT_TRUE(made.ok()) << made;
  std::string stem = name;
  for (char& letter : stem) letter = letter == '/' ? '_' : letter;
  const Credentials files{folder.path() / "ca.pem", folder.path() / (stem + ".pem"),
                          folder.path() / (stem + ".key")};
  if (std::filesystem::exists(files.certificate)) return files;
  const Result<Credentials> fresh = make_certificate(folder.path(), name);
  EXPECT_TRUE(fresh.ok()) << fresh.status();
  return fresh.ok() ? *fresh : files;
}

inline Options options_of(const std::string& transport, const std::string& name) {
  Options options;
  options.run = "run";
  options.token = "a token that is long enough";
  options.name = name;
  if (transport == "tls") options.credentials = credentials_of(name);
  return options;
}

inline Deadline soon() { return deadline_in(20s); }

class TransportTest : public testing::TestWithParam<const char*> {
 protected:
  Options options(const std::string& name) const { return options_of(GetParam(), name); }
  bool is_mem() const { return GetParam() == std::string("mem"); }

  // Connects `dialer_` and `accepted_`; named "north/a" and "south/b".
  void connect(Options dialer, Options listener) {
    auto listening = transport_->listen("127.0.0.1:0", listener);
    ASSERT_TRUE(listening.ok()) << listening.status();
    listener_ = *std::move(listening);
    auto dialed = transport_->connect(listener_->address(), dialer, soon());
    ASSERT_TRUE(dialed.ok()) << dialed.status();
    dialer_ = *std::move(dialed);
    auto accepted = listener_->accept(soon());
    ASSERT_TRUE(accepted.ok()) << accepted.status();
    accepted_ = *std::move(accepted);
  }
  void connect() { connect(options("north/a"), options("south/b")); }

  std::shared_ptr<Transport> transport_ = make_transport(GetParam()).value();
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> dialer_, accepted_;
};

inline Message make_message(uint32_t type, std::string head = "", std::string body = "") {
  return {type, std::move(head), Buffer::take(std::move(body))};
}

// `num_bytes` that differ at every place and by `seed`.
inline Buffer make_body(size_t num_bytes, uint64_t seed) {
  std::vector<std::byte> bytes(num_bytes);
  uint64_t state = seed * 2654435761u + 1;
  for (size_t i = 0; i < num_bytes; ++i) {
    if (i % 8 == 0) state = state * 6364136223846793005u + 1442695040888963407u;
    bytes[i] = static_cast<std::byte>(state >> (8 * (i % 8)));
  }
  return Buffer::take(std::move(bytes));
}

inline bool is_equal(const Buffer& a, const Buffer& b) {
  return a.size() == b.size() && std::equal(a.span().begin(), a.span().end(), b.span().begin());
}

}  // namespace skarv::net
