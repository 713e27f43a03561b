// Who is refused, and what both ends say about it.
#include "net/handshake.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/random.h"
#include "net/transport_fixture.h"
#include "net/wire.h"

namespace skarv::net {
namespace {

class RefusalTest : public TransportTest {
 protected:
  // Dials once with `dialer`; both statuses must have `code`, and a good dialer passes afterwards.
  void expect_refused(const Options& listener, const Options& dialer, Code code,
                      const std::string& word) {
    listener_ = transport_->listen("127.0.0.1:0", listener).value();
    const auto dialed = transport_->connect(listener_->address(), dialer, soon());
    ASSERT_FALSE(dialed.ok());
    EXPECT_EQ(dialed.status().code(), code) << dialed.status();
    EXPECT_NE(dialed.status().message().find(word), std::string::npos) << dialed.status();
    const auto refusal = listener_->next_refusal(soon());
    ASSERT_TRUE(refusal.ok()) << refusal.status();
    EXPECT_EQ(refusal->reason.code(), code) << refusal->reason;
    EXPECT_NE(refusal->reason.message().find(word), std::string::npos) << refusal->reason;

    const auto good = transport_->connect(listener_->address(), options("north/a"), soon());
    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_TRUE(listener_->accept(soon()).ok());
  }
};
INSTANTIATE_TEST_SUITE_P(All, RefusalTest, testing::Values("mem", "tcp", "tls"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(RefusalTest, AnotherToken) {
  Options dialer = options("north/a");
  dialer.token = "a token that is not the same";
  expect_refused(options("south/b"), dialer, Code::kPermissionDenied, "token of 'north/a'");
}

TEST_P(RefusalTest, NoToken) {
  Options dialer = options("north/a");
  dialer.token.clear();
  expect_refused(options("south/b"), dialer, Code::kPermissionDenied, "token");
}

TEST_P(RefusalTest, AnotherRun) {
  Options dialer = options("north/a");
  dialer.run = "another";
  expect_refused(options("south/b"), dialer, Code::kFailedPrecondition, "'another'");
}

TEST_P(RefusalTest, ListenerExpectsSomeoneElse) {
  Options listener = options("south/b");
  listener.expected_peer = "north/a";
  expect_refused(listener, options("north/c"), Code::kPermissionDenied, "'north/c'");
}

TEST_P(RefusalTest, DialerExpectsSomeoneElse) {
  Options dialer = options("north/a");
  dialer.expected_peer = "south/x";
  expect_refused(options("south/b"), dialer, Code::kPermissionDenied, "'south/x' was expected");
}

class TlsRefusalTest : public RefusalTest {};
INSTANTIATE_TEST_SUITE_P(All, TlsRefusalTest, testing::Values("tls"));

TEST_P(TlsRefusalTest, CertificateOfAnotherAuthority) {
  const TemporaryFolder folder;
  ASSERT_TRUE(make_authority(folder.path(), "run").ok());
  Options dialer = options("north/a");
  dialer.credentials = make_certificate(folder.path(), "north/a").value();
  // Each side refuses the other's; whichever is noticed first, it is the certificate.
  expect_refused(options("south/b"), dialer, Code::kPermissionDenied, "certificate");
  // A dialer that trusts the right authority but is not of it.
  dialer.credentials->ca = credentials_of("north/a").ca;
  expect_refused(options("south/b"), dialer, Code::kPermissionDenied, "certificate");
}

TEST_P(TlsRefusalTest, CredentialsThatDoNotFit) {
  const auto code = [&](const Options& options) {
    return transport_->listen("127.0.0.1:0", options).status();
  };
  Options missing = options("south/b");
  missing.credentials.reset();
  EXPECT_EQ(code(missing).code(), Code::kInvalidArgument);
  Options other_name = options("south/b");
  other_name.name = "south/c";
  EXPECT_NE(code(other_name).message().find("'south/b'"), std::string::npos);
  Options other_key = options("south/b");
  other_key.credentials->key = credentials_of("north/a").key;
  EXPECT_EQ(code(other_key).code(), Code::kInvalidArgument) << code(other_key);
  Options no_file = options("south/b");
  no_file.credentials->certificate = "/nonexistent.pem";
  EXPECT_EQ(code(no_file).code(), Code::kNotFound) << code(no_file);
}

TEST(SocketRefusalTest, PlainTcpStaysOnLoopback) {
  const auto transport = make_tcp_transport();
  const Status listening = transport->listen("0.0.0.0:0", options_of("tcp", "a")).status();
  EXPECT_EQ(listening.code(), Code::kInvalidArgument) << listening;
  EXPECT_NE(listening.hint().find("skarv cert"), std::string::npos);
  const Status dialing = transport->connect("192.0.2.1:9", options_of("tcp", "a"), soon()).status();
  EXPECT_EQ(dialing.code(), Code::kInvalidArgument) << dialing;
}

TEST(SocketRefusalTest, PortInUseAndNobodyThere) {
  const auto transport = make_tcp_transport();
  auto listener = transport->listen("127.0.0.1:0", options_of("tcp", "a")).value();
  const Status again = transport->listen(listener->address(), options_of("tcp", "b")).status();
  EXPECT_EQ(again.code(), Code::kUnavailable) << again;
  const std::string address = listener->address();
  listener.reset();
  // Closing is done by the io thread, which also dials: it comes first.
  const Status nobody = transport->connect(address, options_of("tcp", "b"), soon()).status();
  EXPECT_EQ(nobody.code(), Code::kUnavailable) << nobody;
}

TEST(SocketRefusalTest, TlsAgainstPlainSaysSo) {
  const auto tls = make_tls_transport();
  const auto tcp = make_tcp_transport();
  auto plain_listener = tcp->listen("127.0.0.1:0", options_of("tcp", "a")).value();
  EXPECT_FALSE(tls->connect(plain_listener->address(), options_of("tls", "b"), soon()).ok());
  const auto refusal = plain_listener->next_refusal(soon());
  ASSERT_TRUE(refusal.ok());
  EXPECT_NE(refusal->reason.message().find("TLS"), std::string::npos) << refusal->reason;

  auto tls_listener = tls->listen("127.0.0.1:0", options_of("tls", "a")).value();
  EXPECT_FALSE(tcp->connect(tls_listener->address(), options_of("tcp", "b"), soon()).ok());
  EXPECT_TRUE(tls_listener->next_refusal(soon()).ok());
}

// A client that does not speak Skarv.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_connected_ =
        ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  bool is_connected() const { return is_connected_; }
  void send(std::string_view bytes) {
    (void)!::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void shut_down() { ::shutdown(socket_.get(), SHUT_WR); }
  std::string read_all() {
    std::string all;
    char part[4096];
    for (ssize_t size; (size = ::recv(socket_.get(), part, sizeof part, 0)) > 0;) {
      all.append(part, static_cast<size_t>(size));
    }
    return all;
  }

 private:
  FileHandle socket_;
  bool is_connected_ = false;
};

class RawTest : public TransportTest {};
INSTANTIATE_TEST_SUITE_P(All, RawTest, testing::Values("tcp", "tls"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(RawTest, RandomBytesNeverHurtTheListener) {
  listener_ = transport_->listen("127.0.0.1:0", options("south/b")).value();
  const CounterRandom random(11, "bytes");
  for (uint64_t round = 0; round < 200; ++round) {
    std::string bytes;
    // Some begin like the real thing and go wrong later.
    const uint64_t kind = random.below(1000 * round, 4);
    if (kind == 1) bytes = "SKARVNET";
    if (kind == 2) bytes = encode_packet(PacketKind::kHello, "").substr(0, 12);
    const uint64_t num_bytes = random.below(1000 * round + 1, 300);
    for (uint64_t i = 0; i < num_bytes; ++i) {
      bytes += static_cast<char>(random.below(1000 * round + 2 + i, 256));
    }
    RawClient client(listener_->port());
    ASSERT_TRUE(client.is_connected());
    client.send(bytes);
    client.shut_down();
    client.read_all();
  }
  for (int i = 0; i < 64; ++i) {
    const auto refusal = listener_->next_refusal(soon());
    ASSERT_TRUE(refusal.ok());
    EXPECT_FALSE(refusal->reason.ok());
    EXPECT_FALSE(refusal->dialer.empty());
  }
  ASSERT_TRUE(transport_->connect(listener_->address(), options("north/a"), soon()).ok());
  EXPECT_TRUE(listener_->accept(soon()).ok());
}

TEST_P(RawTest, SilentDialerIsDroppedInTime) {
  Options listener = options("south/b");
  listener.detection_time = 100ms;
  listener_ = transport_->listen("127.0.0.1:0", listener).value();
  RawClient client(listener_->port());
  client.send("S");
  client.read_all();  // returns once the listener hangs up
  const auto refusal = listener_->next_refusal(soon());
  ASSERT_TRUE(refusal.ok());
  EXPECT_EQ(refusal->reason.code(), Code::kDeadlineExceeded) << refusal->reason;
}

TEST(WireVersionTest, AnotherVersionIsRefusedInWords) {
  const auto transport = make_tcp_transport();
  auto listener = transport->listen("127.0.0.1:0", options_of("tcp", "b")).value();
  std::string packet = encode_packet(PacketKind::kHello, std::string(100, 'x'));
  packet[8] = 99;
  RawClient client(listener->port());
  client.send(packet);
  client.shut_down();
  const std::string answer = client.read_all();
  const auto header = decode_packet_header(answer.substr(0, kPacketHeaderBytes));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->kind, PacketKind::kRefusal);
  const Status told = decode_refusal(answer.substr(kPacketHeaderBytes));
  EXPECT_NE(told.message().find("wire version 99"), std::string::npos) << told;
  const auto refusal = listener->next_refusal(soon());
  EXPECT_EQ(refusal->reason.code(), Code::kFailedPrecondition) << refusal->reason;
}

TEST(HandshakeTest, HelloRoundTripsAndRefusesPieces) {
  Hello hello{.run = "r", .name = "north/a", .stream = 1, .num_streams = 3};
  hello.nonce[5] = 7;
  const std::string bytes = encode(hello);
  const auto back = decode_hello(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->name, "north/a");
  EXPECT_EQ(back->nonce, hello.nonce);
  EXPECT_EQ(back->num_streams, 3);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_hello(bytes.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(decode_hello(bytes + "x").ok());
}

TEST(HandshakeTest, ProofDependsOnEverything) {
  const Digest hellos = digest_of("hellos"), others = digest_of("others");
  const std::string proof = make_proof("token", Side::kDialer, hellos, "channel");
  EXPECT_TRUE(is_equal_proof(proof, make_proof("token", Side::kDialer, hellos, "channel")));
  EXPECT_FALSE(is_equal_proof(proof, make_proof("other", Side::kDialer, hellos, "channel")));
  EXPECT_FALSE(is_equal_proof(proof, make_proof("token", Side::kListener, hellos, "channel")));
  EXPECT_FALSE(is_equal_proof(proof, make_proof("token", Side::kDialer, others, "channel")));
  EXPECT_FALSE(is_equal_proof(proof, make_proof("token", Side::kDialer, hellos, "chaNnel")));
  EXPECT_FALSE(is_equal_proof("", ""));
}

}  // namespace
}  // namespace skarv::net
